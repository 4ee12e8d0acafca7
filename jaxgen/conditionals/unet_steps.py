r"""The U-net of PixelCNN++ step by step: a row of the down stream, a pixel of the down-right one.

:func:`run_row` and :func:`run_pixel` run what :func:`unroll` makes of a
:class:`~jaxgen.conditionals.unet.Stage`, on a :class:`Kept` of either stream; a pass over all
pixels leaves the same (:func:`last_rows`, :func:`last_pixels`).
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from jaxgen.conditionals.unet import Layer, Stage, Trace, beside
from jaxgen.core import Shape
from jaxgen.functional.windows import flat, row_windows
from jaxgen.networks.blocks import fold_weight_norm

Map = Callable[[Array], Array]


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
        side = beside(next(down)[column], mirrors.pop())
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
