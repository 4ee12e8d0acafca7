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
from jaxgen.core import Context, Key, Module, Order, Shape, check_grid, checked_arguments
from jaxgen.functional.autoregressive import Cache, Stretch
from jaxgen.functional.windows import (
    Grid,
    Window,
    above,
    check_sizes,
    empty_rows,
    flat,
    left,
    pixels,
    position_rows,
    row_of,
    with_previous,
    with_row,
)
from jaxgen.networks.blocks import dropout, shape_of_context, spread_context, zero_linear


class GatedLayer(Module):
    """A layer of both stacks.

    Args:
        in_width: features of what the stacks of the layer below give; the entries of a pixel below
            the first.
        width: features of both stacks.
        above, left: what the vertical and the horizontal stack see of the layer below.
        residual: whether the layer below is one of these, and what it gives is added.
        context_features: the size of a context vector; None for none.
        rngs: where the initial weights come from.
    """

    def __init__(
        self,
        in_width: int,
        width: int,
        *,
        above: Window,
        left: Window,
        residual: bool,
        context_features: int | None,
        rngs: nnx.Rngs,
    ):
        self.above = above
        self.left = left
        self.vertical = nnx.Linear(len(above) * in_width, 2 * width, rngs=rngs)
        self.horizontal = nnx.Linear(len(left) * in_width, 2 * width, rngs=rngs)
        self.across = nnx.Linear(2 * width, 2 * width, use_bias=False, rngs=rngs)
        self.out = nnx.Linear(width, width, rngs=rngs)
        self.residual = residual
        self.project = (
            None
            if context_features is None
            else nnx.Linear(context_features, 4 * width, use_bias=False, rngs=rngs)
        )

    def _shifts(self, context: Context) -> tuple[Array, Array]:
        if self.project is None or context is None:
            return jnp.zeros(()), jnp.zeros(())
        vertical, horizontal = jnp.split(self.project(context), 2, axis=-1)
        return vertical, horizontal

    def down(self, window: Array, context: Context) -> tuple[Array, Array]:
        """The vertical features from a window ``(..., above, in_width)``, and what crosses over."""
        mixed = self.vertical(flat(window))
        return _gate(mixed + self._shifts(context)[0]), self.across(mixed)

    def right(self, window: Array, crossed: Array, h: Array, context: Context) -> Array:
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
        context_grid: that of the grid, for a context of which each pixel has its own features.
        dropout: rate of what the last layer reads, in effect when a key is given.
        rngs: where the initial weights come from.

    Raises:
        ShapeError: if the grid has not two axes, or a context another.
        ValueError: for an even size.

    >>> network = GatedPixelCNN((4, 4), (1,), 2, width=4, depth=2, out_width=4, rngs=nnx.Rngs(0))
    >>> network(jnp.ones((5, 4, 4, 1))).shape
    (5, 4, 4, 2)
    """

    fixed_order = True

    @checked_arguments
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
        context_grid: tuple[int, int] | None = None,
        dropout: float = 0.0,
        rngs: nnx.Rngs,
    ):
        check_sizes("GatedPixelCNN", first_size, kernel_size)
        grid_shape = check_grid(grid_shape, ("height", "width"), "GatedPixelCNN")
        context_shape = shape_of_context(context_features, context_grid, within=grid_shape)
        super().__init__(grid_shape, num_params, position_shape, context_shape)
        self.local = context_grid is not None
        self.dropout = dropout
        self.layers = nnx.List(
            GatedLayer(
                width if i else math.prod(self.position_shape),
                width,
                above=above(kernel_size if i else first_size, middle=i > 0),
                left=left(kernel_size if i else first_size, middle=i > 0),
                residual=i > 0,
                context_features=context_features,
                rngs=rngs,
            )
            for i in range(depth)
        )
        self.mix = nnx.Linear(width, out_width, rngs=rngs)
        self.last = zero_linear(out_width, num_params, rngs=rngs)

    def _params(self, h: Array, key: Key = None) -> Array:
        mixed = jax.nn.relu(self.mix(jax.nn.relu(h)))
        # Before a nonlinearity, its noise would bias what is learned for the mean of the features.
        return self.last(dropout(mixed, self.dropout, key))

    def _stacks(self, x: Array, context: Context) -> tuple[list[Array], list[Array], list[Array]]:
        """Of every layer the vertical features, what crosses over, and the horizontal features,
        all ``(*batch, height, width, features)``."""
        if context is not None and self.context_shape is not None:
            context = spread_context(context, self.context_shape)

        # The windows are several times the features, so the gradient makes them again.
        @jax.checkpoint
        def run(layer: GatedLayer, v: Array, h: Array) -> tuple[Array, Array, Array]:
            new, crossed = layer.down(layer.above.everywhere(v), context)
            return new, crossed, layer.right(layer.left.everywhere(h), crossed, h, context)

        v = h = pixels(x, self.event_shape)
        vertical, crossing, horizontal = [], [], []
        for layer in self.layers:
            v, crossed, h = run(layer, v, h)
            vertical.append(v)
            crossing.append(crossed)
            horizontal.append(h)
        return vertical, crossing, horizontal

    def __call__(
        self, x: Array, context: Context = None, order: Order = None, *, key: Key = None
    ) -> Array:
        return self._params(self._stacks(x, context)[2][-1], key)

    # The incremental pass keeps the values and the horizontal features as (positions, *batch,
    # features), with a row of zeros for what lies beyond the edge. At the beginning of a row it
    # runs the vertical stack for the whole row, and keeps what crosses over; of the vertical
    # features it keeps as many rows as a window is high.

    def _of_positions(self, context: Context) -> Context:
        """A context of pixels as ``(positions, *batch, features)``; a vector as it is."""
        if context is None or not self.local:
            return context
        flat = context.reshape(*context.shape[:-3], self.num_positions, context.shape[-1])
        return jnp.moveaxis(flat, -2, 0)

    def _along(self, context: Context, row: Array) -> Context:
        """What a row sees of it, ``(width, *batch, features)``."""
        width = self.grid_shape[1]
        if context is None or not self.local:
            return context
        return jax.lax.dynamic_slice_in_dim(context, row * width, width)

    def _at(self, context: Context, t: Array) -> Context:
        """What a pixel sees of it, or of a row's."""
        return context if context is None or not self.local else context[t]

    def init_cache(self, batch: Shape, context: Context = None, order: Order = None) -> Cache:
        width, features = self.grid_shape[1], self.mix.in_features
        dtype = self.last.dtype or self.last.kernel[...].dtype
        _, *others = self.layers
        values = empty_rows(self.grid_shape, batch, math.prod(self.position_shape), dtype)
        read = tuple(empty_rows(self.grid_shape, batch, features, dtype) for _ in others)
        rows = tuple(
            jnp.zeros((layer.above.rows, width, *batch, features), dtype) for layer in others
        )
        crossing = (jnp.zeros((width, *batch, 2 * features), dtype),) * (1 + len(others))
        return Cache(self._of_positions(context), (values, read, rows, crossing))

    def step(self, cache: Cache, t: Array, x_previous: Array) -> tuple[Array, Cache]:
        context, (values, read, rows, crossing) = cache
        width = self.grid_shape[1]
        values = with_previous(values, t, x_previous)
        rows, crossing = jax.lax.cond(
            t % width == 0,
            lambda: self._row(values, rows, t // width, self._along(context, t // width)),
            lambda: (rows, crossing),
        )
        here = tuple(each[t % width] for each in crossing)
        own = self._at(context, t)
        params, read = self._pixel(values, read, here, t, self.grid_shape, own)
        return params, Cache(context, (values, read, rows, crossing))

    def _pixel(
        self,
        values: Array,
        read: tuple[Array, ...],
        crossing: tuple[Array, ...],
        t: Array,
        grid: Grid,
        context: Context,
    ) -> tuple[Array, tuple[Array, ...]]:
        """The horizontal stack of a pixel of some rows: the parameters, and the features kept."""
        h, out, new = values, values[t], []
        for layer, crossed, after in zip(self.layers, crossing, (*read, None), strict=True):
            out = layer.right(layer.left.at(h, grid, t), crossed, out, context)
            if after is not None:
                h = with_row(after, t, out)
                new.append(h)
        return self._params(out), tuple(new)

    # The sampler runs row by row: the vertical stack of a row, and then its pixels, on the row
    # alone. A step that asks whether its row has begun would copy what crosses over every time.

    def stretch(self) -> Stretch:
        return Stretch(self.grid_shape[1], self._open, self._in_row, self._close, aligned=True)

    def _open(self, cache: Cache, t: Array, previous: Array) -> Cache:
        context, (values, read, rows, _) = cache
        width = self.grid_shape[1]
        seen = self._along(context, t // width)
        rows, crossing = self._row(with_previous(values, t, previous), rows, t // width, seen)
        own = tuple(
            empty_rows((1, width), each.shape[1:-1], each.shape[-1], each.dtype)
            for each in (values, *read)
        )
        return Cache((crossing, seen), (own[0], own[1:], rows, previous))

    def _in_row(self, cache: Cache, t: Array, x_previous: Array) -> tuple[Array, Cache]:
        (crossing, context), (values, read, rows, before) = cache
        values = with_previous(values, t, x_previous)
        here = tuple(each[t] for each in crossing)
        grid = (1, self.grid_shape[1])
        params, read = self._pixel(values, read, here, t, grid, self._at(context, t))
        return params, Cache(cache.fixed, (values, read, rows, before))

    def _close(self, cache: Cache, t: Array, state: Any) -> Cache:
        context, (values, read, _, crossing) = cache
        own, own_read, rows, previous = state

        def put(whole: Array, row: Array) -> Array:
            return jax.lax.dynamic_update_slice_in_dim(whole, row[:-1], t, axis=0)

        values = put(with_previous(values, t, previous), own)
        read = tuple(put(*each) for each in zip(read, own_read, strict=True))
        return Cache(context, (values, read, rows, crossing))

    def _row(
        self, values: Array, rows: tuple[Array, ...], row: Array, context: Context
    ) -> tuple[tuple[Array, ...], tuple[Array, ...]]:
        """The vertical stack of a whole row: the rows to keep of every layer, and what crosses."""
        v, kept, crossing = values, [], []
        for layer, old in zip(self.layers, (None, *rows), strict=True):
            if old is None:
                window = layer.above.along(values, self.grid_shape, row)
            else:
                kept.append(jnp.concatenate([old[1:], v[None].astype(old.dtype)]))
                window = layer.above.along_last(kept[-1])
            v, crossed = layer.down(window, context)
            crossing.append(crossed.astype(values.dtype))
        return tuple(kept), tuple(crossing)

    def prefill(self, x: Array, n: int, context: Context = None, order: Order = None) -> Cache:
        batch = x.shape[: x.ndim - len(self.event_shape)]
        fixed, (values, _, _, _) = self.init_cache(batch, context, order)
        (height, width), dtype = self.grid_shape, values.dtype
        vertical, crossed, horizontal = self._stacks(x, context)

        # At the beginning of a row its own features are still to be made.
        end, row = n // width + (n % width > 0), min(n // width, height - 1)

        def last_rows(layer: GatedLayer, v: Array) -> Array:
            own = [row_of(v, each) for each in range(end - layer.above.rows, end)]
            return jnp.stack(own).astype(dtype)

        state: tuple[Any, ...] = (
            position_rows(pixels(x, self.event_shape), dtype),
            tuple(position_rows(h, dtype) for h in horizontal[:-1]),
            tuple(map(last_rows, list(self.layers)[1:], vertical[:-1])),
            tuple(row_of(each, row).astype(dtype) for each in crossed),
        )
        return Cache(fixed, state)

    def dependencies(self, order: Array | np.ndarray | None = None) -> np.ndarray:
        v = h = np.eye(self.num_positions, dtype=bool)
        for layer in self.layers:
            v = layer.above.union(v, self.grid_shape)
            h = layer.left.union(h, self.grid_shape) | v
        return h
