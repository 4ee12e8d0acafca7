r"""The map between the real line and what lies on one side of a number.

.. math:: x = a \pm e^z, \qquad \log\left|\frac{dx}{dz}\right| = z.

Seen from the data it is a logarithm, which turns their unit into a shift. On the wrong side of the
end ``a`` ``log|dz/dx|`` is ``-inf``, with the derivative 0, and ``z`` only holds the place of a
value. The end itself, which a value may reach by rounding, counts as the number next to it, and
what *forward* gives is never nearer than that, nor beyond the floats.
"""

import jax.numpy as jnp
import numpy as np
from jax import Array


def half_line_forward(
    z: Array, end: float | np.ndarray, side: float | np.ndarray
) -> tuple[Array, Array]:
    """``x = end + side exp(z)`` and ``log|dx/dz|``.

    Args:
        z: array of any shape.
        end: ``a``, a number or an array that broadcasts to ``z``.
        side: 1 for what is above it, -1 for what is below.

    >>> x, log_derivative = half_line_forward(jnp.zeros(2), 5.0, -1.0)
    >>> x.tolist(), log_derivative.tolist()
    ([4.0, 4.0], [0.0, 0.0])
    """
    first = _next_to(end, side, z.dtype)
    # Not `minimum`, whose derivative at the largest number is a half.
    largest = float(jnp.finfo(z.dtype).max) / 4
    away = jnp.where(z > np.log(largest), largest, jnp.exp(z))
    x = jnp.asarray(end, z.dtype) + jnp.asarray(side, z.dtype) * away
    beyond = (x - first) * jnp.asarray(side, z.dtype) < 0
    return jnp.where(beyond, first, x), z


def half_line_inverse(
    x: Array, end: float | np.ndarray, side: float | np.ndarray
) -> tuple[Array, Array]:
    """``z = log(side (x - end))`` and ``log|dz/dx|``, the inverse of :func:`half_line_forward`.

    >>> half_line_inverse(jnp.array([1.0, -1.0]), 0.0, 1.0)[1] > -1
    Array([ True, False], dtype=bool)
    """
    first = _next_to(end, side, x.dtype)
    away = (x - jnp.asarray(end, x.dtype)) * jnp.asarray(side, x.dtype)
    least = jnp.abs(first - jnp.asarray(end, x.dtype))
    outside = away < 0
    # The derivative of what is moved is 0; NaN stays NaN.
    z = jnp.log(jnp.where(outside, 1.0, jnp.where(away < least, least, away)))
    return z, jnp.where(outside, -jnp.inf, -z)


def _next_to(end: float | np.ndarray, side: float | np.ndarray, dtype: jnp.dtype) -> np.ndarray:
    """The first number on the side of the end whose distance to it has a logarithm of a finite
    slope."""
    end = np.asarray(end, dtype)
    info = jnp.finfo(dtype)
    finest = float(info.tiny) / float(info.eps)  # at 0 there are finer numbers, too fine for that
    towards = np.nextafter(end, (np.asarray(side) * np.inf).astype(dtype))
    return np.where(end == 0, np.asarray(side * np.asarray(finest), dtype), towards).astype(dtype)
