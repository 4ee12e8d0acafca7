"""Columns of real values: how they vary, whether float32 keeps that, and what they are called.

Where float32 cannot tell the values of a column apart, a density is one of rounded values, whose
nats are too high.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

# A sorted sample has about so many values, and so many rows at least; of larger data than the
# second number, the smallest and the largest value are those of the sample as well.
_SAMPLE, _FEWEST_SAMPLED, _SCANNED = 2**18, 64, 2**24
# A column repeats values if one is held by more than this part of the rows (and by more rows than
# that), or if more than this part share their value with another row, and there are few values:
# large numbers have as many in float32, which are too near to each other to matter.
_SHARE, _HOLDERS = 0.05, 4
_TIED, _VALUES = 1 / 3, 2000
# A spread of fewer steps of float32 than this is lost.
_STEPS = 16
_NAMED = 10

# The interquartile range of a normal distribution, in standard deviations.
_QUARTILES = 1.349


class Columns(NamedTuple):
    """Numbers of every entry of an event, float64 arrays of as many entries."""

    low: np.ndarray
    high: np.ndarray
    median: np.ndarray
    spread: np.ndarray  # a robust standard deviation, from the quartiles
    deviation: np.ndarray  # the standard deviation, or a number below it
    repeats: np.ndarray  # booleans
    rows: np.ndarray  # how many values there are


def refuse_lost(x: np.ndarray | jax.Array, names: Sequence[str] | None, where: str) -> None:
    """Refuses float64 and integer columns whose content is lost in float32, if jax computes so.

    Raises:
        ValueError: naming the columns, their spread and the resolution, and what to do.
    """
    if jnp.result_type(float) == np.float64:
        return
    long = isinstance(x, np.ndarray) and x.dtype.kind in "iu" and x.dtype.itemsize >= 4
    said = lost_in_single(x.astype(np.float64) if long else x, names)
    if said is not None:
        raise ValueError(f"{where}: {said}")


def lost_in_single(x: np.ndarray | jax.Array, names: Sequence[str] | None) -> str | None:
    """Which float64 columns lose their content in float32, and what to do; None if none does.

    Args:
        x: array ``(n, *event_shape)``, finite.
        names: of the columns, if they have any.

    >>> seconds = 1.7e9 + np.arange(60.0)[:, None]
    >>> print(lost_in_single(seconds, ["time"]).partition(":")[0])
    column 'time' varies by 22.2 about 1700000029, where float32 has steps of 128
    >>> lost_in_single(seconds - 1.7e9, ["time"])
    """
    if x.dtype != np.float64 or len(x) < 2:
        return None
    columns = numbers_of(x)
    single = np.finfo(np.float32)
    beyond = np.maximum(np.abs(columns.low), np.abs(columns.high)) > float(single.max)
    if beyond.any():
        return (
            f"column {said_of(beyond, x, names)} reaches beyond the largest float32, "
            f"{float(single.max):.3g}; divide by a larger unit, {_FLOAT64}"
        )
    # Numbers below the smallest normal one count as zero on most devices.
    step = np.maximum(np.spacing(np.abs(columns.median).astype(np.float32)), single.tiny)
    lost = (columns.spread > 0) & (columns.spread < _STEPS * step)
    if lost.any():
        first = int(np.argmax(lost))
        return (
            f"column {said_of(lost, x, names)} varies by {columns.spread[first]:.3g} about "
            f"{columns.median[first]:.10g}, where float32 has steps of {step[first]:.3g}: its "
            f"content would be lost; subtract an offset (and divide by a unit) in float64 first, "
            f"{_FLOAT64}"
        )
    return None


# What else to do.
_FLOAT64 = "or compute in float64: jax.config.update('jax_enable_x64', True)"


def numbers_of(x: np.ndarray | jax.Array, observed: np.ndarray | None = None) -> Columns:
    """How every entry varies over the rows, or over a sample of the rows of large data.

    Args:
        x: array ``(n, *event_shape)``.
        observed: booleans of that shape, which values are there; all if None. Of an entry of less
            than two the numbers are NaN.
    """
    if observed is not None:
        rows, there = (np.asarray(each).reshape(len(x), -1) for each in (x, observed))
        each = [_numbers_of_one(rows[there[:, i], i]) for i in range(rows.shape[1])]
        return Columns(*(np.concatenate(parts) for parts in zip(*each, strict=True)))
    # As the model will see them.
    seen = jax.dtypes.canonicalize_dtype(x.dtype)
    rows = np.asarray(x).reshape(len(x), -1)
    size = max(_SAMPLE // max(1, rows.shape[1]), _FEWEST_SAMPLED)
    sample = rows
    if len(rows) > size:
        # Drawn with replacement, which is quick, and each row but once.
        sample = rows[np.unique(np.random.default_rng(0).integers(0, len(rows), size))]
    ordered = np.sort(np.ascontiguousarray(sample.T).astype(_sortable(sample)), axis=-1)
    scanned = rows if rows.size <= _SCANNED else sample
    low, high = (each(scanned, axis=0).astype(np.float64) for each in (np.min, np.max))
    lower, median, upper = (
        ordered[:, (len(sample) - 1) * part // 4].astype(np.float64) for part in (1, 2, 3)
    )
    # float64 values beyond float32 have been refused, or are infinite here.
    with np.errstate(over="ignore"):
        values = ordered.astype(seen if seen.itemsize >= 4 else ordered.dtype, copy=False)
    same = values[:, 1:] == values[:, :-1]
    distinct = len(sample) - np.sum(same, axis=1)
    one = np.zeros((len(values), 1), bool)
    tied = np.mean(np.hstack([one, same]) | np.hstack([same, one]), axis=1)
    holders = min(max(int(_SHARE * len(sample)), _HOLDERS), len(sample) - 1)
    held = np.any(values[:, holders:] == values[:, :-holders], axis=1)
    repeats = held | ((tied > _TIED) & (distinct < _VALUES))
    # Of what no sample has seen, as a single outlier, the ends of the column tell.
    away = np.maximum(high - median, median - low) / np.sqrt(len(rows))
    with np.errstate(over="ignore"):
        deviation = np.maximum(sample.std(axis=0, dtype=np.float64), away)
    count = np.full(rows.shape[1], len(rows))
    spread = (upper - lower) / _QUARTILES
    return Columns(low, high, median, spread, deviation, repeats, count)


def _numbers_of_one(values: np.ndarray) -> Columns:
    """The numbers of one entry, whose values are given."""
    if len(values) >= 2:
        return numbers_of(values[:, None])
    none = np.full(1, np.nan)
    return Columns(none, none, none, none, none, np.zeros(1, bool), np.full(1, len(values)))


def _sortable(x: np.ndarray) -> np.dtype:
    """float32 or float64: numpy sorts others, bfloat16 above all, slowly."""
    return np.dtype(np.float64 if x.dtype == np.float64 else np.float32)


def said_of(which: np.ndarray, x: np.ndarray | jax.Array, names: Sequence[str] | None) -> str:
    """Which columns, the first ten by name."""
    chosen = np.flatnonzero(which)
    shape = x.shape[1:]
    indices = [np.unravel_index(column, shape) if shape else () for column in chosen[:_NAMED]]
    said = ", ".join(column_name(tuple(map(int, i)), names) if i else "0" for i in indices)
    rest = len(chosen) - _NAMED
    return f"{said} and {rest} more" if rest > 0 else said


def column_name(index: tuple[int, ...], names: Sequence[str] | None) -> str:
    """How an entry of an event is called: its column's name or number, or a pixel's indices."""
    if len(index) > 1:
        return str(tuple(map(int, index)))
    if names is None or index[0] >= len(names):
        return str(int(index[0]))
    return repr(names[index[0]])
