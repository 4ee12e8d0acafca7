"""Counts: 0, 1, 2, ... without an end."""

import math
from typing import TYPE_CHECKING

import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxgen.core import Shape, is_concrete
from jaxgen.functional import counts as f
from jaxgen.likelihoods.base import Likelihood, Scalar, entries_of, position_shape_of, sum_position

if TYPE_CHECKING:
    import distrax

# The mean of data without a single event is taken to be this share of one.
_HALF = 0.5


class Counts(Likelihood):
    """Integers from 0 on, which a network reads as ``log(1 + x)``.

    Their number of ``levels`` is infinite. So they are integers to all that asks for levels, and
    their sums of all probabilities, as for coding or enumeration, are none that can be formed;
    completions are drawn and scored as those of any levels, by the chain rule. At a temperature the
    deviation of a count from its mean is multiplied, and the result rounded.
    """

    levels = math.inf
    tempers_noise = True

    def numbers(self, value: Array) -> Array:
        return jnp.log1p(value.astype(jnp.result_type(float)))

    def check(self, value: Array | np.ndarray) -> None:
        name = type(self).__name__
        if not jnp.issubdtype(value.dtype, jnp.integer):
            raise ValueError(
                f"{name}: expected integer counts, got {value.dtype}; cast the data to integers, "
                f"or use a model of real values"
            )
        if is_concrete(value) and value.size and int(np.min(np.asarray(value))) < 0:
            least = int(np.min(np.asarray(value)))
            raise ValueError(f"{name}: expected counts from 0 on, got {least}")

    def contains(self, value: Array) -> Array:
        """Which values are counts."""
        return (value >= 0) & (value == jnp.floor(value))

    def noise(self, key: Array, shape: Shape, dtype: jnp.dtype) -> Array:
        return f.count_noise(key, shape, dtype)

    def temper(
        self, params: Array, noise: Array, position_shape: Shape, temperature: Scalar, top_p: Scalar
    ) -> tuple[Array, Array]:
        params, _ = super().temper(params, noise, position_shape, temperature, top_p)
        return params, noise.at[..., -1].multiply(temperature)

    def distribution(self, params: Array, position_shape: Shape = ()) -> "distrax.Distribution":
        """Raises a ValueError: distrax has no distribution of counts."""
        raise ValueError(f"{type(self).__name__}: distrax has no such distribution")


class Poisson(Counts):
    """Counts with the logarithm of a mean each, which is their variance too.

    >>> round(float(Poisson().log_prob(jnp.array(2), jnp.zeros(1))), 4)  # log of 1 / (2 e)
    -1.6931
    """

    params_per_value = 1
    has_cdf = True

    def log_prob(self, value: Array, params: Array) -> Array:
        value, shape = entries_of(value, params)
        log_rate = self.unpack(params, shape)[..., 0]
        return sum_position(f.poisson_log_prob(value, log_rate), params)

    def cdf(self, value: Array, params: Array) -> tuple[Array, Array]:
        log_rate = self.unpack(params, position_shape_of(value, params))[..., 0]
        count = value.astype(params.dtype)  # bytes have nothing below 0
        return f.poisson_cdf(count - 1, log_rate), f.poisson_cdf(count, log_rate)

    def sample(self, params: Array, noise: Array, position_shape: Shape) -> Array:
        return f.poisson_sample(self.unpack(params, position_shape)[..., 0], noise)

    def marginal(self, value: Array | np.ndarray, position_shape: Shape, grid_ndims: int) -> Array:
        mean, _ = _moments(value)
        return jnp.log(mean).reshape(*mean.shape[:grid_ndims], self.num_params(position_shape))


class NegativeBinomial(Counts):
    r"""Counts of mean ``m`` and variance ``m + m^2 / r``: more spread out than Poisson's.

    .. math:: p(x) = \frac{\Gamma(x + r)}{\Gamma(r)\, x!}
              \left(\frac{r}{r + m}\right)^r \left(\frac{m}{r + m}\right)^x,

    a Poisson distribution whose rate has a gamma distribution of shape ``r``. The network gives the
    logarithms of ``m`` and ``r``.

    >>> round(float(NegativeBinomial().log_prob(jnp.array(1), jnp.zeros(2))), 4)  # log of 1 / 4
    -1.3863
    """

    params_per_value = 2
    has_cdf = True

    def log_prob(self, value: Array, params: Array) -> Array:
        value, shape = entries_of(value, params)
        each = self.unpack(params, shape)
        log_prob = f.negative_binomial_log_prob(value, each[..., 0], each[..., 1])
        return sum_position(log_prob, params)

    def cdf(self, value: Array, params: Array) -> tuple[Array, Array]:
        each = self.unpack(params, position_shape_of(value, params))
        mean, size = each[..., 0], each[..., 1]  # their logarithms
        count = value.astype(params.dtype)  # as above
        below = f.negative_binomial_cdf(count - 1, mean, size)
        return below, f.negative_binomial_cdf(count, mean, size)

    def sample(self, params: Array, noise: Array, position_shape: Shape) -> Array:
        each = self.unpack(params, position_shape)
        return f.negative_binomial_sample(each[..., 0], each[..., 1], noise)

    def marginal(self, value: Array | np.ndarray, position_shape: Shape, grid_ndims: int) -> Array:
        mean, variance = _moments(value)
        # Up to 1e6 times the mean, beyond which one could not tell them from a Poisson's.
        excess = jnp.maximum(variance / mean - 1.0, 1e-6)
        size = jnp.clip(mean / excess, 1e-3, jnp.maximum(1e6 * mean, 1.0))
        params = jnp.stack([jnp.log(mean), jnp.log(size)], axis=-1)
        return params.reshape(*mean.shape[:grid_ndims], self.num_params(position_shape))


def _moments(value: Array | np.ndarray) -> tuple[Array, Array]:
    """The mean of every entry, above 0 also where nothing was counted, and the variance."""
    values = value.astype(np.float64 if isinstance(value, np.ndarray) else jnp.result_type(float))
    mean = jnp.maximum(jnp.asarray(values.mean(0)), _HALF / len(value))
    return mean, jnp.asarray(values.var(0), mean.dtype)
