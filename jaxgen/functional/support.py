r"""What is outside the support of a density: :math:`\log p = -\infty`, with the derivative 0.

A formula that is evaluated where it has no meaning gives NaN, and ``where`` does not keep it from
the gradient, for :math:`0 \cdot \infty` is NaN too. So what is outside is first replaced by
something inside, then run through the formula, whose result is replaced by ``-inf``: the derivative
of either replacement is 0. The functions here are what such values meet on their way.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import DTypeLike


def is_level(value: Array, levels: float) -> Array:
    """Which values are integers from 0 to ``levels - 1``, of whatever dtype.

    >>> is_level(jnp.array([-1.0, 0.0, 0.5, 1.0, 2.0, jnp.nan]), 2).tolist()
    [False, True, False, True, False, False]
    >>> is_level(jnp.array([0, 255], jnp.uint8), 256).tolist()
    [True, True]
    """
    if jnp.issubdtype(jnp.result_type(value), jnp.floating):
        return (value >= 0) & (value < levels) & (value == jnp.floor(value))
    # Beside a uint8, 256 would be taken for 0.
    wide = jnp.asarray(value).astype(jnp.promote_types(jnp.result_type(value), jnp.int32))
    return (wide >= 0) & (wide < levels)


def restrict(log_prob: Array, inside: Array) -> Array:
    """Log-probabilities of events, ``-inf`` for those of which any entry is outside.

    Args:
        log_prob: array ``(*batch,)``, of events in which something inside stands for what is not.
        inside: boolean array ``(*batch, *event)``.

    >>> restrict(jnp.zeros(2), jnp.array([[True, True], [True, False]])).tolist()
    [0.0, -inf]
    """
    every = jnp.all(inside, tuple(range(log_prob.ndim, inside.ndim)))
    return jnp.where(every, log_prob, -jnp.inf)


def flat(log_prob: Array) -> Array:
    """The same numbers, whose derivative in everything is 0 where they are ``-inf``.

    >>> jax.grad(lambda x: flat(jnp.log(x) - jnp.inf))(2.0).item()
    0.0
    """
    return jnp.where(log_prob == -jnp.inf, -jnp.inf, log_prob)


def still(value: Array, log_prob: Array) -> Array:
    """Values beside log-probabilities, without a derivative where those are ``-inf``.

    Args:
        value: array ``(*batch, n)``.
        log_prob: array ``(*batch,)``.

    >>> jax.grad(lambda x: jnp.sum(still(x, jnp.array([-jnp.inf, 0.0]))))(jnp.ones((2, 1))).tolist()
    [[0.0], [1.0]]
    """
    return jnp.where((log_prob != -jnp.inf)[..., None], value, jax.lax.stop_gradient(value))


def logsumexp(values: Array, axis: int) -> Array:
    """``log sum exp``, which has a derivative also where all values are ``-inf``: 0.

    >>> jax.grad(lambda x: logsumexp(x, 0))(jnp.array([-jnp.inf, -jnp.inf])).tolist()
    [0.0, 0.0]
    """
    # Not `> -inf`, of which NaN would come out as one more of them.
    possible = jnp.any(values != -jnp.inf, axis)
    safe = jnp.where(jnp.expand_dims(possible, axis), values, 0.0)
    return jnp.where(possible, jax.nn.logsumexp(safe, axis), -jnp.inf)


def softmax(values: Array, axis: int) -> Array:
    """The shares of ``exp`` of each; equal where all values are ``-inf``.

    >>> softmax(jnp.array([-jnp.inf, -jnp.inf]), 0).tolist()
    [0.5, 0.5]
    """
    possible = jnp.any(values != -jnp.inf, axis, keepdims=True)
    return jax.nn.softmax(jnp.where(possible, values, 0.0), axis)


def into_interval(
    value: Array, low: float | np.ndarray, high: float | np.ndarray
) -> tuple[Array, Array]:
    """Values moved into an open interval, and which were in the closed one.

    In floating-point numbers an end may be hit by what was inside before rounding. So an end, and
    what is not further beyond it than roundings explain, become the nearest number at which the
    logarithm of the distance to that end has a finite value and slope. What is really outside
    becomes the middle of the interval, to give whatever formula comes next a number it can bear.

    Args:
        value: array of any shape.
        low, high: the interval's ends, numbers or arrays that broadcast to ``value``.

    Returns:
        The values in float32 or better, whose derivative is 1 where they were kept and 0 where they
        were moved, and a boolean array. NaN stays NaN, and counts as inside.

    >>> moved, inside = into_interval(jnp.array([-0.1, 0.0, 0.3, 1.0, 1.1]), 0.0, 1.0)
    >>> bool(jnp.all((0 < moved) & (moved < 1))), inside.tolist()
    (True, [False, True, True, True, False])
    """
    value = _at_least_single(value)
    beyond = outside(value, low, high)
    middle = jnp.asarray((low + high) / 2, value.dtype)
    return jnp.where(beyond, middle, clip_inside(value, low, high)), ~beyond


def outside(value: Any, low: float | np.ndarray, high: float | np.ndarray) -> Any:
    """Which values, of jax or numpy, are beyond the ends of an interval, by more than roundings.

    >>> outside(np.float32([-0.1, 0.0, 1.0, 1.1]), 0.0, 1.0).tolist()
    [True, False, False, True]
    """
    slack = _roundings(value.dtype) * np.maximum(np.abs(low), np.abs(high))
    return (value < low - slack) | (value > high + slack)


def clip_inside(value: Array, low: float | np.ndarray, high: float | np.ndarray) -> Array:
    """Values in the open interval: the nearest inside, see :func:`into_interval`."""
    value = _at_least_single(value)
    first = _next_to(low, high, value.dtype)
    last = _next_to(high, low, value.dtype)
    # Not `clip`, whose derivative at an end is a half.
    return jnp.where(value < first, first, jnp.where(value > last, last, value))


def _next_to(end: float | np.ndarray, other: float | np.ndarray, dtype: DTypeLike) -> np.ndarray:
    """The first number inside, from the end of an interval on."""
    info = jnp.finfo(dtype)
    end, other = np.asarray(end, dtype), np.asarray(other, dtype)
    # An end at 0 is where numbers are finest. Those next to it have no logarithm of a finite slope.
    finest = float(info.tiny) / float(info.eps) * np.maximum(1.0, np.abs(np.float64(other)))
    inside = np.where(end == 0, np.sign(other) * finest.astype(dtype), np.nextafter(end, other))
    return inside.astype(dtype)


def _at_least_single(value: Array) -> Array:
    """In half precision there are hardly any numbers next to an end."""
    return value.astype(jnp.promote_types(value.dtype, jnp.float32))


def _roundings(dtype: DTypeLike) -> float:
    """So much, of a number of size 1, may come of roundings, of float32 in half precision.

    Not a few: a layer between the interval and the data that shifts by hundreds of its scales
    rounds hundreds of times coarser.
    """
    return 256.0 * float(jnp.finfo(jnp.promote_types(dtype, jnp.float32)).eps)
