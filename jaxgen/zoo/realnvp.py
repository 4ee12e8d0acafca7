r"""RealNVP: density estimation using real non-volume-preserving maps (Dinh et al., 2017).

Affine couplings, ``x_b = z_b exp(s(z_a)) + t(z_a)``, ``x_a = z_a``, in pairs that exchange the
roles of the two parts. A vector is parted in two halves. An image, at every scale, meets couplings
of a checkerboard, is squeezed, meets couplings of its channels, and half of it is factored out
(section 3.6); the last scale has checkerboard couplings alone.

Deviations: activation normalisation instead of batch normalisation; every mask comes in pairs, so
there are four couplings where the paper has three; log-scales are bounded softly.
"""

from collections.abc import Callable, Sequence
from functools import partial

import jax
from flax import nnx

from jaxgen.bijectors import (
    ActNorm,
    Alternating,
    Bijector,
    Chain,
    Channels,
    Checkerboard,
    Coupling,
    Inverse,
    Random,
    Scan,
    Split,
    Squeeze,
)
from jaxgen.bijectors.bounded import Bounds
from jaxgen.core import Shape, ShapeError, check_event, unknown
from jaxgen.models import Flow
from jaxgen.models.flow import flow_on
from jaxgen.networks import MLP, ConvResNet
from jaxgen.transforms import Affine
from jaxgen.zoo.registry import constructor, refuse_ignored
from jaxgen.zoo.sides import check_halvings

# Of a pair of couplings: what each of the two, told whether to swap, keeps.
Parts = Callable[[bool], Channels | Checkerboard | Alternating | Random]


def _random(size: int, rngs: nnx.Rngs) -> Parts:
    permutation = jax.random.permutation(rngs.params(), size)
    return lambda swap: Random(size, swap, permutation)


_SPLITS: dict[str, Callable[[int, nnx.Rngs], Parts]] = {
    "half": lambda size, rngs: Channels,
    "alternating": lambda size, rngs: Alternating,
    "random": _random,
}


@constructor
def realnvp(
    event_shape: Shape,
    *,
    steps: int = 4,
    hidden: Sequence[int] = (128, 128),
    split: str = "half",
    scales: int = 2,
    width: int = 64,
    blocks: int = 4,
    bound: float | None = 3.0,
    dropout: float = 0.0,
    bounds: Bounds = None,
    alpha: float | None = None,
    context_features: int | None = None,
    rngs: nnx.Rngs,
) -> Flow:
    """A flow of affine couplings, for vectors or (multi-scale) for images.

    Args:
        event_shape: ``(D,)`` with ``D >= 2``, or ``(height, width, channels)``.
        steps: pairs of couplings; for images, pairs for each mask at each scale.
        hidden: widths of the hidden layers (vectors).
        split: the two parts that take turns (vectors): ``"half"``, ``"alternating"`` entries, or
            a ``"random"`` half, drawn for every pair of couplings.
        scales: how many scales (images); the sides must be divisible by ``2 ** (scales - 1)``.
        width, blocks: channels and residual blocks of the networks (images).

    Raises:
        ValueError: for an unknown split, or another than ``"half"`` for images; for an argument of
            the other kind of events.
        ShapeError: if the event is neither a vector nor an image, or a side is not divisible.

    >>> import jax.numpy as jnp
    >>> flow = realnvp((2,), steps=2, hidden=(16,), rngs=nnx.Rngs(0))
    >>> flow.log_prob(jnp.zeros((4, 2))).shape
    (4,)
    """
    event_shape = check_event(event_shape, (1, 3), "realnvp")
    if split not in _SPLITS:
        raise unknown("split", split, _SPLITS)
    if split != "half" and len(event_shape) == 3:
        raise ValueError(
            f"realnvp: expected split='half' for an image, which has the paper's masks, got "
            f"{split!r}"
        )
    if len(event_shape) == 3:
        refuse_ignored("realnvp", "for images", hidden=hidden)
    else:
        refuse_ignored("realnvp", "for vectors", scales=scales, width=width, blocks=blocks)
    transform = Affine(bound)

    networks: dict[int, Callable[..., nnx.Module]] = {
        1: partial(MLP, hidden=hidden),
        3: partial(ConvResNet, width=width, num_blocks=blocks),
    }
    network = partial(
        networks[len(event_shape)], dropout=dropout, context_features=context_features
    )

    def couplings(shape: Shape, make_parts: Callable[[nnx.Rngs], Parts]) -> Bijector:
        def pair(rngs: nnx.Rngs) -> Bijector:
            parts, make = make_parts(rngs), partial(network, rngs=rngs)
            layers: list[Bijector] = []
            for swap in (False, True):
                layers += [Coupling(shape, make, transform, parts(swap)), ActNorm(shape)]
            return Chain(layers)

        return Scan(pair, steps, rngs=rngs)

    def scale(shape: Shape, remaining: int) -> Bijector:
        if shape[:2] == (1, 1):
            raise ShapeError(
                f"realnvp: {scales} scales leave a single pixel of {event_shape}, which has no "
                f"checkerboard; take fewer"
            )
        board = couplings(shape, lambda rngs: lambda swap: Checkerboard(shape, swap))
        if remaining == 1:
            return board
        squeeze = Squeeze(shape)
        squeezed = squeeze.base_shape
        inner = scale((*squeezed[:-1], squeezed[-1] // 2), remaining - 1)
        channels = couplings(squeezed, lambda rngs: Channels)
        return Chain([Inverse(squeeze), Split(inner, squeezed), channels, squeeze, board])

    if len(event_shape) == 1:
        make_parts = _SPLITS[split]
        layers = [couplings(event_shape, lambda rngs: make_parts(event_shape[0], rngs))]
    else:
        check_halvings(event_shape, scales - 1, "scales")
        layers = [scale(event_shape, scales)]
    return flow_on(event_shape, layers, bounds, alpha)
