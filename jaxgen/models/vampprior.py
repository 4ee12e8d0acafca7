r"""The variational mixture of posteriors as a prior (VampPrior, Tomczak and Welling, 2018).

.. math:: p(z) = \frac{1}{K} \sum_{k=1}^{K} q(z | u_k)

with trained pseudo-inputs :math:`u_k`: the best prior for a posterior is its own average over the
data, of which these are a few. It has no density without the posterior that stands beside it in a
:class:`~jaxgen.models.VAE`, which binds the two whenever it is used.
"""

import math
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array

from jaxgen.core import Context, Key, Shape, ShapeError, check_finite, checked_arguments
from jaxgen.functional import likelihoods, support
from jaxgen.models.base import Model, Sampling


class VampPrior(Model):
    """The prior of a :class:`~jaxgen.models.VAE` that is a mixture of its posteriors.

    Args:
        latent_shape: of the latents.
        event_shape: of the data, which pseudo-inputs are like.
        components: ``K``.
        bounded: pseudo-inputs are in ``[-1, 1]``, where a VAE scales levels to; otherwise they are
            any numbers, as standardised data are.
        rngs: where the first pseudo-inputs come from, normal draws.

    Raises:
        ValueError: if there is no component.

    >>> prior = VampPrior((2,), (28, 28, 1), 500, rngs=nnx.Rngs(0))
    >>> prior.pseudo_inputs.shape
    (500, 28, 28, 1)
    """

    reparametrized = False  # the choice of a component has no gradient

    @checked_arguments
    def __init__(
        self,
        latent_shape: Shape,
        event_shape: Shape,
        components: int,
        *,
        bounded: bool = True,
        rngs: nnx.Rngs,
    ):
        self.event_shape = tuple(latent_shape)
        self.bounded = bounded
        self.pseudo_inputs = nnx.Param(jax.random.normal(rngs.params(), (components, *event_shape)))

    def bound_to(self, posterior: Any) -> Model:
        inputs = self.pseudo_inputs[...]
        if posterior.context_shape != inputs.shape[1:]:
            raise ShapeError(
                f"VampPrior: expected a posterior of contexts {inputs.shape[1:]}, as pseudo-inputs "
                f"are, got one of {posterior.context_shape}"
            )
        return _Aggregate(posterior, jnp.tanh(inputs) if self.bounded else inputs)

    def log_prob(self, x: Array, context: Context = None, *, key: Key = None) -> Array:
        raise self._unbound("log_prob")

    def _draw(self, key: Array, batch: Shape, context: Context, how: Sampling) -> Array:
        raise self._unbound("sample")

    def _unbound(self, method: str) -> TypeError:
        return TypeError(
            f"VampPrior.{method}: it is made of the posterior of the VAE whose prior it is, and "
            f"has no density of its own; use the VAE's methods"
        )


class _Aggregate(Model):
    """Equal shares of a posterior at some contexts ``(K, *context_shape)``."""

    reparametrized = False

    def __init__(self, posterior: Model, contexts: Array):
        self.event_shape = posterior.event_shape
        self.posterior: Any = posterior
        self.contexts = nnx.Param(contexts)

    def log_prob(self, x: Array, context: Context = None, *, key: Key = None) -> Array:
        x, _ = self._events(x, context, "log_prob")
        check_finite(x, "VampPrior.log_prob")
        ndims = len(self.event_shape)
        each = jnp.expand_dims(x, x.ndim - ndims)
        contexts = self.contexts[...]
        normal = self.posterior.as_normal(contexts)
        if normal is not None:  # once for every pseudo-input, where log_prob would see all pairs
            scores = likelihoods.normal_log_prob(each, *normal)
            scores = jnp.sum(scores, tuple(range(-ndims, 0)))
        else:
            pairs = (*each.shape[: -ndims - 1], len(contexts), *self.event_shape)
            scores = self.posterior.log_prob(jnp.broadcast_to(each, pairs), contexts)
        return support.logsumexp(scores, -1) - math.log(len(contexts))

    def _draw(self, key: Array, batch: Shape, context: Context, how: Sampling) -> Array:
        pick_key, key = jax.random.split(key)
        contexts = self.contexts[...]
        picks = jax.random.randint(pick_key, batch, 0, len(contexts))
        options = {"method": how.method, "temperature": how.temperature}
        return self.posterior.sample(key, 1, contexts[picks], **options)[0]
