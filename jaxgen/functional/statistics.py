"""Location and scale of data, in any unit, and the frequencies of levels."""

import math

import jax.numpy as jnp
import numpy as np
from jax import Array

Values = Array | np.ndarray

# What layers make of a constant differs by their rounding, relative to their largest values.
_ROUNDING = 1e-6

# Rows of so many numbers at a time become float64 on the host.
_BLOCK = 2**22


def location_and_scale(x: Values, ndims: int, *, inside: bool = False) -> tuple[Values, Values]:
    r"""The mean and the standard deviation of each entry of an event.

    .. math:: m = \frac1n \sum_i x_i, \qquad
              s = d \sqrt{\frac1n \sum_i \left(\frac{x_i - m}{d}\right)^2}, \qquad
              d = \max_i |x_i - m|,

    so that no unit of the data is too small or too large for the square: ``s`` of ``c x`` is ``c``
    times that of ``x``. What varies by no more than rounding has no spread to measure by and
    counts as constant: its scale is 1.

    A numpy array is summed in float64 on the host, in blocks, however many rows it has; a jax
    array in float32 or better where it lives, under ``jax.jit`` too.

    Args:
        x: real array ``(*batch, *event)``, of one example or more.
        ndims: axes of the event; the statistics are over all axes before them.
        inside: says that other layers have made these values, all in one unit: then what varies by
            less than a millionth of what varies most is their rounding.

    Returns:
        Two arrays ``(*event)``; float64 for a numpy array.

    >>> mean, scale = location_and_scale(np.array([[1e9, 5.0], [3e9, 5.0]]), 1)
    >>> mean.tolist(), scale.tolist()
    ([2000000000.0, 5.0], [1000000000.0, 1.0])
    """
    rows = x.reshape(-1, *x.shape[x.ndim - ndims :])
    eps = float(jnp.finfo(x.dtype).eps) if jnp.issubdtype(x.dtype, jnp.floating) else 0.0
    if isinstance(rows, np.ndarray):
        return _on_host(rows, eps, inside)
    rows = rows.astype(jnp.promote_types(rows.dtype, jnp.float32))
    mean = jnp.mean(rows, 0)
    deviation = jnp.max(jnp.abs(rows - mean), 0)
    constant = is_constant(deviation, jnp.max(jnp.abs(rows), 0), eps, inside)
    unit = jnp.where(constant, 1.0, deviation)
    scale = unit * jnp.sqrt(jnp.mean(((rows - mean) / unit) ** 2, 0))
    return mean, jnp.where(constant, 1.0, scale)


def is_constant(deviation: Values, largest: Values, eps: float, inside: bool) -> Values:
    """Whether the values of an entry vary by no more than rounding.

    Args:
        deviation: the largest distance from their mean, of every entry.
        largest: the largest magnitude.
        eps: the relative rounding of their dtype.
        inside: as in :func:`location_and_scale`.
    """
    constant = deviation <= 4 * eps * largest
    return constant | (deviation < _ROUNDING * deviation.max()) if inside else constant


def _on_host(rows: np.ndarray, eps: float, inside: bool) -> tuple[np.ndarray, np.ndarray]:
    """In float64, which has room for the square of any float32."""
    step = max(1, _BLOCK // max(1, rows[0].size))
    blocks = [rows[start : start + step] for start in range(0, len(rows), step)]
    total = squares = deviation = largest = np.zeros(rows.shape[1:])
    for block in blocks:
        total = total + np.sum(block, 0, dtype=np.float64)
    mean = total / len(rows)
    for block in blocks:
        away = np.abs(block - mean)
        squares = squares + np.sum(away**2, 0)
        deviation = np.maximum(deviation, np.max(away, 0))
        largest = np.maximum(largest, np.max(np.abs(block), 0))
    constant = is_constant(deviation, largest, eps, inside)
    return np.asarray(mean), np.where(constant, 1.0, np.sqrt(squares / len(rows)))


def level_frequencies(x: Values, levels: int, ndims: int, shared: int) -> Values:
    r"""How often each level occurs at every entry of an event, estimated.

    Few examples say little of a rare level at one entry, more of it at all entries together. So
    each observed share :math:`f_{il}` of a level ``l`` among ``n`` values of an entry ``i`` is
    drawn to the mean :math:`\bar f_l` over entries,

    .. math:: p_{il} \propto w_l f_{il} + (1 - w_l) \bar f_l + \frac{1}{2 n L}, \qquad
              w_l = \frac{\tau_l^2}{\tau_l^2 + \bar f_l (1 - \bar f_l) / n},

    the less the more the entries differ (:math:`\tau_l^2`, the variance of :math:`f_{il}` over
    entries beyond that of counting; the empirical Bayes estimate of Efron and Morris 1973). The
    last term keeps each of the ``L`` levels possible.

    A numpy array is counted on the host, a jax array where it lives, under ``jax.jit`` too.

    Args:
        x: integer levels ``(*batch, *event)``, of one example or more.
        levels: how many there are.
        ndims: axes of the event.
        shared: so many leading axes of the event hold entries of one kind; of the others each has
            its own mean.

    Returns:
        Probabilities ``(*event, levels)``.

    >>> each = level_frequencies(np.array([[0, 1]] * 1000), 2, 1, 1)
    >>> each.round(2).tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    """
    event = x.shape[x.ndim - ndims :]
    rows = x.reshape(-1, math.prod(event))
    n = len(rows)
    counts: Values
    if isinstance(rows, np.ndarray):
        counts = _counts_on_host(rows, levels)
    else:
        counts = _counts(rows, levels)
    share = counts.reshape(*event, levels) / n
    entries = tuple(range(shared))
    mean = share.mean(entries, keepdims=True)
    counting = mean * (1.0 - mean) / n
    spread = ((share - mean) ** 2).mean(entries, keepdims=True) - counting
    spread = spread.clip(0.0)
    weight = spread / (spread + counting + float(np.finfo(np.float32).tiny))
    smooth = weight * share + (1.0 - weight) * mean + 0.5 / (n * levels)
    return smooth / smooth.sum(-1, keepdims=True)


def _counts(rows: Array, levels: int) -> Array:
    """How often each level occurs in each column, ``(columns, levels)``."""
    columns = jnp.arange(rows.shape[1])
    counts = jnp.zeros((rows.shape[1], levels), jnp.result_type(float))
    return counts.at[columns, rows.astype(jnp.int32)].add(1.0)


def _counts_on_host(rows: np.ndarray, levels: int) -> np.ndarray:
    columns = rows.shape[1]
    counts = np.zeros(columns * levels, np.int64)
    step = max(1, _BLOCK // max(1, columns))
    for start in range(0, len(rows), step):
        cell = rows[start : start + step].astype(np.int64) + levels * np.arange(columns)
        counts += np.bincount(cell.ravel(), minlength=len(counts))
    return counts.reshape(columns, levels)
