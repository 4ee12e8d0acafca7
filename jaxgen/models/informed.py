"""A posterior that has been told of some data."""

from typing import Any

import jax.numpy as jnp
from flax import nnx
from jax import Array

from jaxgen.core import Context, Key
from jaxgen.models.base import Model


class Informed(Model):
    """A posterior with what the encoder says of some data: its context is the state alone.

    What the encoder says counts as a parameter of it, of which objectives choose the gradient
    (:mod:`jaxgen.models.posterior`).
    """

    def __init__(self, posterior: Model, said: Array):
        self.event_shape = posterior.event_shape
        self.posterior: Any = posterior
        self.said = nnx.Param(said)

    def given(self, h: Context) -> Array:
        """The context of the posterior itself: a state, and what the encoder says behind it."""
        assert h is not None  # a layer always has a state before it
        return jnp.concatenate([h, self.said[...]], axis=-1)

    def log_prob(self, x: Array, context: Context = None, *, key: Key = None) -> Array:
        return self.posterior.log_prob(x, self.given(context), key=key)

    def sample_and_log_prob(
        self, key: Array, num_samples: int, context: Context = None, *, method: str = "auto"
    ) -> tuple[Array, Array]:
        given = self.given(context)
        return self.posterior.sample_and_log_prob(key, num_samples, given, method=method)

    def as_normal(self, context: Context = None, *, key: Key = None) -> tuple[Array, Array] | None:
        return self.posterior.as_normal(self.given(context), key=key)

    def centre(self, context: Context = None) -> Array:
        return self.posterior.centre(self.given(context))
