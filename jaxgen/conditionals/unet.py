r"""The U-net of PixelCNN++: a down and a down-right stream, over all pixels or step by step.

What the layers compute and why no pixel sees a later one is said in
:mod:`jaxgen.conditionals.pixelcnnpp`. A :class:`Stage` runs over all pixels at once;
:func:`run_row` and :func:`run_pixel` run it step by step, on what :func:`unroll` makes of it and a
:class:`Kept` of either stream.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, Self

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array

from jaxgen.core import Shape, replace, split_key
from jaxgen.functional.windows import neighbours, row_windows, union, windows
from jaxgen.networks.blocks import WeightNorm, concat_elu, dropout, fold_weight_norm

Both = tuple[Array, Array]  # of the down and of the down-right stream
# Stores features and gives the windows around them: (what was stored, features) -> (windows, new).
See = Callable[[Any, Array], tuple[Array, Any]]
Map = Callable[[Array], Array]

DOWN = tuple((row, column) for row in (-1, 0) for column in (-1, 0, 1))
RIGHT = tuple((row, column) for row in (-1, 0) for column in (-1, 0))

# How a layer's second map starts where nothing is fitted to data: a tenth of the usual.
_SMALL = nnx.initializers.variance_scaling(0.01, "fan_in", "truncated_normal")


def normalised(in_features: int, out_features: int, rngs: nnx.Rngs, **options: Any) -> WeightNorm:
    """A linear map with normalised weights; ``options`` are those of ``nnx.Linear``."""
    return WeightNorm(nnx.Linear(in_features, out_features, rngs=rngs, **options))


def flat(window: Array) -> Array:
    """Windows ``(..., size, features)`` as a linear map reads them."""
    return window.reshape(*window.shape[:-2], -1)


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
        side = _beside(down, mirror_right)
        see = _everywhere(RIGHT)
        right, kept_right = self.right(h[1], side, see, (None, None), context, right_key)
        return (down, right), (kept, kept_right)

    def initialize(self, h: Both, mirror: Both | None, context: Array | None) -> Self:
        """The layer with all its maps fitted to these features."""
        side, mirror_right = (None, None) if mirror is None else mirror
        new = replace(self, down=self.down.initialize(h[0], side, _everywhere(DOWN), context))
        (down, _), _ = new(h, mirror, context, None)
        side = _beside(down, mirror_right)
        return replace(new, right=self.right.initialize(h[1], side, _everywhere(RIGHT), context))


def _everywhere(offsets: tuple[tuple[int, int], ...]) -> See:
    return lambda _, read: (windows(read, offsets), read)


def _beside(down: Array, mirror: Array | None) -> Array:
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


class Unrolled(NamedTuple):
    """A stage as the steps run it: layer by layer, its weights normalised once and for all."""

    descent: tuple[Layer, ...]
    ascent: tuple[Layer, ...]
    coarse: "UnrolledCoarse | None"


class UnrolledCoarse(NamedTuple):
    """The same of the coarse stage; the maps are those of the down and of the down-right stream."""

    shrink: tuple[Map, Map]
    stage: Unrolled
    grow: tuple[Map, Map]


class Kept(NamedTuple):
    """What the steps keep of one stream in a stage.

    Of the down stream the last row, ``(width, *batch, features)``. Of the down-right stream what
    its windows see, in this row and the one above: ``(2, 1 + width, *batch, features)``, even rows
    first, with a column of zeros for what lies beyond the edge.
    """

    seen: tuple[tuple[Array, Array], ...]  # by the two windows of every layer
    features: tuple[Array, ...]  # rows: of every layer; of the down-right stream the last one's
    coarse: "KeptCoarse | None"


class KeptCoarse(NamedTuple):
    """The same of the coarse stage, and what the window that leads there sees."""

    seen: Array
    stage: Kept


def unroll(stage: Stage) -> Unrolled:
    """The stage as the steps run it."""

    def layers(stacked: Layer, count: int) -> tuple[Layer, ...]:
        each = (jax.tree.map(lambda leaf, i=i: leaf[i], stacked) for i in range(count))
        return tuple(fold_weight_norm(layer) for layer in each)

    descent, ascent = map(layers, (stage.descent, stage.ascent), stage.blocks)
    coarse = stage.coarse
    if coarse is None:
        return Unrolled(descent, ascent, None)
    shrink = coarse.shrink_down.folded(), coarse.shrink_right.folded()
    grow = coarse.grow_down.folded(), coarse.grow_right.folded()
    return Unrolled(descent, ascent, UnrolledCoarse(shrink, unroll(coarse.inner), grow))


def empty(
    stage: Unrolled, width: int, batch: Shape, features: int, dtype: Any, *, right: bool
) -> Kept:
    """Zeros, as they are kept before the first step."""

    def zeros(*shape: int) -> Array:
        return jnp.zeros(shape, dtype)

    count = len(stage.descent) + len(stage.ascent)
    lead = (2, 1 + width) if right else (width,)
    seen = tuple(
        (zeros(*lead, *batch, 2 * features), zeros(*lead, *batch, 2 * features))
        for _ in range(count)
    )
    rows = tuple(zeros(width, *batch, features) for _ in range(1 if right else count))
    if stage.coarse is None:
        return Kept(seen, rows, None)
    inner = empty(stage.coarse.stage, width // 2, batch, features, dtype, right=right)
    return Kept(seen, rows, KeptCoarse(zeros(*lead, *batch, features), inner))


def _see_row(above: Array, row: Array) -> tuple[Array, Array]:
    row = row.astype(above.dtype)
    return row_windows(jnp.stack([above, row]), 3), row


def run_row(stage: Unrolled, h: Array, kept: Kept, row: Array, context: Array | None) -> Kept:
    """The down stream of a whole row, from what comes in: ``(width, *batch, features)``."""
    mirrors, features, seen = [h], [], []
    old = iter(kept.seen)
    for layer in stage.descent:
        h, new = layer.down(h, None, _see_row, next(old), context)
        seen.append(new)
        mirrors.append(h)
        features.append(h)
    below, there, coarse = stage.coarse, kept.coarse, None
    if below is None or there is None:
        mirrors.pop()  # which goes up itself
    else:
        window, last = _see_row(there.seen, h)
        inner = jax.lax.cond(
            row % 2 == 0,
            lambda: run_row(
                below.stage, below.shrink[0](flat(window[::2])), there.stage, row // 2, context
            ),
            lambda: there.stage,
        )
        coarse = KeptCoarse(last, inner)
        # The spread features have zeros in odd rows: one of the two that the windows see.
        small = inner.features[-1]
        spread = jnp.stack([small, jnp.zeros_like(small)], axis=1).reshape(h.shape)
        two = jnp.where(_even(row, h.ndim), spread, 0)
        h = below.grow[0](flat(row_windows(two, 3)))
    for layer in stage.ascent:
        h, new = layer.down(h, mirrors.pop(), _see_row, next(old), context)
        seen.append(new)
        features.append(h)
    rows = tuple(f.astype(o.dtype) for f, o in zip(features, kept.features, strict=True))
    return Kept(tuple(seen), rows, coarse)


def _even(index: Array, ndim: int) -> Array:
    """Which of an index and the one before it, first, is even: ``(2, 1, ..., 1)``."""
    return ((index + jnp.arange(2)) % 2 == 1).reshape(2, *(1 for _ in range(ndim)))


def run_pixel(
    stage: Unrolled,
    h: Array,
    rows: Kept,
    kept: Kept,
    row: Array,
    column: Array,
    context: Array | None,
) -> Kept:
    """The down-right stream of a pixel, from what comes in, ``(*batch, features)``, and the down
    stream of its row."""

    def see(old: Array, value: Array) -> tuple[Array, Array]:
        new = old.at[row % 2, column + 1].set(value.astype(old.dtype))
        two = jax.lax.dynamic_slice_in_dim(new, column, 2, axis=1)
        window = two[jnp.stack([(row + 1) % 2, row % 2])]
        return jnp.moveaxis(window.reshape(4, *window.shape[2:]), 0, -2), new

    mirrors, seen = [h], []
    old, down = iter(kept.seen), iter(rows.features)
    for layer in stage.descent:
        h, new = layer.right(h, next(down)[column], see, next(old), context)
        seen.append(new)
        mirrors.append(h)
    below, there, above, coarse = stage.coarse, kept.coarse, rows.coarse, None
    if below is None or there is None or above is None:
        mirrors.pop()
    else:
        window, last = see(there.seen, h)

        def there_too() -> Kept:
            small = below.shrink[1](flat(window))
            half = row // 2, column // 2
            return run_pixel(below.stage, small, above.stage, there.stage, *half, context)

        at_both = (row % 2 == 0) & (column % 2 == 0)
        inner = jax.lax.cond(at_both, there_too, lambda: there.stage)
        coarse = KeptCoarse(last, inner)
        small = inner.features[-1][column // 2]
        # Of the four spread features that the window sees, one is no zero.
        here = (_even(row, 1) & _even(column, 0)).reshape(4, 1)
        h = below.grow[1](flat(jnp.where(here, small[..., None, :], 0)))
    for layer in stage.ascent:
        side = _beside(next(down)[column], mirrors.pop())
        h, new = layer.right(h, side, see, next(old), context)
        seen.append(new)
    last = kept.features[-1].at[column].set(h.astype(kept.features[-1].dtype))
    return Kept(tuple(seen), (last,), coarse)


def _of_stream(trace: Trace, stream: int) -> tuple[list[tuple[Array, Array]], list[Array]]:
    """What the windows of every layer see, and what every layer gives, in one stream."""

    def unstacked(both: Any) -> list[Any]:
        each = [way[stream] for way in both]
        return [
            jax.tree.map(lambda leaf, i=i: leaf[i], way)
            for way in each
            for i in range(len(jax.tree.leaves(way)[0]))
        ]

    return unstacked(trace.kept), unstacked(trace.features)


def last_rows(trace: Trace, num_rows: int, dtype: jnp.dtype) -> Kept:
    """What is kept of the down stream after some rows of a pass over all pixels."""

    def row(each: Array) -> Array:
        last = jnp.moveaxis(each[..., num_rows - 1, :, :], -2, 0).astype(dtype)
        return last if num_rows else jnp.zeros_like(last)

    seen, features = jax.tree.map(row, _of_stream(trace, 0))
    if trace.inner is None:
        return Kept(tuple(seen), tuple(features), None)
    inner = last_rows(trace.inner, (num_rows + 1) // 2, dtype)
    descent = len(trace.features[0][0])
    return Kept(tuple(seen), tuple(features), KeptCoarse(features[descent - 1], inner))


def last_pixels(trace: Trace, row: int, dtype: jnp.dtype) -> Kept:
    """What is kept of the down-right stream in a row; what is not yet made there is not read."""

    def one(each: Array, row: int) -> Array:
        return jnp.moveaxis(each[..., row, :, :], -2, 0).astype(dtype)

    def two(each: Array) -> Array:
        now = one(each, row)
        above = one(each, row - 1) if row else jnp.zeros_like(now)
        both = jnp.stack([above, now] if row % 2 else [now, above])
        return jnp.pad(both, [(0, 0), (1, 0), *((0, 0) for _ in both.shape[2:])])

    seen, features = _of_stream(trace, 1)
    seen, last = jax.tree.map(two, seen), (one(features[-1], row),)
    if trace.inner is None:
        return Kept(tuple(seen), last, None)
    inner = last_pixels(trace.inner, row // 2, dtype)
    descent = len(trace.features[0][0])
    return Kept(tuple(seen), last, KeptCoarse(two(features[descent - 1]), inner))
