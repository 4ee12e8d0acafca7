r"""How well a model approximates an unnormalised density: importance sampling.

With samples :math:`x_i \sim q` and weights :math:`w_i = \tilde p(x_i) / q(x_i)`,

.. math:: \hat Z = \frac{1}{n} \sum_i w_i, \qquad
          \mathrm{ESS} = \frac{\left(\sum_i w_i\right)^2}{\sum_i w_i^2}

estimate the normaliser :math:`Z = \int \tilde p` without bias, and say how many independent samples
of the target the ``n`` are worth (Kong, 1992). :math:`\log \hat Z` has, to first order in its
relative error, the standard error

.. math:: \frac{\mathrm{sd}(w)}{\hat Z \sqrt n} = \sqrt{\frac{n / \mathrm{ESS} - 1}{n - 1}}.

Both are estimates from the same weights: a model that misses a part of the target, as one fitted by
the reverse Kullback-Leibler divergence may, gives a small :math:`\hat Z` and claims to be sure.
"""

import dataclasses
import functools
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxgen.core import Context, ShapeError
from jaxgen.models import Model

_NAME = "importance_log_normalizer"


@dataclasses.dataclass(frozen=True)
class NormalizerEstimate:
    """An estimate of ``log Z`` of an unnormalised density, all in nats.

    ``standard_error`` is that of ``log_normalizer``; ``effective_sample_size`` is between 1 and
    ``num_samples``; ``elbo`` is the mean log-weight, a lower bound of ``log Z`` in expectation, so
    that ``log_normalizer - elbo`` estimates KL(model || target).
    """

    log_normalizer: float
    standard_error: float
    effective_sample_size: float
    elbo: float
    num_samples: int

    def __str__(self) -> str:
        return (
            f"log Z = {self.log_normalizer:.4f} ± {self.standard_error:.4f} nats, "
            f"ELBO {self.elbo:.4f}, effective sample size {self.effective_sample_size:.0f} "
            f"of {self.num_samples}"
        )


def importance_log_normalizer(
    model: Model,
    log_density: Callable[..., Array],
    key: Array,
    num_samples: int,
    *,
    context: Context = None,
    batch_size: int = 10_000,
) -> NormalizerEstimate:
    """Estimates ``log Z`` of an unnormalised density with a model's samples as proposals.

    The samples are streamed: memory does not grow with ``num_samples``.

    Args:
        model: the proposal, any model with an exact likelihood.
        log_density: ``log p~`` of ``(n, *event_shape)``, to ``(n,)``; of a conditional model it is
            called as ``log_density(x, context)``. ``-inf`` is a density of zero.
        key: the random key; the same key gives the same estimate.
        num_samples: how many samples, at least 2.
        context: one context, ``context_shape``, for a conditional model.
        batch_size: samples that are drawn at a time.

    Returns:
        A :class:`NormalizerEstimate`.

    Raises:
        TypeError: if the model's likelihood is not exact.
        ValueError: if there are fewer than 2 samples, a weight is not a number or infinite, or all
            of them are zero.
        ShapeError: if ``log_density`` gives another shape.

    >>> from jaxgen.models import StandardNormal
    >>> target = lambda x: -0.5 * jnp.sum(x**2, -1)
    >>> print(importance_log_normalizer(StandardNormal((2,)), target, jax.random.key(0), 1000))
    log Z = 1.8379 ± 0.0000 nats, ELBO 1.8379, effective sample size 1000 of 1000
    """
    if num_samples < 2:
        raise ValueError(f"{_NAME}: expected num_samples >= 2, got {num_samples}")
    if model.exactness != "exact":
        raise TypeError(
            f"{_NAME}: expected a model with an exact likelihood, got {type(model).__name__}, "
            f"which has a {model.exactness}"
        )
    size = min(batch_size, num_samples)

    # Sums of w, of w^2 and of log w, the first two as logarithms, in double precision.
    first, second, logs = -np.inf, -np.inf, 0.0
    for index, start in enumerate(range(0, num_samples, size)):
        chunk = jax.random.fold_in(key, index)
        weights = _log_weights(model, chunk, context, log_density=log_density, size=size)
        # The last chunk is drawn whole, so that nothing is recompiled.
        weights = np.asarray(weights, np.float64)[: num_samples - start]
        if np.isnan(weights).any() or np.isposinf(weights).any():
            raise ValueError(
                f"{_NAME}: log_density(x) - log q(x) is NaN or infinite at some samples; expected "
                f"a finite log-density, or -inf where it is zero"
            )
        first = np.logaddexp(first, np.logaddexp.reduce(weights))
        second = np.logaddexp(second, np.logaddexp.reduce(2.0 * weights))
        logs += float(weights.sum())
    if np.isneginf(first):
        raise ValueError(
            f"{_NAME}: the density is zero at all {num_samples} samples; the model lies outside of "
            f"its support"
        )
    effective = math.exp(2.0 * first - second)
    relative_variance = max(num_samples / effective - 1.0, 0.0) / (num_samples - 1)
    return NormalizerEstimate(
        log_normalizer=float(first) - math.log(num_samples),
        standard_error=math.sqrt(relative_variance),
        effective_sample_size=effective,
        elbo=logs / num_samples,
        num_samples=num_samples,
    )


@functools.partial(jax.jit, static_argnames=("log_density", "size"))
def _log_weights(
    model: Model, key: Array, context: Context, *, log_density: Callable[..., Array], size: int
) -> Array:
    """``log p~(x) - log q(x)`` at ``size`` samples."""
    x, log_q = model.sample_and_log_prob(key, size, context)
    if log_q.shape != (size,):
        got = None if context is None else jnp.shape(context)
        raise ShapeError(f"{_NAME}: expected one context of shape {model.context_shape}, got {got}")
    log_p = log_density(x) if context is None else log_density(x, context)
    if jnp.shape(log_p) != log_q.shape:
        raise ShapeError(
            f"{_NAME}: expected log_density to map samples of shape {x.shape} to {log_q.shape}, "
            f"got {jnp.shape(log_p)}"
        )
    return log_p - log_q
