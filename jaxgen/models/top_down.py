r"""Hierarchies of latents that are inferred from the top down, through one state.

Sønderby et al. (2016); Kingma et al. (2016); Child (2021). A deterministic state goes through all
layers of latents, and collects what has been drawn:

.. math:: p(z) = \prod_{i=1}^{L} p(z_i | h_{i-1}), \quad
          q(z | x) = \prod_{i=1}^{L} q(z_i | h_{i-1}, a_i(x)), \quad
          h_i = u_i(h_{i-1}, z_i), \quad p(x | z) = p(x | h_L).

Data reach a layer in what an encoder says of them, :math:`a_i(x)`. Priors and posteriors share the
state, so a posterior that is told nothing new can be the prior, and the divergence is a sum of one
term for each layer, given what was drawn in the layers before.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, Self, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array

from jaxgen.core import (
    Context,
    Key,
    Shape,
    ShapeError,
    at_least_single,
    batch_shape,
    check_finite,
    checked_arguments,
    described,
    float_dtype,
    map_modules,
    replace,
    split_key,
)
from jaxgen.functional import support
from jaxgen.models.adapting import Adapt
from jaxgen.models.base import Model, Sampling
from jaxgen.models.informed import Informed
from jaxgen.models.latent_variable import LatentVariable, draw_and_divergence, keep
from jaxgen.models.posterior import Draw, direct, not_reparametrized

T = TypeVar("T")


class TopDown(LatentVariable):
    r"""Layers of real latents between a state that all of them read and write.

    Prior and posterior of a layer are exact models of the same latents, :class:`Factorized` ones
    with a normal head as a rule. The prior's context is the state before the layer; that of the
    posterior is the state and, behind it on the last axis, what the encoder says for this layer.
    The decoder's context is the last state.

    Latents of all layers, flattened one behind the other from the top, are one vector
    ``latent_shape``. A further context ``c`` goes into the first state and the encoder; labels come
    through :class:`Embedded`. Data are read as by a :class:`VAE`; state and latents are in no unit.

    Args:
        start: the first state, called as ``start(c)`` with ``c`` of ``(*batch, *context_shape)``,
            or None; it says its ``context_shape``, None for no context.
        encoder: called as ``encoder(x, c, key=key)`` with data as numbers, ``(*batch,
            *event_shape)``; gives an array for every layer.
        priors: a model for each layer, from the top.
        posteriors: the same.
        updates: called as ``update(state, z, key=key)``, each gives the state behind its layer.
        decoder: the model of the data given the last state.

    Raises:
        TypeError: if a prior or posterior has no exact likelihood.
        ValueError: if there is not one of each for every layer.
        ShapeError: if they do not fit each other; it says which. States and what the encoder says
            are looked at when the model is used.

    >>> from jaxgen import zoo
    >>> model = zoo.vdvae((4, 4, 1), blocks=(0, 1, 1), width=8, latent_width=2, rngs=nnx.Rngs(0))
    >>> len(model.priors), model.latent_shape  # 1 x 1 and 2 x 2 pixels of two latents
    (2, (10,))
    >>> model.elbo(jnp.zeros((5, 4, 4, 1), int), jax.random.key(0)).shape
    (5,)
    """

    @checked_arguments
    def __init__(
        self,
        start: Callable[..., Any],
        encoder: Callable[..., Any],
        priors: Sequence[Model],
        posteriors: Sequence[Model],
        updates: Sequence[Callable[..., Any]],
        decoder: Model,
    ):
        if not len(priors) == len(posteriors) == len(updates) > 0:
            raise ValueError(
                f"TopDown: expected a prior, a posterior and an update for each of one layer or "
                f"more, got {len(priors)}, {len(posteriors)} and {len(updates)}"
            )
        shapes = [
            _shapes_of_layer(index, prior, posterior)
            for index, (prior, posterior) in enumerate(zip(priors, posteriors, strict=True))
        ]
        if decoder.context_shape is None:
            raise ShapeError(
                f"TopDown: expected a decoder whose context is the last state, got a "
                f"{type(decoder).__name__} without a context"
            )
        context_shape, other = (getattr(each, "context_shape", None) for each in (start, encoder))
        if other not in (None, context_shape):
            raise ShapeError(
                f"TopDown: expected a start and an encoder of the same context, got contexts of "
                f"shape {described(context_shape)} and {described(other)}"
            )
        super().__init__(decoder, context_shape)
        self.state_shapes = (*(state for state, _ in shapes), decoder.context_shape)
        self.said_shapes = tuple(said for _, said in shapes)
        self.start: Any = start
        self.encoder: Any = encoder
        # What stands between the data is in no unit, and changes while it is trained.
        self.priors = nnx.List(map_modules(each, keep) for each in priors)
        self.posteriors = nnx.List(map_modules(each, keep) for each in posteriors)
        self.updates = nnx.List(updates)
        self.latent_shape = (sum(math.prod(each.event_shape) for each in priors),)
        parts = (not_reparametrized(each) for each in posteriors)
        self.undifferentiable = next((part for part in parts if part is not None), None)

    def log_weight(
        self,
        x: Array,
        key: Array,
        context: Context = None,
        *,
        dropout_key: Key = None,
        draw: Draw = direct,
    ) -> Array:
        r"""``log p(x | h_L) + sum_i log p(z_i | h) - log q(z_i | h, a_i(x))`` of one draw, in nats.

        Dropout is that of all but the posteriors.
        """
        x, inside, c, keys, drops = self._checked(x, key, context, dropout_key, "log_weight")
        batch = self._batch(x)
        posteriors = self._posteriors(x, c, drops[0])

        def layer(index: int, h: Array, keys: Any, drops: Any) -> tuple[Array, Array]:
            z, log_q = draw(posteriors[index], keys[0], batch, h)
            return z, self.priors[index].log_prob(z, h, key=drops[1]) - log_q

        h, ratios = self._descend(batch, c, layer, keys[0], drops[1])
        log_p = self.decoder.log_weight(x, keys[2], h, dropout_key=drops[2], draw=draw)
        return support.restrict(support.flat(log_p + sum(ratios)), inside)

    def elbo_terms(
        self, x: Array, key: Array, context: Context = None, *, dropout_key: Key = None
    ) -> tuple[Array, Array]:
        r"""The two terms of the bound, which is the first less the sum of the second.

        .. math:: \mathbb{E}_q[\log p(x | h_L)] - \sum_{i=1}^{L} \mathbb{E}_q\left[
                  \mathrm{KL}(q(z_i | h_{i-1}, a_i(x)) \,\|\, p(z_i | h_{i-1}))\right],

        both estimated with one draw of all latents; the divergence of a layer, given those before,
        is in closed form where its prior and posterior are normals with independent entries.

        Returns:
            Arrays ``(*batch,)`` and ``(*batch, layers)``, in nats.
        """
        x, inside, c, keys, drops = self._checked(x, key, context, dropout_key, "elbo")
        batch = self._batch(x)
        posteriors = self._posteriors(x, c, drops[0])

        def layer(index: int, h: Array, keys: Any, drops: Any) -> tuple[Array, Array]:
            pair = (posteriors[index], self.priors[index])
            z, parts = draw_and_divergence(*pair, keys, batch, h, h, drops)
            return z, jnp.sum(parts, axis=-1)

        h, divergences = self._descend(batch, c, layer, keys[0], drops[1])
        fit = support.restrict(self.decoder.elbo(x, keys[2], h, dropout_key=drops[2]), inside)
        return fit, support.still(jnp.stack(divergences, axis=-1), fit)

    def dream(self, key: Array, num_samples: int, context: Context = None) -> tuple[Array, Array]:
        batch = self._sample_batch(num_samples, context)
        c = self._seen(self._context(context, batch, "TopDown.dream"))
        latents_key, decoder_key = jax.random.split(key)
        h, layers = self._dreamt(batch, c, latents_key, Sampling())
        x, log_r = self.decoder.dream(decoder_key, 1, jax.lax.stop_gradient(h))
        x = at_least_single(x[0])
        posteriors = self._posteriors(x, c)
        of_layers = zip(posteriors, jax.lax.stop_gradient(layers), strict=True)
        return x, log_r[0] + sum(posterior.log_prob(z, h) for posterior, (z, h) in of_layers)

    def _draw(self, key: Array, batch: Shape, context: Context, how: Sampling) -> Array:
        latents_key, decoder_key = jax.random.split(key)
        h, _ = self._dreamt(batch, self._seen(context), latents_key, how)
        method, temperature = how
        return self.decoder.sample(decoder_key, 1, h, method=method, temperature=temperature)[0]

    def infer(self, x: Array, context: Context = None, *, key: Key = None) -> Array:
        """Latents of data: the centre of every posterior, or a draw from it with ``key``.

        Each layer is given the state that the latents of the layers before it make.

        Returns:
            Array ``(*batch, *latent_shape)``: the layers one behind the other, from the top.
        """
        x, context = self._events(x, context, "infer")
        self._check_events(x)
        batch, c = self._batch(x), self._seen(context)
        posteriors = self._posteriors(x, c)

        def layer(index: int, h: Array, keys: Any, drops: Any) -> tuple[Array, Array]:
            posterior = posteriors[index]
            z = posterior.centre(h) if key is None else direct(posterior, keys[0], batch, h)[0]
            return z, z.reshape(*batch, math.prod(posterior.event_shape))

        return jnp.concatenate(self._descend(batch, c, layer, key)[1], axis=-1)

    def decode(self, z: Array, context: Context = None) -> Array:
        """The centre of ``p(x | z)`` (:meth:`Model.centre`): of a factorised one its mean.

        Args:
            z: real latents ``(*batch, *latent_shape)``, as :meth:`infer` gives them.
            context: array ``(*batch, *context_shape)`` for a conditional model.
        """
        where = "TopDown.decode"
        z = jnp.asarray(z)
        check_finite(z, where, "z")
        z = z.astype(float_dtype(z.dtype))
        batch = batch_shape(z, self.latent_shape, where)
        c = self._seen(self._context(context, batch, where))
        shapes = [prior.event_shape for prior in self.priors]
        parts = jnp.split(z, np.cumsum([math.prod(shape) for shape in shapes])[:-1], axis=-1)

        def layer(index: int, h: Array, keys: Any, drops: Any) -> tuple[Array, None]:
            return parts[index].reshape(*batch, *shapes[index]), None

        return self.decoder.centre(self._descend(batch, c, layer)[0])

    def _adapt(self, adapt: Adapt, x: Array, key: Array, context: Context) -> Self:
        x, _, c, keys, _ = self._checked(x, key, context, None, adapt.name)
        batch, posteriors = self._batch(x), self._posteriors(x, c)

        def layer(index: int, h: Array, keys: Any, drops: Any) -> tuple[Array, tuple[Any, Any]]:
            z, _ = direct(posteriors[index], keys[0], batch, h)
            given = posteriors[index].given(h)
            prior = adapt.model(self.priors[index], z, keys[1], h)
            return z, (prior, adapt.model(self.posteriors[index], z, keys[1], given))

        h, pairs = self._descend(batch, c, layer, keys[0])
        priors, posteriors_ = (nnx.List(each) for each in zip(*pairs, strict=True))
        decoder = adapt.model(self.decoder, x, keys[2], h)
        return replace(self, priors=priors, posteriors=posteriors_, decoder=decoder)

    def _posteriors(self, x: Array, c: Context, key: Key = None) -> list[Informed]:
        """The posteriors of all layers, given these data."""
        said = self.encoder(self._numbers(x), c, key=key)
        if len(said) != len(self.posteriors):
            raise ShapeError(
                f"TopDown: expected an encoder that gives an array for each of "
                f"{len(self.posteriors)} layers, got {len(said)}"
            )
        for index, (features, shape) in enumerate(zip(said, self.said_shapes, strict=True)):
            what = f"the encoder to give, for layer {index} from the top, an array"
            _check(what, features, (*self._batch(x), *shape))
        return [Informed(*each) for each in zip(self.posteriors, said, strict=True)]

    def _dreamt(
        self, batch: Shape, c: Context, key: Array, how: Sampling
    ) -> tuple[Array, list[tuple[Array, Array]]]:
        """The last state of latents from the priors, and of every layer latents and state."""
        method, temperature = how

        def layer(index: int, h: Array, keys: Any, drops: Any) -> Any:
            prior = self.priors[index]
            z = prior.sample(keys[0], 1, h, method=method, temperature=temperature)[0]
            return z, (z, h)

        return self._descend(batch, c, layer, key)

    def _descend(
        self,
        batch: Shape,
        c: Context,
        layer: Callable[..., tuple[Array, T]],
        key: Key = None,
        dropout_key: Key = None,
    ) -> tuple[Array, list[T]]:
        """The last state, and what ``layer`` keeps of every layer.

        Args:
            batch: the shape of the batch.
            c: the context seen.
            layer: ``(index, state, keys, dropout_keys)`` to the layer's latents and what is kept of
                it; two keys of each kind, or None.
            key, dropout_key: of all layers.
        """
        shapes = self.state_shapes
        h = self.start(c)
        _check("a first state", h, (*(() if c is None else batch), *shapes[0]))
        h = jnp.broadcast_to(h, (*batch, *shapes[0]))
        kept: list[T] = []
        keys, drops = (split_key(each, len(self.updates)) for each in (key, dropout_key))
        for index, update in enumerate(self.updates):
            *own_drops, update_drop = split_key(drops[index], 3)
            z, of_layer = layer(index, h, split_key(keys[index], 2), own_drops)
            kept.append(of_layer)
            h = update(h, z, key=update_drop)
            _check(f"update {index} from the top to give a state", h, (*batch, *shapes[index + 1]))
        return h, kept


def _shapes_of_layer(index: int, prior: Model, posterior: Model) -> tuple[Shape, Shape]:
    """Of the state before a layer, and of what the encoder says; refuses what is no layer."""
    where = f"TopDown, layer {index} from the top"
    for name, model in (("prior", prior), ("posterior", posterior)):
        if model.exactness != "exact":
            raise TypeError(
                f"{where}: expected a {name} with an exact likelihood, got a "
                f"{type(model).__name__}, which has a {model.exactness}"
            )
        if model.levels is not None or model.discrete:
            raise TypeError(
                f"{where}: expected a {name} of real latents, got a {type(model).__name__} of "
                f"whole numbers"
            )
    if prior.event_shape != posterior.event_shape:
        raise ShapeError(
            f"{where}: expected prior and posterior of the same latents, got {prior.event_shape} "
            f"of the prior and {posterior.event_shape} of the posterior"
        )
    state, given = prior.context_shape or (), posterior.context_shape or ()
    if not state or given[:-1] != state[:-1] or given[-1:] <= state[-1:]:
        raise ShapeError(
            f"{where}: expected a prior whose context is the state, and a posterior whose context "
            f"is the state and, on the last axis, more, got contexts of shape "
            f"{described(prior.context_shape)} and {described(posterior.context_shape)}"
        )
    return state, (*state[:-1], given[-1] - state[-1])


def _check(what: str, array: Array, expected: Shape) -> None:
    if array.shape != expected:
        raise ShapeError(f"TopDown: expected {what} of shape {expected}, got {array.shape}")
