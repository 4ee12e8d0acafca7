r"""Degrees and masks of autoregressive networks, and generation orders.

Positions are numbered ``0 .. D-1``. An *order* is a permutation: ``order[t]`` is the position
generated at step ``t``; its inverse, the *rank*, is the step at which a position is generated.

A hidden unit's *degree* is the number of inputs it may see: degree ``m`` sees the inputs of rank
``0 .. m-1``. A unit may therefore feed any unit of the same or a higher degree, and the output of
rank ``t`` may be fed by degrees up to ``t``. (Germain et al. 2015 number degrees so too, counting
ranks from 1.) Units of degree 0 see the context alone.
"""

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


def input_mask(degrees: np.ndarray, rank: Array) -> Array:
    """``(D, width)``: may the unit see the input at this position? Traced in ``rank``."""
    return rank[:, None] < jnp.asarray(degrees)[None, :]


def hidden_mask(degrees_in: np.ndarray, degrees_out: np.ndarray) -> np.ndarray:
    """``(width_in, width_out)``: may the unit feed the next layer's unit?

    >>> hidden_mask(np.array([1, 2]), np.array([1, 2])).astype(int).tolist()
    [[1, 1], [0, 1]]
    """
    return degrees_in[:, None] <= degrees_out[None, :]


def hidden_product(
    x: Array, kernel: Array, degrees_in: np.ndarray, degrees_out: np.ndarray
) -> Array:
    """``x @ kernel`` for a kernel under :func:`hidden_mask`, at three quarters of its price.

    Degrees ascend, so the first half of the outputs sees a leading part of the inputs only; the
    rest of its columns is zero and need not be multiplied. (More parts save little more, and make
    the products too small to be fast.)

    >>> degrees, ones = np.array([1, 2, 3, 4]), jnp.ones((4, 4))
    >>> kernel = ones * hidden_mask(degrees, degrees)
    >>> hidden_product(jnp.ones(4), kernel, degrees, degrees).tolist()
    [1.0, 2.0, 3.0, 4.0]
    """
    half = degrees_out.size // 2
    seen = int(np.searchsorted(degrees_in, degrees_out[half - 1], side="right"))
    first = x[..., :seen] @ kernel[:seen, :half]
    return jnp.concatenate([first, x @ kernel[:, half:]], axis=-1)


def output_mask(degrees: np.ndarray, rank: Array) -> Array:
    """``(width, D)``: may the unit feed the output at this position? Traced in ``rank``."""
    return jnp.asarray(degrees)[:, None] <= rank[None, :]


def direct_mask(rank: Array) -> Array:
    """``(D, D)``: may the output at a position (column) see the input at another (row)?"""
    return rank[:, None] < rank[None, :]


def rank_of(order: Array) -> Array:
    """The inverse permutation: ``rank[order[t]] = t``.

    >>> rank_of(jnp.array([2, 0, 1])).tolist()
    [1, 2, 0]
    """
    return jnp.argsort(order)
