"""Rows of which some values are missing."""

import numpy as np

from jaxgen.core import ShapeError
from jaxgen.models import Model


def fill_in(x: np.ndarray, observed: np.ndarray, model: Model, where: str) -> np.ndarray:
    """The same rows, with values of other rows where they are not observed.

    Nothing is learned from what stands there: the likelihood does not read it. But what looks at
    the data as they are, such as the scale of a column or the check that it has one, then sees the
    values that the column has.

    Args:
        x: examples ``(n, *event_shape)``; anything may stand at missing positions, NaN too.
        observed: booleans ``(n, *grid_shape)``.
        model: what they are for.
        where: what they are called in messages.

    Raises:
        TypeError: if the model knows no density of a part of an event, or not of these parts.
        ShapeError: if the mask has another shape.
        ValueError: if it is no mask.
    """
    if model.grid_shape is None:
        raise TypeError(
            f"fit: {where} say what is observed, but a {type(model).__name__} does not know the "
            f"density of a part of an event; drop or fill rows with missing values, or train a "
            f"model that does, such as jaxgen.zoo.tabular or jaxgen.zoo.eonade"
        )
    if observed.dtype != bool:
        raise ValueError(f"{where}: expected observed to be booleans, got {observed.dtype}")
    expected = (len(x), *model.grid_shape)
    if x.shape[1:] != model.event_shape or observed.shape != expected:
        raise ShapeError(
            f"{where}: expected examples (n, {model.event_shape}) and observed of shape "
            f"{expected}, got {x.shape} and {observed.shape}"
        )
    if not model.conditions_exactly(observed):
        raise TypeError(
            f"{where}: {type(model).__name__} generates in an order of its own, and does not know "
            f"the density of what is observed of these rows; an average over orders (lmconv, "
            f"eonade, or made with num_orders) knows that of any part"
        )
    positions = observed[0].size if len(x) else 0
    filled = x.reshape(len(x), positions, -1).copy()
    for position, there in enumerate(observed.reshape(len(x), positions).T):
        known, gone = np.flatnonzero(there), np.flatnonzero(~there)
        if not known.size:
            raise ValueError(
                f"{where}: position {position} is observed in no row, so nothing can be learned of "
                f"it; leave it out"
            )
        # The rows that have a value, one after the other: the same share of each.
        filled[gone, position] = filled[known[np.arange(gone.size) % known.size], position]
    return filled.reshape(x.shape)
