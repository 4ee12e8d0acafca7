"""Fixed standardisation of the data."""

from typing import Self

import jax.numpy as jnp
from jax import Array

from jaxgen.bijectors.base import Bijector
from jaxgen.core import Buffer, Shape, is_concrete, replace
from jaxgen.functional import elementwise
from jaxgen.functional.actnorm import MIN_SCALE


class Standardize(Bijector):
    """``z = (x - mean) / scale`` entry by entry, with statistics that are not trained.

    :meth:`initialize` takes mean and standard deviation of every entry of the event from a batch.

    Args:
        event_shape: the event's shape.
        mean, scale: arrays that broadcast to ``event_shape``.

    Raises:
        ValueError: if a given scale is not positive.

    >>> Standardize((2,), mean=1.0, scale=2.0).inverse(jnp.array([1.0, 5.0])).tolist()
    [0.0, 2.0]
    """

    event_shape: Shape

    def __init__(self, event_shape: Shape, mean: Array | float = 0.0, scale: Array | float = 1.0):
        self.event_shape = tuple(event_shape)
        self.event_ndims = len(event_shape)
        dtype = jnp.result_type(float)
        scale = jnp.broadcast_to(jnp.asarray(scale, dtype), event_shape)
        if is_concrete(scale) and not bool(jnp.all(scale > 0)):
            raise ValueError(
                f"Standardize: expected positive scales, got a minimum of {scale.min()}"
            )
        self.mean = Buffer(jnp.broadcast_to(jnp.asarray(mean, dtype), event_shape))
        self.log_scale = Buffer(jnp.log(scale))

    def forward_and_log_det(self, z: Array, context: Array | None = None) -> tuple[Array, Array]:
        x, _ = elementwise.affine_forward(z, self.mean[...], self.log_scale[...])
        return x, jnp.sum(self.log_scale[...])

    def inverse_and_log_det(self, x: Array, context: Array | None = None) -> tuple[Array, Array]:
        z, _ = elementwise.affine_inverse(x, self.mean[...], self.log_scale[...])
        return z, -jnp.sum(self.log_scale[...])

    def initialize(self, x: Array, context: Array | None = None) -> tuple[Self, Array]:
        rows = x.reshape(-1, *self.event_shape)
        scale = jnp.maximum(jnp.std(rows, axis=0), MIN_SCALE)
        new = replace(self, mean=Buffer(jnp.mean(rows, axis=0)), log_scale=Buffer(jnp.log(scale)))
        return new, new.inverse(x)
