"""Roots of increasing functions, many at once: what has no closed form is inverted by these.

Newton's method runs inside a bracket, and bisection takes over where a step would leave it or does
not shrink (Press et al., *Numerical Recipes*, section 9.4).
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

# Bits of the root beyond the mantissa's: a bracket may be this much (2^12) wider than its root.
_SPARE_BITS = 12


def increasing_root(
    function: Callable[[Array], tuple[Array, Array]],
    y: Array,
    low: Array,
    high: Array,
    start: Array,
    *,
    residual: float,
) -> Array:
    """The ``x`` with ``function(x) = y``, entry by entry, until residual or step is at rounding.

    Every entry stops by itself, so a result does not depend on its neighbours in the batch. There
    is no derivative in reverse mode through the loop: the caller has the implicit one.

    Args:
        function: ``x -> (y, log dy/dx)``, elementwise and increasing.
        y: the values, an array.
        low, high: where each root lies between, arrays of the shape and dtype of ``y``.
        start: between them.
        residual: how many units in the last place of ``1 + |y|`` rounding in the function explains.

    >>> y = jnp.array([1.0, 8.0])
    >>> increasing_root(lambda x: (x**2, jnp.log(2.0 * x)), y, 0 * y, y, y, residual=4.0).tolist()
    [1.0, 2.8284270763397217]
    """
    precision = jnp.finfo(start.dtype)
    tolerance = residual * precision.eps * (1.0 + jnp.abs(y))
    limit = 2 * (precision.nmant + _SPARE_BITS)

    def unfinished(state: Any) -> Array:
        count, done, *_ = state
        return (count < limit) & ~jnp.all(done)

    def body(state: Any) -> Any:
        count, done, x, low, high, last, before_last = state
        value, log_slope = function(x)
        error = value - y
        low, high = jnp.where(error < 0, x, low), jnp.where(error < 0, high, x)
        newton = -error * jnp.exp(-log_slope)
        shrinks = 2.0 * jnp.abs(newton) <= jnp.abs(before_last)
        inside = (x + newton >= low) & (x + newton <= high)
        converged = jnp.abs(error) <= tolerance
        fallback = jnp.where(converged, x, low + (high - low) / 2.0)
        new = jnp.where(done, x, jnp.where(inside & shrinks, x + newton, fallback))
        step = new - x
        done = done | converged | (jnp.abs(step) <= 2.0 * precision.eps * jnp.abs(x))
        return count + 1, done, new, low, high, step, last

    width = high - low
    state = (0, jnp.zeros(start.shape, bool), start, low, high, width, width)
    return jax.lax.while_loop(unfinished, body, state)[2]
