r"""Flow++: variational dequantization and expressive couplings (Ho et al., 2019).

A coupling puts every value through the CDF of a mixture of logistics, a logit and an affine map,
with parameters from gated convolutions and self-attention over the other values (equation 14):

.. math:: z_b = e^{a(x_a)} \operatorname{logit}\left(\sum_k \pi_k(x_a)\,
          \sigma\left((x_b - \mu_k(x_a)) e^{-s_k(x_a)}\right)\right) + b(x_a).

Seen from the data, every coupling follows an actnorm and an invertible 1x1 convolution; an image
meets couplings of a checkerboard, is squeezed, and meets couplings of its channels and of a
checkerboard again. The paper's model of pixels is
``Dequantized(flowpp(shape, bounds=(0, 256), ...), 256, dequantizer(shape, ...))``, with
:func:`~jaxgen.zoo.dequantizer`.

Deviations: couplings come in pairs that exchange the two parts, so that the last stage has four
where the paper's CIFAR-10 model has three; actnorm and convolution act on both parts at once; the
networks see the kept half of a checkerboard in its place, the other half blank, instead of packed
into an image of half the width, which costs twice the pixels; couplings and convolutions start at
exactly the identity (see :class:`~jaxgen.transforms.MixtureCDF`), the authors' near it; log-scales
are bounded softly on both sides.
"""

from collections.abc import Callable, Sequence

import jax.numpy as jnp
from flax import nnx

from jaxgen.bijectors import (
    ActNorm,
    Bijector,
    Chain,
    Channels,
    Checkerboard,
    Conv1x1,
    Coupling,
    DenseMatrix,
    Inverse,
    Scan,
    Squeeze,
)
from jaxgen.core import Shape, ShapeError, replace
from jaxgen.models import Flow
from jaxgen.networks import MLP, GatedResNet
from jaxgen.transforms import MixtureCDF, Transform
from jaxgen.zoo.preprocessing import flow_on

MakeNetwork = Callable[[int, int, nnx.Rngs], MLP | GatedResNet]
Splits = tuple[Channels, Channels] | tuple[Checkerboard, Checkerboard]


def flowpp(
    event_shape: Shape,
    *,
    steps: Sequence[int] = (2, 1, 2),
    components: int = 32,
    width: int = 96,
    blocks: int = 10,
    heads: int = 4,
    attention: bool = True,
    hidden: Sequence[int] = (128, 128),
    bound: float | None = 5.0,
    dropout: float = 0.0,
    bounds: tuple[float, float] | None = None,
    alpha: float = 0.05,
    context_features: int | None = None,
    rngs: nnx.Rngs,
) -> Flow:
    """A flow of mixture-CDF couplings, for images or vectors.

    Args:
        event_shape: ``(height, width, channels)`` with even sides, or ``(D,)`` with ``D >= 2``.
        steps: pairs of couplings of each stage: of a checkerboard, of the channels after the
            squeeze, of a checkerboard after the squeeze. A vector has their sum, halved in turn.
        components: logistics in the mixture of every value.
        width, blocks, heads: of the networks (images).
        attention: False leaves the networks' self-attention out.
        hidden: widths of the hidden layers (vectors).
        bound: soft bound of the log-scales; None for none.
        dropout: rate in the networks while training, 0.2 in the paper.
        bounds: the interval of bounded data (``(0, 256)`` for dequantized 8-bit images), mapped to
            the real line by a logit; None for none.
        alpha: the logit's margin.
        context_features: the size of a context vector; None for an unconditional model.
        rngs: where the initial weights come from.

    Raises:
        ShapeError: if the event is neither a vector nor an image, a side is odd, or both are 2.
        ValueError: if an image has not three stages.

    >>> flow = flowpp((2,), steps=(1,), components=2, hidden=(8,), rngs=nnx.Rngs(0))
    >>> flow.log_prob(jnp.zeros((4, 2))).shape
    (4,)
    """
    event_shape = tuple(event_shape)
    transform = MixtureCDF(components, bound)

    def mlp(in_features: int, out_features: int, rngs: nnx.Rngs) -> MLP:
        return MLP(
            in_features,
            out_features,
            hidden=hidden,
            dropout=dropout,
            context_features=context_features,
            rngs=rngs,
        )

    def gated(shape: Shape) -> MakeNetwork:
        def make(in_features: int, out_features: int, rngs: nnx.Rngs) -> GatedResNet:
            return GatedResNet(
                in_features,
                out_features,
                grid_shape=(shape[0], shape[1]),
                width=width,
                num_blocks=blocks,
                heads=heads,
                attention=attention,
                dropout=dropout,
                context_features=context_features,
                rngs=rngs,
            )

        return make

    layers: list[Bijector]
    if len(event_shape) == 1:
        layers = [pairs(event_shape, halves(), mlp, transform, sum(steps), rngs=rngs)]
    elif len(event_shape) == 3:
        if len(steps) != 3:
            raise ValueError(
                f"flowpp: an image has three stages; expected steps such as (2, 1, 2), got "
                f"{tuple(steps)}"
            )
        squeeze = Squeeze(event_shape)
        squeezed = squeeze.base_shape
        if squeezed[:2] == (1, 1):
            raise ShapeError(
                f"flowpp: the squeeze leaves a single pixel of {event_shape}, which has no "
                f"checkerboard; take larger images, or vectors"
            )
        splits = (boards(event_shape), halves(), boards(squeezed))
        shapes = (event_shape, squeezed, squeezed)
        first, second, third = (
            pairs(shape, split, gated(shape), transform, count, rngs=rngs)
            for shape, split, count in zip(shapes, splits, steps, strict=True)
        )
        layers = [Inverse(squeeze), third, second, squeeze, first]
    else:
        raise ShapeError(
            f"flowpp: expected a vector (D,) or an image (height, width, channels), got "
            f"{event_shape}"
        )
    return flow_on(event_shape, layers, bounds, alpha)


def identity_matrix(size: int, *, rngs: nnx.Rngs) -> DenseMatrix:
    """A free matrix that starts as the identity."""
    return replace(DenseMatrix(size, rngs=rngs), weight=nnx.Param(jnp.eye(size)))


def boards(shape: Shape) -> Splits:
    """The two halves of a checkerboard in turn."""
    return Checkerboard(shape), Checkerboard(shape, swap=True)


def halves() -> Splits:
    """The two halves of the channels in turn."""
    return Channels(), Channels(swap=True)


def pairs(
    shape: Shape,
    splits: Splits,
    make_network: MakeNetwork,
    transform: Transform,
    num_pairs: int,
    *,
    rngs: nnx.Rngs,
) -> Scan:
    """Pairs of couplings; seen from the data, an actnorm and a 1x1 convolution before each."""

    def pair(rngs: nnx.Rngs) -> Bijector:
        layers: list[Bijector] = []
        for split in splits:
            make = lambda n, m: make_network(n, m, rngs)  # noqa: E731
            layers.append(Coupling(shape, make, transform, split))
            if shape[-1] > 1:  # a single channel has nothing to mix
                layers.append(Conv1x1(shape, identity_matrix, rngs=rngs))
            layers.append(ActNorm(shape))
        return Chain(layers)

    return Scan(pair, num_pairs, rngs=rngs)
