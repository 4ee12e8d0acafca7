r"""Log-probabilities and samplers of the distributions that a network parametrises.

Written here rather than borrowed because they are the hot path. Every log-probability is
elementwise and in nats, and ``-inf`` with the derivative 0 for what is no level; every sample is a
deterministic function of ``(params, noise)``, so that samplers which visit the positions in
different ways still return the same array.
"""

import math
import statistics
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxgen.functional.logistic import log_sigmoid, softplus
from jaxgen.functional.support import is_level, logsumexp


def bernoulli_log_prob(value: Array, logits: Array) -> Array:
    r"""``log p(x) = -softplus((1 - 2 x) logit)``, stable for any logit.

    >>> round(float(bernoulli_log_prob(jnp.array(1.0), jnp.array(0.0))), 4)
    -0.6931
    """
    inside = is_level(value, 2)
    # What depends on the value alone stands apart: of many logits for one value, the passes over
    # them are the most of a VAE's evaluation beside its networks.
    sign = jnp.where(inside, 1 - 2 * jnp.asarray(value, jnp.result_type(logits)), 0)
    return jnp.where(inside, 0.0, -jnp.inf) - softplus(sign * logits)


def bernoulli_sample(logits: Array, uniform: Array) -> Array:
    """1 where ``uniform < sigmoid(logit)``, as int32."""
    return (uniform < jax.nn.sigmoid(logits)).astype(jnp.int32)


def categorical_log_prob(value: Array, logits: Array) -> Array:
    """``log softmax(logits)[value]`` for integer values ``(...)`` and logits ``(..., levels)``."""
    inside = is_level(value, logits.shape[-1])
    index = jnp.where(inside, value, 0).astype(jnp.int32)
    # One gather and one reduction: the normalised logits are never stored.
    chosen = jnp.take_along_axis(logits, index[..., None], axis=-1)[..., 0]
    return jnp.where(inside, chosen - jax.nn.logsumexp(logits, axis=-1), -jnp.inf)


def categorical_sample(logits: Array, gumbel: Array) -> Array:
    """``argmax(logits + gumbel)``: an exact sample for standard Gumbel noise (Gumbel-max)."""
    return jnp.argmax(logits + gumbel, axis=-1).astype(jnp.int32)


def nucleus(logits: Array, top_p: float | Array) -> Array:
    """The logits of the nucleus: the fewest levels, most likely first, with ``top_p`` together.

    The others get ``-inf`` (Holtzman et al. 2020). Of equally likely levels the first are kept.

    >>> nucleus(jnp.log(jnp.array([0.2, 0.5, 0.3])), 0.6) > -jnp.inf
    Array([False,  True,  True], dtype=bool)
    """
    order = jnp.argsort(-logits, axis=-1)
    share = jnp.take_along_axis(jax.nn.softmax(logits), order, -1)
    kept = jnp.cumsum(share, -1) - share < top_p
    # Rounding of the sum must not drop the least likely at 1.
    kept = jnp.take_along_axis(kept, jnp.argsort(order, axis=-1), -1) | (top_p >= 1.0)
    return jnp.where(kept, logits, -jnp.inf)


def discretized_logistic_log_prob(
    value: Array, mean: Array, log_scale: Array, levels: int
) -> Array:
    r"""The log-probability of a level under a logistic that is rounded to ``levels`` levels.

    Level ``v`` stands for the bin of half-width :math:`h = 1/(L-1)` around
    :math:`x = 2v/(L-1) - 1` in ``[-1, 1]``; the outermost two reach to infinity. With
    :math:`a = (x + h - \mu)/s` and :math:`b = (x - h - \mu)/s`,

    .. math:: \log(\sigma(a) - \sigma(b))
              = \log\sigma(a) + \log\sigma(-b) + \log(1 - e^{-2h/s}),

    without cancellation in either tail. (Differences of sigmoids, and the midpoint's density in
    their place, as usual elsewhere, lose the tails.)

    Args:
        value: integer levels.
        mean, log_scale: the logistic's, in the units of ``x``.
        levels: how many.

    >>> each = discretized_logistic_log_prob(jnp.arange(3), 9.0, 0.0, 3)
    >>> each.round(1).tolist(), round(float(jnp.sum(jnp.exp(each))), 4)
    ([-9.5, -9.0, -0.0], 1.0)
    """
    possible = is_level(value, levels)
    value = jnp.where(possible, value, 0)
    half = 1.0 / (levels - 1)
    x = 2.0 * half * value - 1.0
    precision = jnp.exp(-log_scale)
    upper, lower = (x + half - mean) * precision, (x - half - mean) * precision
    below = jnp.where(value == levels - 1, 0.0, log_sigmoid(upper))
    above = jnp.where(value == 0, 0.0, log_sigmoid(-lower))
    inner = (value > 0) & (value < levels - 1)
    width = jnp.where(inner, _log_bin(math.log(2.0 * half) - log_scale), 0.0)
    return jnp.where(possible, below + above + width, -jnp.inf)


def discretized_logistic_cdf(value: Array, mean: Array, log_scale: Array, levels: int) -> Array:
    """The probability of this level and all below it, see :func:`discretized_logistic_log_prob`.

    >>> shares = discretized_logistic_cdf(jnp.arange(-1, 3), 0.0, 0.0, 3)
    >>> [round(float(share), 4) for share in shares]
    [0.0, 0.3775, 0.6225, 1.0]
    """
    half = 1.0 / (levels - 1)
    upper = (2.0 * half * value - 1.0 + half - mean) * jnp.exp(-log_scale)
    inner = jnp.where(value < levels - 1, jax.nn.sigmoid(upper), 1.0)
    return jnp.where(value < 0, 0.0, inner)


def _log_bin(log_width: Array) -> Array:
    """``log(1 - exp(-w))`` for ``w = exp(log_width)``, which may be too small or large for a
    float."""
    small = log_width < -15.0  # where it is log w - w/2, to rounding
    width = jnp.exp(jnp.clip(log_width, -15.0, 15.0))
    return jnp.where(small, log_width, jnp.log(-jnp.expm1(-width)))


def discretized_logistic_sample(mean: Array, log_scale: Array, noise: Array, levels: int) -> Array:
    """The level that ``mean + exp(log_scale) * noise`` falls into, for standard logistic noise."""
    x = mean + jnp.exp(log_scale) * noise
    level = jnp.round((x + 1.0) * ((levels - 1) / 2.0))
    return jnp.clip(level, 0, levels - 1).astype(jnp.int32)


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


def normal_kl(mean: Array, log_scale: Array, to_mean: Array, to_log_scale: Array) -> Array:
    r"""The Kullback-Leibler divergence of a normal from another, in nats.

    .. math:: \mathrm{KL} = \log\frac{\sigma_p}{\sigma_q}
              + \frac{\sigma_q^2 + (\mu_q - \mu_p)^2}{2 \sigma_p^2} - \frac{1}{2}.

    Args:
        mean, log_scale: of the normal that the expectation is taken under.
        to_mean, to_log_scale: of the other.

    >>> float(normal_kl(jnp.array(1.0), 0.0, 0.0, 0.0))
    0.5
    """
    ratio = log_scale - to_log_scale
    shift = (mean - to_mean) * jnp.exp(-to_log_scale)
    # expm1, for scales that are nearly equal.
    return 0.5 * (jnp.expm1(2.0 * ratio) + shift**2) - ratio


def normal_mixture_log_prob(value: Array, logits: Array, means: Array, log_scales: Array) -> Array:
    """The log-density of a mixture of normals, whose components are on the parameters' last axis.

    >>> equal = jnp.zeros(3)  # three equal components are one
    >>> round(float(normal_mixture_log_prob(jnp.array(0.0), equal, equal, equal)), 4)
    -0.9189
    """
    each = normal_log_prob(value[..., None], means, log_scales)
    return logsumexp(jax.nn.log_softmax(logits) + each, axis=-1)


def normal_mixture_sample(
    logits: Array, means: Array, log_scales: Array, gumbel: Array, noise: Array
) -> Array:
    """The component by Gumbel-max, then its normal: standard Gumbel and normal noise."""
    pick = categorical_sample(logits, gumbel)[..., None]
    mean, log_scale = (jnp.take_along_axis(p, pick, -1)[..., 0] for p in (means, log_scales))
    return normal_sample(mean, log_scale, noise)


def mixture_noise(
    key: Array,
    shape: tuple[int, ...],
    components: int,
    draw: Callable[[Array, tuple[int, ...], Any], Array],
    dtype: Any,
) -> Array:
    """The noise of mixtures, ``(*shape, components + 1)``: Gumbel to choose, one to be scaled.

    Args:
        key: random key.
        shape: a mixture for each entry.
        components: of every mixture.
        draw: draws the noise of a component, as :func:`jax.random.normal` does.
        dtype: of the noise.
    """
    pick_key, noise_key = jax.random.split(key)
    gumbel = jax.random.gumbel(pick_key, (*shape, components), dtype)
    return jnp.concatenate([gumbel, draw(noise_key, (*shape, 1), dtype)], -1)


def spread_out(means: Array) -> Array:
    """Means ``(..., components)`` plus constants that are spread evenly over ``[-1, 1]``.

    Equal components would get equal gradients, and stay equal for ever.

    >>> spread_out(jnp.zeros(3)).tolist()
    [-1.0, 0.0, 1.0]
    """
    components = means.shape[-1]
    spread = np.linspace(-1.0, 1.0, components) if components > 1 else np.zeros(1)
    return means + jnp.asarray(spread, means.dtype)


def mixture_like(mean: Array, scale: Array, components: int) -> tuple[Array, Array]:
    """Means and log-scales of equal components that together have this mean and deviation.

    The means, to be :func:`spread_out`, are the middles of so many equal parts of a normal.

    Args:
        mean, scale: of the whole, ``(...)``.
        components: how many.

    Returns:
        Two arrays ``(..., components)``.

    >>> means, log_scales = mixture_like(jnp.array(1.0), jnp.array(2.0), 2)
    >>> spread = spread_out(means)
    >>> total = jnp.mean(spread**2 + jnp.exp(2 * log_scales)) - jnp.mean(spread) ** 2
    >>> round(float(jnp.mean(spread)), 4), round(float(total), 4)
    (1.0, 4.0)
    """
    normal = statistics.NormalDist()
    middle = np.array([normal.inv_cdf((k + 0.5) / components) for k in range(components)])
    means = mean[..., None] + scale[..., None] * middle.astype(scale.dtype)
    within = math.sqrt(1.0 - float(np.mean(middle**2)))
    log_scales = jnp.broadcast_to(jnp.log(scale * within)[..., None], means.shape)
    return means - spread_out(jnp.zeros_like(means)), log_scales


def student_t_log_prob(value: Array, df: Array) -> Array:
    """Student's t log-density with ``df`` degrees of freedom.

    >>> round(float(student_t_log_prob(jnp.array(0.0), jnp.array(1.0))), 4)  # log of 1 / pi
    -1.1447
    """
    half = (df + 1.0) / 2.0
    constant = jax.lax.lgamma(half) - jax.lax.lgamma(df / 2.0) - jnp.log(df * math.pi) / 2.0
    # Far out the square would overflow, and the 1 does not count.
    far = jnp.abs(value) > 1e9 * jnp.sqrt(df)
    near_log = jnp.log1p(jnp.where(far, 0.0, value) ** 2 / df)
    far_log = 2.0 * jnp.log(jnp.abs(jnp.where(far, value, 1.0))) - jnp.log(df)
    return constant - half * jnp.where(far, far_log, near_log)
