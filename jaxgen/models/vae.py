r"""Variational autoencoders: a latent-variable model of three models of the zoo.

Kingma and Welling (2014); Rezende, Mohamed and Wierstra (2014). With a prior :math:`p(z)`, a
decoder :math:`p(x | z)` and a posterior :math:`q(z | x)`,

.. math:: w = \frac{p(x | z)\, p(z)}{q(z | x)}, \quad z \sim q(z | x), \qquad
          \mathbb{E}[w] = p(x) = \int p(x | z)\, p(z)\, dz,

so :math:`\log w` is a lower bound of :math:`\log p(x)` in expectation, and the logarithm of a mean
of many a tighter one. All that a latent-variable model is rests on this number: where the prior or
the decoder are latent-variable models themselves, their own random weights take the place of their
densities, and the product is as unbiased.
"""

from typing import Any, Self

import jax
import jax.numpy as jnp
from jax import Array

from jaxgen.core import (
    Context,
    Key,
    Shape,
    ShapeError,
    at_least_single,
    batch_shape,
    checked_arguments,
    float_dtype,
    map_modules,
    replace,
)
from jaxgen.functional import support
from jaxgen.models.adapting import Adapt
from jaxgen.models.base import Model, Sampling
from jaxgen.models.coding import LatentParts
from jaxgen.models.joint import check_decoded, joined, numbers, reads_alone, reads_beside
from jaxgen.models.latent_variable import LatentVariable, draw_and_divergence, keep
from jaxgen.models.posterior import Draw, direct, not_reparametrized, one_each


class VAE(LatentVariable):
    r"""``p(x) = integral of p(x | z) p(z) dz``, bounded by draws from ``q(z | x)``.

    Any model is a prior: a normal, a flow, an autoregressive one, a VAE (which makes two layers of
    latents). Any model whose context is the latent is a decoder: :class:`Factorized`, a PixelCNN, a
    conditional flow. Any exact model whose context is the data is a posterior; for a bound that is
    trained by its gradient its samples must be differentiable, as those of :class:`Factorized`
    with a normal head and of flows on it are.

    All three read numbers: levels are scaled to ``[-1, 1]``; real data are standardised for the
    posterior, each entry of a vector or channel of an image, by the location and scale of the data
    that :meth:`standardize` or :meth:`initialize` is given. Latents are in no unit.

    A further context ``c``, a vector, reaches those of the three that read it: a prior of
    contexts ``c``, a decoder of contexts ``(z, c)`` and a posterior of contexts ``(x, c)``, in one
    vector each; :class:`~jaxgen.networks.Joint` takes them apart again. Labels come through
    :class:`Embedded`.

    Args:
        prior: the model of the latents.
        decoder: the model of the data given latents.
        posterior: an exact model of the latents given the data.
        context_features: the size of a further context; None for none.

    Raises:
        TypeError: if the posterior has no exact likelihood.
        ShapeError: if the three do not fit each other; it says which.

    >>> from flax import nnx
    >>> from jaxgen.likelihoods import Bernoulli, Normal
    >>> from jaxgen.models import Factorized, StandardNormal
    >>> from jaxgen.networks import MLP
    >>> rngs = nnx.Rngs(0)
    >>> model = VAE(
    ...     StandardNormal((2,)),
    ...     Factorized(MLP(2, 8, rngs=rngs), Bernoulli(), (8,), context_shape=(2,)),
    ...     Factorized(MLP(8, 4, rngs=rngs), Normal(), (2,), context_shape=(8,)),
    ... )
    >>> model.elbo(jnp.zeros((5, 8), int), jax.random.key(0)).shape
    (5,)
    """

    @checked_arguments
    def __init__(
        self,
        prior: Model,
        decoder: Model,
        posterior: Model,
        *,
        context_features: int | None = None,
    ):
        if posterior.exactness != "exact":
            raise TypeError(
                f"VAE: expected a posterior with an exact likelihood, got a "
                f"{type(posterior).__name__}, which has a {posterior.exactness}"
            )
        latent, event = prior.event_shape, decoder.event_shape
        if posterior.event_shape != latent:
            raise ShapeError(
                f"VAE: expected prior and posterior of the same latents, got {latent} of the prior "
                f"and {posterior.event_shape} of the posterior"
            )
        if (posterior.levels, posterior.discrete) != (prior.levels, prior.discrete):
            raise ShapeError(
                f"VAE: expected prior and posterior of the same latents, got levels "
                f"{prior.levels} and {posterior.levels}, and columns of whole numbers "
                f"{prior.discrete} and {posterior.discrete}"
            )
        self.vector_shape = posterior.vector_shape
        given = posterior.vector_shape or latent
        reads = (
            reads_beside(decoder, given, context_features, "decoder", "latent"),
            reads_beside(posterior, event, context_features, "posterior", "event"),
            reads_alone(prior, context_features),
        )
        if context_features is not None and not any(reads):
            raise ShapeError(
                f"VAE: expected a part that reads context_features={context_features}, got a "
                f"decoder of the latent alone, a posterior of the event alone, and a prior of no "
                f"context"
            )
        prior.bound_to(posterior)  # which refuses what does not fit it
        super().__init__(decoder, None if context_features is None else (context_features,))
        self.latent_shape = latent
        # What stands between the three is in no unit, and changes while they are trained.
        self.prior = map_modules(prior, keep)
        self.posterior: Any = map_modules(posterior, keep)
        self.latent_levels = prior.levels
        self.undifferentiable = not_reparametrized(posterior)

    def log_weight(
        self,
        x: Array,
        key: Array,
        context: Context = None,
        *,
        dropout_key: Key = None,
        draw: Draw = direct,
    ) -> Array:
        """``log p(x | z) + log p(z) - log q(z | x)`` of one draw of ``z``, in nats.

        Dropout is the decoder's and the prior's.
        """
        x, inside, c, keys, drops = self._checked(x, key, context, dropout_key, "log_weight")
        batch, given = self._batch(x), self._posterior_context(x, c)
        z, log_q = draw(self.posterior, keys[0], batch, given)
        log_p = self._prior().log_weight(
            z, keys[1], self._prior_context(c), dropout_key=drops[1], draw=draw
        )
        log_p = log_p + self.decoder.log_weight(
            x, keys[2], self._decoder_context(z, c, given), dropout_key=drops[2], draw=draw
        )
        return support.restrict(support.flat(log_p - log_q), inside)

    def elbo_terms(
        self, x: Array, key: Array, context: Context = None, *, dropout_key: Key = None
    ) -> tuple[Array, Array]:
        r"""The two terms of the bound, which is the first less the sum of the second.

        .. math:: \mathbb{E}_q[\log p(x | z)] - \mathrm{KL}(q(z | x) \,\|\, p(z)),

        the first estimated with one draw. Where prior and posterior are both normals with
        independent entries, the divergence is in closed form and there is one for each latent
        dimension; otherwise it is estimated with the same draw, and there is one for all. Dropout
        is that of all three, of a posterior if it is a normal.

        Returns:
            Arrays ``(*batch,)`` and ``(*batch, parts)``, in nats.
        """
        x, inside, c, keys, drops = self._checked(x, key, context, dropout_key, "elbo")
        batch, given = self._batch(x), self._posterior_context(x, c)
        parts = (self.posterior, self._prior())
        z, divergence = draw_and_divergence(
            *parts, keys, batch, given, self._prior_context(c), drops
        )
        seen = self._decoder_context(z, c, given)
        fit = self.decoder.elbo(x, keys[2], seen, dropout_key=drops[2])
        fit = support.restrict(fit, inside)
        return fit, support.still(divergence, fit)

    def dream(self, key: Array, num_samples: int, context: Context = None) -> tuple[Array, Array]:
        batch = self._sample_batch(num_samples, context)
        c = self._seen(self._context(context, batch, "VAE.dream"))
        prior_key, decoder_key = jax.random.split(key)
        prior = self._prior()
        z, log_q = one_each(
            lambda n, c: prior.dream(prior_key, n, c), batch, self._prior_context(c)
        )
        x, log_r = self.decoder.dream(decoder_key, 1, self._decoder_context(z, c))
        x = at_least_single(x[0])
        log_q = log_q + log_r[0] + self.posterior.log_prob(z, self._posterior_context(x, c))
        return x, log_q

    def _draw(self, key: Array, batch: Shape, context: Context, how: Sampling) -> Array:
        prior_key, decoder_key = jax.random.split(key)
        c = self._seen(context)
        prior, (method, temperature) = self._prior(), how
        z = one_each(
            lambda n, c: prior.sample(prior_key, n, c, method=method, temperature=temperature),
            batch,
            self._prior_context(c),
        )
        x = self.decoder.sample(
            decoder_key, 1, self._decoder_context(z, c), method=method, temperature=temperature
        )
        return x[0]

    def infer(self, x: Array, context: Context = None, *, key: Key = None) -> Array:
        """A latent of data: the centre of ``q(z | x)``, or a draw from it with ``key``.

        The centre (:meth:`Model.centre`) of a normal is its mean, that of a flow the image of its
        base's.
        """
        x, context = self._events(x, context, "infer")
        self._check_events(x)
        given = self._posterior_context(x, self._seen(context))
        if key is None:
            return self.posterior.centre(given)
        return self.posterior.sample(key, 1, given)[0]

    def decode(self, z: Array, context: Context = None) -> Array:
        """The centre of ``p(x | z)`` (:meth:`Model.centre`): of a factorised one its mean.

        So of levels it is made of real numbers: of binary images, of probabilities.
        """
        where = "VAE.decode"
        z = jnp.asarray(z)
        check_decoded(z, self.latent_levels, self.vector_shape is not None, where)
        if self.latent_levels is None:
            z = z.astype(float_dtype(z.dtype))
        c = self._seen(self._context(context, batch_shape(z, self.latent_shape, where), where))
        return self.decoder.centre(self._decoder_context(z, c))

    def quantization_error(self, x: Array, commitment: float, context: Context = None) -> Array:
        if self.vector_shape is None:
            raise self._lacks("quantization_error", "vector_shape")
        x, context = self._events(x, context, "quantization_error")
        return self.posterior.distance(self._posterior_context(x, self._seen(context)), commitment)

    def latent_parts(self, context: Context = None) -> LatentParts:
        c = self._seen(context)
        return LatentParts(
            (self._prior(), self._prior_context(c)),
            lambda x: (self.posterior, self._posterior_context(x, c)),
            lambda z: (self.decoder, self._decoder_context(z, c)),
        )

    def _adapt(self, adapt: Adapt, x: Array, key: Array, context: Context) -> Self:
        x, _, c, keys, _ = self._checked(x, key, context, None, adapt.name)
        batch = self._batch(x)
        given = self._posterior_context(x, c)
        z, _ = direct(self.posterior, keys[0], batch, given)
        seen = self._decoder_context(z, c)
        return replace(
            self,
            # Latents of the first posterior are no data: these two adapt to nothing, and
            # statistics of layers are those of what passes through them.
            prior=adapt.model(self.prior, z, keys[1], self._prior_context(c)),
            posterior=adapt.model(self.posterior, z, keys[1], given),
            decoder=adapt.model(self.decoder, x, keys[2], seen),
        )

    def _posterior_context(self, x: Array, c: Context) -> Array:
        return joined(self.posterior, self._numbers(x), c, self.event_shape)

    def _decoder_context(self, z: Array, c: Context, given: Context = None) -> Array:
        """What the decoder sees of latents, which may be those of a posterior's context."""
        if self.vector_shape is None:
            return joined(self.decoder, numbers(z, self.prior.levels), c, self.latent_shape)
        return joined(self.decoder, self.posterior.vectors(z, given), c, self.vector_shape)

    def _prior(self) -> Model:
        return self.prior.bound_to(self.posterior)

    def _prior_context(self, c: Context) -> Context:
        return None if self.prior.context_shape is None else c
