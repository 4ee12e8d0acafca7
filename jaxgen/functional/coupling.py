r"""One coupling step, over any elementwise transform.

The event is taken apart into a part ``a`` that stays and a part ``b`` that is transformed, with
parameters computed from ``a`` by any function (NICE and RealNVP, Dinh et al. 2014, 2017):

.. math:: x_a = z_a, \qquad x_b = T(z_b; \theta(z_a)), \qquad
          \log\left|\det \partial x/\partial z\right| = \sum_i \log |T'(z_{b,i})|.

The Jacobian is triangular whatever ``conditioner`` is, and since ``a`` is unchanged the inverse
costs exactly as much as the forward pass. Both directions are the same three lines, so there is one
function: pass the transform's forward or its inverse map.
"""

from collections.abc import Callable

import jax.numpy as jnp
from jax import Array

# A transform's forward or its inverse map: (values, params) -> (values, log|derivative|).
Direction = Callable[[Array, Array], tuple[Array, Array]]


def couple(
    value: Array,
    *,
    split: Callable[[Array], tuple[Array, Array]],
    merge: Callable[[Array, Array], Array],
    conditioner: Callable[[Array], Array],
    transform: Direction,
    event_ndims: int,
) -> tuple[Array, Array]:
    """Transforms one part of ``value`` given the other.

    Args:
        value: array ``(*batch, *event)``.
        split: takes an array of that shape apart into (kept, transformed).
        merge: puts (kept, transformed) together again; also places their log-derivatives.
        conditioner: parameters of the transform from the kept part.
        transform: ``(part, params) -> (new part, log|derivative|)``, elementwise.
        event_ndims: how many trailing axes are the event.

    Returns:
        The new array and its log-determinant ``(*batch,)`` in nats.
    """
    kept, changing = split(value)
    changed, log_derivative = transform(changing, conditioner(kept))
    # Merging with zeros drops what `merge` would drop of `changed`: with a mask, the transform
    # also ran at the kept positions.
    log_derivative = merge(jnp.zeros_like(kept, log_derivative.dtype), log_derivative)
    axes = tuple(range(value.ndim - event_ndims, value.ndim))
    return merge(kept, changed), jnp.sum(log_derivative, axes)
