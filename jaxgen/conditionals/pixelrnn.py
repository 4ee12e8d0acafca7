r"""PixelRNN: two-dimensional LSTMs over an image (van den Oord, Kalchbrenner, Kavukcuoglu 2016).

A masked window (mask A) makes features of the pixels before a pixel; residual LSTM layers follow,

.. math:: h_l = h_{l-1} + U_l\, s_l, \qquad (o, f, i, g) = K^{is} * h_{l-1} + K^{ss} * s_l, \qquad
          c = \sigma(f) \odot c' + \sigma(i) \odot \tanh(g), \qquad
          s = \sigma(o) \odot \tanh(c),

(the paper's equation 3, and the residual connections of its section 3.3) and two layers of each
pixel alone make the parameters. With ``k`` the size of a window in a row, the layers differ in what
the state ``s, c`` of a pixel ``(i, j)`` follows from:

==========  ================================  ===================================================
layer       of the features (``K^is``)        of the states (``K^ss``)
==========  ================================  ===================================================
Row LSTM    ``(i, j - k // 2) .. (i, j)``     ``s`` of ``(i - 1, j - k // 2 .. j + k // 2)`` and
                                              ``c'`` of ``(i - 1, j)``
Diagonal    ``(i, j)``                        ``s`` of ``(i - 1, j)``, ``s`` and ``c'`` of
BiLSTM                                        ``(i, j - 1)``; from right to left of ``(i, j + 1)``
==========  ================================  ===================================================

A context, a vector or an image like the grid, adds a map of itself to the gates of every layer, as
the small image does in the paper's multi-scale model (:class:`~jaxgen.models.MultiScale`).

Deviations: a pixel is one step, and its channels are ordered or coupled by the head. The right to
left direction, whose map is shifted down by one row before it is added, also reads the pixels
themselves: from features alone, which know the pixels *before* theirs, the beginning of a row would
never learn of the last pixel of the row above.
"""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array

from jaxgen.conditionals.base import Conditional
from jaxgen.conditionals.pixelrnn_layers import (
    DiagonalLayer,
    LSTMLayer,
    Memory,
    RowLayer,
    States,
    in_row,
)
from jaxgen.core import (
    Context,
    Key,
    Order,
    Shape,
    check_grid,
    checked_arguments,
    rngs_from,
)
from jaxgen.functional import masks
from jaxgen.functional.autoregressive import Cache
from jaxgen.functional.windows import causal, check_sizes, flat, position_rows
from jaxgen.networks.blocks import (
    dropout,
    shape_of_context,
    spread_context,
    zero_linear,
)


class _PixelRNN(Conditional):
    """What both networks share: all but the kind of their layers, which :meth:`_layer` makes."""

    fixed_order = True

    stacked = ("layers",)  # along a leading axis, see jaxgen.summary

    @checked_arguments
    def __init__(
        self,
        grid_shape: Shape,
        position_shape: Shape,
        num_params: int,
        *,
        width: int = 64,
        depth: int = 6,
        first_size: int = 7,
        out_width: int = 64,
        context_features: int | None = None,
        context_grid: tuple[int, int] | None = None,
        dropout: float = 0.0,
        rngs: nnx.Rngs,
    ):
        name = type(self).__name__
        grid_shape = check_grid(grid_shape, ("height", "width"), name)
        check_sizes(name, first_size)
        context_shape = shape_of_context(context_features, context_grid, within=grid_shape)
        super().__init__(grid_shape, num_params, position_shape, context_shape)
        self.first_size = first_size
        self.depth = depth
        self.dropout = dropout
        entries = math.prod(self.position_shape)
        self.first = nnx.Linear(len(causal(first_size)) * entries, width, rngs=rngs)

        def layer(key: Array) -> LSTMLayer:
            return self._layer(width, context_features, rngs_from(key))

        self.layers = jax.vmap(layer)(jax.random.split(rngs.params(), depth))
        self.mix = nnx.Linear(width, out_width, rngs=rngs)
        self.last = zero_linear(out_width, num_params, rngs=rngs)

    def _layer(self, width: int, context_features: int | None, rngs: nnx.Rngs) -> LSTMLayer:
        raise NotImplementedError(f"{type(self).__name__} defines no _layer")

    @property
    def _dtype(self) -> jnp.dtype:
        return jnp.dtype(self.last.dtype or self.last.kernel[...].dtype)

    def _params(self, h: Array, key: Key = None) -> Array:
        mixed = jax.nn.relu(self.mix(jax.nn.relu(h)))
        # Before a nonlinearity, its noise would bias what is learned for the mean of the features.
        return self.last(dropout(mixed, self.dropout, key))

    def _pixels(self, x: Array) -> Array:
        """The image with its entries as the last axis, ``(*batch, height, width, entries)``."""
        batch = x.shape[: x.ndim - len(self.event_shape)]
        return x.reshape(*batch, *self.grid_shape, math.prod(self.position_shape))

    def _shifts(self, layer: LSTMLayer, context: Context) -> tuple[Array, ...]:
        if context is not None and self.context_shape is not None:
            context = spread_context(context, self.context_shape)
        return layer.shifts(context, self._dtype)

    def _features(self, x: Array, context: Context) -> tuple[Array, tuple[Array, States]]:
        """The last features, and of every layer the features it reads and its states, stacked."""
        pixels = self._pixels(x)
        h = self.first(flat(causal(self.first_size).everywhere(pixels)))

        def body(h: Array, layer: LSTMLayer) -> tuple[Array, tuple[Array, States]]:
            change, states = layer(h, pixels, self._shifts(layer, context))
            return h + change, (h, states)

        return jax.lax.scan(body, h, self.layers)

    def __call__(
        self, x: Array, context: Context = None, order: Order = None, *, key: Key = None
    ) -> Array:
        return self._params(self._features(x, context)[0], key)

    # The incremental pass runs a layer at one pixel after the other. What a row takes from the row
    # above it is made for the whole row at its beginning: a product, and the row's right to left
    # states, which need all of it. Values are kept as (positions, *batch, entries), with a row of
    # zeros for what lies beyond the edge.

    def _fixed(self, context: Context) -> tuple[tuple[LSTMLayer, tuple[Array, ...]], ...]:
        """Every layer, and what the context adds to its gates."""
        layers = (jax.tree.map(lambda leaf, i=i: leaf[i], self.layers) for i in range(self.depth))
        return tuple((layer, self._shifts(layer, context)) for layer in layers)

    def init_cache(self, batch: Shape, context: Context = None, order: Order = None) -> Cache:
        width = self.grid_shape[1]
        entries = math.prod(self.position_shape)
        values = jnp.zeros((self.num_positions + 1, *batch, entries), self._dtype)
        empty = self.layers.empty((*batch, width), self._dtype)
        return Cache(self._fixed(context), (values, (empty,) * self.depth))

    def step(self, cache: Cache, t: Array, x_previous: Array) -> tuple[Array, Cache]:
        layers, (values, memories) = cache
        width = self.grid_shape[1]
        previous = x_previous.reshape(values.shape[1:]).astype(values.dtype)
        # At t = 0 the driver's zero lands where the first value will.
        values = values.at[jnp.maximum(t - 1, 0)].set(previous)
        row, column = jnp.divmod(t, width)

        def begin_row() -> tuple[Memory, ...]:
            finished = jax.lax.dynamic_slice_in_dim(values, t - width, width)
            pixels = jnp.moveaxis(finished, 0, -2)
            return tuple(
                jax.tree.map(
                    lambda new, old: new.astype(old.dtype),
                    layer.begin_row(memory, pixels, tuple(_of_row(s, row - 1) for s in shifts)),
                    memory,
                )
                for (layer, shifts), memory in zip(layers, memories, strict=True)
            )

        memories = jax.lax.cond((column == 0) & (row > 0), begin_row, lambda: memories)
        window = causal(self.first_size).at(values, self.grid_shape, t)
        h = self.first(flat(window))
        new = []
        for (layer, shifts), memory in zip(layers, memories, strict=True):
            here = tuple(_of_pixel(_of_row(shift, row), column) for shift in shifts)
            change, memory = layer.at(memory, column, h, here)
            h = h + change
            new.append(memory)
        return self._params(h), Cache(layers, (values, tuple(new)))

    def prefill(self, x: Array, n: int, context: Context = None, order: Order = None) -> Cache:
        _, (reads, states) = self._features(x, context)
        layers, width = self._fixed(context), self.grid_shape[1]
        memories = []
        for i, (layer, _) in enumerate(layers):
            read, made = jax.tree.map(lambda each, i=i: each[i], (reads, states))
            memory = Memory(
                read=_frontier(read, n),
                hidden=_frontier(made.hidden, n),
                cells=_frontier(made.cells, n),
                above=layer.from_above(_row(made.hidden, n // width - 1)),
                # At the beginning of a row those of the row above it are still to be made.
                right=_row(made.right, (n - 1) // width - 1),
            )
            memories.append(jax.tree.map(lambda each: each.astype(self._dtype), memory))
        values = position_rows(self._pixels(x), self._dtype)
        return Cache(layers, (values, tuple(memories)))


class DiagonalBiLSTM(_PixelRNN):
    """LSTMs along the diagonals of an image, in both directions, in raster order.

    A pixel sees all pixels before it, with one layer. A diagonal's states are made at once.

    Args:
        grid_shape: ``(height, width)``.
        position_shape: ``(channels,)``, or ``()`` for one channel that the event does not name. The
            head orders or couples the channels of a pixel.
        num_params: parameters for each position, ``head.num_params(position_shape)``.
        width: features of a pixel; a state is half as wide.
        depth: LSTM layers.
        first_size: the side of the first window, odd.
        out_width: features of the last layer but one.
        context_features: the features of a context; None for none.
        context_grid: ``(height, width)``, the grid, for a context that is an image; None for a
            vector, which every pixel sees.
        dropout: rate of what the last layer reads, in effect when a key is given.
        rngs: where the initial weights come from.

    Raises:
        ShapeError: if the grid has not two axes, or the context another grid.
        ValueError: for an even size.

    >>> network = DiagonalBiLSTM((4, 4), (1,), 2, width=4, depth=2, out_width=4, rngs=nnx.Rngs(0))
    >>> network(jnp.ones((5, 4, 4, 1))).shape
    (5, 4, 4, 2)
    """

    def _layer(self, width: int, context_features: int | None, rngs: nnx.Rngs) -> LSTMLayer:
        entries = math.prod(self.position_shape)
        return DiagonalLayer(width, entries, context_features=context_features, rngs=rngs)


class RowLSTM(_PixelRNN):
    """LSTMs from row to row of an image, in raster order.

    A pixel sees a triangle above it, which a layer widens by ``kernel_size // 2`` for every row,
    and as much to its left. A row's states are made at once.

    Args:
        grid_shape, position_shape, num_params, options: see :class:`DiagonalBiLSTM`.
        kernel_size: the size of the windows in a row, odd.

    Raises:
        ShapeError, ValueError: as there; also for an even ``kernel_size``.

    >>> network = RowLSTM((4, 4), (1,), 2, width=4, depth=2, out_width=4, rngs=nnx.Rngs(0))
    >>> network(jnp.ones((5, 4, 4, 1))).shape
    (5, 4, 4, 2)
    """

    @checked_arguments
    def __init__(
        self,
        grid_shape: Shape,
        position_shape: Shape,
        num_params: int,
        *,
        kernel_size: int = 3,
        **options: Any,
    ):
        check_sizes("RowLSTM", kernel_size)
        self.kernel_size = kernel_size
        super().__init__(grid_shape, position_shape, num_params, **options)

    def _layer(self, width: int, context_features: int | None, rngs: nnx.Rngs) -> LSTMLayer:
        return RowLayer(width, self.kernel_size, context_features=context_features, rngs=rngs)

    def dependencies(self, order: Array | np.ndarray | None = None) -> np.ndarray:
        grid, reach = self.grid_shape, self.kernel_size // 2
        above = in_row(-reach, reach).moved(-1, 0)
        itself = np.eye(self.num_positions, dtype=bool)
        states = itself | above.union(itself, grid)
        # Each squaring doubles the number of rows that states are followed through.
        for _ in range(grid[0].bit_length()):
            states = masks.through(states, states)
        layer = masks.through(states, in_row(-reach, 0).union(itself, grid))
        seen = causal(self.first_size).union(itself, grid)
        for _ in range(self.depth):
            seen = masks.through(layer, seen)
        return seen


def _of_row(maps: Array, row: Array) -> Array:
    """A row of maps ``(*batch, height or 1, width or 1, features)``."""
    return maps[..., jnp.minimum(row, maps.shape[-3] - 1), :, :]


def _of_pixel(row: Array, column: Array) -> Array:
    """A pixel of a row ``(*batch, width or 1, features)``."""
    return row[..., jnp.minimum(column, row.shape[-2] - 1), :]


def _row(maps: Array, row: int) -> Array:
    """A row of maps ``(*batch, height, width, features)``; zeros above the first."""
    return maps[..., row, :, :] if row >= 0 else jnp.zeros_like(maps[..., 0, :, :])


def _frontier(maps: Array, n: int) -> Array:
    """What each column of maps ``(*batch, height, width, features)`` holds after ``n`` steps."""
    height, width = maps.shape[-3:-1]
    row, column = divmod(n, width)
    own, above = _row(maps, min(row, height - 1)), _row(maps, row - 1)
    return jnp.where(jnp.arange(width)[:, None] < column, own, above)
