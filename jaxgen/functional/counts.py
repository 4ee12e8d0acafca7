r"""Distributions over the counts 0, 1, 2, ...

With :math:`\delta(x) = \log x! - (x + \frac12) \log x + x - \frac12 \log 2\pi`, which Stirling's
series gives, and the deviance :math:`D(x, \lambda) = x \log(x/\lambda) - x + \lambda`,

.. math:: \log \mathrm{Poisson}(x; \lambda) = -D(x, \lambda) - \delta(x) - \tfrac12 \log 2\pi x

(Loader, 2000), where the textbook's formula would lose a large count to cancellation: of a million
it leaves no digit of the nats in single precision. The negative binomial is written likewise.
"""

import math

import jax
import jax.numpy as jnp
from jax import Array

_HALF_LOG_TURN = 0.5 * math.log(2.0 * math.pi)


def poisson_log_prob(value: Array, log_rate: Array) -> Array:
    """The log-probability of a count, of mean ``exp(log_rate)``; ``-inf`` for what is no count.

    >>> round(float(poisson_log_prob(jnp.array(2), jnp.array(0.0))), 4)  # log of 1 / (2 e)
    -1.6931
    """
    x, some, inside = _counted(value, log_rate)
    log_prob = -_deviance(x, jnp.log(x) - log_rate) - _stirling_error(x)
    log_prob = log_prob - 0.5 * jnp.log(x) - _HALF_LOG_TURN
    return jnp.where(inside, jnp.where(some, log_prob, -jnp.exp(log_rate)), -jnp.inf)


def negative_binomial_log_prob(value: Array, log_mean: Array, log_size: Array) -> Array:
    """The log-probability of a count with mean ``m`` and variance ``m + m^2 / r``.

    Args:
        value: counts.
        log_mean, log_size: the logarithms of ``m`` and of ``r``; a large ``r`` gives the Poisson.

    >>> round(float(negative_binomial_log_prob(jnp.array(1), 0.0, 0.0)), 4)  # log of 1 / 4
    -1.3863
    """
    x, some, inside = _counted(value, log_mean)
    mean, size = jnp.exp(log_mean), jnp.exp(log_size)
    total = x + size
    # What the share of the size in the total is, over what is expected: near to 1 by a difference,
    # far below by a quotient, of which a difference would leave nothing.
    far = mean + size < 0.5 * total
    near = jnp.log1p(jnp.where(far, 0.0, (mean - x) / total))
    excess = jnp.where(far, jnp.logaddexp(log_mean, log_size) - jnp.log(total), near)
    deviance = _deviance(size, excess) + _deviance(x, jnp.log(x) - log_mean + excess)
    errors = _stirling_error(total) - _stirling_error(size) - _stirling_error(x)
    constant = 0.5 * (log_size - jnp.log(total) - jnp.log(x)) - _HALF_LOG_TURN
    none = -size * jnp.log1p(jnp.exp(log_mean - log_size))
    return jnp.where(inside, jnp.where(some, errors - deviance + constant, none), -jnp.inf)


def poisson_cdf(value: Array, log_rate: Array) -> Array:
    """The probability of at most this count, of mean ``exp(log_rate)``.

    >>> shares = poisson_cdf(jnp.array([-1, 0, 1]), jnp.array(0.0))
    >>> [round(float(share), 4) for share in shares]  # 0, 1 / e and 2 / e
    [0.0, 0.3679, 0.7358]
    """
    count = jnp.maximum(value, 0).astype(jnp.result_type(log_rate))
    share = jax.scipy.special.gammaincc(count + 1.0, jnp.exp(log_rate))
    return jnp.where(value < 0, 0.0, share)


def negative_binomial_cdf(value: Array, log_mean: Array, log_size: Array) -> Array:
    """The probability of at most this count, see :func:`negative_binomial_log_prob`.

    >>> negative_binomial_cdf(jnp.array([-1, 0, 1]), jnp.array(0.0), 0.0).round(4).tolist()
    [0.0, 0.5, 0.75]
    """
    count = jnp.maximum(value, 0).astype(jnp.result_type(log_mean))
    share = jax.nn.sigmoid(log_size - log_mean)  # r / (r + m)
    below = jax.scipy.special.betainc(jnp.exp(log_size), count + 1.0, share)
    return jnp.where(value < 0, 0.0, below)


def _counted(value: Array, like: Array) -> tuple[Array, Array, Array]:
    """Counts as real numbers with a 1 for what is none or not above 0, and which are above, and
    which are counts."""
    value = jnp.asarray(value)
    dtype = jnp.promote_types(jnp.result_type(float), jnp.asarray(like).dtype)
    inside = (value >= 0) & (value < jnp.inf) & (value == jnp.floor(value))
    some = inside & (value > 0)
    return jnp.where(some, value, 1).astype(dtype), some, inside


def _deviance(x: Array, log_ratio: Array) -> Array:
    """``D(x, lambda)``, of ``log_ratio = log(x / lambda)``."""
    # r + exp(-r) - 1 cancels for a small r, where it is a series.
    small = jnp.abs(log_ratio) < 0.3
    r = jnp.where(small, log_ratio, 0.0)
    series = jnp.zeros_like(r)
    for n in range(12, 1, -1):
        series = (series * r) + (-1.0) ** n / math.factorial(n)
    r_large = jnp.where(small, 1.0, log_ratio)
    return x * jnp.where(small, series * r * r, r_large + jnp.expm1(-r_large))


def _stirling_error(x: Array) -> Array:
    """``delta(x)`` of positive real numbers."""
    large = x > 15.0
    inverse = 1.0 / jnp.where(large, x, 15.0)
    square = inverse * inverse
    series = inverse * (1 / 12 - square * (1 / 360 - square * (1 / 1260 - square / 1680)))
    few = jnp.where(large, 1.0, x)
    exact = jax.lax.lgamma(few + 1.0) - (few + 0.5) * jnp.log(few) + few - _HALF_LOG_TURN
    return jnp.where(large, series, exact)


def count_noise(key: Array, shape: tuple[int, ...], dtype: jnp.dtype) -> Array:
    """The noise of counts, ``(*shape, 3)``: two numbers that seed a draw; a temperature, 1."""
    seed = jax.random.uniform(key, (*shape, 2), dtype)
    return jnp.concatenate([seed, jnp.ones((*shape, 1), dtype)], axis=-1)


def poisson_sample(log_rate: Array, noise: Array) -> Array:
    """A count as int32, a deterministic function of the rate and of :func:`count_noise`.

    At a temperature its deviation from the mean is multiplied, and the result rounded.
    """
    rate = jnp.exp(log_rate)
    return _tempered(_poisson(_keys(noise), rate), rate, noise[..., 2])


def negative_binomial_sample(log_mean: Array, log_size: Array, noise: Array) -> Array:
    """Likewise, of a Poisson whose rate has a gamma distribution."""
    mean, size = jnp.exp(log_mean), jnp.exp(log_size)
    keys = jax.vmap(jax.random.split, out_axes=1)(_keys(noise).reshape(-1))
    log_gamma = jax.vmap(jax.random.loggamma)(keys[0], size.reshape(-1)).reshape(size.shape)
    rate = jnp.exp(log_gamma + log_mean - log_size)
    return _tempered(_poisson(keys[1].reshape(size.shape), rate), mean, noise[..., 2])


def _keys(noise: Array) -> Array:
    seed = jax.lax.bitcast_convert_type(noise[..., :2].astype(jnp.float32), jnp.uint32)
    return jax.random.wrap_key_data(seed, impl="threefry2x32")


def _poisson(keys: Array, rate: Array) -> Array:
    draw = jax.vmap(jax.random.poisson)
    return draw(keys.reshape(-1), rate.reshape(-1)).reshape(rate.shape)


def _tempered(count: Array, mean: Array, temperature: Array) -> Array:
    moved = jnp.maximum(jnp.round(mean + temperature * (count - mean)), 0.0).astype(jnp.int32)
    return jnp.where(temperature == 1.0, count.astype(jnp.int32), moved)
