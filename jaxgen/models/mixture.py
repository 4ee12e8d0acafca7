"""Finite mixtures of factorised distributions."""

import math
from functools import partial
from typing import Self

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array

from jaxgen.bijectors.normalisation import Standardize
from jaxgen.core import (
    Context,
    Key,
    Shape,
    adapt_once,
    checked_arguments,
    float_dtype,
    program,
    replace,
)
from jaxgen.functional import support
from jaxgen.likelihoods import Likelihood
from jaxgen.models.base import Model, Sampling


class Mixture(Model):
    r"""``K`` factorised distributions over events, of which each event comes from one.

    .. math:: p(x) = \sum_{k=1}^K w_k \prod_i p(x_i; \theta_{ki}),

    exact by summing over the components: the mixture of Bernoullis, and its kin under any
    likelihood, such as mixtures of diagonal normals, which serve as the base of a flow. Weights and
    parameters are trained by gradients. Real values are standardised first, by the location and
    scale of the data that :meth:`standardize` or :meth:`initialize` is given.

    Args:
        event_shape: the event's shape.
        likelihood: of every entry.
        components: ``K``.
        rngs: where the first parameters come from, normal draws with deviation 0.5, which tell the
            components apart.

    Raises:
        ValueError: if there is no component.

    >>> from jaxgen.likelihoods import Bernoulli
    >>> model = Mixture((6,), Bernoulli(), 3, rngs=nnx.Rngs(0))
    >>> model.log_prob(jnp.zeros((4, 6), int)).shape
    (4,)
    """

    reparametrized = False  # the choice of a component has no gradient

    @partial(checked_arguments, least_axes=0)
    def __init__(
        self, event_shape: Shape, likelihood: Likelihood, components: int, *, rngs: nnx.Rngs
    ):
        self.event_shape = tuple(event_shape)
        self.likelihood = likelihood
        self.levels, self.discrete = likelihood.levels, likelihood.discrete
        self.has_cdf = likelihood.has_cdf
        shape = (components, *self.event_shape, likelihood.num_params(()))
        self.params = nnx.Param(0.5 * jax.random.normal(rngs.params(), shape))
        self.logits = nnx.Param(jnp.zeros(components))
        self.units = Standardize(self.event_shape) if likelihood.has_units else None

    def log_prob(self, x: Array, context: Context = None, *, key: Key = None) -> Array:
        x, _ = self._events(x, context, "log_prob")
        self.likelihood.check(x)
        x, inside = self.likelihood.restricted(x)
        log_det = jnp.zeros(())
        if self.units is not None:
            x, log_det = self.units.inverse_and_log_det(x)
        return support.restrict(self._mixed(x) + log_det, inside)

    @program()
    def _mixed(self, x: Array) -> Array:
        """``log p(x)`` of events in the units of the components."""

        def component(params: Array) -> Array:
            each = self.likelihood.log_prob(
                x, jnp.broadcast_to(params, (*x.shape, params.shape[-1]))
            )
            return jnp.sum(each, tuple(range(-len(self.event_shape), 0)))

        weights = jax.nn.log_softmax(self.logits[...].astype(float_dtype(self.logits.dtype)))
        # One component after the other: their parameters are spread over all events.
        scores = jax.lax.map(component, self.params[...])
        return support.logsumexp(jnp.moveaxis(scores, 0, -1) + weights, -1)

    def conditional_cdf(self, x: Array, context: Context = None) -> tuple[Array, Array]:
        if not self.has_cdf:
            raise self._lacks("conditional_cdf", "has_cdf")
        x, _ = self._events(x, context, "conditional_cdf")
        self.likelihood.check(x)
        return self._cdf(x if self.units is None else self.units.inverse(x))

    @program()
    def _cdf(self, x: Array) -> tuple[Array, Array]:
        """The components' distribution functions, by their weights given the entries before."""
        batch = x.shape[: x.ndim - len(self.event_shape)]

        def component(params: Array) -> tuple[Array, Array, Array]:
            params = jnp.broadcast_to(params, (*x.shape, params.shape[-1]))
            each = self.likelihood.log_prob(x, params).reshape(*batch, math.prod(self.event_shape))
            before = jnp.cumsum(jnp.roll(each, 1, -1).at[..., 0].set(0.0), -1)
            return before.reshape(x.shape), *self.likelihood.cdf(x, params)

        before, low, high = jax.lax.map(component, self.params[...])
        logits = self.logits[...].reshape(-1, *(1,) * x.ndim)
        weights = jax.nn.softmax(before + logits, axis=0)
        return jnp.sum(weights * low, 0).clip(0.0, 1.0), jnp.sum(weights * high, 0).clip(0.0, 1.0)

    def standardize(self, x: Array | np.ndarray | None, context: Context | np.ndarray) -> Self:
        if x is None or self.units is None:
            return self
        # Of the head, which has no units for columns of whole numbers.
        mean, scale = self.likelihood.location_and_scale(x, len(self.event_shape))
        return replace(self, units=adapt_once(self.units, mean=mean, log_scale=jnp.log(scale)))

    def initialize(self, x: Array, key: Array, context: Context = None) -> Self:
        return self.standardize(*self._events(x, context, "initialize"))

    def _draw(self, key: Array, batch: Shape, context: Context, how: Sampling) -> Array:
        pick_key, noise_key = jax.random.split(key)
        picks = jax.random.categorical(pick_key, self.logits[...] / how.temperature, shape=batch)
        params = self.params[...][picks]
        shape = (*batch, *self.event_shape)
        noise = self.likelihood.noise(noise_key, shape, float_dtype(params.dtype))
        x = self.likelihood.draw(params, noise, (), how.temperature, 1.0)
        return x if self.units is None else self.units.forward(x)

    def check_data(self, x: Array | np.ndarray) -> None:
        super().check_data(x)
        self.likelihood.check(x)
