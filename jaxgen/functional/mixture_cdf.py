r"""The mixture-of-logistics CDF map of Flow++ (Ho et al. 2019, section 3.2) and its inverse.

With weights :math:`\pi_k`, means :math:`\mu_k` and scales :math:`e^{s_k}`,

.. math:: F(x) = \sum_k \pi_k\, \sigma\left((x - \mu_k) e^{-s_k}\right), \qquad
          z = e^{a} \operatorname{logit} F(x) + b.

Seen from the data this is closed form: :math:`\operatorname{logit} F = \log F - \log(1 - F)`, both
by a logsumexp of log-sigmoids, so neither tail rounds to 0 or 1. Seen from the base it is solved
numerically, with gradients by the implicit function theorem. The components stand on the *leading*
axis of the parameters, ``(components, *x.shape)``.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from jaxgen.functional.logistic import log_sigmoid
from jaxgen.functional.roots import increasing_root

# A residual of so many units in the last place is what rounding in the forward map explains.
_RESIDUAL = 32.0


def logistic_mixture_logit_cdf(
    x: Array, logits: Array, means: Array, log_scales: Array
) -> tuple[Array, Array]:
    r"""``y = logit F(x)`` and ``log|dy/dx| = log f(x) - log F(x) - log(1 - F(x))``.

    Args:
        x: array of any shape.
        logits: unnormalised log-weights ``(components, *x.shape)``.
        means, log_scales: of the components, likewise.

    >>> one = jnp.zeros((1, 1))  # one standard logistic: logit F is the identity
    >>> y, log_derivative = logistic_mixture_logit_cdf(jnp.array([40.0]), one, one, one)
    >>> y.tolist(), log_derivative.tolist()
    ([40.0], [0.0])
    """
    weights = jax.nn.log_softmax(logits, axis=0)
    standardised = (x - means) * jnp.exp(-log_scales)
    below, above = log_sigmoid(standardised), log_sigmoid(-standardised)
    log_cdf = jax.nn.logsumexp(weights + below, axis=0)
    log_survival = jax.nn.logsumexp(weights + above, axis=0)
    log_density = jax.nn.logsumexp(weights + below + above - log_scales, axis=0)
    return log_cdf - log_survival, log_density - log_cdf - log_survival


@jax.custom_jvp
def logistic_mixture_quantile(y: Array, logits: Array, means: Array, log_scales: Array) -> Array:
    r"""The ``x`` with ``logit F(x) = y``: the inverse of :func:`logistic_mixture_logit_cdf`.

    Where every component has ``(x - mu_k) exp(-s_k) <= y``, so has the mixture; hence the root
    lies between the least and the greatest ``mu_k + exp(s_k) y``, where
    :func:`~jaxgen.functional.roots.increasing_root` finds it.

    The residual is about ``1e-14 (1 + |y|)`` in float64 and ``1e-5 (1 + |y|)`` in float32. Where
    the density between far components is so small that rounding hides it, ``x`` is not determined
    better than that.

    Derivatives follow from ``logit F(x; theta) = y``:
    ``dx = (dy - d_theta logit F(x; theta)) / (d logit F / dx)``.
    """
    return _solve(y, logits, means, log_scales)


@logistic_mixture_quantile.defjvp
def _quantile_jvp(primals: Any, tangents: Any) -> tuple[Array, Array]:
    (y, *params), (dy, *dparams) = primals, tangents
    x = logistic_mixture_quantile(y, *params)
    (_, log_slope), (change, _) = jax.jvp(
        lambda *params: logistic_mixture_logit_cdf(x, *params), params, dparams
    )
    return x, (dy - change) * jnp.exp(-log_slope)


def _solve(y: Array, logits: Array, means: Array, log_scales: Array) -> Array:
    ends = means + jnp.exp(log_scales) * y  # where each component alone would have its root
    y = jnp.broadcast_to(y, ends.shape[1:]).astype(ends.dtype)
    low, high = jnp.min(ends, axis=0), jnp.max(ends, axis=0)
    start = jnp.clip(jnp.sum(jax.nn.softmax(logits, axis=0) * ends, axis=0), low, high)

    def logit_cdf(x: Array) -> tuple[Array, Array]:
        return logistic_mixture_logit_cdf(x, logits, means, log_scales)

    return increasing_root(logit_cdf, y, low, high, start, residual=_RESIDUAL)


def mixture_cdf_forward(
    z: Array, shift: Array, log_scale: Array, logits: Array, means: Array, log_scales: Array
) -> tuple[Array, Array]:
    """``x`` with ``z = exp(log_scale) logit F(x) + shift``, and ``log|dx/dz|``; numerical."""
    y = (z - shift) * jnp.exp(-log_scale)
    x = logistic_mixture_quantile(y, logits, means, log_scales)
    _, log_derivative = logistic_mixture_logit_cdf(x, logits, means, log_scales)
    return x, -(log_derivative + log_scale)


def mixture_cdf_inverse(
    x: Array, shift: Array, log_scale: Array, logits: Array, means: Array, log_scales: Array
) -> tuple[Array, Array]:
    """``z = exp(log_scale) logit F(x) + shift`` and ``log|dz/dx|``, in closed form.

    >>> zeros = jnp.zeros((3, 1))  # three equal standard logistics: the identity
    >>> z, _ = mixture_cdf_inverse(jnp.array([1.5]), 0.0, 0.0, zeros, zeros, zeros)
    >>> round(float(z[0]), 5)
    1.5
    """
    y, log_derivative = logistic_mixture_logit_cdf(x, logits, means, log_scales)
    return y * jnp.exp(log_scale) + shift, log_derivative + log_scale
