"""Rows as a model sees them, in chunks of one size, for which one program does."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from jaxgen.estimators.units import Units
from jaxgen.models import Model
from jaxgen.models.chunks import in_chunks

ROWS = 256  # in a chunk


def seen(model: Model, units: Units, rows: np.ndarray) -> np.ndarray:
    """Rows as the model sees them: levels as integers, if they are any; others standardised."""
    if model.levels is not None and (rows == np.floor(rows)).all():
        return rows.astype(np.int64)
    return units.inwards(rows)


def in_whole_chunks(
    function: Callable[..., Any],
    x: np.ndarray,
    context: np.ndarray | None = None,
    seed: int = 0,
    size: int = ROWS,
) -> np.ndarray:
    """:func:`~jaxgen.models.chunks.in_chunks` of whole chunks, in no less than float32."""
    rows = np.arange(-(-len(x) // size) * size) % len(x)
    given = None if context is None else context[rows]
    with jax.default_matmul_precision("float32"):
        values = in_chunks(function, x[rows], given, jax.random.key(seed), size)
    return values[: len(x)]
