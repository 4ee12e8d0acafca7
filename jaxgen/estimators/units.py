"""Columns in units of their own, and the weights of rows."""

from typing import NamedTuple, Self

import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils import check_array

_MOST = 10  # times as many rows as there are may stand for their weights


class Units(NamedTuple):
    """The location and scale of columns, float64 arrays ``(columns,)``."""

    mean: np.ndarray
    scale: np.ndarray

    @classmethod
    def of(
        cls, rows: np.ndarray, weights: np.ndarray | None, own: np.ndarray | bool = False
    ) -> Self:
        """Those of weighted rows: scale 1 for constants; location 0, too, for columns ``own``."""
        low, high = rows.min(axis=0), rows.max(axis=0)
        extent = np.where(high > low, high - low, 1.0)
        parts = (rows - low) / extent  # between 0 and 1, whose squares keep their digits
        centre = np.average(parts, axis=0, weights=weights)
        spread = np.sqrt(np.average((parts - centre) ** 2, axis=0, weights=weights))
        scale = np.where(own | (high == low), 1.0, spread * extent)
        return cls(np.where(own, 0.0, low + centre * extent), scale)

    def inwards(self, rows: np.ndarray) -> np.ndarray:
        """Rows in these units, as JAX computes: in float32, or float64 under ``enable_x64``."""
        return ((rows - self.mean) / self.scale).astype(jnp.result_type(float))

    def outwards(self, rows: np.ndarray) -> np.ndarray:
        """The way back, in float64."""
        return rows * self.scale + self.mean


def weights_of(sample_weight: ArrayLike | None, count: int) -> np.ndarray:
    """How much each of so many rows counts, float64; ones for None.

    Raises:
        ValueError: for negative weights, less than two that are not 0, or another number of them.
    """
    if sample_weight is None:
        return np.ones(count)
    options = {"ensure_2d": False, "dtype": np.float64, "input_name": "sample_weight"}
    weights = check_array(sample_weight, **options)
    positive = np.count_nonzero(weights > 0)
    if weights.shape != (count,) or (weights < 0).any() or positive < 2:
        raise ValueError(
            f"sample_weight: expected a weight for each of {count} rows, none negative and two or "
            f"more not zero, got shape {weights.shape}, {weights.min():g} to {weights.max():g}"
        )
    return weights


def arranged(rows: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """Which rows to train on, sorted, each as often as its weight says; or with weights besides."""
    kept = np.flatnonzero(weights)
    order = kept[np.lexsort([weights[kept], *rows[kept].T[::-1]])]
    weights = weights[order]
    if (weights == np.floor(weights)).all() and weights.sum() <= _MOST * len(order):
        return np.repeat(order, weights.astype(np.int64)), None
    return order, None if (weights == weights[0]).all() else weights
