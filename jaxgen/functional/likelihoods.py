r"""Log-probabilities and samplers of the distributions that a network parametrises.

Written here rather than borrowed because they are the hot path. Every log-probability is
elementwise and in nats; every sample is a deterministic function of ``(params, noise)``, so that
samplers which visit the positions in different ways still return the same array.
"""

import math

import jax
import jax.numpy as jnp
from jax import Array


def bernoulli_log_prob(value: Array, logits: Array) -> Array:
    r"""``log p(x) = x * logit - softplus(logit)``, stable for any logit.

    >>> round(float(bernoulli_log_prob(jnp.array(1.0), jnp.array(0.0))), 4)
    -0.6931
    """
    return value * logits - jax.nn.softplus(logits)


def bernoulli_sample(logits: Array, uniform: Array) -> Array:
    """1 where ``uniform < sigmoid(logit)``, as int32."""
    return (uniform < jax.nn.sigmoid(logits)).astype(jnp.int32)


def categorical_log_prob(value: Array, logits: Array) -> Array:
    """``log softmax(logits)[value]`` for integer values ``(...)`` and logits ``(..., levels)``."""
    # One gather and one reduction: the normalised logits are never stored.
    chosen = jnp.take_along_axis(logits, value[..., None].astype(jnp.int32), axis=-1)[..., 0]
    return chosen - jax.nn.logsumexp(logits, axis=-1)


def categorical_sample(logits: Array, gumbel: Array) -> Array:
    """``argmax(logits + gumbel)``: an exact sample for standard Gumbel noise (Gumbel-max)."""
    return jnp.argmax(logits + gumbel, axis=-1).astype(jnp.int32)


def normal_log_prob(value: Array, mean: Array, log_scale: Array) -> Array:
    """The Gaussian log-density with standard deviation ``exp(log_scale)``.

    >>> round(float(normal_log_prob(jnp.array(0.0), 0.0, 0.0)), 4)
    -0.9189
    """
    standardised = (value - mean) * jnp.exp(-log_scale)
    return -0.5 * (standardised**2 + math.log(2.0 * math.pi)) - log_scale


def normal_sample(mean: Array, log_scale: Array, noise: Array) -> Array:
    """``mean + exp(log_scale) * noise`` for standard normal noise."""
    return mean + jnp.exp(log_scale) * noise


def normal_mixture_log_prob(value: Array, logits: Array, means: Array, log_scales: Array) -> Array:
    """The log-density of a mixture of normals, whose components are on the parameters' last axis.

    >>> equal = jnp.zeros(3)  # three equal components are one
    >>> round(float(normal_mixture_log_prob(jnp.array(0.0), equal, equal, equal)), 4)
    -0.9189
    """
    each = normal_log_prob(value[..., None], means, log_scales)
    return jax.nn.logsumexp(jax.nn.log_softmax(logits) + each, axis=-1)


def normal_mixture_sample(
    logits: Array, means: Array, log_scales: Array, gumbel: Array, noise: Array
) -> Array:
    """The component by Gumbel-max, then its normal: standard Gumbel and normal noise."""
    pick = categorical_sample(logits, gumbel)[..., None]
    mean, log_scale = (jnp.take_along_axis(p, pick, -1)[..., 0] for p in (means, log_scales))
    return normal_sample(mean, log_scale, noise)


def student_t_log_prob(value: Array, df: Array) -> Array:
    """Student's t log-density with ``df`` degrees of freedom.

    >>> round(float(student_t_log_prob(jnp.array(0.0), jnp.array(1.0))), 4)  # log of 1 / pi
    -1.1447
    """
    half = (df + 1.0) / 2.0
    constant = jax.lax.lgamma(half) - jax.lax.lgamma(df / 2.0) - jnp.log(df * math.pi) / 2.0
    return constant - half * jnp.log1p(value**2 / df)
