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
from functools import partial

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
from jaxgen.bijectors.bounded import Bounds
from jaxgen.core import Shape, ShapeError, check_event, replace
from jaxgen.models import Flow
from jaxgen.models.flow import flow_on
from jaxgen.networks import MLP, GatedResNet
from jaxgen.transforms import MixtureCDF, Transform
from jaxgen.zoo.registry import constructor, refuse_ignored

MakeNetwork = Callable[..., MLP | GatedResNet]
Splits = tuple[Channels, Channels] | tuple[Checkerboard, Checkerboard]


@constructor
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
    bounds: Bounds = None,
    alpha: float | None = None,
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
        dropout: rate in the networks while training, 0.2 in the paper.

    Raises:
        ShapeError: if the event is neither a vector nor an image, a side is odd, or both are 2.
        ValueError: if an image has not three stages, or for an argument of the other kind of
            events.

    >>> flow = flowpp((2,), steps=(1,), components=2, hidden=(8,), rngs=nnx.Rngs(0))
    >>> flow.log_prob(jnp.zeros((4, 2))).shape
    (4,)
    """
    event_shape = check_event(event_shape, (1, 3), "flowpp")
    transform = MixtureCDF(components, bound)

    layers: list[Bijector]
    if len(event_shape) == 1:
        of_images = {"width": width, "blocks": blocks, "heads": heads, "attention": attention}
        refuse_ignored("flowpp", "for vectors", **of_images)
        mlp = partial(MLP, hidden=hidden, dropout=dropout, context_features=context_features)
        layers = [pairs(event_shape, halves(), mlp, transform, sum(steps), rngs=rngs)]
    else:
        refuse_ignored("flowpp", "for images", hidden=hidden)
        if not attention:
            refuse_ignored("flowpp", "without attention", heads=heads)
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
        gated = partial(
            GatedResNet,
            width=width,
            num_blocks=blocks,
            heads=heads,
            attention=attention,
            dropout=dropout,
            context_features=context_features,
        )
        splits = (boards(event_shape), halves(), boards(squeezed))
        shapes = (event_shape, squeezed, squeezed)
        first, second, third = (
            pairs(shape, split, partial(gated, grid_shape=shape[:2]), transform, count, rngs=rngs)
            for shape, split, count in zip(shapes, splits, steps, strict=True)
        )
        layers = [Inverse(squeeze), third, second, squeeze, first]
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
        make = partial(make_network, rngs=rngs)
        layers: list[Bijector] = []
        for split in splits:
            layers.append(Coupling(shape, make, transform, split))
            if shape[-1] > 1:  # a single channel has nothing to mix
                layers.append(Conv1x1(shape, identity_matrix, rngs=rngs))
            layers.append(ActNorm(shape))
        return Chain(layers)

    return Scan(pair, num_pairs, rngs=rngs)
