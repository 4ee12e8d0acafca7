"""Mixtures of discretized logistics: levels as intervals of the real line (PixelCNN++)."""

import math
from typing import TYPE_CHECKING, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxgen.core import Shape, checked_arguments, unpack_params
from jaxgen.functional import likelihoods as f
from jaxgen.functional import support
from jaxgen.functional.statistics import location_and_scale
from jaxgen.likelihoods.levels import Levels

if TYPE_CHECKING:
    import distrax


class DiscretizedLogisticMixture(Levels):
    r"""Integer levels with a mixture of rounded logistics each: PixelCNN++'s head.

    A position's entries (the channels of a pixel) share the choice of the component, and within a
    component the mean of a channel moves with the channels before it (Salimans et al. 2017, eq. 3):

    .. math:: p(x) = \sum_k \pi_k \prod_c P\left(x_c \mid \mu_{kc} + \sum_{b<c} \tanh(a_{kcb})\,
              \bar x_b,\, s_{kc}\right),

    with :math:`\bar x` the levels scaled to ``[-1, 1]`` and ``P`` the probability of a bin under a
    logistic (:func:`~jaxgen.functional.likelihoods.discretized_logistic_log_prob`), exact in both
    tails. A position of a single entry needs no :math:`a`.

    Parameters of a position with ``C`` entries: ``K`` logits, ``K C`` means, ``K C`` log-scales
    and ``K C (C - 1) / 2`` coefficients. As in :class:`GaussianMixture`, constants spread evenly
    over ``[-1, 1]`` are added to the means of the components, which all-zero parameters would keep
    equal for ever.

    Args:
        levels: the number of levels, at least 2.
        components: how many logistics, ``K``.
        min_log_scale: where the log-scales end, in units of half the range; None for -7, or an
            eighth of a level (which -7 is at 256 levels) where there are more of them.
        inputs: how a network reads a level, as in :class:`Categorical`.

    Raises:
        ValueError: for fewer than 2 levels, no component, or unknown inputs.

    >>> head = DiscretizedLogisticMixture(256, components=5)
    >>> head.num_params(()), head.num_params((3,))
    (15, 50)
    """

    has_cdf = True

    @checked_arguments
    def __init__(
        self,
        levels: int,
        components: int = 10,
        min_log_scale: float | None = None,
        inputs: str = "scalar",
    ):
        super().__init__(levels, inputs)
        self.components = components
        floor = -7.0 - max(0.0, math.log((levels - 1) / 255.0))
        self.min_log_scale = floor if min_log_scale is None else min_log_scale

    def num_params(self, position_shape: Shape) -> int:
        entries = math.prod(position_shape)
        return self.components * (1 + 2 * entries + entries * (entries - 1) // 2)

    def marginal(self, value: Array | np.ndarray, position_shape: Shape, grid_ndims: int) -> Array:
        # In levels, of which a constant entry gets one as its scale.
        mean, scale = location_and_scale(value, grid_ndims + len(position_shape))
        half = (self.levels - 1) / 2.0
        grid, entries = mean.shape[:grid_ndims], math.prod(position_shape)
        means, deviations = (
            each.reshape(*grid, entries, self.components)
            for each in f.mixture_like(
                jnp.asarray(mean / half - 1.0), jnp.asarray(scale / half), self.components
            )
        )
        # A logistic of scale 1 has the deviation pi / sqrt(3).
        log_scales = deviations + math.log(math.sqrt(3.0) / math.pi)
        logits = jnp.zeros((*grid, 1, self.components), means.dtype)
        coefficients = jnp.zeros((*grid, entries * (entries - 1) // 2, self.components))
        params = jnp.concatenate([logits, means, log_scales, coefficients], axis=-2)
        return params.reshape(*grid, self.num_params(position_shape))

    def _mixture(self, params: Array, entries: int) -> "_Mixture":
        params = unpack_params(params, (params.shape[-1] // self.components,), self.components)
        logits = params[..., 0, :]
        means, log_scales, raw = jnp.split(params[..., 1:, :], [entries, 2 * entries], axis=-2)
        return _Mixture(
            logits,
            f.spread_out(means),
            jnp.maximum(log_scales, self.min_log_scale),
            jnp.moveaxis(jnp.tanh(raw), -2, 0),
        )

    def _flat(self, value: Array, params: Array) -> Array:
        """Values with their entries on one axis."""
        grid, position = value.shape[: params.ndim - 1], value.shape[params.ndim - 1 :]
        return value.reshape(*grid, math.prod(position))

    def log_prob(self, value: Array, params: Array) -> Array:
        value, inside = self.restricted(value)
        flat = self._flat(value, params)
        entries = flat.shape[-1]
        total = self._of_components(entries, flat, self._mixture(params, entries))
        return support.restrict(support.logsumexp(total, -1), self._flat(inside, params))

    def cdf(self, value: Array, params: Array) -> tuple[Array, Array]:
        flat = self._flat(value, params)
        entries, x = range(flat.shape[-1]), self.numbers(flat)
        mixture = self._mixture(params, len(entries))
        weights = [jax.nn.softmax(self._of_components(c, flat, mixture)) for c in entries]
        means = [_moved(c, mixture, x) for c in entries]

        def up_to(levels: Array) -> Array:
            parts = [
                f.discretized_logistic_cdf(
                    levels[..., c, None], means[c], mixture.log_scales[..., c, :], self.levels
                )
                for c in entries
            ]
            each = [jnp.sum(w * part, -1) for w, part in zip(weights, parts, strict=True)]
            shape = (*each[0].shape, *value.shape[params.ndim - 1 :])
            return jnp.clip(jnp.stack(each, -1), 0.0, 1.0).reshape(shape)

        level = flat.astype(jnp.int32)  # bytes have nothing below 0
        return up_to(level - 1), up_to(level)

    def entry_log_probs(self, entry: int, value: Array, params: Array) -> Array:
        flat = self._flat(value, params)
        mixture = self._mixture(params, flat.shape[-1])
        # How likely the components are by what is known of the entries before.
        total = jax.nn.log_softmax(self._of_components(entry, flat, mixture))
        mean = _moved(entry, mixture, self.numbers(flat))
        each = f.discretized_logistic_log_prob(
            jnp.arange(self.levels)[:, None],
            mean[..., None, :],
            mixture.log_scales[..., None, entry, :],
            self.levels,
        )
        return support.logsumexp(total[..., None, :] + each, -1)

    def _of_components(self, entries: int, flat: Array, mixture: "_Mixture") -> Array:
        """``log p(component, the first entries)`` of each component, ``(..., K)``."""
        x = self.numbers(flat)
        total = jax.nn.log_softmax(mixture.logits)
        for c in range(entries):
            mean, log_scale = _moved(c, mixture, x), mixture.log_scales[..., c, :]
            total = total + f.discretized_logistic_log_prob(
                flat[..., c, None], mean, log_scale, self.levels
            )
        return total

    def noise(self, key: Array, shape: Shape, dtype: jnp.dtype) -> Array:
        # Each entry gets Gumbel noise, of which a position's first is used: one choice for all.
        return f.mixture_noise(key, shape, self.components, jax.random.logistic, dtype)

    def sample(self, params: Array, noise: Array, position_shape: Shape) -> Array:
        entries = math.prod(position_shape)
        logits, means, log_scales, coefficients = self._mixture(params, entries)
        noise = noise.reshape(*params.shape[:-1], entries, self.components + 1)
        pick = f.categorical_sample(logits, noise[..., 0, :-1])[..., None]

        def of_pick(each: Array) -> Array:
            return jnp.take_along_axis(each, pick, -1)[..., 0]

        coefficient = iter(coefficients)
        values: list[Array] = []
        for c in range(entries):
            mean = of_pick(means[..., c, :])
            for before in values:
                mean = mean + of_pick(next(coefficient)) * self.numbers(before)
            log_scale = of_pick(log_scales[..., c, :])
            values.append(
                f.discretized_logistic_sample(mean, log_scale, noise[..., c, -1], self.levels)
            )
        return jnp.stack(values, axis=-1).reshape(*params.shape[:-1], *position_shape)

    def distribution(self, params: Array, position_shape: Shape = ()) -> "distrax.Distribution":
        """The categorical distribution over the levels of a position with one entry.

        Raises:
            ValueError: for a position of several entries, which depend on each other.
        """
        import distrax

        if math.prod(position_shape) != 1:
            raise ValueError(
                f"DiscretizedLogisticMixture: the entries of a position of shape {position_shape} "
                f"depend on each other; distrax has no such distribution"
            )
        shape = (*params.shape[:-1], *position_shape)
        each = jnp.broadcast_to(jnp.arange(self.levels), (*shape, self.levels))
        logits = jax.vmap(self.log_prob, (-1, None), -1)(each, params)
        return distrax.Categorical(logits=logits.reshape(*shape, self.levels))


class _Mixture(NamedTuple):
    """What the parameters of a mixture of logistics stand for."""

    logits: Array  # (..., K)
    means: Array  # (..., C, K)
    log_scales: Array  # (..., C, K)
    coefficients: Array  # (..., K) on a leading axis, row by row of their triangle


def _moved(entry: int, mixture: _Mixture, x: Array) -> Array:
    """The means of an entry's components, moved by the entries before it, ``(..., K)``."""
    mean, first = mixture.means[..., entry, :], entry * (entry - 1) // 2
    for b in range(entry):
        mean = mean + mixture.coefficients[first + b] * x[..., b, None]
    return mean
