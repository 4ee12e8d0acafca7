r"""PixelCNN: masked convolutions in raster order (van den Oord, Kalchbrenner, Kavukcuoglu 2016).

Every layer sees, of its input, the rows above and what is left of a pixel (mask A); all but the
first also see the pixel itself (mask B), because their features hold nothing of its value. The
channels of a pixel are generated one after the other: features come in as many groups as there are
channels, and at the pixel itself group ``g`` sees the values of the channels before ``g`` (mask A),
and the features of groups up to ``g`` (mask B).

Pixels on a slanted line across the rows need nothing of each other and are drawn together.

A residual block is ``h + U relu(W * relu(V relu(h)))`` with a ``3 x 3`` window ``W`` at half the
width and maps ``V`` and ``U`` of each pixel alone.

Deviations: the windows hold their visible half only, so nothing is multiplied by a mask's zeros;
the blind spot to the right of a pixel is the paper's.
"""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array

from jaxgen.conditionals.base import Conditional
from jaxgen.conditionals.pixelcnn_layers import MaskedWindow, PixelBlock
from jaxgen.core import (
    Context,
    Key,
    Order,
    Shape,
    check_grid,
    checked_arguments,
    rngs_from,
    unstack,
)
from jaxgen.functional import masks
from jaxgen.functional.autoregressive import Cache, Emit, incremental
from jaxgen.functional.windows import Window, check_sizes, empty_rows, gather, position_rows
from jaxgen.networks.blocks import shape_of_context


class PixelCNN(Conditional):
    """Masked convolutions over the pixels of an image, channel by channel, in raster order.

    Args:
        grid_shape: ``(height, width, channels)``: every entry of the image is a position, in raster
            order with the channels last.
        num_params: parameters for each entry, ``head.num_params(())``.
        width: features of each channel's group.
        depth: residual blocks.
        first_size, kernel_size: the sides of the first window and of the blocks', odd.
        out_width: features of each group in the last layer but one.
        context_features: the size of a context vector, seen by all positions; None for none.
        dropout: rate in every block, in effect when a key is given.
        position_shape: what the network reads of an entry, ``()`` for a number.
        rngs: where the initial weights come from.

    Raises:
        ShapeError: if the grid has not three axes.
        ValueError: for an even size.

    >>> network = PixelCNN((4, 4, 3), 2, width=4, depth=1, out_width=4, rngs=nnx.Rngs(0))
    >>> network(jnp.ones((5, 4, 4, 3))).shape
    (5, 4, 4, 3, 2)
    """

    fixed_order = True

    stacked = ("blocks",)  # along a leading axis, see jaxgen.summary

    @checked_arguments
    def __init__(
        self,
        grid_shape: Shape,
        num_params: int,
        *,
        width: int = 64,
        depth: int = 7,
        first_size: int = 7,
        kernel_size: int = 3,
        out_width: int = 64,
        context_features: int | None = None,
        dropout: float = 0.0,
        position_shape: Shape = (),
        rngs: nnx.Rngs,
    ):
        check_sizes("PixelCNN", first_size, kernel_size)
        grid_shape = check_grid(grid_shape, ("height", "width", "channels"), "PixelCNN")
        context_shape = shape_of_context(context_features)
        super().__init__(grid_shape, num_params, position_shape, context_shape)
        self.depth = depth
        groups = self.grid_shape[-1]
        self.entries = math.prod(self.position_shape)
        self.first = MaskedWindow(
            self.entries, width, groups=groups, size=first_size, strict=True, rngs=rngs
        )

        def block(key: Array) -> PixelBlock:
            return PixelBlock(
                width,
                groups=groups,
                size=kernel_size,
                context_features=context_features,
                dropout=dropout,
                rngs=rngs_from(key),
            )

        self.blocks = jax.vmap(block)(jax.random.split(rngs.params(), depth))
        self.mix = MaskedWindow(width, out_width, groups=groups, rngs=rngs)
        self.last = MaskedWindow(out_width, num_params, groups=groups, zero=True, rngs=rngs)

    def _features(
        self, x: Array, context: Context, key: Key
    ) -> tuple[Array, tuple[Array, Array, Array]]:
        """The last features ``(*batch, height, width, features)``, and of every block the features
        it starts from, what its window sees and what its last map reads, stacked."""
        h = self.first(self.first.window.everywhere(self._pixels(x)))
        if context is not None:
            context = context[..., None, None, :]

        # The windows are several times the features, so the gradient makes them again.
        @jax.checkpoint
        def body(h: Array, inputs: tuple[PixelBlock, Array | None]) -> tuple[Array, Any]:
            block, block_key = inputs
            read = block.before(h)
            window = block.conv.window.everywhere(read)
            mixed = block.after(window, context, key=block_key)
            return h + block.change(mixed), (h, read, mixed)

        keys = None if key is None else jax.random.split(key, self.depth)
        return jax.lax.scan(body, h, (self.blocks, keys))

    def _pixels(self, x: Array) -> Array:
        """The image with all that is read of a pixel as the last axis."""
        batch = x.shape[: x.ndim - len(self.event_shape)]
        return x.reshape(*batch, *self.grid_shape[:2], self.grid_shape[2] * self.entries)

    def _mixed(self, h: Array, group: Array | None = None) -> Array:
        """The last layer but one."""
        return jax.nn.relu(self.mix(jax.nn.relu(h)[..., None, :], group))

    def __call__(
        self, x: Array, context: Context = None, order: Order = None, *, key: Key = None
    ) -> Array:
        h, _ = self._features(x, context, key)
        params = self.last(self._mixed(h)[..., None, :])
        return params.reshape(*params.shape[:-1], self.grid_shape[-1], self.num_params)

    # The incremental pass computes one channel of the pixels of a wave: of a single pixel in
    # ``step``, and in ``run`` of all that need nothing of each other, those a window's reach and
    # one to the left for each row down. It keeps what the windows see as (rows, *batch, features):
    # the pixels of all waves one after the other, then those known before, then a row of zeros for
    # what lies beyond the edge. Of the wave alone it keeps, for the maps across its channels, the
    # features of the channels before. Those of the channels after are left over from another wave,
    # and masked.

    def init_cache(self, batch: Shape, context: Context = None, order: Order = None) -> Cache:
        height, width, channels = self.grid_shape
        dtype = self.last.dtype or self.last.bias[...].dtype
        values = empty_rows((height, width), batch, channels * self.entries, dtype)
        half = channels * self.blocks.up.widths[0]
        read = (empty_rows((height, width), batch, half, dtype),) * self.depth
        single = np.arange(height * width)[:, None]
        fixed = self._tables(single), unstack(self.blocks), context
        return Cache(fixed, (values, read, self._empty(batch, 1)))

    def _tables(self, waves: np.ndarray) -> tuple[Array, Array]:
        """For both kinds of windows, the rows of what each pixel sees, ``(*waves.shape, seen)``.

        Args:
            waves: the pixels of each wave, ``(waves, slots)``; those that none holds are known.
        """
        height, width, _ = self.grid_shape
        row_of = np.full(height * width + 1, -1)
        row_of[waves.ravel()] = np.arange(waves.size)
        others = np.flatnonzero(row_of[:-1] < 0)
        row_of[others] = waves.size + np.arange(len(others))
        row_of[-1] = waves.size + len(others)  # beyond the edge, and of a slot without a pixel

        def rows(window: Window) -> Array:
            beyond = np.full((1, len(window)), height * width)
            seen = np.concatenate([window.around((height, width)), beyond])
            return jnp.asarray(row_of[seen[waves]])

        return rows(self.first.window), rows(self.blocks.conv.window)

    def _empty(self, batch: Shape, slots: int) -> tuple[Any, ...]:
        """Of a wave that begins: of every block the features it starts from and what its last map
        reads, the last features, and those of the last layer but one."""
        dtype = self.last.dtype or self.last.bias[...].dtype
        channels = self.grid_shape[-1]

        def zeros(width: int) -> Array:
            return jnp.zeros((slots, *batch, channels * width), dtype)

        half, full = self.blocks.up.widths
        blocks = tuple((zeros(full), zeros(half)) for _ in range(self.depth))
        return blocks, zeros(full), zeros(self.last.widths[0])

    def step(self, cache: Cache, t: Array, x_previous: Array) -> tuple[Array, Cache]:
        params, cache = self._wave(cache, t, x_previous[None])
        return params[0], cache

    def _wave(self, cache: Cache, t: Array, x_previous: Array) -> tuple[Array, Cache]:
        """:meth:`step` for a channel of a wave: values and parameters lead with its slots."""
        ((first, others), blocks, context), (values, read, (pixels, h_end, mixed_end)) = cache
        slots = len(x_previous)
        # At t = 0 the driver's zeros land where the first values will.
        wave, group = jnp.divmod(jnp.maximum(t - 1, 0), self.grid_shape[-1])
        between = [jnp.zeros_like(wave)] * (values.ndim - 2)
        begin = [wave * slots, *between, group * self.entries]
        emitted = x_previous.reshape(slots, *values.shape[1:-1], self.entries).astype(values.dtype)
        values = jax.lax.dynamic_update_slice(values, emitted, begin)
        wave, group = jnp.divmod(t, self.grid_shape[-1])

        h = self.first(gather(values, first[wave]), group)
        new_read, new_pixels = [], []
        for block, rows, (started, ended) in zip(blocks, read, pixels, strict=True):
            started = _write(started, h, group)
            own = jax.lax.dynamic_slice_in_dim(rows, wave * slots, slots)
            own = _write(own, block.before(started, group), group)
            rows = jax.lax.dynamic_update_slice_in_dim(rows, own, wave * slots, axis=0)
            mixed = block.after(gather(rows, others[wave]), context, group)
            ended = _write(ended, mixed, group)
            h = h + block.change(ended, group)
            new_read.append(rows)
            new_pixels.append((started, ended))
        h_end = _write(h_end, h, group)
        mixed_end = _write(mixed_end, self._mixed(h_end, group), group)
        params = self.last(mixed_end[..., None, :], group)
        state = values, tuple(new_read), (tuple(new_pixels), h_end, mixed_end)
        return params, Cache(cache.fixed, state)

    def run(self, cache: Cache, emit: Emit, first: Array, start: int = 0) -> Any:
        """See :meth:`Conditional.run`; the pixels of a wave are emitted together."""
        pixels, channels = self.num_positions // self.grid_shape[-1], self.grid_shape[-1]
        begin = start // channels
        if start % channels or begin == pixels:  # the other channels of a pixel, or nothing
            return super().run(cache, emit, first, start)
        (_, blocks, context), (values, read, _) = cache
        waves = self._waves(begin)
        slots = waves.shape[1]
        if begin:
            last = first.reshape(*values.shape[1:-1], self.entries).astype(values.dtype)
            values = values.at[begin - 1, ..., -self.entries :].set(last)

        def laid_out(rows: Array) -> Array:
            to_come = jnp.zeros((waves.size, *rows.shape[1:]), rows.dtype)
            return jnp.concatenate([to_come, rows[:begin], rows[-1:]])

        read = tuple(laid_out(rows) for rows in read)
        state = laid_out(values), read, self._empty(values.shape[1:-1], slots)
        fixed = self._tables(waves), blocks, context
        of_wave = jnp.asarray(waves)

        def emit_wave(t: Array, params: Array) -> tuple[Array, Any]:
            wave, group = jnp.divmod(t, channels)
            return jax.vmap(emit)(of_wave[wave] * channels + group, params)

        zeros = jnp.zeros((slots, *first.shape), first.dtype)
        steps = len(waves) * channels
        outputs = incremental(self._wave, Cache(fixed, state), emit_wave, zeros, steps)
        # From (waves, channels, slots) to the pixels in raster order with their channels.
        wave, slot = np.divmod(np.argsort(waves, axis=None)[: pixels - begin], slots)
        index = ((wave[:, None] * channels + np.arange(channels)) * slots + slot[:, None]).ravel()
        return jax.tree.map(lambda out: out.reshape(steps * slots, *out.shape[2:])[index], outputs)

    def _waves(self, start: int) -> np.ndarray:
        """The pixels from ``start`` on, a row for each wave, filled up with the number beyond.

        The waves of :func:`~jaxgen.functional.masks.wave_numbers`, without a table of all pairs.
        """
        height, width, _ = self.grid_shape
        pixels = np.arange(start, height * width)
        reach = max(self.first.window.reach, self.blocks.conv.window.reach)
        number = (reach + 1) * (pixels // width) + pixels % width
        waves = [pixels[number == each] for each in np.unique(number)]
        filled = np.full((len(waves), max(map(len, waves))), height * width)
        for row, wave in zip(filled, waves, strict=True):
            row[: len(wave)] = wave
        return filled

    def prefill(self, x: Array, n: int, context: Context = None, order: Order = None) -> Cache:
        batch = x.shape[: x.ndim - len(self.event_shape)]
        fixed, (values, _, _) = self.init_cache(batch, context, order)
        h, (started, read, ended) = self._features(x, context, None)
        pixel = min(n // self.grid_shape[-1], len(values) - 2)

        def at_pixel(each: Array) -> Array:
            row, column = divmod(pixel, self.grid_shape[1])
            return each[None, ..., row, column, :].astype(values.dtype)

        pixels = tuple((at_pixel(a), at_pixel(b)) for a, b in zip(started, ended, strict=True))
        kept = tuple(position_rows(each, values.dtype) for each in read)
        wave = pixels, at_pixel(h), at_pixel(self._mixed(h))
        return Cache(fixed, (position_rows(self._pixels(x), values.dtype), kept, wave))

    def dependencies(self, order: Array | np.ndarray | None = None) -> np.ndarray:
        grid = self.grid_shape[:2]
        seen, block = self.first.dependencies(grid), self.blocks.conv.dependencies(grid)
        for _ in range(self.depth):
            seen = masks.through(block, seen)
        return masks.through(self.last.dependencies(grid), seen)


def _write(pixel: Array, value: Array, group: Array) -> Array:
    """The features of a pixel ``(..., groups * width)`` with those of one group replaced."""
    if value.shape == pixel.shape:  # one group, without an update that costs as much as a product
        return value.astype(pixel.dtype)
    start = group * value.shape[-1]
    return jax.lax.dynamic_update_slice_in_dim(pixel, value.astype(pixel.dtype), start, axis=-1)
