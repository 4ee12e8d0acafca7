r"""The U-net of PixelCNN++: a down and a down-right stream, over all pixels at once.

What the layers compute and why no pixel sees a later one is said in
:mod:`jaxgen.conditionals.pixelcnnpp`; step by step they run in
:mod:`jaxgen.conditionals.unet_steps`.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, Self

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array

from jaxgen.core import replace, split_key
from jaxgen.functional.windows import flat, neighbours, union, windows
from jaxgen.networks.blocks import WeightNorm, concat_elu, dropout

Both = tuple[Array, Array]  # of the down and of the down-right stream
# Stores features and gives the windows around them: (what was stored, features) -> (windows, new).
See = Callable[[Any, Array], tuple[Array, Any]]

DOWN = tuple((row, column) for row in (-1, 0) for column in (-1, 0, 1))
RIGHT = tuple((row, column) for row in (-1, 0) for column in (-1, 0))

# How a layer's second map starts where nothing is fitted to data: a tenth of the usual.
_SMALL = nnx.initializers.variance_scaling(0.01, "fan_in", "truncated_normal")


def normalised(in_features: int, out_features: int, rngs: nnx.Rngs, **options: Any) -> WeightNorm:
    """A linear map with normalised weights; ``options`` are those of ``nnx.Linear``."""
    return WeightNorm(nnx.Linear(in_features, out_features, rngs=rngs, **options))


class GatedBlock(nnx.Module):
    """A gated ResNet layer of one stream.

    Args:
        width: features of a pixel.
        size: how many pixels its windows hold.
        side_width: features of what it is shown from the side; 0 for nothing.
        context_features: the size of a context vector; None for none.
        dropout: rate, in effect when a key is given.
        rngs: where the initial weights come from.
    """

    def __init__(
        self,
        width: int,
        *,
        size: int,
        side_width: int,
        context_features: int | None,
        dropout: float,
        rngs: nnx.Rngs,
    ):
        self.first = normalised(size * 2 * width, width, rngs)
        self.across = normalised(2 * side_width, width, rngs) if side_width else None
        self.second = normalised(size * 2 * width, 2 * width, rngs, kernel_init=_SMALL)
        self.dropout = dropout
        self.project = (
            None
            if context_features is None
            else nnx.Linear(context_features, 2 * width, use_bias=False, rngs=rngs)
        )

    def __call__(
        self,
        h: Array,
        side: Array | None,
        see: See,
        kept: tuple[Any, Any],
        context: Array | None,
        key: Array | None = None,
    ) -> tuple[Array, tuple[Any, Any]]:
        """The new features, and what its two windows see, to be kept."""
        window, read = see(kept[0], concat_elu(h))
        inner = self.first(flat(window))
        if self.across is not None and side is not None:
            inner = inner + self.across(concat_elu(side))
        window, inner = see(kept[1], dropout(concat_elu(inner), self.dropout, key))
        mixed = self.second(flat(window))
        if self.project is not None and context is not None:
            mixed = mixed + self.project(context)
        return h + jax.nn.glu(mixed), (read, inner)

    def initialize(self, h: Array, side: Array | None, see: See, context: Array | None) -> Self:
        """The layer with all its maps fitted to these features, one after the other."""
        new = replace(self, first=self.first.fitted(flat(see(None, concat_elu(h))[0])))
        if self.across is not None and side is not None:
            new = replace(new, across=self.across.fitted(concat_elu(side)))
        _, (_, inner) = new(h, side, see, (None, None), context)
        return replace(new, second=self.second.fitted(flat(see(None, inner)[0]), 0.1))


class Layer(nnx.Module):
    """A layer of both streams.

    Args:
        width: features of each stream.
        mirrored: whether it is on the way up, where it is shown its mirror image's features.
        options: see :class:`GatedBlock`.
    """

    def __init__(self, width: int, *, mirrored: bool, **options: Any):
        side = width if mirrored else 0
        self.down = GatedBlock(width, size=len(DOWN), side_width=side, **options)
        self.right = GatedBlock(width, size=len(RIGHT), side_width=width + side, **options)

    def __call__(
        self, h: Both, mirror: Both | None, context: Array | None, key: Array | None
    ) -> tuple[Both, tuple[Any, Any]]:
        """The features of all pixels, and what the windows see, both of either stream."""
        down_key, right_key = split_key(key, 2)
        side, mirror_right = (None, None) if mirror is None else mirror
        down, kept = self.down(h[0], side, _everywhere(DOWN), (None, None), context, down_key)
        side = beside(down, mirror_right)
        see = _everywhere(RIGHT)
        right, kept_right = self.right(h[1], side, see, (None, None), context, right_key)
        return (down, right), (kept, kept_right)

    def initialize(self, h: Both, mirror: Both | None, context: Array | None) -> Self:
        """The layer with all its maps fitted to these features."""
        side, mirror_right = (None, None) if mirror is None else mirror
        new = replace(self, down=self.down.initialize(h[0], side, _everywhere(DOWN), context))
        (down, _), _ = new(h, mirror, context, None)
        side = beside(down, mirror_right)
        return replace(new, right=self.right.initialize(h[1], side, _everywhere(RIGHT), context))


def _everywhere(offsets: tuple[tuple[int, int], ...]) -> See:
    return lambda _, read: (windows(read, offsets), read)


def beside(down: Array, mirror: Array | None) -> Array:
    """Two features of a pixel next to each other; the second may not be there."""
    return down if mirror is None else jnp.concatenate([down, mirror], axis=-1)


class Trace(NamedTuple):
    """What a pass over all pixels leaves behind, of both streams: what the steps would keep."""

    kept: Any  # what the windows of the layers see, stacked, on the way down and up
    features: Any  # that the layers give, stacked, on the way down and up
    inner: "Trace | None"


class Stage(nnx.Module):
    """One resolution of the U-net, and inside it the coarser ones.

    Args:
        width: features of each stream.
        blocks: layers on the way down; on the way up there is one more, but for the coarsest.
        resolutions: how many, this one included.
        options: see :class:`GatedBlock`.
    """

    def __init__(
        self, width: int, *, blocks: int, resolutions: int, rngs: nnx.Rngs, **options: Any
    ):
        def stacked(count: int, mirrored: bool) -> Layer:
            def layer(key: Array) -> Layer:
                return Layer(width, mirrored=mirrored, rngs=nnx.Rngs(key), **options)

            return jax.vmap(layer)(jax.random.split(rngs.params(), count))

        coarsest = resolutions == 1
        self.blocks = (blocks, blocks if coarsest else blocks + 1)
        self.descent = stacked(self.blocks[0], False)
        self.ascent = stacked(self.blocks[1], True)
        self.coarse = (
            None
            if coarsest
            else Coarse(width, blocks=blocks, resolutions=resolutions - 1, rngs=rngs, **options)
        )

    def __call__(
        self, h: Both, context: Array | None, key: Array | None, fit: bool = False
    ) -> tuple[Self, Both, Trace]:
        """The stage, its maps fitted to these features if so asked, what it makes of them, and
        the trace."""
        down_key, coarse_key, up_key = split_key(key, 3)
        start = h
        h, descent, features, kept = self._run(self.descent, h, None, context, down_key, fit)
        coarse, inner = self.coarse, None
        if coarse is not None:
            coarse, h, inner = coarse(h, context, coarse_key, fit)

        # The last of the features on the way down is the first to be mirrored, unless it is itself
        # what goes up.
        def mirrored(first: Array, others: Array) -> Array:
            return jnp.concatenate([first[None], others])[: self.blocks[1]][::-1]

        mirror = jax.tree.map(mirrored, start, features)
        h, ascent, features_up, kept_up = self._run(self.ascent, h, mirror, context, up_key, fit)
        trace = Trace((kept, kept_up), (features, features_up), inner)
        if not fit:
            return self, h, trace
        return replace(self, descent=descent, ascent=ascent, coarse=coarse), h, trace

    def _run(
        self,
        layers: Layer,
        h: Both,
        mirror: Both | None,
        context: Array | None,
        key: Array | None,
        fit: bool,
    ) -> tuple[Both, Layer | None, Both, Any]:
        """Stacked layers: what they give in the end, themselves if they were fitted, what each of
        them gives, and what its windows see."""
        count = self.blocks[0 if mirror is None else 1]

        # The windows are several times the features, so the gradient makes them again.
        @jax.checkpoint
        def body(h: Both, inputs: tuple[Layer, Both | None, Array | None]) -> tuple[Both, Any]:
            layer, mirror, layer_key = inputs
            if fit:
                layer = layer.initialize(h, mirror, context)
            h, kept = layer(h, mirror, context, layer_key)
            return h, (layer if fit else None, h, kept)

        keys = None if key is None else jax.random.split(key, count)
        h, (new, features, kept) = jax.lax.scan(body, h, (layers, mirror, keys), length=count)
        return h, new, features, kept

    def dependencies(
        self, down: np.ndarray, right: np.ndarray, grid: tuple[int, int]
    ) -> tuple[np.ndarray, np.ndarray]:
        """On which pixels the features of both streams depend, from the same of what comes in."""
        around_down, around_right = neighbours(*grid, DOWN), neighbours(*grid, RIGHT)

        def layer(mirror: tuple[np.ndarray, np.ndarray] | None) -> None:
            nonlocal down, right
            side, side_right = (False, False) if mirror is None else mirror
            down = down | union(around_down, union(around_down, down) | side)
            right = right | union(around_right, union(around_right, right) | down | side_right)

        mirrors = [(down, right)]
        for _ in range(self.blocks[0]):
            layer(None)
            mirrors.append((down, right))
        if self.coarse is not None:
            down, right = self.coarse.dependencies(down, right, grid)
        for mirror in mirrors[: self.blocks[1]][::-1]:
            layer(mirror)
        return down, right


class Coarse(nnx.Module):
    """The stage at half the resolution, with the maps that lead there and back."""

    def __init__(self, width: int, *, rngs: nnx.Rngs, **options: Any):
        self.shrink_down = normalised(len(DOWN) * width, width, rngs)
        self.shrink_right = normalised(len(RIGHT) * width, width, rngs)
        self.inner = Stage(width, rngs=rngs, **options)
        self.grow_down = normalised(len(DOWN) * width, width, rngs)
        self.grow_right = normalised(len(RIGHT) * width, width, rngs)

    def __call__(
        self, h: Both, context: Array | None, key: Array | None, fit: bool
    ) -> tuple[Self, Both, Trace]:
        """As :class:`Stage` does."""
        new = self
        seen = [flat(windows(each, o)[..., ::2, ::2, :, :]) for each, o in _pair(h)]
        if fit:
            down, right = new.shrink_down.fitted(seen[0]), new.shrink_right.fitted(seen[1])
            new = replace(new, shrink_down=down, shrink_right=right)
        small = new.shrink_down(seen[0]), new.shrink_right(seen[1])
        inner, small, trace = new.inner(small, context, key, fit)
        seen = [flat(windows(_spread(each), o)) for each, o in _pair(small)]
        if fit:
            down, right = new.grow_down.fitted(seen[0]), new.grow_right.fitted(seen[1])
            new = replace(new, inner=inner, grow_down=down, grow_right=right)
        return new, (new.grow_down(seen[0]), new.grow_right(seen[1])), trace

    def dependencies(
        self, down: np.ndarray, right: np.ndarray, grid: tuple[int, int]
    ) -> tuple[np.ndarray, np.ndarray]:
        """As :class:`Stage` does."""
        height, width = grid
        chosen = np.arange(height * width).reshape(grid)[::2, ::2].ravel()
        small = [union(neighbours(*grid, o), each)[chosen] for each, o in _pair((down, right))]
        coarse = self.inner.dependencies(small[0], small[1], (height // 2, width // 2))
        grown = []
        for each, offsets in _pair(coarse):
            spread = np.zeros_like(down)
            spread[chosen] = each
            grown.append(union(neighbours(*grid, offsets), spread))
        return grown[0], grown[1]


def _pair(streams: Any) -> Any:
    """Either stream with its window."""
    return zip(streams, (DOWN, RIGHT), strict=True)


def _spread(h: Array) -> Array:
    """Features at twice the resolution, at even rows and columns, zeros between them.

    A window over this is a transposed convolution of stride 2.
    """
    batch = [(0, 0, 0)] * (h.ndim - 3)
    zero = jnp.zeros((), h.dtype)
    return jax.lax.pad(h, zero, [*batch, (0, 1, 1), (0, 1, 1), (0, 0, 0)])
