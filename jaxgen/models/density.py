"""What the base densities of flows share."""

from functools import partial
from typing import Self

import jax
import jax.numpy as jnp
from jax import Array

from jaxgen.core import Context, Key, Shape, check_finite, checked_arguments, float_dtype
from jaxgen.models.base import Model


class Density(Model):
    """A subclass defines ``_score`` and ``_draw``, and where ``has_cdf`` is set, ``_cdf``.

    The last need not be where the entries are independent normals, as ``as_normal`` says.
    """

    @partial(checked_arguments, least_axes=0)
    def __init__(self, event_shape: Shape):
        self.event_shape = tuple(event_shape)

    def log_prob(self, x: Array, context: Context = None, *, key: Key = None) -> Array:
        x, context = self._events(x, context, "log_prob")
        check_finite(x, f"{type(self).__name__}.log_prob", infinite=True)
        return self._score(x.astype(float_dtype(x.dtype)), context)

    def conditional_cdf(self, x: Array, context: Context = None) -> tuple[Array, Array]:
        if not self.has_cdf:
            raise self._lacks("conditional_cdf", "has_cdf")
        x, context = self._events(x, context, "conditional_cdf")
        check_finite(x, f"{type(self).__name__}.conditional_cdf", infinite=True)
        share = self._cdf(x.astype(float_dtype(x.dtype)), context)
        return share, share

    def initialize(self, x: Array, key: Array, context: Context = None) -> Self:
        return self.standardize(*self._events(x, context, "initialize"))

    def _score(self, x: Array, context: Context) -> Array:
        """``log p(x | context)``, with arguments of one batch shape that have been checked."""
        raise NotImplementedError(f"{type(self).__name__} defines no _score")

    def _cdf(self, x: Array, context: Context) -> Array:
        """The distribution function of every entry, likewise."""
        normal = self.as_normal(context)
        if normal is None:
            raise NotImplementedError(f"{type(self).__name__} defines no _cdf")
        mean, log_scale = normal
        return jax.scipy.special.ndtr((x - mean) * jnp.exp(-log_scale))

    def _sum_event(self, log_prob: Array) -> Array:
        return jnp.sum(log_prob, tuple(range(-len(self.event_shape), 0)))
