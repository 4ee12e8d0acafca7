r"""Elementwise invertible maps and the logarithm of their derivative.

Every map comes as a pair ``<name>_forward(z, ...) -> (x, log|dx/dz|)`` and
``<name>_inverse(x, ...) -> (z, log|dz/dx|)``, both of the shape of their input: nothing is
summed here. *Forward* leads from the base to the data, as everywhere in jaxgen.

Outside the interval of a bounded map ``log|dz/dx|`` is ``-inf``, with the derivative 0, and ``z``
only holds the place of a value. What *forward* gives is always inside, where rounding would take
it to an end or beyond (:mod:`jaxgen.functional.support`).
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxgen.functional.logistic import softplus
from jaxgen.functional.support import clip_inside, into_interval


def additive_forward(z: Array, shift: Array) -> tuple[Array, Array]:
    """``x = z + shift``; volume preserving (NICE, Dinh et al. 2014)."""
    x = z + shift
    return x, jnp.zeros_like(x)


def additive_inverse(x: Array, shift: Array) -> tuple[Array, Array]:
    """``z = x - shift``, the inverse of :func:`additive_forward`."""
    z = x - shift
    return z, jnp.zeros_like(z)


def affine_forward(z: Array, shift: Array, log_scale: Array) -> tuple[Array, Array]:
    """``x = z exp(log_scale) + shift``, so ``log|dx/dz| = log_scale``.

    >>> x, log_det = affine_forward(jnp.array(2.0), jnp.array(1.0), jnp.array(0.0))
    >>> float(x), float(log_det)
    (3.0, 0.0)
    """
    x = z * jnp.exp(log_scale) + shift
    return x, jnp.broadcast_to(log_scale, x.shape)


def affine_inverse(x: Array, shift: Array, log_scale: Array) -> tuple[Array, Array]:
    """``z = (x - shift) exp(-log_scale)``, the inverse of :func:`affine_forward`."""
    z = (x - shift) * jnp.exp(-log_scale)
    return z, jnp.broadcast_to(-log_scale, z.shape)


def soft_clamp(x: Array, bound: float) -> Array:
    """``bound * tanh(x / bound)``: the identity near 0, never beyond ``±bound``."""
    return bound * jnp.tanh(x / bound)


def tanh_forward(z: Array) -> tuple[Array, Array]:
    r"""``x = tanh(z)``; ``log|dx/dz| = 2 (log 2 - z - softplus(-2z))``, stable in both tails."""
    return clip_inside(jnp.tanh(z), -1.0, 1.0), _tanh_log_derivative(z)


def tanh_inverse(x: Array) -> tuple[Array, Array]:
    """``z = artanh(x)`` for ``|x| < 1``, the inverse of :func:`tanh_forward`."""
    x, inside = into_interval(x, -1.0, 1.0)
    z = jnp.arctanh(x)
    return z, jnp.where(inside, -_tanh_log_derivative(z), -jnp.inf)


def _tanh_log_derivative(z: Array) -> Array:
    return 2.0 * (jnp.log(2.0).astype(z.dtype) - z - softplus(-2.0 * z))


def logit_forward(z: Array, low: float, high: float, alpha: float) -> tuple[Array, Array]:
    r"""From the real line to (slightly more than) the interval ``[low, high]``.

    ``x = low + (high - low) (sigmoid(z) - alpha) / (1 - 2 alpha)``. The margin ``alpha`` keeps
    the inverse finite on the closed interval (RealNVP, MAF); some papers scale by ``1 - alpha``.
    """
    x = low + (high - low) * (jax.nn.sigmoid(z) - alpha) / (1.0 - 2.0 * alpha)
    ends = _ends_for(x, low, high, alpha)
    return clip_inside(x, *ends), _logit_log_derivative(z, low, high, alpha)


def logit_inverse(x: Array, low: float, high: float, alpha: float) -> tuple[Array, Array]:
    r"""``z = logit(alpha + (1 - 2 alpha) (x - low) / (high - low))``: :func:`logit_forward` undone.

    >>> z, log_det = logit_inverse(jnp.array(0.5), 0.0, 1.0, 0.0)
    >>> float(z), round(float(log_det), 4)  # log of 1 / (0.5 * 0.5)
    (0.0, 1.3863)
    """
    x, inside = into_interval(x, *_ends_for(x, low, high, alpha))
    unit = (x - low) / (high - low)
    # Both distances to the ends are formed from x itself: 1 - p would cancel near the top.
    below = alpha + (1.0 - 2.0 * alpha) * unit
    above = alpha + (1.0 - 2.0 * alpha) * ((high - x) / (high - low))
    z = jnp.log(below) - jnp.log(above)
    log_derivative = -_logit_log_derivative(z, low, high, alpha)
    return z, jnp.where(inside, log_derivative, -jnp.inf)


def logit_support(low: float, high: float, alpha: float) -> tuple[float, float]:
    """The open interval that :func:`logit_forward` maps to: ``(low, high)`` and its margin.

    >>> logit_support(0.0, 256.0, 0.0), logit_support(0.0, 1.0, 0.25)
    ((0.0, 256.0), (-0.5, 1.5))
    """
    margin = (high - low) * alpha / (1.0 - 2.0 * alpha)
    return low - margin, high + margin


def _ends_for(x: Array, low: float, high: float, alpha: float) -> tuple[float, float]:
    """The support, less a few roundings of what its margin is computed from."""
    below, above = logit_support(low, high, alpha)
    if alpha == 0:
        return below, above
    roundings = 4.0 * float(jnp.finfo(jnp.promote_types(x.dtype, jnp.float32)).eps)
    slack = roundings * np.maximum(np.abs((below, above)), np.abs((low, high)))
    return below + slack[0], above - slack[1]


def _logit_log_derivative(z: Array, low: float, high: float, alpha: float) -> Array:
    constant = jnp.log(jnp.asarray((high - low) / (1.0 - 2.0 * alpha), z.dtype))
    return constant - softplus(z) - softplus(-z)
