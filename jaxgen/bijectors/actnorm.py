"""Activation normalisation (Glow, Kingma & Dhariwal, 2018, section 3.1)."""

import math
from typing import Self

import jax.numpy as jnp
from flax import nnx
from jax import Array

from jaxgen.bijectors.base import Bijector
from jaxgen.core import Shape, replace
from jaxgen.functional import actnorm, elementwise


class ActNorm(Bijector):
    r"""A per-channel affine map, ``x = z exp(s) + t``, that starts from the data's statistics.

    :math:`\log|\det \partial x/\partial z| = S \sum_c s_c` with ``S`` the number of positions in
    the event that share a channel (1 for a vector). :meth:`initialize` returns one whose latents
    of the given batch have mean 0 and variance 1 in every channel.

    Args:
        event_shape: the event's shape; its last axis are the channels.

    >>> norm, z = ActNorm((2,)).initialize(jnp.array([[0.0, 1.0], [2.0, 5.0]]))
    >>> z.tolist()
    [[-1.0, -1.0], [1.0, 1.0]]
    """

    event_shape: Shape

    def __init__(self, event_shape: Shape):
        self.event_shape = tuple(event_shape)
        self.event_ndims = len(event_shape)
        self.shift = nnx.Param(jnp.zeros(event_shape[-1]))
        self.log_scale = nnx.Param(jnp.zeros(event_shape[-1]))

    def forward_and_log_det(self, z: Array, context: Array | None = None) -> tuple[Array, Array]:
        x, _ = elementwise.affine_forward(z, self.shift[...], self.log_scale[...])
        return x, self._log_det()

    def inverse_and_log_det(self, x: Array, context: Array | None = None) -> tuple[Array, Array]:
        z, _ = elementwise.affine_inverse(x, self.shift[...], self.log_scale[...])
        return z, -self._log_det()

    def _log_det(self) -> Array:
        return math.prod(self.event_shape[:-1]) * jnp.sum(self.log_scale[...])

    def initialize(self, x: Array, context: Array | None = None) -> tuple[Self, Array]:
        shift, log_scale = actnorm.statistics(x)
        new = replace(self, shift=nnx.Param(shift), log_scale=nnx.Param(log_scale))
        return new, new.inverse(x)
