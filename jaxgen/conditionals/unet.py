r"""A U-net of two causal streams, over all pixels at once or over a part of a row.

What the layers of PixelCNN++ compute and why no pixel sees a later one is said in
:mod:`jaxgen.conditionals.pixelcnnpp`. Either stream goes the same way, :func:`run`: through layers,
through a stage at half the resolution, and through layers again, each of which is shown what its
mirror image was given. A *sight* says of what it is run, and what its windows see there: of all
pixels (:class:`Everywhere`) or of some in a row (:class:`Part`). The steps run a row of the down
stream at its beginning, and the down-right stream pixel by pixel.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array

from jaxgen.core import Context, Key, Module, replace, split_key, unstack
from jaxgen.functional.windows import Grid, Window, flat, rectangle, row_of
from jaxgen.networks.blocks import WeightNorm, fold_weight_norm

DOWN = rectangle((-1, 0), (-1, 0, 1))
RIGHT = rectangle((-1, 0), (-1, 0))

# Stores features and gives the windows around them: (what was stored, features) -> (windows, new).
See = Callable[[Any, Array], tuple[Array, Any]]
# Of a key and whether it is on the way up: a layer, whose blocks are ``down`` and ``right``.
MakeLayer = Callable[[Array, bool], Any]


def normalised(in_features: int, out_features: int, rngs: nnx.Rngs, **options: Any) -> WeightNorm:
    """A linear map with normalised weights; ``options`` are those of ``nnx.Linear``."""
    return WeightNorm(nnx.Linear(in_features, out_features, rngs=rngs, **options))


class Stream(NamedTuple):
    """One stream of a stage: its layers down and up, stacked or a tuple, and what is coarser: the
    map to the next stage, the stream there, and the map back."""

    descent: Any
    ascent: Any
    coarse: Any


class Kept(NamedTuple):
    """What a stream leaves behind in a stage.

    Over all pixels these are features of all layers of a way, stacked; of the down-right stream the
    last layer's only. Over a part of a row they are tuples, one layer's each, and hold the features
    of the row, ``(width, *batch, features)``; and of what windows see as many rows as they are
    high, in turn, with what lies beyond the edges: ``(rows, width + 2 * reach, *batch, features)``.
    """

    seen: tuple[Any, Any]  # by the two windows of every layer, on the way down and up
    features: tuple[Any, ...]  # on both ways; of the down-right stream, which none is shown, one's
    coarse: Any  # by the window that leads to the coarser stage, and there; None without one


NOTHING = Kept((None, None), (None, None), None)


class Stage(Module):
    """One resolution of the U-net, and inside it the coarser ones.

    Args:
        layer: makes the layers.
        width: features of each stream.
        blocks: layers on the way down; on the way up there is one more, but for the coarsest.
        resolutions: how many, this one included.
        rngs: where the initial weights come from.
    """

    stacked = ("descent", "ascent")  # along a leading axis, see jaxgen.summary

    def __init__(
        self, layer: MakeLayer, width: int, *, blocks: int, resolutions: int, rngs: nnx.Rngs
    ):
        def stacked(count: int, mirrored: bool) -> Any:
            keys = jax.random.split(rngs.params(), count)
            return jax.vmap(lambda key: layer(key, mirrored))(keys)

        coarser = resolutions - 1
        self.blocks = (blocks, blocks + 1 if coarser else blocks)
        self.descent = stacked(self.blocks[0], False)
        self.ascent = stacked(self.blocks[1], True)
        self.coarse = (
            Coarse(layer, width, blocks=blocks, resolutions=coarser, rngs=rngs) if coarser else None
        )

    def streams(self) -> tuple[Stream, Stream]:
        """The down and the down-right stream."""
        down, right, coarse = None, None, self.coarse
        if coarse is not None:
            inner = coarse.inner.streams()
            down = coarse.shrink_down, inner[0], coarse.grow_down
            right = coarse.shrink_right, inner[1], coarse.grow_right
        descent, ascent = self.descent, self.ascent
        return Stream(descent.down, ascent.down, down), Stream(descent.right, ascent.right, right)

    def of_streams(self, down: Stream, right: Stream) -> Self:
        """The stage with these streams."""
        coarse = self.coarse
        if coarse is not None:
            coarse = replace(
                coarse,
                shrink_down=down.coarse[0],
                shrink_right=right.coarse[0],
                inner=coarse.inner.of_streams(down.coarse[1], right.coarse[1]),
                grow_down=down.coarse[2],
                grow_right=right.coarse[2],
            )
        descent = replace(self.descent, down=down.descent, right=right.descent)
        ascent = replace(self.ascent, down=down.ascent, right=right.ascent)
        return replace(self, descent=descent, ascent=ascent, coarse=coarse)

    def dependencies(
        self, down: np.ndarray, right: np.ndarray, grid: Grid
    ) -> tuple[np.ndarray, np.ndarray]:
        """On which pixels the features of both streams depend, from the same of what comes in."""

        def layer(mirror: tuple[Any, Any]) -> None:
            nonlocal down, right
            down = down | DOWN.union(DOWN.union(down, grid) | mirror[0], grid)
            right = right | RIGHT.union(RIGHT.union(right, grid) | down | mirror[1], grid)

        mirrors = [(down, right)]
        for _ in range(self.blocks[0]):
            layer((False, False))
            mirrors.append((down, right))
        if self.coarse is not None:
            even = np.arange(down.shape[0]).reshape(grid)[::2, ::2].ravel()
            small = DOWN.union(down, grid)[even], RIGHT.union(right, grid)[even]
            small = self.coarse.inner.dependencies(*small, (grid[0] // 2, grid[1] // 2))
            down, right = np.zeros_like(down), np.zeros_like(right)
            down[even], right[even] = small
            down, right = DOWN.union(down, grid), RIGHT.union(right, grid)
        for mirror in mirrors[: self.blocks[1]][::-1]:
            layer(mirror)
        return down, right


class Coarse(Module):
    """The stage at half the resolution, with the maps that lead there and back."""

    def __init__(self, layer: MakeLayer, width: int, *, rngs: nnx.Rngs, **options: Any):
        self.shrink_down = normalised(len(DOWN) * width, width, rngs)
        self.shrink_right = normalised(len(RIGHT) * width, width, rngs)
        self.inner = Stage(layer, width, rngs=rngs, **options)
        self.grow_down = normalised(len(DOWN) * width, width, rngs)
        self.grow_right = normalised(len(RIGHT) * width, width, rngs)


def unroll(stream: Stream) -> Stream:
    """A stream as the steps run it: layer by layer, its weights normalised once and for all."""
    descent, ascent = (tuple(map(fold_weight_norm, unstack(way))) for way in stream[:2])
    if stream.coarse is None:
        return Stream(descent, ascent, None)
    shrink, inner, grow = stream.coarse
    return Stream(descent, ascent, (shrink.folded(), unroll(inner), grow.folded()))


def run(
    stream: Stream,
    sight: "Everywhere | Part",
    h: Array,
    shown: Kept = NOTHING,
    kept: Kept = NOTHING,
    key: Key = None,
) -> tuple[Stream, Array, Kept]:
    """A stream through a stage.

    Args:
        stream: what is run; unrolled for a part of a row.
        sight: where it is run.
        h: the features that come in.
        shown: for the down-right stream, what the down stream left behind.
        kept: for a part of a row, what was left behind before it.
        key: turns dropout on.

    Returns:
        The stream, fitted to these features if the sight says so; the features in the end; and what
        it leaves behind.
    """
    keys, start = split_key(key, 3), h
    sides, old = shown.features, kept.seen
    descent, h, features, seen = sight.layers(stream.descent, h, None, sides[0], old[0], keys[0])
    mirrors, coarse, ahead = sight.mirrors(start, features), None, None
    if stream.coarse is None:
        mirrors = mirrors[1:]  # the first of which goes up itself
    else:
        shrink, inner, grow = stream.coarse
        last, below = kept.coarse or (None, NOTHING)
        _, above = shown.coarse or (None, NOTHING)
        window, last = sight.see(last, h)

        def enter() -> tuple[Any, Array, Kept]:
            read = flat(sight.even(window))
            new = shrink.fitted(read) if sight.fit else shrink
            inside, small, left = run(inner, sight.half, new(read), above, below, keys[1])
            return (new, inside), small, left

        (shrink, inner), small, below = sight.enter(enter, (shrink, inner), below)
        read = flat(sight.spread(small))
        grow = grow.fitted(read) if sight.fit else grow
        h, coarse, ahead = grow(read), (shrink, inner, grow), (last, below)
    ascent, h, more, seen_up = sight.layers(stream.ascent, h, mirrors, sides[-1], old[1], keys[2])
    # The down-right stream is shown to none: only the stage around it reads its last features.
    given = (features, more) if shown is NOTHING else (more[-1:],)
    left = Kept((seen, seen_up), sight.keep(given, kept.features), ahead)
    return Stream(descent, ascent, coarse), h, left


@dataclass(frozen=True)
class Everywhere:
    """All pixels at once, ``(*batch, height, width, features)``.

    Args:
        window: what the stream sees.
        context: what all layers are given.
        fit: whether every map is fitted to what it reads.
    """

    window: Window
    context: Context
    fit: bool = False

    @property
    def half(self) -> Self:
        return self

    def layers(
        self, blocks: Any, h: Array, mirrors: Any, sides: Any, kept: Any, key: Key
    ) -> tuple[Any, Array, Any, Any]:
        """Stacked layers: themselves, the features in the end, those of each, and what is seen."""

        # The windows are several times the features, so the gradient makes them again.
        @jax.checkpoint
        def body(h: Array, inputs: Any) -> tuple[Array, Any]:
            block, mirror, side, layer_key = inputs
            block_key = split_key(layer_key, 2)[side is not None]
            side = both(side, mirror)
            if self.fit:
                block = block.initialize(h, side, self.see, self.context)
            h, seen = block(h, side, self.see, (None, None), self.context, block_key)
            return h, (block if self.fit else None, h, seen)

        count = len(jax.tree.leaves(blocks)[0])
        keys = None if key is None else jax.random.split(key, count)
        h, (new, features, seen) = jax.lax.scan(body, h, (blocks, mirrors, sides, keys))
        return new if self.fit else blocks, h, features, seen

    def see(self, kept: Any, value: Array) -> tuple[Array, Array]:
        return self.window.everywhere(value), value

    def even(self, window: Array) -> Array:
        return window[..., ::2, ::2, :, :]

    def spread(self, small: Array) -> Array:
        return self.window.spread(small)

    def enter(self, enter: Callable[[], Any], maps: Any, below: Any) -> Any:
        return enter()

    def mirrors(self, start: Array, features: Array) -> Array:
        return jnp.concatenate([start[None], features])[::-1]

    def keep(self, features: Any, old: Any) -> Any:
        return features


@dataclass(frozen=True)
class Part:
    """Some pixels of a row, ``(count, *batch, features)``, after those before them.

    Args:
        window, context: see :class:`Everywhere`.
        row, column: of the first of them.
        count: how many: one, or a row of an even width.
    """

    window: Window
    context: Context
    row: Any  # an integer, traced in a step
    column: Any
    count: int
    fit = False

    @property
    def half(self) -> "Part":
        half = self.row // 2, self.column // 2, (self.count + 1) // 2
        return Part(self.window, self.context, *half)

    def layers(self, blocks: Any, h: Array, mirrors: Any, sides: Any, kept: Any, key: Key) -> Any:
        features, seen = [], []
        for i, block in enumerate(blocks):
            side = (
                None
                if sides is None
                else jax.lax.dynamic_slice_in_dim(sides[i], self.column, self.count)
            )
            mirror = None if mirrors is None else mirrors[i]
            h, new = block(h, both(side, mirror), self.see, kept[i], self.context)
            features.append(h)
            seen.append(new)
        return blocks, h, tuple(features), tuple(seen)

    def see(self, kept: Any, value: Array) -> tuple[Array, Array]:
        return self.window.in_turn(kept, self.row, self.column, value)

    def even(self, window: Array) -> Array:
        return window[::2]

    def spread(self, small: Array) -> Array:
        return self.window.spread_row(small, self.row, self.column, self.count)

    def enter(self, enter: Callable[[], Any], maps: Any, below: Any) -> Any:
        there = (self.row % 2 == 0) & (self.column % 2 == 0)
        below = jax.lax.cond(there, lambda: enter()[2], lambda: below)
        return maps, below.features[-1][-1], below

    def mirrors(self, start: Array, features: tuple[Array, ...]) -> tuple[Array, ...]:
        return (start, *features)[::-1]

    def keep(self, features: Any, old: Any) -> Any:
        def put(new: Array, row: Array) -> Array:
            return jax.lax.dynamic_update_slice_in_dim(row, new.astype(row.dtype), self.column, 0)

        return jax.tree.map(put, features, old)

    def left_behind(self, kept: Kept) -> Kept:
        """What :func:`run` leaves behind of this part, from what it does of all pixels."""

        own = functools.partial(row_of, row=self.row)
        turns = functools.partial(self.window.turns, row=self.row)
        ahead = None
        if kept.coarse is not None:
            last, below = kept.coarse
            ahead = turns(last), self.half.left_behind(below)
        seen = jax.tree.map(turns, tuple(map(unstack, kept.seen)))
        return Kept(seen, jax.tree.map(own, tuple(map(unstack, kept.features))), ahead)


def both(side: Array | None, mirror: Array | None) -> Array | None:
    """Two features of a pixel next to each other; either may not be there."""
    given = [each for each in (side, mirror) if each is not None]
    return jnp.concatenate(given, axis=-1) if given else None
