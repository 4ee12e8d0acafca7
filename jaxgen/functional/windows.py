"""Windows of a grid: what a convolution sees around each position, at once or one by one.

A :class:`Window` is said once, by its offsets, and read in every way that a network needs: for all
positions of a map, for one position or one row of what an incremental pass keeps, and for sets of
positions, which gives receptive fields. What lies beyond the edge is zero, or nothing.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

Grid = tuple[int, ...]  # (height, width)


@dataclass(frozen=True)
class Window:
    """Some positions around a middle.

    Args:
        offsets: ``(rows down, columns right)`` of each of them.

    >>> Window(((0, -1), (0, 0))).moved(-1, 0)
    Window(offsets=((-1, -1), (-1, 0)))
    """

    offsets: tuple[tuple[int, int], ...]

    def __len__(self) -> int:
        return len(self.offsets)

    def __add__(self, other: "Window") -> "Window":
        return Window(self.offsets + other.offsets)

    def moved(self, down: int, right: int) -> "Window":
        """The same window around another middle."""
        return Window(tuple((row + down, column + right) for row, column in self.offsets))

    @property
    def rows(self) -> int:
        """How many rows it spans from its uppermost to that of the middle, both included."""
        return 1 - min(row for row, _ in self.offsets)

    @property
    def reach(self) -> int:
        """How many columns it reaches to either side, at most."""
        return max(abs(column) for _, column in self.offsets)

    def around(self, grid: Grid) -> np.ndarray:
        """The positions in every position's window, ``(D, size)``; ``D`` beyond the edge.

        >>> left(3, middle=True).around((1, 3)).tolist()
        [[3, 0], [0, 1], [1, 2]]
        """
        height, width = grid
        rows, columns = np.divmod(np.arange(height * width)[:, None], width)
        down, right = np.array(self.offsets).T
        row, column = rows + down, columns + right
        inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
        return np.where(inside, row * width + column, height * width)

    def everywhere(self, h: Array) -> Array:
        """All windows: ``(*batch, height, width, features)`` as ``(..., size, features)``.

        By shifts of the whole array, which are faster than a gather.

        >>> window = left(3, middle=True)
        >>> window.everywhere(jnp.arange(3.0).reshape(1, 3, 1))[0, :, :, 0].tolist()
        [[0.0, 0.0], [0.0, 1.0], [1.0, 2.0]]
        """
        height, width = h.shape[-3:-1]
        tall, wide = max(abs(row) for row, _ in self.offsets), self.reach
        batch = [(0, 0)] * (h.ndim - 3)
        padded = jnp.pad(h, [*batch, (tall, tall), (wide, wide), (0, 0)])
        shifts = [
            padded[..., tall + down : tall + down + height, wide + right : wide + right + width, :]
            for down, right in self.offsets
        ]
        return jnp.stack(shifts, axis=-2)

    def at(self, kept: Array, grid: Grid, position: Array) -> Array:
        """The window of one position ``(*batch, size, features)`` in kept :func:`position_rows`."""
        return gather(kept, jnp.asarray(self.around(grid))[position])

    def along(self, kept: Array, grid: Grid, row: Array) -> Array:
        """The windows of a row ``(width, *batch, size, features)`` in :func:`position_rows`."""
        height, width = grid
        return gather(kept, jnp.asarray(self.around(grid).reshape(height, width, -1))[row])

    def along_last(self, rows: Array) -> Array:
        """The windows of the last of some rows, where no more than those in reach are kept.

        ``(rows, width, *batch, features)`` as ``(width, *batch, size, features)``.

        >>> left(3, middle=True).along_last(jnp.arange(3.0).reshape(1, 3, 1))[..., 0].tolist()
        [[0.0, 0.0], [0.0, 1.0], [1.0, 2.0]]
        """
        padding = [(0, 0), (self.reach, self.reach), *((0, 0) for _ in rows.shape[2:])]
        return self.within(jnp.pad(rows, padding))

    def within(self, rows: Array) -> Array:
        """:meth:`along_last` of rows that go on by :attr:`reach` columns at either side."""
        wide, last = self.reach, len(rows) - 1
        width = rows.shape[1] - 2 * wide
        shifts = [
            rows[last + down, wide + right : wide + right + width] for down, right in self.offsets
        ]
        return jnp.stack(shifts, axis=-2)

    def in_turn(self, kept: Array, row: Any, column: Any, values: Array) -> tuple[Array, Array]:
        """Puts pixels of a row into rows that are kept in turn, and reads their windows.

        Args:
            kept: as many rows as the window spans, the newest in place of the oldest, with what
                lies beyond the edges: ``(rows, width + 2 * reach, *batch, features)``.
            row, column: of the first of the pixels; integers, perhaps traced.
            values: ``(count, *batch, features)``.

        Returns:
            The windows ``(count, *batch, size, features)``, and the rows with the values.
        """
        start = row % self.rows, column + self.reach, *[0] * (values.ndim - 1)
        kept = jax.lax.dynamic_update_slice(kept, values[None].astype(kept.dtype), start)
        near = jax.lax.dynamic_slice_in_dim(kept, column, len(values) + 2 * self.reach, axis=1)
        return self.within(near[(row + np.arange(1 - self.rows, 1)) % self.rows]), kept

    def turns(self, h: Array, row: int) -> Array:
        """What :meth:`in_turn` keeps in a row of features ``(*batch, height, width, features)``."""
        turns = [row_of(h, row - (row - i) % self.rows) for i in range(self.rows)]
        padding = [(0, 0), (self.reach, self.reach), *((0, 0) for _ in h.shape[2:])]
        return jnp.pad(jnp.stack(turns), padding)

    def spread(self, small: Array) -> Array:
        """:meth:`everywhere` of features at twice the resolution, with zeros between them.

        They are at the even rows and columns: a transposed convolution of stride 2.
        """
        between = [*[(0, 0, 0)] * (small.ndim - 3), (0, 1, 1), (0, 1, 1), (0, 0, 0)]
        return self.everywhere(jax.lax.pad(small, jnp.zeros((), small.dtype), between))

    def spread_row(self, small: Array, row: Any, column: Any, count: int) -> Array:
        """The same for some pixels of a row, from the row of features ``(width, ...)`` near it."""
        down, right = np.array(self.offsets).T
        row, column = row + down, column + np.arange(count)[:, None] + right
        inside = (row % 2 == 0) & (column % 2 == 0) & (column < 2 * len(small))
        padded = jnp.concatenate([small, jnp.zeros_like(small[:1])])
        return gather(padded, jnp.where(inside, column // 2, len(small)))

    def union(self, sets: np.ndarray, grid: Grid) -> np.ndarray:
        """What the positions in each window depend on, together: for receptive fields.

        Args:
            sets: booleans ``(D, values)``: on which values does a position depend?
            grid: ``(height, width)`` of the positions.

        >>> left(3, middle=True).union(np.eye(3, dtype=bool), (1, 3)).astype(int).tolist()
        [[1, 0, 0], [1, 1, 0], [0, 1, 1]]
        """
        padded = np.concatenate([sets, np.zeros_like(sets[:1])])
        together = np.zeros_like(sets)
        for position in self.around(grid).T:
            together |= padded[position]
        return together


def rectangle(rows: Iterable[int], columns: Iterable[int]) -> Window:
    """A window of these rows and columns around its middle, in raster order.

    >>> rectangle((-1, 0), (0, 1))
    Window(offsets=((-1, 0), (-1, 1), (0, 0), (0, 1)))
    """
    columns = tuple(columns)
    return Window(tuple((row, column) for row in rows for column in columns))


def square(size: int) -> Window:
    """A ``size x size`` window, of an odd size, around its middle."""
    return rectangle(_around(size), _around(size))


def above(size: int, *, middle: bool) -> Window:
    """The rows above the middle in a square, and perhaps that of the middle: no blind spot.

    >>> above(3, middle=False)
    Window(offsets=((-1, -1), (-1, 0), (-1, 1)))
    """
    return rectangle(range(-(size // 2), middle), _around(size))


def left(size: int, *, middle: bool) -> Window:
    """What is left of the middle in its row in a square, and perhaps the middle.

    >>> left(5, middle=True)
    Window(offsets=((0, -2), (0, -1), (0, 0)))
    """
    return rectangle((0,), range(-(size // 2), middle))


def causal(size: int, *, middle: bool = False) -> Window:
    """What comes before the middle of a square in raster order, and perhaps the middle.

    >>> causal(3)
    Window(offsets=((-1, -1), (-1, 0), (-1, 1), (0, -1)))
    """
    return above(size, middle=False) + left(size, middle=middle)


def _around(size: int) -> range:
    return range(-(size // 2), size // 2 + 1)


def check_sizes(name: str, *sizes: int) -> None:
    """Refuses windows without a middle, or of it alone.

    Raises:
        ValueError: for an even size, or one below 3.
    """
    for size in sizes:
        if size < 3 or size % 2 == 0:
            raise ValueError(f"{name}: expected odd windows of 3 or more, got {size}")


def flat(window: Array) -> Array:
    """A window ``(..., size, features)`` as one vector, as a linear map reads it.

    >>> flat(jnp.zeros((0, 5, 4))).shape
    (0, 20)
    """
    return window.reshape(*window.shape[:-2], window.shape[-2] * window.shape[-1])


def pixels(x: Array, event_shape: tuple[int, ...]) -> Array:
    """Events whose grid is ``(height, width)`` with the entries of a position as one last axis.

    >>> pixels(jnp.ones((5, 2, 3)), (2, 3)).shape, pixels(jnp.ones((2, 3, 4)), (2, 3, 4)).shape
    ((5, 2, 3, 1), (2, 3, 4))
    """
    end = x.ndim - len(event_shape) + 2
    return x.reshape(*x.shape[:end], math.prod(event_shape[2:]))


def row_of(h: Array, row: int) -> Array:
    """A row of features ``(*batch, height, width, features)`` as ``(width, *batch, features)``.

    Above the first there are zeros.
    """
    own = jnp.moveaxis(h[..., max(row, 0), :, :], -2, 0)
    return own if row >= 0 else jnp.zeros_like(own)


# An incremental pass keeps features as (D + 1, *batch, features), one row for each position; the
# last row is the zero beyond the edge, to which ``Window.around`` points.


def empty_rows(grid: Grid, batch: tuple[int, ...], features: int, dtype: Any) -> Array:
    """Zeros ``(D + 1, *batch, features)``: what is kept before the first step."""
    return jnp.zeros((math.prod(grid) + 1, *batch, features), dtype)


def position_rows(h: Array, dtype: Any) -> Array:
    """Features ``(*batch, height, width, features)`` as ``(D + 1, *batch, features)``.

    >>> position_rows(jnp.ones((5, 2, 3, 4)), jnp.float32).shape
    (7, 5, 4)
    """
    batch = h.ndim - 3
    height, width, features = h.shape[batch:]
    rows = h.reshape(*h.shape[:batch], height * width, features).astype(dtype)
    return jnp.pad(jnp.moveaxis(rows, batch, 0), [(0, 1), *((0, 0) for _ in range(batch + 1))])


def with_row(rows: Array, position: Array, row: Array) -> Array:
    """Kept rows with one of them replaced."""
    return jax.lax.dynamic_update_index_in_dim(rows, row.astype(rows.dtype), position, 0)


def with_previous(rows: Array, t: Array, value: Array, order: Array | None = None) -> Array:
    """Kept values with that of step ``t - 1``, in raster order or another."""
    # At t = 0 the driver's zero lands where the first value will.
    before = jnp.maximum(t - 1, 0)
    position = before if order is None else order[before]
    return with_row(rows, position, value.reshape(rows.shape[1:]))


def gather(rows: Array, around: Array) -> Array:
    """The windows ``(*lead, *batch, size, features)`` whose rows are ``around``, ``(*lead, size)``.

    >>> gather(jnp.zeros((7, 5, 4)), jnp.array([[0, 6], [1, 0], [2, 1]])).shape
    (3, 5, 2, 4)
    """
    # No row is missing, so nothing is looked for: a step has little time for anything.
    windows = rows.at[around].get(mode="promise_in_bounds")
    return jnp.moveaxis(windows, around.ndim - 1, -2)
