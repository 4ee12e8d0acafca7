"""Base densities for flows."""

import jax
import jax.numpy as jnp
from jax import Array

from jaxgen.core import Shape, float_dtype
from jaxgen.functional import likelihoods
from jaxgen.models.base import Model


class StandardNormal(Model):
    """Independent standard normal entries.

    >>> StandardNormal((2,)).log_prob(jnp.zeros((3, 2))).shape
    (3,)
    """

    def __init__(self, event_shape: Shape):
        self.event_shape = tuple(event_shape)

    def log_prob(
        self, x: Array, context: Array | None = None, *, key: Array | None = None
    ) -> Array:
        x, _ = self._events(x, context, "log_prob")
        x = x.astype(float_dtype(x.dtype))
        zero = jnp.zeros((), x.dtype)
        event = tuple(range(x.ndim - len(self.event_shape), x.ndim))
        return jnp.sum(likelihoods.normal_log_prob(x, zero, zero), event)

    def sample(
        self,
        key: Array,
        num_samples: int,
        context: Array | None = None,
        *,
        method: str = "auto",
    ) -> Array:
        batch = self._sample_batch(num_samples, context, method)
        self._context(context, batch, "StandardNormal.sample")
        return jax.random.normal(key, (*batch, *self.event_shape))
