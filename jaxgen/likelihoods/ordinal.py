"""Levels that are ordered, and no more: grades, ratings, answers from never to always."""

from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxgen.core import Shape
from jaxgen.functional import ordinal as f
from jaxgen.likelihoods.base import entries_of, sum_position
from jaxgen.likelihoods.levels import Levels, level_cdf

if TYPE_CHECKING:
    import distrax


class Ordinal(Levels):
    r"""Ordered levels ``0 .. levels - 1`` by cumulative logits (McCullagh, 1980).

    .. math:: P(x \le k) = \sigma(\theta_{k+1}), \qquad \theta_1 < \dots < \theta_{L-1},

    with the first threshold and the logarithmic gaps between them from the network, as many numbers
    as a categorical distribution needs; all-zero parameters are equally likely levels. A number
    that moves all thresholds moves the whole distribution, where a categorical head has to learn
    the order of its levels. The network reads a level scaled to ``[-1, 1]``.

    A temperature multiplies the logistic noise that falls between the thresholds.

    Args:
        levels: the number of levels, at least 2.

    Raises:
        ValueError: for fewer than 2 levels.

    >>> round(float(Ordinal(4).log_prob(jnp.array(3), jnp.zeros(3))), 4)
    -1.3863
    """

    has_cdf = True

    def __init__(self, levels: int):
        super().__init__(levels)
        self.params_per_value = levels - 1

    def cdf(self, value: Array, params: Array) -> tuple[Array, Array]:
        return level_cdf(self, value, params)

    def log_prob(self, value: Array, params: Array) -> Array:
        value, shape = entries_of(value, params)
        each = self.unpack(params, shape)
        return sum_position(f.ordinal_log_prob(value, each), params)

    def noise(self, key: Array, shape: Shape, dtype: jnp.dtype) -> Array:
        return jax.random.logistic(key, shape, dtype)

    def sample(self, params: Array, noise: Array, position_shape: Shape) -> Array:
        return f.ordinal_sample(self.unpack(params, position_shape), noise)

    def marginal(self, value: Array | np.ndarray, position_shape: Shape, grid_ndims: int) -> Array:
        values = np if isinstance(value, np.ndarray) else jnp
        below = [values.mean(value <= k, axis=0) for k in range(self.levels - 1)]
        # Half an example more at either end: no level is impossible.
        rows = max(len(value), 1)
        share = (jnp.stack([jnp.asarray(b) for b in below], -1) * rows + 0.5) / (rows + 1.0)
        params = f.parameters(jnp.log(share) - jnp.log1p(-share))
        return params.reshape(*value.shape[1 : 1 + grid_ndims], self.num_params(position_shape))

    def distribution(self, params: Array, position_shape: Shape = ()) -> "distrax.Distribution":
        """The categorical distribution over the levels."""
        import distrax

        each = self.unpack(params, position_shape)
        levels = jnp.broadcast_to(jnp.arange(self.levels), (*each.shape[:-1], self.levels))
        logits = jax.vmap(f.ordinal_log_prob, (-1, None), -1)(levels, each)
        return distrax.Categorical(logits=logits)
