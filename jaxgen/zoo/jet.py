r"""Jet: a modern transformer-based normalizing flow (Kolesnikov et al., 2024).

An image becomes a grid of patches, each a token with its entries as channels. Affine couplings
follow, whose scale and bias come from a vision transformer:

.. math:: z_1 = x_1, \qquad z_2 = (x_2 + b(x_1)) \odot 2\sigma(s(x_1)).

Four couplings that halve the channels, each after a random permutation of them that stays fixed,
are followed by one that halves the tokens, as a checkerboard or as stripes, with the roles of the
two halves exchanged from one such coupling to the next. There is no activation normalisation, no
invertible convolution, no factoring out.

Deviations: a coupling of tokens runs its transformer over half as many tokens with all their
channels, where the authors' code cuts each of them into two tokens of half the channels. The
permutation of the channels is not undone after a coupling, which is one more renaming of channels
before the next permutation. The paper has no logit for bounded data; here it is an option.
"""

from collections.abc import Sequence
from functools import partial

from flax import nnx

from jaxgen.bijectors import (
    Bijector,
    Chain,
    Channels,
    Coupling,
    Inverse,
    Permutation,
    Scan,
    Squeeze,
    Tokens,
)
from jaxgen.bijectors.bounded import Bounds
from jaxgen.core import Shape, ShapeError, check_event
from jaxgen.models import Flow
from jaxgen.models.flow import flow_on
from jaxgen.networks import VisionTransformer
from jaxgen.transforms import Affine
from jaxgen.zoo.registry import constructor, refuse_ignored
from jaxgen.zoo.sides import check_patch


@constructor
def jet(
    event_shape: Shape,
    *,
    patch: int | None = None,
    couplings: int = 32,
    channel_couplings: int = 4,
    pattern: str = "checkerboard",
    depth: int = 2,
    width: int = 512,
    heads: int = 8,
    dropout: float = 0.0,
    bounds: Bounds = None,
    alpha: float = 0.05,
    context_features: int | None = None,
    rngs: nnx.Rngs,
) -> Flow:
    """A flow of affine couplings with vision transformers, for images.

    Args:
        event_shape: ``(height, width, channels)``.
        patch: the side of a patch, which divides height and width; None for 4, or 2 where that
            would leave patches which have no halves.
        couplings: how many in all. Seen from the data, cycles of ``channel_couplings`` couplings of
            channels and one of tokens repeat until there are so many: 32 are six cycles and two
            couplings of channels.
        channel_couplings: couplings of channels for each one of tokens.
        pattern: how a coupling of tokens halves them: ``"checkerboard"``, ``"rows"`` or
            ``"columns"``.
        depth, width, heads: of each coupling's transformer.
        dropout: rate in the transformers while training.
        rngs: where the initial weights and the permutations come from.

    Raises:
        ShapeError: if the event is not an image, a side is not divisible, a patch has a single
            entry, or the pattern does not halve the patches.
        ValueError: for a pattern without couplings of tokens.

    >>> import jax.numpy as jnp
    >>> flow = jet((4, 4, 1), patch=2, couplings=3, depth=1, width=8, heads=2, rngs=nnx.Rngs(0))
    >>> flow.log_prob(jnp.zeros((3, 4, 4, 1))).shape
    (3,)
    """
    advice = "; for vectors take realnvp or tarflow"
    event_shape = check_event(event_shape, (3,), "jet", advice)
    if couplings <= channel_couplings:
        refuse_ignored("jet", "without couplings of tokens", pattern=pattern)
    if patch is None:
        patch = 4 if all(side % 8 == 0 for side in event_shape[:2]) else 2
    check_patch(event_shape, patch)
    squeeze = Squeeze(event_shape, patch)
    shape = squeeze.base_shape
    if channel_couplings and shape[-1] < 2:
        raise ShapeError(
            f"jet: patches of side {patch} of {event_shape} have a single entry, which has no "
            f"halves; take a larger patch"
        )
    if couplings > channel_couplings:
        try:
            Tokens(shape[:2], pattern)
        except ShapeError as error:
            raise ShapeError(
                f"jet: patches of side {patch} of {event_shape} are tokens without halves, take "
                f"another patch or pad the images; {error}"
            ) from error
    transform = Affine(bound=None, scale="sigmoid")

    network = partial(
        VisionTransformer,
        width=width,
        depth=depth,
        heads=heads,
        dropout=dropout,
        context_features=context_features,
    )

    def coupling(split: Channels | Tokens, grid_shape: Shape, rngs: nnx.Rngs) -> Bijector:
        make_network = partial(network, grid_shape=grid_shape, rngs=rngs)
        return Coupling(shape, make_network, transform, split)

    def of_channels(rngs: nnx.Rngs) -> Bijector:
        return Chain([coupling(Channels(), shape[:2], rngs), Permutation(shape, rngs=rngs)])

    def of_tokens(swap: bool, rngs: nnx.Rngs) -> Bijector:
        tokens = (shape[0] * shape[1] // 2,)
        return coupling(Tokens(shape[:2], pattern, swap), tokens, rngs)

    cycle = channel_couplings + 1

    def cycles(counts: Sequence[int], rngs: nnx.Rngs) -> list[Bijector]:
        """Cycles, complete or not, listed from the base; every other one exchanges the tokens."""
        layers: list[Bijector] = []
        for index, count in enumerate(counts):  # from the data
            if min(count, channel_couplings):
                layers.append(Scan(of_channels, min(count, channel_couplings), rngs=rngs))
            if count == cycle:
                layers.append(of_tokens(index % 2 == 1, rngs))
        return layers[::-1]

    def pair(rngs: nnx.Rngs) -> Bijector:
        return Chain(cycles((cycle, cycle), rngs))

    pairs, rest = divmod(couplings, 2 * cycle)
    layers = cycles((min(rest, cycle), max(rest - cycle, 0)), rngs)
    if pairs:
        layers.append(Scan(pair, pairs, rngs=rngs))
    layers = [Inverse(squeeze), *layers, squeeze]
    return flow_on(event_shape, layers, bounds, alpha)
