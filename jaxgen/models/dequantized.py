"""A flow as a model of integer levels."""

from typing import Any, Self

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxgen.core import (
    Context,
    Key,
    Shape,
    ShapeError,
    check_levels,
    checked_arguments,
    replace,
)
from jaxgen.functional import dequantization, support
from jaxgen.models.adapting import Adapt
from jaxgen.models.base import Model
from jaxgen.models.checks import require_real
from jaxgen.models.joint import numbers
from jaxgen.models.posterior import Draw, direct, not_reparametrized


class Dequantized(Model):
    r"""Integers ``x`` in ``0 .. levels - 1``, modelled by a density on ``[0, levels)``.

    The mass of ``x`` is the density's integral over ``x + (0, 1)``, which noise ``u ~ q(u | x)``
    bounds:

    .. math:: \log P(x) = \log \int p(x + u)\, du
              \ge \mathbb{E}_{q}\left[\log p(x + u) - \log q(u | x)\right].

    The noise is uniform, ``log q = 0`` (Theis et al. 2016), or a model that is trained along with
    the flow, by the same bound: variational dequantization (Flow++, Ho et al. 2019, section 3.1).
    The bound is tight if ``q(u | x)`` is the flow's own ``p(x + u) / P(x)``; for any noise the
    model's exactness is ``"lower_bound"``.

    It is many-to-one, hence a model and not a bijector. Scaling and logit belong into the flow as
    bijectors, so that bits per dimension are always counted per level.

    Args:
        flow: a density over real events on the scale of the levels; one without an exact
            likelihood, as a flow on a :class:`VAE`, gives its own weight.
        levels: how many levels there are: 256 for 8-bit images.
        noise: an exact model of ``u``, with support ``(0, 1)`` in every entry of the event (it ends
            in ``Logit(0.0, 1.0, alpha=0.0)``); as context it takes the levels ``x``, scaled to
            ``[-1, 1]``, or nothing. None for uniform noise. Give it tails like those of a
            :class:`~jaxgen.models.Logistic` base: a normal's vanish so fast at the ends of a cell
            that the importance weights ``p / q`` have no variance.

    Raises:
        TypeError: if the flow or the noise is no density of real values, or the noise has no exact
            likelihood.
        ShapeError: if the noise has other events than the flow, or another context than these.
        ValueError: if there are fewer than two levels.

    >>> from jaxgen.bijectors import Standardize
    >>> from jaxgen.models import Flow
    >>> model = Dequantized(Flow(Standardize((2,), mean=2.0)), levels=4)
    >>> model.elbo(jnp.array([[0, 3]]), jax.random.key(0)).shape
    (1,)
    """

    exactness = "lower_bound"
    levels: int

    @checked_arguments
    def __init__(self, flow: Model, levels: int, noise: Model | None = None):
        for name, model in (("flow", flow), ("noise", noise)):
            if model is None:
                continue
            if name == "noise" and model.exactness != "exact":
                raise TypeError(
                    f"Dequantized: expected noise with an exact likelihood, got {model.exactness}"
                )
            require_real(model, "Dequantized", name)
        if levels < 2:
            raise ValueError(f"Dequantized: expected at least two levels, got {levels}")
        if noise is not None:
            _check_noise(noise, flow.event_shape)
        self.flow = flow
        self.noise = noise
        self.levels = levels
        self.event_shape = flow.event_shape
        self.latent_levels = flow.latent_levels
        self.latent_shape, self.has_posterior = flow.latent_shape, flow.has_posterior
        self.undifferentiable = None if noise is None else not_reparametrized(noise)
        self.context_shape = flow.context_shape

    def log_prob(self, x: Array, context: Context = None, *, key: Key = None) -> Array:
        raise TypeError(
            "Dequantized has no exact log_prob: the mass of a level is an integral. Use "
            "elbo(x, key), a lower bound, or importance_log_prob(x, key, num_samples)"
        )

    def log_weight(
        self,
        x: Array,
        key: Array,
        context: Context = None,
        *,
        dropout_key: Key = None,
        draw: Draw = direct,
    ) -> Array:
        """``log p(x + u) - log q(u | x)`` with one draw of noise, in nats.

        Dropout is the flow's alone.
        """
        value, log_q, inside, flow_key, context = self._noisy(x, key, context, "log_weight", draw)
        log_p = self.flow.log_weight(value, flow_key, context, dropout_key=dropout_key, draw=draw)
        return support.restrict(support.flat(log_p - log_q), inside)

    def elbo(
        self, x: Array, key: Array, context: Context = None, *, dropout_key: Key = None
    ) -> Array:
        value, log_q, inside, flow_key, context = self._noisy(x, key, context, "elbo")
        log_p = self.flow.elbo(value, flow_key, context, dropout_key=dropout_key)
        return support.restrict(support.flat(log_p - log_q), inside)

    def elbo_terms(
        self, x: Array, key: Array, context: Context = None, *, dropout_key: Key = None
    ) -> tuple[Array, Array]:
        value, log_q, inside, flow_key, context = self._noisy(x, key, context, "elbo_terms")
        fit, divergence = self.flow.elbo_terms(value, flow_key, context, dropout_key=dropout_key)
        fit = support.restrict(support.flat(fit - log_q), inside)
        return fit, support.still(divergence, fit)

    def dream(self, key: Array, num_samples: int, context: Context = None) -> tuple[Array, Array]:
        value, log_q = self.flow.dream(key, num_samples, context)
        x = dequantization.quantize(value, self.levels)
        if self.noise is None:
            return x, log_q
        u = support.clip_inside(value - x, 0.0, 1.0)
        return x, log_q + self.noise.log_prob(u, self._noise_context(x))

    def _noisy(
        self, x: Array, key: Array, context: Context, name: str, draw: Draw = direct
    ) -> tuple[Array, Array, Array, Array, Context]:
        """Levels with noise, its ``log q``, which are levels, a key for the flow, the context."""
        x, context = self._events(x, context, name)
        check_levels(x, self.levels, "Dequantized")
        inside = support.is_level(x, self.levels)
        x = jnp.where(inside, x, 0)
        noise, log_q = self._noise(x, key, draw)
        flow_key = jax.random.fold_in(key, 1)  # of an exact flow's weight nothing is random
        return dequantization.dequantize(x, noise), log_q, inside, flow_key, context

    def sample(
        self, key: Array, num_samples: int, context: Context = None, **options: Any
    ) -> Array:
        """As :meth:`Model.sample`; the options are the flow's."""
        value = self.flow.sample(key, num_samples, context, **options)
        return dequantization.quantize(value, self.levels)

    def _noise(self, x: Array, key: Array, draw: Draw = direct) -> tuple[Array, Array]:
        """A draw ``u ~ q(u | x)`` for every example, and its ``log q``."""
        if self.noise is None:
            return dequantization.uniform_noise(key, x.shape), jnp.zeros(())
        batch = x.shape[: x.ndim - len(self.event_shape)]
        return draw(self.noise, key, batch, self._noise_context(x))

    def _noise_context(self, x: Array) -> Array | None:
        if self.noise is None or self.noise.context_shape is None:
            return None
        return numbers(x, self.levels)

    def infer(self, x: Array, context: Context = None, *, key: Key = None) -> Array:
        """The flow's latent of integers in the middles of their cells.

        With ``key`` they are where uniform noise puts them.
        """
        if self.latent_shape is None:
            raise self._lacks("infer", "latent_shape")
        x, context = self._events(x, context, "infer")
        check_levels(x, self.levels, "Dequantized.infer")
        if key is None:
            return self.flow.infer(x + 0.5, context)
        noise = dequantization.uniform_noise(key, x.shape)
        flow_key = jax.random.fold_in(key, 1)
        return self.flow.infer(dequantization.dequantize(x, noise), context, key=flow_key)

    def decode(self, z: Array, context: Context = None) -> Array:
        """The levels of a latent: the flow's data, floored.

        What :meth:`infer` was given returns as it was, with noise or without, if the flow has an
        exact likelihood.
        """
        if self.latent_shape is None:
            raise self._lacks("decode", "latent_shape")
        return dequantization.quantize(self.flow.decode(z, context), self.levels)

    def standardize(self, x: Array | np.ndarray | None, context: Context | np.ndarray) -> Self:
        middles = None if x is None else x + 0.5
        return replace(self, flow=self.flow.standardize(middles, context))

    def _adapt(self, adapt: Adapt, x: Array, key: Array, context: Context) -> Self:
        x, context = self._events(x, context, adapt.name)
        noise_key, flow_key, model_key = jax.random.split(key, 3)
        u, _ = self._noise(x, noise_key)
        value = dequantization.dequantize(x, u)
        new = replace(self, flow=adapt.model(self.flow, value, flow_key, context))
        if self.noise is None:
            return new
        # Its own draws are the data of a model that is only ever sampled: a fresh one stays as it
        # is, and statistics are those of what passes through it.
        noise = adapt.model(self.noise, u, model_key, self._noise_context(x))
        return replace(new, noise=noise)

    def check_data(self, x: Array | np.ndarray) -> None:
        super().check_data(x)
        check_levels(x, self.levels, "Dequantized")

    def check_context(self, context: Array | np.ndarray) -> None:
        self.flow.check_context(context)


def _check_noise(noise: Model, event_shape: Shape) -> None:
    if noise.event_shape != event_shape:
        raise ShapeError(
            f"Dequantized: expected noise for events of shape {event_shape}, got "
            f"{noise.event_shape}"
        )
    if noise.context_shape not in (None, event_shape):
        raise ShapeError(
            f"Dequantized: the noise's context is the event, of shape {event_shape}; got a model "
            f"of contexts of shape {noise.context_shape}"
        )
