"""Location and scale of data, in any unit."""

import jax.numpy as jnp
import numpy as np
from jax import Array

Values = Array | np.ndarray

# Rows of so many numbers at a time become float64 on the host.
_BLOCK = 2**22


def location_and_scale(x: Values, ndims: int) -> tuple[Values, Values]:
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

    Returns:
        Two arrays ``(*event)``; float64 for a numpy array.

    >>> mean, scale = location_and_scale(np.array([[1e9, 5.0], [3e9, 5.0]]), 1)
    >>> mean.tolist(), scale.tolist()
    ([2000000000.0, 5.0], [1000000000.0, 1.0])
    """
    rows = x.reshape(-1, *x.shape[x.ndim - ndims :])
    eps = float(jnp.finfo(x.dtype).eps) if jnp.issubdtype(x.dtype, jnp.floating) else 0.0
    if isinstance(rows, np.ndarray):
        return _on_host(rows, eps)
    rows = rows.astype(jnp.promote_types(rows.dtype, jnp.float32))
    mean = jnp.mean(rows, 0)
    deviation = jnp.max(jnp.abs(rows - mean), 0)
    constant = is_constant(deviation, jnp.max(jnp.abs(rows), 0), eps)
    unit = jnp.where(constant, 1.0, deviation)
    scale = unit * jnp.sqrt(jnp.mean(((rows - mean) / unit) ** 2, 0))
    return mean, jnp.where(constant, 1.0, scale)


def is_constant(deviation: Values, largest: Values, eps: float) -> Values:
    """Whether values vary by no more than rounding.

    Args:
        deviation: the largest distance from their mean.
        largest: the largest magnitude.
        eps: the relative rounding of their dtype.
    """
    return deviation <= 4 * eps * largest


def _on_host(rows: np.ndarray, eps: float) -> tuple[np.ndarray, np.ndarray]:
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
    constant = is_constant(deviation, largest, eps)
    return np.asarray(mean), np.where(constant, 1.0, np.sqrt(squares / len(rows)))
