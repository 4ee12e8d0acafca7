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


def sees(height: int, width: int, offsets: Offsets) -> np.ndarray:
    """Which positions (columns) are in the window of which (rows), boolean ``(D, D)``.

    >>> sees(1, 3, [(0, -1), (0, 0)]).astype(int).tolist()
    [[1, 0, 0], [1, 1, 0], [0, 1, 1]]
    """
    size = height * width
    table = np.zeros((size, size + 1), bool)
    table[np.arange(size)[:, None], neighbours(height, width, offsets)] = True
    return table[:, :size]


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


def position_rows(h: Array, dtype: jnp.dtype) -> Array:
    """Features ``(*batch, height, width, features)`` as ``(D + 1, *batch, features)``.

    The layout that windows are gathered from position by position, by the rows of
    :func:`neighbours`; the last row is the zero beyond the edge.

    >>> position_rows(jnp.ones((5, 2, 3, 4)), jnp.float32).shape
    (7, 5, 4)
    """
    batch = h.ndim - 3
    flat = h.reshape(*h.shape[:batch], -1, h.shape[-1]).astype(dtype)
    return jnp.pad(jnp.moveaxis(flat, batch, 0), [(0, 1), *((0, 0) for _ in range(batch + 1))])
