"""Normalizing flows: a bijector on a base density."""

import math
from collections.abc import Callable, Sequence
from typing import Self

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array

from jaxgen.bijectors.autoregressive import MaskedAutoregressive
from jaxgen.bijectors.base import Bijector, run_inverse
from jaxgen.bijectors.bounded import Bounded, Bounds, bounds_of_entries
from jaxgen.bijectors.composition import Chain
from jaxgen.bijectors.elementwise import Elementwise, Logit
from jaxgen.bijectors.normalisation import Standardize, standardized
from jaxgen.core import (
    Context,
    Key,
    Shape,
    ShapeError,
    array_of,
    batch_shape,
    check_finite,
    checked_arguments,
    common_context,
    is_concrete,
    leaves_by_path,
    map_modules,
    replace,
    split_key,
)
from jaxgen.functional import support
from jaxgen.models.adapting import Adapt
from jaxgen.models.base import Model, Sampling
from jaxgen.models.checks import require_real
from jaxgen.models.densities import StandardNormal
from jaxgen.models.posterior import Draw, direct, one_each
from jaxgen.transforms import RationalQuadraticSpline


class Flow(Model):
    r"""``x = f(z)`` with ``z`` from a base density: exact by the change of variables.

    .. math:: \log p(x) = \log p_z(f^{-1}(x)) +
              \log\left|\det \frac{\partial f^{-1}(x)}{\partial x}\right|.

    Contexts are standardised before the bijector sees them, by the location and scale of those that
    :meth:`standardize` or :meth:`initialize` are given; the base sees them as they come.

    Data outside the support of a bounded ``f`` (a logit, a tanh) are refused; under a trace their
    log-density is ``-inf``, with a derivative of 0.

    Args:
        bijector: ``f``, from the base to the data; a :class:`~jaxgen.bijectors.Chain` for several.
        base: the density of ``z``, any model of real values; a standard normal if None, which needs
            a bijector that knows its shape. On a base without an exact likelihood, a
            :class:`VAE`, the flow has none either, and bounds as that has.

    Raises:
        ShapeError: if they do not fit each other.
        TypeError: if the base is no density of real values.

    >>> from jaxgen.bijectors import Standardize
    >>> flow = Flow(Standardize((2,), mean=1.0, scale=2.0))
    >>> round(float(flow.log_prob(jnp.ones(2))), 4)  # log of 1 / (2 pi 2^2)
    -3.2242
    """

    latent_shape: Shape

    @checked_arguments
    def __init__(self, bijector: Bijector, base: Model | None = None):
        base_shape = bijector.side_shape("base")
        if base is None:
            if base_shape is None:
                raise ShapeError(
                    f"Flow: {type(bijector).__name__} fits events of any shape, so a base density "
                    f"is needed: pass base=jaxgen.models.StandardNormal(event_shape)"
                )
            base = StandardNormal(base_shape)
        require_real(base, "Flow", "base")
        if base_shape is not None and base.event_shape != base_shape:
            raise ShapeError(
                f"Flow: the bijector expects a base of shape {base_shape}, got {base.event_shape}"
            )
        if base_shape is None and len(base.event_shape) != bijector.event_ndims:
            ndims = len(base.event_shape)
            raise ShapeError(
                f"Flow: {type(bijector).__name__} takes events with event_ndims="
                f"{bijector.event_ndims}, got a base of shape {base.event_shape}; for events of "
                f"{ndims} axes its layers need event_ndims={ndims}, as in Tanh(event_ndims={ndims})"
                f" or Logit(event_ndims={ndims}), or the event's shape"
            )
        self.bijector = bijector
        self.base = base
        self.exactness, self.has_posterior = base.exactness, base.has_posterior
        self.has_cdf = base.has_cdf
        self.event_shape = bijector.side_shape("data") or base.event_shape
        inner = base.latent_shape
        self.latent_levels = base.latent_levels
        self.latent_shape = base.event_shape if inner is None else inner
        self.context_shape = common_context("Flow", bijector.context_shape, base.context_shape)
        shape = bijector.context_shape
        self.context_units = None if shape is None else Standardize(shape)

    def log_prob(self, x: Array, context: Context = None, *, key: Key = None) -> Array:
        bijector_key, base_key = split_key(key, 2)
        z, log_det, base_context = self._pulled_back(x, context, bijector_key, "log_prob")
        return support.flat(self.base.log_prob(z, base_context, key=base_key) + log_det)

    def log_weight(
        self,
        x: Array,
        key: Array,
        context: Context = None,
        *,
        dropout_key: Key = None,
        draw: Draw = direct,
    ) -> Array:
        drops = split_key(dropout_key, 2)
        z, log_det, base_context = self._pulled_back(x, context, drops[0], "log_weight")
        weight = self.base.log_weight(z, key, base_context, dropout_key=drops[1], draw=draw)
        return support.flat(weight + log_det)

    def elbo(
        self, x: Array, key: Array, context: Context = None, *, dropout_key: Key = None
    ) -> Array:
        drops = split_key(dropout_key, 2)
        z, log_det, base_context = self._pulled_back(x, context, drops[0], "elbo")
        return support.flat(self.base.elbo(z, key, base_context, dropout_key=drops[1]) + log_det)

    def elbo_terms(
        self, x: Array, key: Array, context: Context = None, *, dropout_key: Key = None
    ) -> tuple[Array, Array]:
        drops = split_key(dropout_key, 2)
        z, log_det, base_context = self._pulled_back(x, context, drops[0], "elbo_terms")
        fit, divergence = self.base.elbo_terms(z, key, base_context, dropout_key=drops[1])
        fit = support.flat(fit + log_det)
        return fit, support.still(divergence, fit)

    def _pulled_back(
        self, x: Array, context: Context, key: Key, name: str
    ) -> tuple[Array, Array, Array | None]:
        """Data at the base, the log-determinant of the way there, and the base's context."""
        where = f"Flow.{name}"
        x, context = self._events(x, context, name)
        check_finite(x, where)
        event_ndims = self.bijector.side_ndims("data")
        z, log_det = run_inverse(self.bijector, x, self._seen(context), key, event_ndims)
        self._check_latents(z, where)
        return z, log_det, self._base_context(context)

    def _draw(self, key: Array, batch: Shape, context: Context, how: Sampling) -> Array:
        z = one_each(
            lambda n, c: self.base.sample(
                key, n, c, method=how.method, temperature=how.temperature
            ),
            batch,
            self._base_context(context),
        )
        return self._run_by(how.method).forward(z, self._seen(context))

    def centre(self, context: Context = None) -> Array:
        """The image of the base's centre."""
        context = self._checked_context(context, "centre")
        z = self.base.centre(self._base_context(context))
        if context is not None:
            batch = batch_shape(context, self._require_conditional("Flow.centre"), "Flow.centre")
            z = jnp.broadcast_to(z, (*batch, *self.base.event_shape))
        return self.bijector.forward(z, self._seen(context))

    def dream(self, key: Array, num_samples: int, context: Context = None) -> tuple[Array, Array]:
        batch = self._sample_batch(num_samples, context)
        context = self._context(context, batch, "Flow.dream")
        z, log_q = one_each(
            lambda n, c: self.base.dream(key, n, c), batch, self._base_context(context)
        )
        return jax.lax.stop_gradient(self.bijector.forward(z, self._seen(context))), log_q

    def sample_and_log_prob(
        self, key: Array, num_samples: int, context: Context = None, *, method: str = "auto"
    ) -> tuple[Array, Array]:
        batch = self._sample_batch(num_samples, context)
        context = self._context(context, batch, "Flow.sample_and_log_prob")
        z, log_p = one_each(
            lambda n, c: self.base.sample_and_log_prob(key, n, c, method=method),
            batch,
            self._base_context(context),
        )
        x, log_det = self._run_by(method).forward_and_log_det(z, self._seen(context))
        return x, log_p - log_det

    def _run_by(self, method: str) -> Bijector:
        """The bijector with its autoregressive layers run by this method."""
        if method == "auto":  # which leaves every layer its own
            return self.bijector
        return map_modules(self.bijector, _use(method))

    def conditional_cdf(self, x: Array, context: Context = None) -> tuple[Array, Array]:
        if not self.has_cdf:
            raise self._lacks("conditional_cdf", "has_cdf")
        z, _, base_context = self._pulled_back(x, context, None, "conditional_cdf")
        return self.base.conditional_cdf(z, base_context)

    def infer(self, x: Array, context: Context = None, *, key: Key = None) -> Array:
        """The latent ``z = f^{-1}(x)`` of data, or that of ``z`` where the base has latents itself.

        Of a flow on a flow they are those of the innermost one, ``(*batch, *latent_shape)``.
        """
        x, context = self._events(x, context, "infer")
        check_finite(x, "Flow.infer")
        z = self.bijector.inverse(x, self._seen(context))
        self._check_latents(z, "Flow.infer")
        if self.base.latent_shape is None:
            return z
        return self.base.infer(z, self._base_context(context), key=key)

    def decode(self, z: Array, context: Context = None) -> Array:
        """The data ``f(z)`` of a latent: the inverse of :meth:`infer`, on a base that has one."""
        where = "Flow.decode"
        z = jnp.asarray(z)
        check_finite(z, where, "z")
        context = self._context(context, batch_shape(z, self.latent_shape, where), where)
        if self.base.latent_shape is not None:
            z = self.base.decode(z, self._base_context(context))
        return self.bijector.forward(z, self._seen(context))

    def standardize(self, x: Array | np.ndarray | None, context: Context | np.ndarray) -> Self:
        bijector, units = self.bijector, self.context_units
        if x is not None:
            batch_shape(x, self.event_shape, "Flow.standardize")
            bijector = bijector.standardize(x)
        if context is not None and units is not None:
            batch_shape(context, units.event_shape, "Flow.standardize, context")
            units = units.standardize(context)
        return replace(self, bijector=bijector, context_units=units)

    def initialize(self, x: Array, key: Array, context: Context = None) -> Self:
        x, context = self._events(x, context, "initialize")
        return Model.initialize(self.standardize(x, context), x, key, context)

    def _adapt(self, adapt: Adapt, x: Array, key: Array, context: Context) -> Self:
        x, context = self._events(x, context, adapt.name)
        bijector, z = adapt.bijector(self.bijector, x, self._seen(context))
        base = adapt.model(self.base, z, key, self._base_context(context))
        return replace(self, bijector=bijector, base=base)

    def check_data(self, x: Array | np.ndarray) -> None:
        super().check_data(x)
        if not jnp.issubdtype(x.dtype, jnp.floating):
            raise ValueError(
                f"Flow: expected real values, got {x.dtype}; for integer levels wrap the flow in "
                f"jaxgen.models.Dequantized"
            )
        self.bijector.check_data(x)

    def check_context(self, context: Array | np.ndarray) -> None:
        super().check_context(context)
        if self.base.context_shape is not None:
            self.base.check_context(context)

    def _check_latents(self, z: Array, where: str) -> None:
        """Refuses latents that are NaN, which the base would take for data of its own.

        Infinite ones have a density, of 0, or are the base's to refuse.
        """
        if not is_concrete(z) or not np.isnan(np.asarray(z)).any():
            return
        arrays = {name: np.asarray(array_of(leaf)) for name, leaf in leaves_by_path(self).items()}
        bad = [name for name, array in arrays.items() if np.isnan(array).any()]
        cause = f"{bad[0]} holds NaN" if bad else "its parameters do not fit these data"
        raise ValueError(f"{where}: expected finite latents of finite data, got NaN; {cause}")

    def _seen(self, context: Context) -> Array | None:
        """The context that the bijector sees: standardised, if it takes one."""
        return standardized(context, self.context_units)

    def _base_context(self, context: Context) -> Array | None:
        return None if self.base.context_shape is None else context


def flow_on(
    event_shape: Shape,
    layers: Sequence[Bijector],
    bounds: Bounds,
    alpha: float | None,
    base: Model | None = None,
    marginal_bins: int | None = None,
) -> Flow:
    """A flow of these layers, with what leads to the data's support at the data's end.

    It is what the flows of the zoo do with the data before their own layers. Data that are not
    bounded are standardised there, each channel by the location and scale of the training data;
    where all channels have the same two bounds, it is a logit; else each channel has its own map.

    Args:
        event_shape: the event's shape.
        layers: listed from the base to the data; there may be none.
        bounds: a pair ``(low, high)``, of which either may be None, for all channels or for each;
            None for the whole line.
        alpha: the logit's margin, as a share of the interval; None for 0.05 of images, of which
            levels are made again, and 1e-6 of vectors, whose samples should keep to the bounds.
        base: the base density; a standard normal if None.
        marginal_bins: after the logit, as seen from the data, a spline of so many bins for every
            entry, on all of the logit's range; None for none.

    Raises:
        ValueError: for bounds that are none, and for ``marginal_bins`` without two bounds for all
            channels, or without a margin.
    """
    layers = list(layers)
    if alpha is None:
        alpha = 0.05 if len(event_shape) > 1 else 1e-6
    ends = bounds_of_entries(bounds, event_shape[-1])
    (low, high), *others = dict.fromkeys(ends)
    if marginal_bins is not None:
        if others or low is None or high is None or alpha == 0:
            raise ValueError(
                f"marginal_bins is for bounded data with a margin: expected bounds and alpha > 0, "
                f"got bounds={bounds} and alpha={alpha}"
            )
        spline = RationalQuadraticSpline(marginal_bins, math.log((1 - alpha) / alpha))
        layers.append(Elementwise(event_shape, spline))
    if not others and low is not None and high is not None:
        layers.append(Logit(low, high, alpha, event_ndims=len(event_shape)))
    elif others or (low, high) != (None, None):
        layers.append(Bounded(event_shape, ends, alpha))
    else:
        layers.append(Standardize(event_shape, statistics_shape=event_shape[-1:]))
    return Flow(Chain(layers), base)


def _use(method: str) -> Callable[[nnx.Module], None]:
    """Sets how the sequential direction of every autoregressive layer is run."""

    def change(module: nnx.Module) -> None:
        if isinstance(module, MaskedAutoregressive):
            module.method = method

    return change
