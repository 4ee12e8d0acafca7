r"""Glow: generative flow with invertible 1x1 convolutions (Kingma and Dhariwal, 2018).

One step, seen from the data: actnorm, an invertible 1x1 convolution, an affine coupling of the two
halves of the channels. A level squeezes, runs its steps, and splits off half of the channels under
a conditional Gaussian prior; the other half goes on to the next level.

With the defaults it is the model of the paper's section 6 for CIFAR-10, of 44 million parameters.

Deviations: the coupling's network has no actnorm; the log-scale is bounded softly instead of by a
sigmoid, which is an option. The latent keeps the event's shape.
"""

from collections.abc import Callable
from functools import partial

from flax import nnx

from jaxgen.bijectors import (
    ActNorm,
    Bijector,
    Chain,
    Conv1x1,
    Coupling,
    DenseMatrix,
    Inverse,
    LUMatrix,
    Matrix,
    Scan,
    Split,
    Squeeze,
)
from jaxgen.bijectors.bounded import Bounds
from jaxgen.core import Shape, check_event
from jaxgen.models import Flow
from jaxgen.models.flow import flow_on
from jaxgen.networks import ConvResNet
from jaxgen.transforms import Affine, Transform
from jaxgen.zoo.registry import constructor
from jaxgen.zoo.sides import check_halvings, fitting_levels


@constructor
def glow(
    event_shape: Shape,
    *,
    levels: int | None = None,
    steps: int = 32,
    width: int = 512,
    blocks: int = 1,
    residual: bool = False,
    lu: bool = True,
    bound: float | None = 3.0,
    scale: str = "exp",
    dropout: float = 0.0,
    bounds: Bounds = None,
    alpha: float = 0.05,
    marginal_bins: int | None = None,
    context_features: int | None = None,
    rngs: nnx.Rngs,
) -> Flow:
    """A multi-scale flow for images with actnorm, invertible 1x1 convolutions and couplings.

    Args:
        event_shape: ``(height, width, channels)``; the sides divisible by ``2 ** levels``.
        levels: scales, ``L`` in the paper; None for three, or as many as the sides can be halved.
        steps: steps of flow in each level, ``K`` in the paper.
        width: channels inside the coupling networks.
        blocks: layers of the coupling networks between the first and the last.
        residual: False for the paper's networks, whose convolutions are 3x3, 1x1 and 3x3; True for
            residual blocks of 3x3 convolutions.
        lu: LU parametrisation of the 1x1 convolutions; False for a free matrix.
        scale: how couplings scale: ``"exp"``, or ``"sigmoid"``, with which no coupling stretches
            the data to more than twice their size. Scales that multiply through many layers can
            give unusual images a density that depends on the dequantization noise by orders of
            magnitude (Behrmann et al. 2021); the paper's sigmoid guards against it, as this one.
        marginal_bins: a spline of so many bins for every entry, behind the logit, fits the entries'
            marginal distributions, whose shapes affine couplings cannot; None for none.

    Raises:
        ShapeError: if a side is not divisible by ``2 ** levels``.
        ValueError: for ``marginal_bins`` without ``bounds``.

    >>> import jax, jax.numpy as jnp
    >>> flow = glow((8, 8, 1), levels=2, steps=2, width=8, rngs=nnx.Rngs(0))
    >>> jax.jit(type(flow).log_prob)(flow, jnp.zeros((4, 8, 8, 1))).shape
    (4,)
    """
    network = partial(
        ConvResNet,
        width=width,
        num_blocks=blocks,
        block_size=None if residual else 1,
        residual=residual,
        dropout=dropout,
        context_features=context_features,
    )
    scales = multi_scale(
        event_shape,
        network,
        Affine(bound, scale),
        levels=fitting_levels(event_shape) if levels is None else levels,
        steps=steps,
        matrix=LUMatrix if lu else DenseMatrix,
        rngs=rngs,
    )
    return flow_on(event_shape, [scales], bounds, alpha, marginal_bins=marginal_bins)


def multi_scale(
    event_shape: Shape,
    network: Callable[..., ConvResNet],
    transform: Transform,
    *,
    levels: int,
    steps: int,
    matrix: type[Matrix] = LUMatrix,
    rngs: nnx.Rngs,
) -> Bijector:
    """Glow's architecture over any family of couplings.

    Args:
        event_shape: ``(height, width, channels)``; the sides divisible by ``2 ** levels``.
        network: of a coupling: made of the numbers of input and output features, and ``rngs``.
        transform: the family. What is split off always has a conditional Gaussian prior, that is an
            affine one, bounded as the family is if that is affine.
        levels, steps: scales, and steps of flow in each.
        matrix: how the 1x1 convolutions are parametrised.
        rngs: where the initial weights come from.
    """
    event_shape = check_event(event_shape, (3,), "a multi-scale flow")
    check_halvings(event_shape, levels, "levels")
    gaussian = Affine(transform.bound) if isinstance(transform, Affine) else Affine()

    def level(shape: Shape, remaining: int) -> Bijector:
        squeeze = Squeeze(shape)
        squeezed = squeeze.base_shape

        def step(rngs: nnx.Rngs) -> Bijector:
            return Chain(
                [
                    Coupling(squeezed, partial(network, rngs=rngs), transform),
                    Conv1x1(squeezed, matrix, rngs=rngs),
                    ActNorm(squeezed),
                ]
            )

        layers: list[Bijector] = [Inverse(squeeze), Scan(step, steps, rngs=rngs), squeeze]
        if remaining > 1:
            half = squeezed[-1] // 2
            prior = network(half, gaussian.num_params((squeezed[-1] - half,)), rngs=rngs)
            inner = level((*squeezed[:-1], half), remaining - 1)
            layers.insert(1, Split(inner, squeezed, prior, gaussian))
        return Chain(layers)

    return level(event_shape, levels)
