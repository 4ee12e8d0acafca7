r"""Ordered levels by cumulative logits (McCullagh, 1980).

A logistic variable falls between thresholds :math:`\theta_1 < \dots < \theta_{L-1}`:

.. math:: P(x \le k) = \sigma(\theta_{k+1}), \qquad
          \theta_{k+1} = \theta_k + \mathrm{softplus}(g_k).

What shifts all thresholds makes every level less or more likely than those above it, which is what
being ordered means. The numbers that a network gives are deviations from the thresholds of equally
likely levels, so that zeros are these.
"""

import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxgen.functional.logistic import log_sigmoid, softplus


def thresholds(params: Array) -> tuple[Array, Array]:
    """The thresholds, and the logarithms of the gaps between them.

    Args:
        params: array ``(*, levels - 1)``: the first threshold, then the gaps.

    Returns:
        Arrays ``(*, levels - 1)`` and ``(*, levels - 2)``.

    >>> import jax
    >>> jax.nn.sigmoid(thresholds(jnp.zeros(3))[0]).round(4).tolist()
    [0.25, 0.5, 0.75]
    """
    equal = _equal(params.shape[-1])
    gaps = params[..., 1:] + jnp.asarray(_raw_gaps(equal), params.dtype)
    first = params[..., :1] + jnp.asarray(equal[0], params.dtype)
    places = jnp.concatenate([first, first + jnp.cumsum(softplus(gaps), -1)], -1)
    # log softplus, which is the number itself where the exponential is small
    small = gaps < -15.0
    log_gaps = jnp.where(small, gaps, jnp.log(softplus(jnp.where(small, 0.0, gaps))))
    return places, log_gaps


def parameters(places: Array) -> Array:
    """The numbers that give these thresholds, ``(*, levels - 1)`` in ascending order.

    >>> places, _ = thresholds(jnp.array([1.0, -2.0, 3.0]))
    >>> parameters(places).round().tolist()
    [1.0, -2.0, 3.0]
    """
    equal = _equal(places.shape[-1])
    gaps = jnp.maximum(jnp.diff(places, axis=-1), 1e-6)
    raw = gaps + jnp.log(-jnp.expm1(-gaps)) - jnp.asarray(_raw_gaps(equal), places.dtype)
    return jnp.concatenate([places[..., :1] - jnp.asarray(equal[0], places.dtype), raw], -1)


def _equal(number: int) -> np.ndarray:
    """The thresholds of equally likely levels."""
    share = np.arange(1, number + 1) / (number + 1)
    return np.log(share) - np.log1p(-share)


def _raw_gaps(places: np.ndarray) -> np.ndarray:
    """What softplus makes the gaps of."""
    return np.log(np.expm1(np.diff(places)))


def ordinal_log_prob(value: Array, params: Array) -> Array:
    """The log-probability of levels ``(*,)``; ``-inf`` for what is no level.

    >>> round(float(ordinal_log_prob(jnp.array(3), jnp.zeros(3))), 4)  # log of 1 / 4
    -1.3863
    """
    top = params.shape[-1]
    inside = (value >= 0) & (value <= top) & (value == jnp.floor(value))
    level = jnp.where(inside, value, 0).astype(jnp.int32)
    places, log_gaps = thresholds(jnp.broadcast_to(params, (*level.shape, top)))

    def pick(of: Array, index: Array) -> Array:
        index = jnp.clip(index, 0, of.shape[-1] - 1)
        return jnp.take_along_axis(of, index[..., None], axis=-1)[..., 0]

    # log(s(a) - s(b)) = log s(a) + log s(-b) + log(1 - exp(b - a)), without cancellation
    below = jnp.where(level == top, 0.0, log_sigmoid(pick(places, level)))
    above = jnp.where(level == 0, 0.0, log_sigmoid(-pick(places, level - 1)))
    between = jnp.zeros_like(below)
    if top > 1:
        log_gap = pick(log_gaps, level - 1)
        small = log_gap < -15.0
        gap = jnp.exp(jnp.where(small, 0.0, log_gap))
        width = jnp.where(small, log_gap, jnp.log(-jnp.expm1(-gap)))
        between = jnp.where((level > 0) & (level < top), width, 0.0)
    return jnp.where(inside, below + above + between, -jnp.inf)


def ordinal_sample(params: Array, noise: Array) -> Array:
    """The level of standard logistic noise, as int32: how many thresholds are below it."""
    places, _ = thresholds(params)
    return jnp.sum(places < noise[..., None], axis=-1).astype(jnp.int32)
