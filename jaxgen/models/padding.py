"""Events of several lengths, padded to one: which of their positions are data."""

import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxgen.conditionals.base import Conditional
from jaxgen.core import Order, Shape, ShapeError, is_concrete
from jaxgen.functional.autoregressive import rank_of


def within(network: Conditional, lengths: Array, batch: Shape, order: Order = None) -> Array:
    """Which positions of events are data, those that are generated first.

    Args:
        network: in whose order they are counted.
        lengths: integers ``batch``.
        batch: the batch shape of the events.
        order: the generation order; the network's own if None.

    Returns:
        Boolean array ``(*batch, *grid_shape)``.

    Raises:
        ShapeError: for lengths of another shape, or that are no integers.
        ValueError: for lengths that are negative, or beyond the number of positions.
    """
    known = np.asarray(lengths) if is_concrete(lengths) else None
    lengths, size = jnp.asarray(lengths), network.num_positions
    if lengths.shape != batch or not jnp.issubdtype(lengths.dtype, jnp.integer):
        raise ShapeError(
            f"Autoregressive.log_prob: expected integer lengths of shape {batch}, got "
            f"{lengths.dtype}{lengths.shape}"
        )
    if known is not None:
        wrong = known[(known < 0) | (known > size)]
        if wrong.size:
            raise ValueError(
                f"Autoregressive.log_prob: expected lengths from 0 to {size}, got {wrong[0]}"
            )
    rank = rank_of(network.resolve_order(order))
    return (rank < lengths[..., None]).reshape(*batch, *network.grid_shape)


def filled(x: np.ndarray | Array, lengths: np.ndarray) -> np.ndarray:
    """Events whose padding holds what other events hold there: data, which may be looked at.

    What adapts to data or checks them, without knowing of lengths, sees in every position values
    that are values there. Behind the end of the longest event stand those of its end.

    Args:
        x: events ``(n, length, *position)``; their padding may be anything.
        lengths: integers ``(n,)``, which have been checked.

    >>> filled(np.array([[1, 2, 3], [4, -1, -1]]), np.array([3, 1])).tolist()
    [[1, 2, 3], [4, 2, 3]]
    """
    x, lengths = np.array(x), np.asarray(lengths)
    longest = int(lengths.max(initial=0))
    rows, places = np.nonzero(np.arange(x.shape[1]) >= lengths[:, None])
    if longest == 0 or not rows.size:
        return x
    sources = np.minimum(places, longest - 1)
    # The longest first: the events that reach a position are so many at the beginning.
    reaching = np.argsort(-lengths, kind="stable")
    counts = np.sum(lengths[:, None] > np.arange(longest), axis=0)[sources]
    drawn = np.random.default_rng(0).uniform(size=rows.size) * counts
    x[rows, places] = x[reaching[drawn.astype(int)], sources]
    return x


def check_lengths(network: Conditional, lengths: np.ndarray) -> None:
    """Refuses lengths of events that a network does not generate from their beginning on.

    They count positions, which may be vectors.

    Raises:
        ValueError: saying what was expected, what came, and what to do.
    """
    if len(network.grid_shape) != 1 or np.any(np.diff(network.own_order()) != 1):
        raise ValueError(
            f"Autoregressive: expected events (length,) or (length, *position) which "
            f"{type(network).__name__} generates from their beginning on, for lengths; got a grid "
            f"{network.grid_shape} or another order"
        )
    if not np.issubdtype(lengths.dtype, np.integer):
        raise ValueError(f"Autoregressive: expected integer lengths, got {lengths.dtype}")
    low, high = int(lengths.min()), int(lengths.max())
    if not 0 <= low <= high <= network.num_positions:
        raise ValueError(
            f"Autoregressive: expected lengths from 0 to {network.num_positions}, got {low} to "
            f"{high}"
        )
