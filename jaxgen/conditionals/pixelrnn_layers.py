r"""The layers of a PixelRNN, on all pixels at once and on one at a time.

See :mod:`jaxgen.conditionals.pixelrnn` for their equations.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array

from jaxgen.core import Context, Module, Shape
from jaxgen.functional.rearrange import skew, unskew
from jaxgen.functional.windows import Window, flat, rectangle

Pair = tuple[Array, Array]


class States(NamedTuple):
    """Of a layer, the states of all pixels, ``(*batch, height, width, units)``.

    ``right`` holds the outputs from right to left, unshifted; no units where a layer has no such
    direction.
    """

    hidden: Array
    cells: Array
    right: Array


class Memory(NamedTuple):
    """What a layer keeps from pixel to pixel, each ``(*batch, width, features)``.

    Of the features it reads and of its states it keeps what was last written in every column: this
    row's on the left, on the right those of the row above.
    """

    read: Array
    hidden: Array
    cells: Array
    above: Array  # what the gates of this row take from the states of the row above
    right: Array  # outputs of the row above from right to left, if there are any


def lstm(gates: Array, cells: Array) -> Pair:
    """An LSTM's outputs and cells from its gates ``(..., 4 * units)`` and the cells before."""
    out, forget, write, content = jnp.split(gates, 4, axis=-1)
    cells = jax.nn.sigmoid(forget) * cells + jax.nn.sigmoid(write) * jnp.tanh(content)
    return jax.nn.sigmoid(out) * jnp.tanh(cells), cells


class LSTMLayer(Module):
    """What the layers share: a state half as wide as the features, and the maps around it.

    Args:
        width: features of a pixel.
        directions: in how many directions states run.
        context_features: the features of a context; None for none.
        rngs: where the initial weights come from.
    """

    def __init__(
        self, width: int, *, directions: int, context_features: int | None, rngs: nnx.Rngs
    ):
        self.units = max(width // 2, 1)
        self.directions = directions
        self.up = nnx.Linear(self.units, width, rngs=rngs)
        gates = directions * 4 * self.units
        self.project = (
            None
            if context_features is None
            else nnx.Linear(context_features, gates, use_bias=False, rngs=rngs)
        )

    def shifts(self, context: Context, dtype: jnp.dtype) -> tuple[Array, ...]:
        """What a context adds to the gates of every direction; zeros without one.

        The context is ``(*batch, height or 1, width or 1, features)``.
        """
        if self.project is None or context is None:
            return (jnp.zeros((1, 1, 4 * self.units), dtype),) * self.directions
        return tuple(jnp.split(self.project(context), self.directions, axis=-1))

    def __call__(self, h: Array, pixels: Array, shifts: tuple[Array, ...]) -> tuple[Array, States]:
        """What is added to the features ``(*batch, height, width, features)``, and the states.

        ``pixels`` are the values of the image itself, with their entries as the last axis.
        """
        raise NotImplementedError(f"{type(self).__name__} defines no __call__")

    def empty(self, row: Shape, dtype: jnp.dtype) -> Memory:
        """The memory in front of the first row; ``row`` is ``(*batch, width)``."""
        states = jnp.zeros((*row, self.units), dtype)
        return Memory(
            read=jnp.zeros((*row, self.up.out_features), dtype),
            hidden=states,
            cells=states,
            above=jnp.zeros((*row, 4 * self.units), dtype),
            right=states if self.directions == 2 else states[..., :0],
        )

    def from_above(self, hidden: Array) -> Array:
        """What the gates of a row take from the outputs ``(*batch, width, units)`` above it."""
        raise NotImplementedError(f"{type(self).__name__} defines no from_above")

    def begin_row(self, memory: Memory, pixels: Array, shifts: tuple[Array, ...]) -> Memory:
        """The memory of a row that has just been finished as what the row below it begins with.

        ``pixels`` ``(*batch, width, entries)`` and ``shifts`` are of the finished row.
        """
        return memory._replace(above=self.from_above(memory.hidden))

    def at(
        self, memory: Memory, column: Array, h: Array, shifts: tuple[Array, ...]
    ) -> tuple[Array, Memory]:
        """What is added to the features ``(*batch, features)`` of the pixel in this column."""
        raise NotImplementedError(f"{type(self).__name__} defines no at")


class RowLayer(LSTMLayer):
    """A layer of the Row LSTM: a state follows from a window of the row above.

    Args:
        width, context_features, rngs: see :class:`LSTMLayer`.
        kernel_size: the size of the windows in a row, odd.
    """

    def __init__(
        self, width: int, kernel_size: int, *, context_features: int | None, rngs: nnx.Rngs
    ):
        super().__init__(width, directions=1, context_features=context_features, rngs=rngs)
        self.reach = kernel_size // 2
        gates = 4 * self.units
        self.inputs = nnx.Linear((self.reach + 1) * width, gates, rngs=rngs)
        self.above = nnx.Linear(kernel_size * self.units, gates, use_bias=False, rngs=rngs)

    def __call__(self, h: Array, pixels: Array, shifts: tuple[Array, ...]) -> tuple[Array, States]:
        inputs = self.inputs(flat(in_row(-self.reach, 0).everywhere(h))) + shifts[0]

        def body(state: Pair, gates: Array) -> tuple[Pair, Pair]:
            hidden, cells = state
            state = lstm(gates + self.from_above(hidden), cells)
            return state, state

        rows = jnp.moveaxis(inputs, -3, 0)
        zeros = jnp.zeros((*rows.shape[1:-1], self.units), rows.dtype)
        _, states = jax.lax.scan(body, (zeros, zeros), rows)
        hidden, cells = (jnp.moveaxis(each, 0, -3) for each in states)
        return self.up(hidden), States(hidden, cells, hidden[..., :0])

    def from_above(self, hidden: Array) -> Array:
        row = in_row(-self.reach, self.reach).everywhere(hidden[..., None, :, :])
        return self.above(flat(row[..., 0, :, :, :]))

    def at(
        self, memory: Memory, column: Array, h: Array, shifts: tuple[Array, ...]
    ) -> tuple[Array, Memory]:
        read = _set(memory.read, column, h)
        columns = column + jnp.arange(-self.reach, 1)
        window = jnp.where(columns[:, None] >= 0, read[..., jnp.maximum(columns, 0), :], 0)
        gates = self.inputs(flat(window)) + shifts[0] + memory.above[..., column, :]
        hidden, cells = lstm(gates, memory.cells[..., column, :])
        memory = memory._replace(
            read=read,
            hidden=_set(memory.hidden, column, hidden),
            cells=_set(memory.cells, column, cells),
        )
        return self.up(hidden), memory


class DiagonalCell(Module):
    """What the gates of a pixel take from the states beside and above it, in one direction."""

    def __init__(self, units: int, *, rngs: nnx.Rngs):
        self.beside = nnx.Linear(units, 4 * units, use_bias=False, rngs=rngs)
        self.above = nnx.Linear(units, 4 * units, use_bias=False, rngs=rngs)

    def sweep(self, inputs: Array) -> Pair:
        """The outputs and cells of an image from left to right, one diagonal after the other.

        In the skewed map a diagonal is a column, and what a pixel needs is in the column before it.
        In front of a row there are gates without a bias, which keep a state of zeros.
        """
        columns = jnp.moveaxis(skew(inputs), -2, 0)

        def body(state: Pair, gates: Array) -> tuple[Pair, Pair]:
            hidden, cells = state
            gates = gates + self.beside(hidden) + self.above(_down(hidden, axis=-2))
            state = lstm(gates, cells)
            return state, state

        zeros = jnp.zeros((*columns.shape[1:-1], self.beside.in_features), columns.dtype)
        _, (hidden, cells) = jax.lax.scan(body, (zeros, zeros), columns)
        return unskew(jnp.moveaxis(hidden, 0, -2)), unskew(jnp.moveaxis(cells, 0, -2))


class DiagonalLayer(LSTMLayer):
    """A layer of the Diagonal BiLSTM: a state follows from those above and beside it.

    Args:
        width, context_features, rngs: see :class:`LSTMLayer`.
        entries: the values of a pixel.
    """

    def __init__(self, width: int, entries: int, *, context_features: int | None, rngs: nnx.Rngs):
        super().__init__(width, directions=2, context_features=context_features, rngs=rngs)
        gates = 4 * self.units
        self.left_inputs = nnx.Linear(width, gates, rngs=rngs)
        self.right_inputs = nnx.Linear(width + entries, gates, rngs=rngs)
        self.left = DiagonalCell(self.units, rngs=rngs)
        self.right = DiagonalCell(self.units, rngs=rngs)

    def _gates(self, h: Array, pixels: Array, shifts: tuple[Array, ...]) -> tuple[Array, Array]:
        """What the gates of both directions take from the features and pixels."""
        both = jnp.concatenate([h, pixels.astype(h.dtype)], axis=-1)
        return self.left_inputs(h) + shifts[0], self.right_inputs(both) + shifts[1]

    def __call__(self, h: Array, pixels: Array, shifts: tuple[Array, ...]) -> tuple[Array, States]:
        left, right = self._gates(h, pixels, shifts)
        # Both directions take as many steps, so they take them together.
        cells = jax.tree.map(lambda *leaves: jnp.stack(leaves), self.left, self.right)
        inputs = jnp.stack([left, jnp.flip(right, -2)])
        (hidden, from_right), (states, _) = jax.vmap(DiagonalCell.sweep)(cells, inputs)
        from_right = jnp.flip(from_right, -2)
        change = self.up(hidden + _down(from_right, axis=-3))
        return change, States(hidden, states, from_right)

    def from_above(self, hidden: Array) -> Array:
        return self.left.above(hidden)

    def begin_row(self, memory: Memory, pixels: Array, shifts: tuple[Array, ...]) -> Memory:
        _, inputs = self._gates(memory.read, pixels, shifts)
        gates = jnp.moveaxis(inputs + self.right.above(memory.right), -2, 0)

        def body(state: Pair, gates: Array) -> tuple[Pair, Array]:
            hidden, cells = state
            state = lstm(gates + self.right.beside(hidden), cells)
            return state, state[0]

        zeros = jnp.zeros((*gates.shape[1:-1], self.units), gates.dtype)
        _, row = jax.lax.scan(body, (zeros, zeros), gates, reverse=True)
        memory = super().begin_row(memory, pixels, shifts)
        return memory._replace(right=jnp.moveaxis(row, 0, -2))

    def at(
        self, memory: Memory, column: Array, h: Array, shifts: tuple[Array, ...]
    ) -> tuple[Array, Memory]:
        def beside(row: Array) -> Array:
            return jnp.where(column > 0, row[..., column - 1, :], 0)

        gates = self.left_inputs(h) + shifts[0] + memory.above[..., column, :]
        gates = gates + self.left.beside(beside(memory.hidden))
        hidden, cells = lstm(gates, beside(memory.cells))
        change = self.up(hidden + memory.right[..., column, :])
        memory = memory._replace(
            read=_set(memory.read, column, h),
            hidden=_set(memory.hidden, column, hidden),
            cells=_set(memory.cells, column, cells),
        )
        return change, memory


def in_row(first: int, last: int) -> Window:
    """A window in a row, both ends included.

    >>> in_row(-1, 1)
    Window(offsets=((0, -1), (0, 0), (0, 1)))
    """
    return rectangle((0,), range(first, last + 1))


def _set(row: Array, column: Array, value: Array) -> Array:
    return row.at[..., column, :].set(value.astype(row.dtype))


def _down(maps: Array, axis: int) -> Array:
    """Everything moved down by one along an axis, a row of zeros in front."""
    first = jnp.zeros_like(jax.lax.slice_in_dim(maps, 0, 1, axis=axis))
    rest = jax.lax.slice_in_dim(maps, 0, -1, axis=axis)
    return jnp.concatenate([first, rest], axis=axis)
