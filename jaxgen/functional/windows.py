"""Windows of a grid: what a convolution sees around each position, at once or one by one.

A window is a list of offsets, ``(rows down, columns right)``. What lies beyond the edge is zero.
"""

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from jax import Array

Offsets = Sequence[tuple[int, int]]


def square(size: int) -> tuple[tuple[int, int], ...]:
    """The offsets of a ``size x size`` window around its middle, in raster order.

    >>> square(3)[0], square(3)[4], len(square(3))
    ((-1, -1), (0, 0), 9)
    """
    reach = range(-((size - 1) // 2), size // 2 + 1)
    return tuple((row, column) for row in reach for column in reach)


def causal(size: int) -> tuple[tuple[int, int], ...]:
    """The offsets of a ``size x size`` window, of an odd size, above and left of its middle.

    >>> causal(3)
    ((-1, -1), (-1, 0), (-1, 1), (0, -1))
    """
    offsets = square(size)
    return offsets[: len(offsets) // 2]


def neighbours(height: int, width: int, offsets: Offsets) -> np.ndarray:
    """The positions in every position's window, ``(D, len(offsets))``; ``D`` beyond the edge.

    >>> neighbours(1, 3, [(0, -1), (0, 0)]).tolist()
    [[3, 0], [0, 1], [1, 2]]
    """
    rows, columns = np.divmod(np.arange(height * width), width)
    found = np.empty((height * width, len(offsets)), int)
    for i, (down, right) in enumerate(offsets):
        row, column = rows + down, columns + right
        inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
        found[:, i] = np.where(inside, row * width + column, height * width)
    return found


def windows(h: Array, offsets: Offsets) -> Array:
    """All windows: ``(*batch, height, width, features)`` as ``(..., len(offsets), features)``.

    By shifts of the whole array, which are faster than a gather.

    >>> windows(jnp.arange(3.0).reshape(1, 3, 1), [(0, -1), (0, 0)])[0, :, :, 0].tolist()
    [[0.0, 0.0], [0.0, 1.0], [1.0, 2.0]]
    """
    height, width = h.shape[-3:-1]
    reach = np.abs(np.asarray(offsets)).max(axis=0)
    batch = [(0, 0)] * (h.ndim - 3)
    padded = jnp.pad(h, [*batch, *((int(r), int(r)) for r in reach), (0, 0)])
    shifts = []
    for down, right in offsets:
        top, left = int(reach[0]) + down, int(reach[1]) + right
        shifts.append(padded[..., top : top + height, left : left + width, :])
    return jnp.stack(shifts, axis=-2)


def flat(window: Array) -> Array:
    """A window ``(..., size, features)`` as one vector, as a linear map reads it.

    >>> flat(jnp.zeros((0, 5, 4))).shape
    (0, 20)
    """
    return window.reshape(*window.shape[:-2], window.shape[-2] * window.shape[-1])


def row_windows(rows: Array, size: int) -> Array:
    """Windows as wide as ``size``, odd, and as high as all of some rows, around the last of them.

    ``(rows, width, *batch, features)`` as ``(width, *batch, rows * size, features)``, in raster
    order: what :func:`windows` gives for a row when only the rows in its reach are kept.

    >>> row_windows(jnp.arange(3.0).reshape(1, 3, 1), 3)[..., 0].tolist()
    [[0.0, 0.0, 1.0], [0.0, 1.0, 2.0], [1.0, 2.0, 0.0]]
    """
    reach, width = size // 2, rows.shape[1]
    padding = [(0, 0), (reach, reach), *((0, 0) for _ in rows.shape[2:])]
    padded = jnp.pad(rows, padding)
    shifts = [
        padded[row, column : column + width] for row in range(len(rows)) for column in range(size)
    ]
    return jnp.stack(shifts, axis=-2)


def union(around: np.ndarray, sets: np.ndarray) -> np.ndarray:
    """What the positions in each window depend on, together: for receptive fields.

    Args:
        around: the positions in the windows, as :func:`neighbours` gives them.
        sets: booleans ``(D, values)``: on which values does a position depend?

    >>> union(neighbours(1, 3, [(0, -1), (0, 0)]), np.eye(3, dtype=bool)).astype(int).tolist()
    [[1, 0, 0], [1, 1, 0], [0, 1, 1]]
    """
    padded = np.concatenate([sets, np.zeros_like(sets[:1])])
    together = np.zeros((len(around), sets.shape[1]), bool)
    for position in around.T:
        together |= padded[position]
    return together


def position_rows(h: Array, dtype: jnp.dtype) -> Array:
    """Features ``(*batch, height, width, features)`` as ``(D + 1, *batch, features)``.

    The layout that windows are gathered from position by position, by the rows of
    :func:`neighbours`; the last row is the zero beyond the edge.

    >>> position_rows(jnp.ones((5, 2, 3, 4)), jnp.float32).shape
    (7, 5, 4)
    """
    batch = h.ndim - 3
    height, width, features = h.shape[batch:]
    rows = h.reshape(*h.shape[:batch], height * width, features).astype(dtype)
    return jnp.pad(jnp.moveaxis(rows, batch, 0), [(0, 1), *((0, 0) for _ in range(batch + 1))])
