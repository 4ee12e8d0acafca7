r"""Gated PixelCNN: two stacks without a blind spot (van den Oord et al. 2016, "Conditional image
generation with PixelCNN decoders").

The *vertical* stack sees the rows above a pixel, all of them; the *horizontal* stack sees what is
left of the pixel in its row, and the vertical stack. With windows ``V`` (the rows above and, after
the first layer, the features of the row itself, which hold nothing of its values) and ``H`` (the
pixels to the left and, after the first layer, the pixel itself),

.. math:: a = V_l * v_{l-1}, \quad v_l = g(a), \qquad
          h_l = h_{l-1} + U_l\, g\left(H_l * h_{l-1} + S_l\, a\right), \qquad
          g(f, g') = \tanh(f + A c) \odot \sigma(g' + B c),

where ``f`` and ``g'`` are the halves of the features and ``c`` is a context vector.

Deviations: a pixel is one step, and its channels are ordered or coupled by the head; the windows
hold their visible part only.
"""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array

from jaxgen.conditionals.base import Conditional
from jaxgen.core import Shape, ShapeError, check_context
from jaxgen.functional.autoregressive import Cache, Stretch
from jaxgen.functional.windows import (
    flat,
    neighbours,
    position_rows,
    row_windows,
    union,
    windows,
)
from jaxgen.networks.blocks import check_hyperparameters, dropout, zero_linear

Offsets = tuple[tuple[int, int], ...]


class GatedLayer(nnx.Module):
    """A layer of both stacks.

    Args:
        in_width: features of what the stacks of the layer below give; the entries of a pixel below
            the first.
        width: features of both stacks.
        above, left: how many positions the two windows hold.
        residual: whether the layer below is one of these, and what it gives is added.
        context_features: the size of a context vector; None for none.
        rngs: where the initial weights come from.
    """

    def __init__(
        self,
        in_width: int,
        width: int,
        *,
        above: int,
        left: int,
        residual: bool,
        context_features: int | None,
        rngs: nnx.Rngs,
    ):
        self.vertical = nnx.Linear(above * in_width, 2 * width, rngs=rngs)
        self.horizontal = nnx.Linear(left * in_width, 2 * width, rngs=rngs)
        self.across = nnx.Linear(2 * width, 2 * width, use_bias=False, rngs=rngs)
        self.out = nnx.Linear(width, width, rngs=rngs)
        self.residual = residual
        self.project = (
            None
            if context_features is None
            else nnx.Linear(context_features, 4 * width, use_bias=False, rngs=rngs)
        )

    def _shifts(self, context: Array | None) -> tuple[Array, Array]:
        if self.project is None or context is None:
            return jnp.zeros(()), jnp.zeros(())
        vertical, horizontal = jnp.split(self.project(context), 2, axis=-1)
        return vertical, horizontal

    def down(self, window: Array, context: Array | None) -> tuple[Array, Array]:
        """The vertical features from a window ``(..., above, in_width)``, and what crosses over."""
        mixed = self.vertical(flat(window))
        return _gate(mixed + self._shifts(context)[0]), self.across(mixed)

    def right(self, window: Array, crossed: Array, h: Array, context: Array | None) -> Array:
        """The horizontal features from a window ``(..., left, in_width)``."""
        mixed = self.horizontal(flat(window)) + crossed
        change = self.out(_gate(mixed + self._shifts(context)[1]))
        return h + change if self.residual else change


def _gate(mixed: Array) -> Array:
    value, gate = jnp.split(mixed, 2, axis=-1)
    return jnp.tanh(value) * jax.nn.sigmoid(gate)


class GatedPixelCNN(Conditional):
    """A vertical and a horizontal stack of gated convolutions, in raster order.

    Args:
        grid_shape: ``(height, width)``.
        position_shape: ``(channels,)``, or ``()`` for one channel that the event does not name. The
            head orders or couples the channels of a pixel.
        num_params: parameters for each position, ``head.num_params(position_shape)``.
        width: features of each stack.
        depth: layers, the first included.
        first_size, kernel_size: the sides of the first layer's windows and of the others', odd.
        out_width: features of the last layer but one.
        context_features: the size of a context vector, seen by all positions; None for none.
        dropout: rate of what the last layer reads, in effect when a key is given.
        rngs: where the initial weights come from.

    Raises:
        ShapeError: if the grid has not two axes.
        ValueError: for an even size.

    >>> network = GatedPixelCNN((4, 4), (1,), 2, width=4, depth=2, out_width=4, rngs=nnx.Rngs(0))
    >>> network(jnp.ones((5, 4, 4, 1))).shape
    (5, 4, 4, 2)
    """

    fixed_order = True

    def __init__(
        self,
        grid_shape: Shape,
        position_shape: Shape,
        num_params: int,
        *,
        width: int = 64,
        depth: int = 8,
        first_size: int = 7,
        kernel_size: int = 3,
        out_width: int = 64,
        context_features: int | None = None,
        dropout: float = 0.0,
        rngs: nnx.Rngs,
    ):
        check_hyperparameters("tanh", dropout, width, depth, out_width)
        if len(grid_shape) != 2:
            raise ShapeError(
                f"GatedPixelCNN: expected a grid (height, width), got {tuple(grid_shape)}"
            )
        for size in (first_size, kernel_size):
            if size < 3 or size % 2 == 0:
                raise ValueError(f"GatedPixelCNN: expected odd windows of 3 or more, got {size}")
        self.grid_shape = tuple(grid_shape)
        self.position_shape = tuple(position_shape)
        self.num_params = num_params
        self.sizes = (first_size, *(kernel_size for _ in range(depth - 1)))
        self.dropout = dropout
        self.context_shape = None if context_features is None else (context_features,)
        self.layers = nnx.List(
            GatedLayer(
                width if i else math.prod(self.position_shape),
                width,
                above=len(_above(size, strict=i == 0)),
                left=len(_left(size, strict=i == 0)),
                residual=i > 0,
                context_features=context_features,
                rngs=rngs,
            )
            for i, size in enumerate(self.sizes)
        )
        self.mix = nnx.Linear(width, out_width, rngs=rngs)
        self.last = zero_linear(out_width, num_params, rngs=rngs)

    def _params(self, h: Array, key: Array | None = None) -> Array:
        mixed = jax.nn.relu(self.mix(jax.nn.relu(h)))
        # Before a nonlinearity, its noise would bias what is learned for the mean of the features.
        return self.last(dropout(mixed, self.dropout, key))

    def _stacks(
        self, x: Array, context: Array | None
    ) -> tuple[list[Array], list[Array], list[Array]]:
        """Of every layer the vertical features, what crosses over, and the horizontal features,
        all ``(*batch, height, width, features)``."""
        batch = x.shape[: x.ndim - len(self.event_shape)]
        v = h = x.reshape(*batch, *self.grid_shape, math.prod(self.position_shape))
        if context is not None:
            context = context[..., None, None, :]
        vertical, crossing, horizontal = [], [], []
        for i, (layer, size) in enumerate(zip(self.layers, self.sizes, strict=True)):
            # The windows are several times the features, so the gradient makes them again.
            @jax.checkpoint
            def run(
                layer: GatedLayer, v: Array, h: Array, i: int = i, size: int = size
            ) -> tuple[Array, Array, Array]:
                new, crossed = layer.down(windows(v, _above(size, strict=i == 0)), context)
                left = windows(h, _left(size, strict=i == 0))
                return new, crossed, layer.right(left, crossed, h, context)

            v, crossed, h = run(layer, v, h)
            vertical.append(v)
            crossing.append(crossed)
            horizontal.append(h)
        return vertical, crossing, horizontal

    def __call__(
        self,
        x: Array,
        context: Array | None = None,
        order: Array | None = None,
        *,
        key: Array | None = None,
    ) -> Array:
        return self._params(self._stacks(x, context)[2][-1], key)

    # The incremental pass keeps the values and the horizontal features as (positions, *batch,
    # features), with a row of zeros for what lies beyond the edge. At the beginning of a row it
    # runs the vertical stack for the whole row, and keeps what crosses over; of the vertical
    # features it keeps as many rows as a window is high.

    def init_cache(
        self, batch: Shape, context: Array | None = None, order: Array | None = None
    ) -> Cache:
        self.resolve_order(order)
        context = check_context(context, self.context_shape, batch, "GatedPixelCNN.init_cache")
        height, width = self.grid_shape
        dtype = self.last.dtype or self.last.kernel[...].dtype
        features = self.mix.in_features
        positions = height * width + 1

        def zeros(*shape: int) -> Array:
            return jnp.zeros(shape, dtype)

        values = zeros(positions, *batch, math.prod(self.position_shape))
        read = tuple(zeros(positions, *batch, features) for _ in self.sizes[1:])
        rows = tuple(zeros(size // 2 + 1, width, *batch, features) for size in self.sizes[1:])
        crossing = tuple(zeros(width, *batch, 2 * features) for _ in self.sizes)
        return Cache(context, (values, read, rows, crossing))

    def step(self, cache: Cache, t: Array, x_previous: Array) -> tuple[Array, Cache]:
        context, (values, read, rows, crossing) = cache
        height, width = self.grid_shape
        values = _with(values, t, x_previous)
        rows, crossing = jax.lax.cond(
            t % width == 0,
            lambda: self._row(values, rows, t // width, context),
            lambda: (rows, crossing),
        )
        here = tuple(each[t % width] for each in crossing)
        params, read = self._pixel(values, read, here, t, height, context)
        return params, Cache(context, (values, read, rows, crossing))

    def _pixel(
        self,
        values: Array,
        read: tuple[Array, ...],
        crossing: list[Array] | tuple[Array, ...],
        t: Array,
        height: int,
        context: Array | None,
    ) -> tuple[Array, tuple[Array, ...]]:
        """The horizontal stack of a pixel of some rows: the parameters, and the features kept."""
        h, new = values, []
        for i, (layer, size) in enumerate(zip(self.layers, self.sizes, strict=True)):
            left = _left(size, strict=i == 0)
            around = jnp.asarray(neighbours(height, self.grid_shape[1], left))
            window = jnp.moveaxis(h[around[t]], 0, -2)
            out = layer.right(window, crossing[i], h[t], context)
            if i < len(read):
                h = read[i].at[t].set(out.astype(values.dtype))
                new.append(h)
        return self._params(out), tuple(new)

    # The sampler runs row by row: the vertical stack of a row, and then its pixels, on the row
    # alone. A step that asks whether its row has begun would copy what crosses over every time.

    def stretch(self) -> Stretch:
        return Stretch(self.grid_shape[1], self._open, self._in_row, self._close, aligned=True)

    def _open(self, cache: Cache, t: Array, previous: Array) -> Cache:
        context, (values, read, rows, _) = cache
        width = self.grid_shape[1]
        rows, crossing = self._row(_with(values, t, previous), rows, t // width, context)
        own = tuple(jnp.zeros((width + 1, *each.shape[1:]), each.dtype) for each in (values, *read))
        return Cache((crossing, context), (own[0], own[1:], rows, previous))

    def _in_row(self, cache: Cache, t: Array, x_previous: Array) -> tuple[Array, Cache]:
        (crossing, context), (values, read, rows, before) = cache
        values = _with(values, t, x_previous)
        here = tuple(each[t] for each in crossing)
        params, read = self._pixel(values, read, here, t, 1, context)
        return params, Cache(cache.fixed, (values, read, rows, before))

    def _close(self, cache: Cache, t: Array, state: Any) -> Cache:
        context, (values, read, _, crossing) = cache
        own, own_read, rows, previous = state

        def put(whole: Array, row: Array) -> Array:
            return jax.lax.dynamic_update_slice_in_dim(whole, row[:-1], t, axis=0)

        values = put(_with(values, t, previous), own)
        read = tuple(put(*each) for each in zip(read, own_read, strict=True))
        return Cache(context, (values, read, rows, crossing))

    def _row(
        self, values: Array, rows: tuple[Array, ...], row: Array, context: Array | None
    ) -> tuple[tuple[Array, ...], tuple[Array, ...]]:
        """The vertical stack of a whole row: the rows to keep of every layer, and what crosses."""
        height, width = self.grid_shape
        table = neighbours(height, width, _above(self.sizes[0], strict=True))
        around = jnp.asarray(table.reshape(height, width, -1))
        window = jnp.moveaxis(values[around[row]], 1, -2)  # (width, *batch, above, entries)
        kept, crossing = [], []
        for i, layer in enumerate(self.layers):
            v, crossed = layer.down(window, context)
            crossing.append(crossed.astype(values.dtype))
            if i < len(rows):
                now = jnp.concatenate([rows[i][1:], v[None].astype(values.dtype)])
                kept.append(now)
                window = row_windows(now, self.sizes[i + 1])
        return tuple(kept), tuple(crossing)

    def prefill(
        self, x: Array, n: int, context: Array | None = None, order: Array | None = None
    ) -> Cache:
        batch = x.shape[: x.ndim - len(self.event_shape)]
        fixed, (values, _, rows, _) = self.init_cache(batch, context, order)
        (height, width), dtype = self.grid_shape, values.dtype
        vertical, crossed, horizontal = self._stacks(x, context)
        pixels = x.reshape(*batch, height, width, math.prod(self.position_shape))

        def last_rows(old: Array, each: Array) -> Array:
            # At the beginning of a row its own features are still to be made.
            end = n // width + (n % width > 0)
            by_row = jnp.moveaxis(each, (-3, -2), (0, 1)).astype(dtype)
            padded = jnp.concatenate([jnp.zeros_like(old), by_row])
            return padded[end : end + len(old)]

        def own_row(each: Array) -> Array:
            row = min(n // width, height - 1)
            return jnp.moveaxis(each[..., row, :, :], -2, 0).astype(dtype)

        state: tuple[Any, ...] = (
            position_rows(pixels, dtype),
            tuple(position_rows(h, dtype) for h in horizontal[:-1]),
            tuple(last_rows(old, v) for old, v in zip(rows, vertical, strict=False)),
            tuple(own_row(each) for each in crossed),
        )
        return Cache(fixed, state)

    def dependencies(self, order: Array | np.ndarray | None = None) -> np.ndarray:
        height, width = self.grid_shape
        v = h = np.eye(self.num_positions, dtype=bool)
        for i, kernel in enumerate(self.sizes):
            v = union(neighbours(height, width, _above(kernel, strict=i == 0)), v)
            h = union(neighbours(height, width, _left(kernel, strict=i == 0)), h) | v
        return h


def _with(values: Array, t: Array, x_previous: Array) -> Array:
    """The values with that of the step before ``t``."""
    # At t = 0 the driver's zero lands where the first value will.
    row = x_previous.reshape(values.shape[1:]).astype(values.dtype)
    return values.at[jnp.maximum(t - 1, 0)].set(row)


def _above(size: int, *, strict: bool) -> Offsets:
    """The rows above, and unless strict the row itself, of a ``size x size`` window."""
    reach = size // 2
    return tuple(
        (row, column)
        for row in range(-reach, 0 if strict else 1)
        for column in range(-reach, reach + 1)
    )


def _left(size: int, *, strict: bool) -> Offsets:
    """What is left of the middle in its row, and unless strict the middle."""
    return tuple((0, column) for column in range(-(size // 2), 0 if strict else 1))
