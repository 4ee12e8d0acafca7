"""What is looked for in columns of real values before a density is trained on them.

A density has no bound where many examples have the same value: the likelihood of training data then
says how narrow the model's peaks are, and nothing else.
"""

import warnings
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from jaxgen.data.columns import numbers_of, said_of
from jaxgen.models import Model

# Fewer rows say little about a column, except that it is constant.
_FEWEST = 16
# A value so many spreads away from the median is an outlier. Of 10^5 normal values the farthest is
# 5 away, of exponential ones 15, of lognormal ones 70, of Cauchy ones 10^5.
_FAR = 100.0


class ColumnWarning(UserWarning):
    """Columns over which a density has no bound, or which it is unlikely to learn."""


def warn_of_columns(
    model: Model,
    x: np.ndarray | jax.Array,
    names: Sequence[str] | None,
    observed: np.ndarray | None = None,
) -> None:
    """Warns once of columns with a constant, with repeated values, and with outliers.

    It is about densities of real values; columns of levels and counts have repeated values.
    Two values show a constant, the rest is looked for in 16 or more. What is not ``observed`` has
    been filled in, and says nothing.
    """
    if model.discrete and not jnp.issubdtype(x.dtype, jnp.floating):
        x = np.asarray(x, np.float64)  # integers, which a table may consist of
    real = jnp.issubdtype(x.dtype, jnp.floating)
    if model.levels is not None or not real or len(x) < 2:
        return
    columns = numbers_of(x, observed)
    continuous = np.ones(x.shape[1:], bool)
    continuous[..., list(model.discrete)] = False
    constant = columns.low == columns.high
    enough = columns.rows >= _FEWEST
    away = np.maximum(columns.high - columns.median, columns.median - columns.low)
    found = {
        "a density has no bound over constant columns": (constant, "leave them out"),
        "a density has no bound over columns of repeated values": (
            columns.repeats & ~constant & enough,
            "add noise of the size that they were rounded to, or model their levels "
            "(jaxgen.models.Dequantized)",
        ),
        "one scale does not fit columns with outliers or heavy tails": (
            (columns.spread > 0) & (away > _FAR * columns.spread) & enough,
            "clip or transform them (numpy.arcsinh of standardised values), or use a base with "
            "such tails (jaxgen.models.StudentT)",
        ),
    }
    said = [
        f"{what}, here {said_of(which, x, names)}: {advice}"
        for what, (flagged, advice) in found.items()
        if (which := flagged & continuous.reshape(-1)).any()
    ]
    if said:
        warnings.warn("fit: " + "; ".join(said), ColumnWarning, stacklevel=3)


def warn_of_contexts(context: np.ndarray | jax.Array, names: Sequence[str] | None = None) -> None:
    """Warns of contexts with outliers, which leave nothing of the others once standardised."""
    if not jnp.issubdtype(context.dtype, jnp.floating) or len(context) < _FEWEST:
        return
    columns = numbers_of(context)
    lost = (columns.spread > 0) & (columns.deviation > _FAR * columns.spread)
    if lost.any():
        warnings.warn(
            f"fit: contexts are standardised, which brings them within {1 / _FAR:g} of each other "
            f"where there are outliers or heavy tails, so that the model hardly sees them, here "
            f"column {said_of(lost, context, names)}: clip or transform them (numpy.arcsinh of "
            f"standardised values)",
            ColumnWarning,
            stacklevel=3,
        )
