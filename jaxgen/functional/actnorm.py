r"""Activation normalisation: a per-channel affine map with a data-dependent start.

Glow (Kingma & Dhariwal, 2018, section 3.1): ``z = (x - shift) exp(-log_scale)`` with one pair of
numbers per channel (the last axis), initialised so that the first batch leaves with mean 0 and
variance 1 in every channel.
"""

import jax.numpy as jnp
from jax import Array

# A channel that is constant in the first batch would otherwise get an infinite scale.
MIN_SCALE = 1e-3


def statistics(x: Array) -> tuple[Array, Array]:
    """Per-channel ``(shift, log_scale)`` of a batch ``x`` of shape ``(..., channels)``.

    Returns two arrays of shape ``(channels,)``: the mean, and the logarithm of the standard
    deviation, taken over every axis but the last and floored at ``MIN_SCALE``.

    >>> shift, log_scale = statistics(jnp.array([[0.0, 3.0], [2.0, 3.0]]))
    >>> shift.tolist(), round(float(log_scale[0]), 4)
    ([1.0, 3.0], 0.0)
    """
    axes = tuple(range(x.ndim - 1))
    return jnp.mean(x, axes), jnp.log(jnp.maximum(jnp.std(x, axes), MIN_SCALE))
