r"""Floor 3: the distributions that an autoregressive network parametrises.

A likelihood scores the values at the positions of a grid, ``(*batch, *grid, *position)``, with
parameters ``(*batch, *grid, num_params)``; the entries of one position are independent given its
parameters. A sample is a function of the parameters and of noise, so that samplers which visit
positions in different ways return the same array for the same key.
"""

import math
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array

from jaxgen.core import Shape, check_levels, is_concrete, unpack_params
from jaxgen.functional import likelihoods as f

if TYPE_CHECKING:
    import distrax


class Likelihood(nnx.Pytree):
    """A family of distributions with parameters from outside; holds no arrays itself.

    A subclass sets ``params_per_value`` and ``levels`` (None for real values) and defines
    ``log_prob``, ``noise``, ``sample`` and ``distribution``.
    """

    params_per_value: int
    levels: int | None = None
    reparametrized: bool = True  # whether real samples are differentiable in the parameters

    def num_params(self, position_shape: Shape) -> int:
        """How many numbers a network has to give for one position."""
        return self.params_per_value * math.prod(position_shape)

    def unpack(self, params: Array, position_shape: Shape) -> Array:
        """Parameters ``(*grid, num_params)`` as ``(*grid, *position, params_per_value)``."""
        return unpack_params(params, position_shape, self.params_per_value)

    def encode(self, value: Array) -> Array:
        """Values as the real numbers that a network reads."""
        return value

    def check(self, value: Array | np.ndarray) -> None:
        """Refuses values outside the support; under a trace only their dtype can be seen.

        Raises:
            ValueError: saying what was expected, what came, and what to do.
        """

    def log_prob(self, value: Array, params: Array) -> Array:
        """``log p(value | params)`` in nats, summed over each position: ``(*batch, *grid)``."""
        raise NotImplementedError(f"{type(self).__name__} defines no log_prob")

    def noise(self, key: Array, shape: Shape, dtype: jnp.dtype) -> Array:
        """The noise that :meth:`sample` turns into values of this shape."""
        raise NotImplementedError(f"{type(self).__name__} defines no noise")

    def sample(
        self,
        params: Array,
        noise: Array,
        position_shape: Shape,
        temperature: float | Array = 1.0,
    ) -> Array:
        """Values ``(*grid, *position)``, a deterministic function of parameters and noise.

        A temperature divides the logits of a choice and multiplies the deviation of a real value.
        """
        raise NotImplementedError(f"{type(self).__name__} defines no sample")

    def distribution(self, params: Array, position_shape: Shape = ()) -> "distrax.Distribution":
        """The distrax distribution of the entries, with its mean, mode, entropy and friends."""
        raise NotImplementedError(f"{type(self).__name__} defines no distribution")


def _sum_position(log_prob: Array, params: Array) -> Array:
    return jnp.sum(log_prob, tuple(range(params.ndim - 1, log_prob.ndim)))


def _position_shape(value: Array, params: Array) -> Shape:
    return value.shape[params.ndim - 1 :]


class Bernoulli(Likelihood):
    """Binary values with a logit each.

    >>> Bernoulli().log_prob(jnp.array([0, 1]), jnp.zeros((2, 1))).round(4).tolist()
    [-0.6930999755859375, -0.6930999755859375]
    """

    params_per_value = 1
    levels = 2

    def encode(self, value: Array) -> Array:
        return value.astype(jnp.result_type(float))

    def check(self, value: Array | np.ndarray) -> None:
        if is_concrete(value):
            values = np.asarray(value)
            wrong = (values != 0) & (values != 1)
            if wrong.any():
                raise ValueError(
                    f"Bernoulli: expected values 0 and 1, got {values[wrong].flat[0]}; binarize "
                    f"the data first, or use a Categorical head"
                )

    def log_prob(self, value: Array, params: Array) -> Array:
        logits = self.unpack(params, _position_shape(value, params))[..., 0]
        return _sum_position(f.bernoulli_log_prob(value, logits), params)

    def noise(self, key: Array, shape: Shape, dtype: jnp.dtype) -> Array:
        return jax.random.uniform(key, shape, dtype)

    def sample(
        self,
        params: Array,
        noise: Array,
        position_shape: Shape,
        temperature: float | Array = 1.0,
    ) -> Array:
        return f.bernoulli_sample(self.unpack(params, position_shape)[..., 0] / temperature, noise)

    def distribution(self, params: Array, position_shape: Shape = ()) -> "distrax.Distribution":
        import distrax

        return distrax.Bernoulli(logits=self.unpack(params, position_shape)[..., 0])


class Categorical(Likelihood):
    """Integer levels ``0 .. levels - 1`` with a logit for each level.

    The network reads a level scaled to ``[-1, 1]``.

    Args:
        levels: the number of levels, at least 2.

    >>> round(float(Categorical(4).log_prob(jnp.array(3), jnp.zeros(4))), 4)
    -1.3863
    """

    levels: int

    def __init__(self, levels: int):
        if levels < 2:
            raise ValueError(f"Categorical: expected at least 2 levels, got {levels}")
        self.levels = levels
        self.params_per_value = levels

    def encode(self, value: Array) -> Array:
        return value.astype(jnp.result_type(float)) * (2.0 / (self.levels - 1)) - 1.0

    def check(self, value: Array | np.ndarray) -> None:
        check_levels(value, self.levels, "Categorical")

    def log_prob(self, value: Array, params: Array) -> Array:
        logits = self.unpack(params, _position_shape(value, params))
        return _sum_position(f.categorical_log_prob(value, logits), params)

    def noise(self, key: Array, shape: Shape, dtype: jnp.dtype) -> Array:
        return jax.random.gumbel(key, (*shape, self.levels), dtype)

    def sample(
        self,
        params: Array,
        noise: Array,
        position_shape: Shape,
        temperature: float | Array = 1.0,
    ) -> Array:
        return f.categorical_sample(self.unpack(params, position_shape) / temperature, noise)

    def distribution(self, params: Array, position_shape: Shape = ()) -> "distrax.Distribution":
        import distrax

        return distrax.Categorical(logits=self.unpack(params, position_shape))


def _check_real(value: Array | np.ndarray, name: str) -> None:
    if not jnp.issubdtype(value.dtype, jnp.floating):
        raise ValueError(
            f"{name}: expected real values, got {value.dtype}; for integer levels use a "
            f"Categorical head"
        )


class Normal(Likelihood):
    """Real values with a mean and a log standard deviation each.

    >>> round(float(Normal().log_prob(jnp.array(0.0), jnp.zeros(2))), 4)
    -0.9189
    """

    params_per_value = 2

    def check(self, value: Array | np.ndarray) -> None:
        _check_real(value, "Normal")

    def _mean_and_log_scale(self, params: Array, position_shape: Shape) -> tuple[Array, Array]:
        params = self.unpack(params, position_shape)
        return params[..., 0], params[..., 1]

    def log_prob(self, value: Array, params: Array) -> Array:
        shape = _position_shape(value, params)
        log_prob = f.normal_log_prob(value, *self._mean_and_log_scale(params, shape))
        return _sum_position(log_prob, params)

    def noise(self, key: Array, shape: Shape, dtype: jnp.dtype) -> Array:
        return jax.random.normal(key, shape, dtype)

    def sample(
        self,
        params: Array,
        noise: Array,
        position_shape: Shape,
        temperature: float | Array = 1.0,
    ) -> Array:
        mean, log_scale = self._mean_and_log_scale(params, position_shape)
        return f.normal_sample(mean, log_scale, temperature * noise)

    def distribution(self, params: Array, position_shape: Shape = ()) -> "distrax.Distribution":
        import distrax

        mean, log_scale = self._mean_and_log_scale(params, position_shape)
        return distrax.Normal(mean, jnp.exp(log_scale))


class GaussianMixture(Likelihood):
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

    def __init__(self, components: int):
        if components < 1:
            raise ValueError(f"GaussianMixture: expected at least one component, got {components}")
        self.components = components
        self.params_per_value = 3 * components

    def check(self, value: Array | np.ndarray) -> None:
        _check_real(value, "GaussianMixture")

    def _mixture(self, params: Array, position_shape: Shape) -> tuple[Array, Array, Array]:
        """Logits, means and log-scales, each ``(*grid, *position, components)``."""
        logits, means, log_scales = jnp.split(self.unpack(params, position_shape), 3, axis=-1)
        spread = np.linspace(-1.0, 1.0, self.components) if self.components > 1 else np.zeros(1)
        return logits, means + jnp.asarray(spread, means.dtype), log_scales

    def log_prob(self, value: Array, params: Array) -> Array:
        mixture = self._mixture(params, _position_shape(value, params))
        return _sum_position(f.normal_mixture_log_prob(value, *mixture), params)

    def noise(self, key: Array, shape: Shape, dtype: jnp.dtype) -> Array:
        pick_key, noise_key = jax.random.split(key)
        gumbel = jax.random.gumbel(pick_key, (*shape, self.components), dtype)
        return jnp.concatenate([gumbel, jax.random.normal(noise_key, (*shape, 1), dtype)], -1)

    def sample(
        self,
        params: Array,
        noise: Array,
        position_shape: Shape,
        temperature: float | Array = 1.0,
    ) -> Array:
        logits, means, log_scales = self._mixture(params, position_shape)
        gumbel, deviation = noise[..., :-1], temperature * noise[..., -1]
        return f.normal_mixture_sample(logits / temperature, means, log_scales, gumbel, deviation)

    def distribution(self, params: Array, position_shape: Shape = ()) -> "distrax.Distribution":
        import distrax

        logits, means, log_scales = self._mixture(params, position_shape)
        return distrax.MixtureSameFamily(
            distrax.Categorical(logits=logits), distrax.Normal(means, jnp.exp(log_scales))
        )


def for_levels(levels: int | None) -> Likelihood:
    """The usual likelihood of data with this many levels.

    Bernoulli for 2, categorical for more, and normal for real values (None).

    >>> type(for_levels(17)).__name__
    'Categorical'
    """
    if levels is None:
        return Normal()
    return Bernoulli() if levels == 2 else Categorical(levels)
