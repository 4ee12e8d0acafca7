"""Small examples of every member: adding a member to the library is adding a line here.

An entry is a factory ``rngs -> member``; the data that a check needs are made to fit. Members are
tiny, because a check costs what it compiles.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from flax import nnx

from jaxgen import likelihoods, transforms, zoo
from jaxgen.bijectors import (
    ActNorm,
    Chain,
    Channels,
    Checkerboard,
    Conv1x1,
    Coupling,
    DenseMatrix,
    Flip,
    Inverse,
    Logit,
    MaskedAutoregressive,
    Permutation,
    Scan,
    Split,
    Squeeze,
    Standardize,
    Tanh,
)
from jaxgen.conditionals import MADE
from jaxgen.models import Autoregressive, Dequantized, Ensemble, Flow, StandardNormal
from jaxgen.networks import MLP, ConvResNet


class Example(NamedTuple):
    """A member and what its check needs to know."""

    make: Callable[[nnx.Rngs], Any]
    event: tuple[int, ...]
    bounds: tuple[float, float] | None = None  # of real data; None for the whole line
    options: dict[str, Any] = {}  # noqa: RUF012  # passed on to the check

    def data(self, levels: int | None = None) -> np.ndarray:
        """Four examples."""
        rng = np.random.default_rng(1)
        if levels is not None:
            return rng.integers(0, levels, (4, *self.event))
        if self.bounds is not None:
            low, high = self.bounds
            return low + (high - low) * rng.uniform(0.02, 0.98, (4, *self.event))
        return rng.normal(size=(4, *self.event))

    def context(self, member: Any) -> np.ndarray | None:
        """Contexts for the four examples, if the member takes any."""
        if member.context_shape is None:
            return None
        return np.random.default_rng(2).normal(size=(4, *member.context_shape))


def mlp(rngs, **options):
    return lambda n, m: MLP(n, m, hidden=(6,), activation="tanh", rngs=rngs, **options)


def resnet(rngs, **options):
    return lambda n, m: ConvResNet(n, m, width=4, num_blocks=1, rngs=rngs, **options)


def made(shape, num_params=2, hidden=(5,), **options):
    return MADE(shape, num_params, hidden=hidden, activation="tanh", **options)


def maf(shape, rngs, **options):
    return MaskedAutoregressive(made(shape, rngs=rngs, **options))


def scan_step(rngs):
    """A step with a constant of its own, a data-dependent start and an alternation."""
    return Chain([Flip(), Permutation((3,), rngs=rngs), maf((3,), rngs), ActNorm((3,))])


ADDITIVE = transforms.Additive()

BIJECTORS: dict[str, Example] = {
    "actnorm vector": Example(lambda r: ActNorm((3,)), (3,)),
    "actnorm image": Example(lambda r: ActNorm((2, 3, 2)), (2, 3, 2)),
    "conv1x1 lu vector": Example(lambda r: Conv1x1((3,), rngs=r), (3,)),
    "conv1x1 lu image": Example(lambda r: Conv1x1((2, 3, 3), rngs=r), (2, 3, 3)),
    "conv1x1 dense vector": Example(lambda r: Conv1x1((3,), DenseMatrix, rngs=r), (3,)),
    "conv1x1 dense image": Example(lambda r: Conv1x1((2, 2, 3), DenseMatrix, rngs=r), (2, 2, 3)),
    "squeeze": Example(lambda r: Squeeze((4, 2, 2)), (4, 2, 2)),
    "squeeze by 3": Example(lambda r: Squeeze((3, 6, 1), 3), (3, 6, 1)),
    "unsqueeze": Example(lambda r: Inverse(Squeeze((4, 2, 1))), (2, 1, 4)),
    "flip": Example(lambda r: Flip(), (3,)),
    "flip image": Example(lambda r: Flip(3), (2, 2, 2)),
    "permutation": Example(lambda r: Permutation((5,), rngs=r), (5,)),
    "permutation of channels": Example(
        lambda r: Permutation((2, 2, 3), jnp.array([2, 0, 1])), (2, 2, 3)
    ),
    "logit": Example(lambda r: Logit(), (3,), (0.0, 1.0)),
    "logit image": Example(lambda r: Logit(-1.0, 255.0, 1e-6, 3), (2, 2, 1), (-1.0, 255.0)),
    "tanh": Example(lambda r: Tanh(), (3,), (-1.0, 1.0)),
    "inverse of logit": Example(lambda r: Inverse(Logit()), (2,)),
    "standardize": Example(lambda r: Standardize((2, 2, 1), mean=1.0, scale=2.0), (2, 2, 1)),
    "coupling vector": Example(lambda r: Coupling((4,), mlp(r)), (4,)),
    "coupling odd": Example(lambda r: Coupling((5,), mlp(r)), (5,)),
    "coupling odd swapped": Example(
        lambda r: Coupling((5,), mlp(r), split=Channels(swap=True)), (5,)
    ),
    "coupling additive": Example(lambda r: Coupling((3,), mlp(r), ADDITIVE), (3,)),
    "coupling unbounded": Example(
        lambda r: Coupling((3,), mlp(r), transforms.Affine(bound=None)), (3,)
    ),
    "coupling context": Example(lambda r: Coupling((3,), mlp(r, context_features=2)), (3,)),
    "coupling dropout": Example(lambda r: Coupling((3,), mlp(r, dropout=0.5)), (3,)),
    "coupling channels": Example(lambda r: Coupling((2, 3, 3), resnet(r)), (2, 3, 3)),
    "coupling checkerboard": Example(
        lambda r: Coupling((3, 3, 1), resnet(r), split=Checkerboard((3, 3, 1))), (3, 3, 1)
    ),
    "coupling checkerboard swapped, context": Example(
        lambda r: Coupling(
            (2, 2, 2),
            resnet(r, context_features=3),
            split=Checkerboard((2, 2, 2), swap=True),
        ),
        (2, 2, 2),
    ),
    "coupling checkerboard vector": Example(
        lambda r: Coupling((5,), mlp(r), split=Checkerboard((5,))), (5,)
    ),
    "maf": Example(lambda r: maf((4,), r), (4,)),
    "maf context": Example(lambda r: maf((3,), r, context_features=2), (3,)),
    "maf image, additive": Example(
        lambda r: MaskedAutoregressive(made((2, 2, 1), 1, rngs=r), ADDITIVE), (2, 2, 1)
    ),
    "iaf": Example(lambda r: Inverse(maf((3,), r)), (3,)),
    "chain": Example(lambda r: Chain([ActNorm((3,)), Flip(), Conv1x1((3,), rngs=r)]), (3,)),
    "chain of mixed event_ndims": Example(
        lambda r: Chain([Squeeze((2, 2, 1)), ActNorm((2, 2, 1)), Tanh()]),
        (2, 2, 1),
        (-0.95, 0.95),
    ),
    "chain context": Example(
        lambda r: Chain([maf((3,), r, context_features=2), Flip(), Coupling((3,), mlp(r))]), (3,)
    ),
    "scan": Example(lambda r: Scan(scan_step, 3, rngs=r), (3,)),
    "scan without parameters": Example(
        lambda r: Scan(lambda r: Tanh(), 2, rngs=r), (2,), (-0.7, 0.7)
    ),
    "scan context": Example(
        lambda r: Scan(lambda r: Coupling((3,), mlp(r, context_features=2)), 2, rngs=r), (3,)
    ),
    "scan.stack": Example(lambda r: Scan.stack([scan_step(r), scan_step(r)]), (3,)),
    "split": Example(lambda r: Split(ActNorm((2,)), (4,)), (4,)),
    "split odd, prior": Example(lambda r: Split(ActNorm((2,)), (5,), mlp(r)(2, 6)), (5,)),
    "split image, prior, context": Example(
        lambda r: Split(Conv1x1((2, 2, 2), rngs=r), (2, 2, 4), resnet(r, context_features=2)(2, 4)),
        (2, 2, 4),
    ),
}

SPARSE = {"dense": False}
FEW = {"num_samples": 500}  # of the models with convolutions

CONDITIONALS: dict[str, Example] = {
    "made no hidden, direct": Example(lambda r: made((4,), 1, (), direct=True, rngs=r), (4,)),
    "made": Example(lambda r: made((5,), 2, (7, 9), rngs=r), (5,)),
    "made relu": Example(lambda r: MADE((4,), 1, hidden=(24, 24), rngs=r), (4,)),
    "made narrow": Example(lambda r: made((6,), 2, (2, 3), rngs=r), (6,), options=SPARSE),
    "made narrow, direct": Example(lambda r: made((6,), 1, (3,), direct=True, rngs=r), (6,)),
    "made order features": Example(lambda r: made((4,), 1, order_features=True, rngs=r), (4,)),
    "made context": Example(lambda r: made((3,), 2, context_features=2, rngs=r), (3,)),
    "made no hidden, context": Example(
        lambda r: made((3,), 1, (), direct=True, context_features=2, rngs=r), (3,)
    ),
    "made image grid": Example(lambda r: made((2, 2, 1), 3, rngs=r), (2, 2, 1)),
    "made dropout": Example(lambda r: made((3,), 1, dropout=0.5, rngs=r), (3,)),
    "made one position": Example(
        lambda r: made((1,), 2, rngs=r),
        (1,),
        options={"unused": ("kernels", "biases", "out_kernel")},
    ),
}

TRANSFORMS: dict[str, Callable[[], transforms.Transform]] = {
    "affine": transforms.Affine,
    "affine unbounded": lambda: transforms.Affine(bound=None),
    "additive": transforms.Additive,
}

LIKELIHOODS: dict[str, Callable[[], likelihoods.Likelihood]] = {
    "bernoulli": likelihoods.Bernoulli,
    "categorical": lambda: likelihoods.Categorical(5),
    "normal": likelihoods.Normal,
}


def binary(rngs):
    return Autoregressive(made((4,), 1, rngs=rngs), likelihoods.Bernoulli())


MODELS: dict[str, Example] = {
    "standard normal": Example(lambda r: StandardNormal((2,)), (2,)),
    "flow": Example(lambda r: Flow(maf((2,), r)), (2,)),
    "flow of flows": Example(lambda r: Flow(Flip(), Flow(maf((2,), r), Flow(ActNorm((2,))))), (2,)),
    "flow iaf": Example(lambda r: Flow(Inverse(maf((2,), r))), (2,)),
    "maf one dimension": Example(
        lambda r: zoo.maf((1,), layers=2, hidden=(4,), rngs=r),
        (1,),
        options={
            "unused": tuple(
                f"bijector.layers.0.steps.layers.1.conditional.{name}"
                for name in ("kernels", "biases", "out_kernel")
            )
        },
    ),
    "maf": Example(lambda r: zoo.maf((2,), layers=2, hidden=(6,), rngs=r), (2,)),
    "maf bounds": Example(
        lambda r: zoo.maf((2,), layers=1, hidden=(6,), bounds=(0.0, 1.0), alpha=0.0, rngs=r),
        (2,),
        (0.0, 1.0),
    ),
    "maf context": Example(
        lambda r: zoo.maf((2,), layers=1, hidden=(6,), context_features=2, rngs=r), (2,)
    ),
    "realnvp vector": Example(lambda r: zoo.realnvp((2,), steps=1, hidden=(6,), rngs=r), (2,)),
    "realnvp context": Example(
        lambda r: zoo.realnvp((3,), steps=1, hidden=(6,), context_features=2, rngs=r), (3,)
    ),
    "realnvp image": Example(
        lambda r: zoo.realnvp((4, 2, 1), steps=1, width=4, blocks=1, rngs=r),
        (4, 2, 1),
        options=FEW,
    ),
    "glow": Example(
        lambda r: zoo.glow((4, 4, 1), levels=2, steps=1, width=4, bounds=(0.0, 1.0), rngs=r),
        (4, 4, 1),
        (0.0, 1.0),
        FEW,
    ),
    "glow dense, context": Example(
        lambda r: zoo.glow(
            (2, 2, 1), levels=1, steps=2, width=4, lu=False, context_features=2, rngs=r
        ),
        (2, 2, 1),
        options=FEW,
    ),
    "made binary": Example(lambda r: zoo.made((6,), hidden=(9,), rngs=r), (6,)),
    "made binary image": Example(lambda r: zoo.made((2, 2, 1), hidden=(9,), rngs=r), (2, 2, 1)),
    "made categorical": Example(lambda r: zoo.made((3,), levels=5, hidden=(9,), rngs=r), (3,)),
    "made normal": Example(lambda r: zoo.made((2,), levels=None, hidden=(9,), rngs=r), (2,)),
    "made context": Example(
        lambda r: zoo.made((3,), context_features=2, rngs=r, hidden=(4,)), (3,)
    ),
    "made ensemble": Example(lambda r: zoo.made((4,), hidden=(9,), num_orders=3, rngs=r), (4,)),
    "ensemble context": Example(
        lambda r: Ensemble(
            Autoregressive(made((3,), 1, context_features=2, rngs=r), likelihoods.Bernoulli()),
            jnp.array([[0, 1, 2], [2, 0, 1]]),
        ),
        (3,),
    ),
    "dequantized": Example(
        lambda r: Dequantized(
            zoo.maf((2,), layers=1, hidden=(6,), bounds=(0.0, 4.0), alpha=0.0, rngs=r), 4
        ),
        (2,),
    ),
    "dequantized context": Example(
        lambda r: Dequantized(
            zoo.realnvp(
                (3,), steps=1, hidden=(4,), bounds=(0.0, 256.0), context_features=2, rngs=r
            ),
            256,
        ),
        (3,),
    ),
}
