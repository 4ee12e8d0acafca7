"""Binary values and integer levels; and the usual head of any data."""

from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxgen.core import (
    Shape,
    checked_arguments,
    is_concrete,
)
from jaxgen.functional import likelihoods as f
from jaxgen.functional import support
from jaxgen.functional.statistics import level_frequencies
from jaxgen.likelihoods.base import Likelihood, Scalar, entries_of, sum_position
from jaxgen.likelihoods.continuous import GaussianMixture, Normal
from jaxgen.likelihoods.discretized import DiscretizedLogisticMixture
from jaxgen.likelihoods.levels import Levels, cooled, level_cdf

if TYPE_CHECKING:
    import distrax


class Bernoulli(Likelihood):
    """Binary values with a logit each.

    >>> Bernoulli().log_prob(jnp.array([0, 1]), jnp.zeros((2, 1))).round(4).tolist()
    [-0.6930999755859375, -0.6930999755859375]
    """

    params_per_value = 1
    levels = 2
    has_cdf = True

    def numbers(self, value: Array) -> Array:
        return value.astype(jnp.result_type(float))

    def marginal(self, value: Array | np.ndarray, position_shape: Shape, grid_ndims: int) -> Array:
        ndims = grid_ndims + len(position_shape)
        rates = jnp.asarray(level_frequencies(value, 2, ndims, grid_ndims))
        logits = jnp.log(rates[..., 1]) - jnp.log(rates[..., 0])
        return logits.reshape(*logits.shape[:grid_ndims], self.num_params(position_shape))

    def check(self, value: Array | np.ndarray) -> None:
        if is_concrete(value):
            values = np.asarray(value)
            wrong = (values != 0) & (values != 1)
            if wrong.any():
                raise ValueError(
                    f"Bernoulli: expected values 0 and 1, got {values[wrong].flat[0]}; binarize "
                    f"the data first, or use a Categorical head"
                )

    def contains(self, value: Array) -> Array:
        return support.is_level(value, 2)

    def mean(self, params: Array, position_shape: Shape) -> Array:
        return jax.nn.sigmoid(self.unpack(params, position_shape)[..., 0])

    def log_prob(self, value: Array, params: Array) -> Array:
        value, shape = entries_of(value, params)
        logits = self.unpack(params, shape)[..., 0]
        return sum_position(f.bernoulli_log_prob(value, logits), params)

    def cdf(self, value: Array, params: Array) -> tuple[Array, Array]:
        return level_cdf(self, value, params)

    def noise(self, key: Array, shape: Shape, dtype: jnp.dtype) -> Array:
        return jax.random.uniform(key, shape, dtype)

    def sample(self, params: Array, noise: Array, position_shape: Shape) -> Array:
        return f.bernoulli_sample(self.unpack(params, position_shape)[..., 0], noise)

    def temper(
        self, params: Array, noise: Array, position_shape: Shape, temperature: Scalar, top_p: Scalar
    ) -> tuple[Array, Array]:
        logits = self.unpack(params, position_shape)[..., 0]
        both = cooled(jnp.stack([jnp.zeros_like(logits), logits], axis=-1), temperature)
        zero, one = jnp.moveaxis(f.nucleus(both, top_p), -1, 0)
        return (one - zero).reshape(params.shape), noise

    def distribution(self, params: Array, position_shape: Shape = ()) -> "distrax.Distribution":
        import distrax

        return distrax.Bernoulli(logits=self.unpack(params, position_shape)[..., 0])


class Categorical(Levels):
    """Integer levels ``0 .. levels - 1`` with a logit for each level.

    Args:
        levels: the number of levels, at least 2.
        inputs: how a network reads a level: ``"scalar"``, ``"one_hot"`` or ``"both"``, see
            :class:`~jaxgen.likelihoods.levels.Levels`.

    Raises:
        ValueError: for fewer than 2 levels, or unknown inputs.

    >>> round(float(Categorical(4).log_prob(jnp.array(3), jnp.zeros(4))), 4)
    -1.3863
    >>> Categorical(3, "one_hot").encode(jnp.array([2, 0])).tolist()
    [[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]]
    """

    has_cdf = True

    @checked_arguments
    def __init__(self, levels: int, inputs: str = "scalar"):
        super().__init__(levels, inputs)
        self.params_per_value = levels

    def marginal(self, value: Array | np.ndarray, position_shape: Shape, grid_ndims: int) -> Array:
        ndims = grid_ndims + len(position_shape)
        logits = jnp.log(level_frequencies(value, self.levels, ndims, grid_ndims))
        return logits.reshape(*logits.shape[:grid_ndims], self.num_params(position_shape))

    def mean(self, params: Array, position_shape: Shape) -> Array | None:
        if self.inputs != "scalar":
            return None
        logits = self.unpack(params, position_shape)
        return jax.nn.softmax(logits) @ jnp.arange(self.levels, dtype=logits.dtype)

    def log_prob(self, value: Array, params: Array) -> Array:
        value, shape = entries_of(value, params)
        logits = self.unpack(params, shape)
        return sum_position(f.categorical_log_prob(value, logits), params)

    def cdf(self, value: Array, params: Array) -> tuple[Array, Array]:
        return level_cdf(self, value, params)

    def noise(self, key: Array, shape: Shape, dtype: jnp.dtype) -> Array:
        return jax.random.gumbel(key, (*shape, self.levels), dtype)

    def sample(self, params: Array, noise: Array, position_shape: Shape) -> Array:
        return f.categorical_sample(self.unpack(params, position_shape), noise)

    def temper(
        self, params: Array, noise: Array, position_shape: Shape, temperature: Scalar, top_p: Scalar
    ) -> tuple[Array, Array]:
        logits = self.unpack(params, position_shape)
        kept = f.nucleus(cooled(logits, temperature), top_p) > -jnp.inf
        return jnp.where(kept, logits, -jnp.inf).reshape(params.shape), noise * temperature

    def distribution(self, params: Array, position_shape: Shape = ()) -> "distrax.Distribution":
        import distrax

        return distrax.Categorical(logits=self.unpack(params, position_shape))


def for_levels(
    levels: int | None, components: int | None = None, inputs: str = "scalar"
) -> Likelihood:
    """The usual likelihood of data with this many levels, None for real values.

    Without components: Bernoulli for 2 levels, categorical for more, normal for real values. With
    components: a mixture of discretized logistics for levels, of normals for real values. How
    a network reads more than 2 levels is ``inputs``, as in :class:`Categorical`.

    >>> type(for_levels(17)).__name__, type(for_levels(17, components=5)).__name__
    ('Categorical', 'DiscretizedLogisticMixture')
    """
    if components is not None:
        if levels is None:
            return GaussianMixture(components)
        return DiscretizedLogisticMixture(levels, components, inputs=inputs)
    if levels is None:
        return Normal()
    return Bernoulli() if levels == 2 else Categorical(levels, inputs)
