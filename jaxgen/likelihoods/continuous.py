"""Real values: a normal each, or a mixture of normals."""

from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxgen.core import Shape, check_finite, checked_arguments
from jaxgen.functional import likelihoods as f
from jaxgen.functional.statistics import location_and_scale
from jaxgen.likelihoods.base import Likelihood, entries_of, position_shape_of, sum_position

if TYPE_CHECKING:
    import distrax


class Real(Likelihood):
    """Real values, which a network reads as they are."""

    has_units = True
    tempers_noise = True

    def check(self, value: Array | np.ndarray) -> None:
        if not jnp.issubdtype(value.dtype, jnp.floating):
            raise ValueError(
                f"{type(self).__name__}: expected real values, got {value.dtype}; for integer "
                f"levels use a Categorical head"
            )
        check_finite(value, type(self).__name__, "the values")


class Normal(Real):
    """Real values with a mean and a log standard deviation each.

    >>> round(float(Normal().log_prob(jnp.array(0.0), jnp.zeros(2))), 4)
    -0.9189
    """

    params_per_value = 2
    has_cdf = True

    def as_normal(self, params: Array, position_shape: Shape) -> tuple[Array, Array]:
        params = self.unpack(params, position_shape)
        return params[..., 0], params[..., 1]

    def mean(self, params: Array, position_shape: Shape) -> Array:
        return self.as_normal(params, position_shape)[0]

    def marginal(self, value: Array | np.ndarray, position_shape: Shape, grid_ndims: int) -> Array:
        mean, scale = location_and_scale(value, grid_ndims + len(position_shape), inside=True)
        params = jnp.stack([jnp.asarray(mean), jnp.log(scale)], axis=-1)
        return params.reshape(*mean.shape[:grid_ndims], self.num_params(position_shape))

    def log_prob(self, value: Array, params: Array) -> Array:
        value, shape = entries_of(value, params)
        log_prob = f.normal_log_prob(value, *self.as_normal(params, shape))
        return sum_position(log_prob, params)

    def cdf(self, value: Array, params: Array) -> tuple[Array, Array]:
        mean, log_scale = self.as_normal(params, position_shape_of(value, params))
        share = jax.scipy.special.ndtr((value - mean) * jnp.exp(-log_scale))
        return share, share

    def noise(self, key: Array, shape: Shape, dtype: jnp.dtype) -> Array:
        return jax.random.normal(key, shape, dtype)

    def sample(self, params: Array, noise: Array, position_shape: Shape) -> Array:
        mean, log_scale = self.as_normal(params, position_shape)
        return f.normal_sample(mean, log_scale, noise)

    def distribution(self, params: Array, position_shape: Shape = ()) -> "distrax.Distribution":
        import distrax

        mean, log_scale = self.as_normal(params, position_shape)
        return distrax.Normal(mean, jnp.exp(log_scale))


class GaussianMixture(Real):
    r"""Real values with a mixture of normals each: RNADE's and MADE-MoG's head.

    Each component has a logit, a mean and a log standard deviation. All-zero parameters would make
    the components equal, with equal gradients, and so keep them equal for ever. Therefore the mean
    of component ``k`` is the network's number plus a constant: the constants are spread evenly over
    ``[-1, 1]``, which suits standardised data.

    Args:
        components: how many normals.

    Raises:
        ValueError: if there is no component.

    >>> round(float(GaussianMixture(2).log_prob(jnp.array(0.0), jnp.zeros(6))), 4)  # N(1; 0, 1)
    -1.4189
    """

    reparametrized = False  # the choice of a component has no gradient
    has_cdf = True

    @checked_arguments
    def __init__(self, components: int):
        self.components = components
        self.params_per_value = 3 * components

    def _mixture(self, params: Array, position_shape: Shape) -> tuple[Array, Array, Array]:
        """Logits, means and log-scales, each ``(*grid, *position, components)``."""
        logits, means, log_scales = jnp.split(self.unpack(params, position_shape), 3, axis=-1)
        return logits, f.spread_out(means), log_scales

    def marginal(self, value: Array | np.ndarray, position_shape: Shape, grid_ndims: int) -> Array:
        mean, scale = location_and_scale(value, grid_ndims + len(position_shape), inside=True)
        means, log_scales = f.mixture_like(jnp.asarray(mean), jnp.asarray(scale), self.components)
        params = jnp.concatenate([jnp.zeros_like(means), means, log_scales], axis=-1)
        return params.reshape(*mean.shape[:grid_ndims], self.num_params(position_shape))

    def mean(self, params: Array, position_shape: Shape) -> Array:
        logits, means, _ = self._mixture(params, position_shape)
        return jnp.sum(jax.nn.softmax(logits) * means, axis=-1)

    def log_prob(self, value: Array, params: Array) -> Array:
        value, shape = entries_of(value, params)
        mixture = self._mixture(params, shape)
        return sum_position(f.normal_mixture_log_prob(value, *mixture), params)

    def cdf(self, value: Array, params: Array) -> tuple[Array, Array]:
        logits, means, log_scales = self._mixture(params, position_shape_of(value, params))
        each = jax.scipy.special.ndtr((value[..., None] - means) * jnp.exp(-log_scales))
        share = jnp.clip(jnp.sum(jax.nn.softmax(logits) * each, axis=-1), 0.0, 1.0)
        return share, share

    def noise(self, key: Array, shape: Shape, dtype: jnp.dtype) -> Array:
        return f.mixture_noise(key, shape, self.components, jax.random.normal, dtype)

    def sample(self, params: Array, noise: Array, position_shape: Shape) -> Array:
        logits, means, log_scales = self._mixture(params, position_shape)
        return f.normal_mixture_sample(logits, means, log_scales, noise[..., :-1], noise[..., -1])

    def distribution(self, params: Array, position_shape: Shape = ()) -> "distrax.Distribution":
        import distrax

        logits, means, log_scales = self._mixture(params, position_shape)
        return distrax.MixtureSameFamily(
            distrax.Categorical(logits=logits), distrax.Normal(means, jnp.exp(log_scales))
        )
