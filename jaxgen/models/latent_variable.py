"""What all latent-variable models share: what their parts read, and the bound."""

import math
from typing import Any, Self

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxgen.bijectors.normalisation import Standardize, standardized
from jaxgen.core import (
    Buffer,
    Context,
    Key,
    Shape,
    batch_shape,
    is_concrete,
    map_modules,
    replace,
    split_key,
)
from jaxgen.functional import likelihoods, support
from jaxgen.models.base import Model
from jaxgen.models.embedded import keep_context
from jaxgen.models.joint import numbers
from jaxgen.models.posterior import direct


class LatentVariable(Model):
    """A decoder behind latents that are integrated out: the base of all such models.

    Data are read as numbers: levels are scaled to ``[-1, 1]``; real data are standardised, each
    entry of a vector or channel of an image, by the location and scale of the data that
    :meth:`standardize` or :meth:`initialize` is given, and so are contexts.

    Args:
        decoder: the model of the data given latents, or what is made of them.
        context_shape: of a further context, or None.
    """

    exactness = "lower_bound"
    has_posterior = True
    latent_shape: Shape

    def __init__(self, decoder: Model, context_shape: Shape | None):
        self.decoder = map_modules(decoder, keep_context)
        self.event_shape, self.context_shape = decoder.event_shape, context_shape
        self.levels, self.discrete = decoder.levels, decoder.discrete
        named = self.levels is not None and math.isfinite(self.levels)
        own = self.event_shape[-1:]
        self.units = None if named else Standardize(self.event_shape, statistics_shape=own)
        self.context_units = None if context_shape is None else Standardize(context_shape)

    def log_prob(self, x: Array, context: Context = None, *, key: Key = None) -> Array:
        raise TypeError(
            f"{type(self).__name__} has no exact log_prob: the latents are integrated out. Use "
            f"elbo(x, key), a lower bound, or importance_log_prob(x, key, num_samples)"
        )

    def elbo(
        self, x: Array, key: Array, context: Context = None, *, dropout_key: Key = None
    ) -> Array:
        """The evidence lower bound, in expectation over ``key``, in nats.

        One :meth:`log_weight`; or, where prior and posterior are both normals with independent
        entries, with their Kullback-Leibler divergence in closed form, which varies less.
        """
        fit, divergence = self.elbo_terms(x, key, context, dropout_key=dropout_key)
        return fit - jnp.sum(divergence, axis=-1)

    def standardize(self, x: Array | np.ndarray | None, context: Context | np.ndarray) -> Self:
        decoder, units, context_units = self.decoder, self.units, self.context_units
        where = f"{type(self).__name__}.standardize"
        if x is not None:
            batch_shape(x, self.event_shape, where)
            decoder = decoder.standardize(x, None)
            units = units and units.standardize(x)
        if context is not None and context_units is not None:
            batch_shape(context, context_units.event_shape, f"{where}, context")
            context_units = context_units.standardize(context)
        return replace(self, decoder=decoder, units=units, context_units=context_units)

    def initialize(self, x: Array, key: Array, context: Context = None) -> Self:
        x, context = self._events(x, context, "initialize")
        return Model.initialize(self.standardize(x, context), x, key, context)

    def check_data(self, x: Array | np.ndarray) -> None:
        super().check_data(x)
        self.decoder.check_data(x)

    def _checked(
        self, x: Array, key: Array, context: Context, dropout_key: Key, name: str
    ) -> tuple[Array, Array, Context, Array, list[Key]]:
        """Events inside the support, which are, the context seen, and three keys of each kind."""
        x, context = self._events(x, context, name)
        self._check_events(x)
        inside = jnp.ones(x.shape, bool)
        if self.levels is not None:
            inside = support.is_level(x, self.levels)
            x = jnp.where(inside, x, 0)
        keys = jax.random.split(key, 3)
        return x, inside, self._seen(context), keys, list(split_key(dropout_key, 3))

    def _check_events(self, x: Array) -> None:
        if is_concrete(x):
            self.check_data(x)

    def _batch(self, x: Array) -> Shape:
        return x.shape[: x.ndim - len(self.event_shape)]

    def _seen(self, context: Context) -> Array | None:
        return standardized(context, self.context_units)

    def _numbers(self, x: Array) -> Array:
        """Data as what infers latents reads them."""
        value = numbers(x, self.levels)
        return value if self.units is None else self.units.inverse(value)


def keep(module: Any) -> None:
    """Lets a part that is about latents stay as it is at an initialisation."""
    adapted = vars(module).get("adapted")
    if isinstance(adapted, Buffer):
        module.adapted = type(adapted)(jnp.ones_like(adapted[...]))


def draw_and_divergence(
    posterior: Model,
    prior: Model,
    keys: Array,
    batch: Shape,
    given: Context,
    prior_context: Context,
    drops: list[Key],
) -> tuple[Array, Array]:
    """A draw of a posterior, and its divergence from a prior.

    Args:
        posterior, prior: of the same latents.
        keys: two, of the draw and of the weight of a prior without an exact likelihood.
        batch: the shape of the batch.
        given, prior_context: the contexts of the two.
        drops: dropout keys of the two, or None.

    Returns:
        Latents, and the divergence in nats ``(*batch, parts)``: in closed form, one for each entry,
        if both are normals with independent entries, otherwise an estimate by the draw, one.
    """
    normal = posterior.as_normal(given, key=drops[0])
    if normal is None:
        z, log_q = direct(posterior, keys[0], batch, given)
    else:
        noise = jax.random.normal(keys[0], normal[0].shape, normal[0].dtype)
        z = likelihoods.normal_sample(*normal, noise)
        entries = tuple(range(len(batch), z.ndim))
        log_q = jnp.sum(likelihoods.normal_log_prob(z, *normal), entries)
    other = None if normal is None else prior.as_normal(prior_context, key=drops[1])
    if normal is not None and other is not None:
        divergence = likelihoods.normal_kl(*normal, *other)
        return z, divergence.reshape(*batch, math.prod(posterior.event_shape))
    log_p = prior.elbo(z, keys[1], prior_context, dropout_key=drops[1])
    return z, (log_q - log_p)[..., None]
