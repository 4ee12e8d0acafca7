r"""Degrees and masks of autoregressive networks, generation orders and their parallel depth.

Positions are numbered ``0 .. D-1``. An *order* is a permutation: ``order[t]`` is the position
generated at step ``t``; its inverse, the *rank*, is the step at which a position is generated.

A unit's *degree* is the number of inputs it may see: degree ``m`` sees the inputs of rank
``0 .. m-1``. A unit may therefore feed any unit of the same or a higher degree, where an input of
rank ``t`` counts as degree ``t + 1`` and the output of rank ``t`` as degree ``t``. (Germain et al.
2015 number degrees so too, counting ranks from 1.) Units of degree 0 see the context alone.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array


def hidden_degrees(width: int, num_positions: int, *, lowest: int) -> np.ndarray:
    """Degrees of ``width`` hidden units: ascending and as evenly spread as they can be.

    Sorted degrees make the units that become known at a step one contiguous block, which is what
    lets a masked network be sampled at the cost of one pass.

    Args:
        width: the number of units.
        num_positions: ``D``; degrees run from ``lowest`` to ``D - 1``.
        lowest: 0 if units that see only the context are wanted, else 1.

    >>> hidden_degrees(6, 4, lowest=1).tolist()
    [1, 1, 2, 2, 3, 3]
    >>> hidden_degrees(2, 5, lowest=1).tolist()
    [1, 3]
    """
    count = max(num_positions - lowest, 1)
    return lowest + (np.arange(width) * count) // width


def mask(below: Array | np.ndarray, above: Array | np.ndarray) -> Array | np.ndarray:
    """``(width_below, width_above)``: may a unit feed one of the layer above, by their degrees?

    Constant where both are; traced where one comes from the rank of an order.

    >>> mask(np.array([1, 2]), np.array([1, 2])).astype(int).tolist()
    [[1, 1], [0, 1]]
    """
    return below[:, None] <= above[None, :]


_HALVED = 192  # outputs, from which on two products of halves are faster than one


def masked_product(
    x: Array, kernel: Array, degrees_in: np.ndarray, degrees_out: np.ndarray
) -> Array:
    """``x @ kernel`` for a kernel under :func:`mask`, at three quarters of its price if large.

    Degrees ascend, so the first half of the outputs sees a leading part of the inputs only; the
    rest of its columns is zero and need not be multiplied. (More parts save little more, and make
    the products too small to be fast, as two do of narrow layers.)

    >>> degrees, ones = np.array([1, 2, 3, 4]), jnp.ones((4, 4))
    >>> kernel = ones * mask(degrees, degrees)
    >>> masked_product(jnp.ones(4), kernel, degrees, degrees).tolist()
    [1.0, 2.0, 3.0, 4.0]
    """
    if degrees_out.size < _HALVED:
        return x @ kernel
    half = degrees_out.size // 2
    seen = int(np.searchsorted(degrees_in, degrees_out[half - 1], side="right"))
    first = x[..., :seen] @ kernel[:seen, :half]
    return jnp.concatenate([first, x @ kernel[:, half:]], axis=-1)


def s_curve(height: int, width: int, variant: int = 0) -> np.ndarray:
    """The boustrophedon order of a grid: every other row runs backwards (Jain et al. 2020).

    The eight variants start in any corner and run along rows or columns: bit 0 mirrors left and
    right, bit 1 top and bottom, bit 2 exchanges rows and columns.

    Raises:
        ValueError: if there is no such variant.

    >>> s_curve(2, 3).tolist()
    [0, 1, 2, 5, 4, 3]
    """
    if variant not in range(8):
        raise ValueError(f"s_curve: expected a variant 0..7, got {variant}")
    grid = np.arange(height * width).reshape(height, width)
    if variant & 1:
        grid = grid[:, ::-1]
    if variant & 2:
        grid = grid[::-1]
    if variant & 4:
        grid = grid.T
    rows = [row if i % 2 == 0 else row[::-1] for i, row in enumerate(grid)]
    return np.concatenate(rows)


def hilbert(height: int, width: int) -> np.ndarray:
    """The order of Hilbert's curve, whose stretches cover compact patches of the grid.

    On a grid that is no square with a power of two as its side, the order is that of the smallest
    such square around it, without the positions outside.

    >>> hilbert(2, 2).tolist()
    [0, 2, 3, 1]
    """
    side = 1 << max(height - 1, width - 1, 0).bit_length()
    # The curve of a square from that of its quarter: transposed, twice as it is, transposed along
    # the other diagonal.
    rows, columns = np.zeros(1, int), np.zeros(1, int)
    size = 1
    while size < side:
        last = 2 * size - 1
        rows, columns = (
            np.concatenate([columns, rows + size, rows + size, size - 1 - columns]),
            np.concatenate([rows, columns, columns + size, last - rows]),
        )
        size *= 2
    inside = (rows < height) & (columns < width)
    return rows[inside] * width + columns[inside]


def random_orders(key: Array, count: int, num_positions: int) -> Array:
    """Random generation orders ``(count, num_positions)``.

    Raises:
        ValueError: for less than one.

    >>> random_orders(jax.random.key(0), 3, 5).shape
    (3, 5)
    """
    if count < 1:
        raise ValueError(f"expected num_orders >= 1, got {count}")
    keys = jax.random.split(key, count)
    return jax.vmap(lambda each: jax.random.permutation(each, num_positions))(keys)


def observed_first(order: Array, observed: Array) -> Array:
    """The order with the observed positions moved to its front, nothing else exchanged.

    Args:
        order: integer array ``(D,)``.
        observed: boolean array ``(D,)``, in raster order. Both may be traced.

    >>> observed_first(jnp.arange(4), jnp.array([False, True, False, True])).tolist()
    [1, 3, 0, 2]
    """
    return order[jnp.argsort(~observed[order], stable=True)]


def through(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """What is seen through a layer: the product of two boolean matrices of dependencies.

    Args:
        first: ``(A, B)``: does ``a`` see ``b``?
        second: ``(B, C)``: does ``b`` see ``c``?

    >>> through(np.eye(3, k=-1) > 0, np.eye(3, k=-1) > 0).astype(int).tolist()
    [[0, 0, 0], [0, 0, 0], [1, 0, 0]]
    """
    # In floating point numpy multiplies matrices fast; a sum of ones is never lost.
    return first.astype(np.float32) @ second.astype(np.float32) > 0


def wave_numbers(order: np.ndarray, depends: np.ndarray) -> np.ndarray:
    """For each position, after how many others, one after the other, it can be generated.

    Positions with the same number need nothing of each other, so that as many rounds generate all
    as there are numbers: the *parallel depth* of the order is the largest number plus one.

    Args:
        order: integer array ``(D,)``.
        depends: boolean array ``(D, D)``: does the position (row) depend on another (column)?

    Raises:
        ValueError: if a position depends on one that comes later, or on itself.

    >>> chain = np.eye(4, k=-1, dtype=bool)
    >>> wave_numbers(np.arange(4), chain).tolist()
    [0, 1, 2, 3]
    >>> wave_numbers(np.arange(4), chain & [True, False, True, True]).tolist()
    [0, 1, 0, 1]
    """
    waves = np.full(len(order), -1)
    for position in order:
        before = waves[depends[position]]
        if np.any(before < 0):
            raise ValueError(f"wave_numbers: position {position} depends on what comes after it")
        waves[position] = before.max(initial=-1) + 1
    return waves
