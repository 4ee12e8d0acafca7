r"""Logarithms of the logistic function: one exponential and one ``log1p`` for an entry.

Of Bernoulli and logistic densities they take as long as the last layer of a network. Those of
:mod:`jax.nn` go through a general ``logaddexp``, for nearly twice the time.
"""

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike


@jax.custom_jvp
def softplus(x: ArrayLike) -> Array:
    r"""``log(1 + e^x)``, stable for any ``x``; its derivative is the logistic function.

    >>> softplus(jnp.array([-200.0, 0.0, 200.0])).round(4).tolist()
    [0.0, 0.6930999755859375, 200.0]
    >>> jax.grad(jax.grad(softplus))(0.0).item()
    0.25
    """
    return jnp.maximum(x, 0.0) + jnp.log1p(jnp.exp(-jnp.abs(x)))


@softplus.defjvp
def _softplus_jvp(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    # Of the formula, the second derivative would be wrong at 0.
    (x,), (tangent,) = primals, tangents
    return softplus(x), tangent * jax.nn.sigmoid(x)


def log_sigmoid(x: Array) -> Array:
    """``-log(1 + e^-x)``.

    >>> log_sigmoid(jnp.array([-200.0, 0.0])).round(4).tolist()
    [-200.0, -0.6930999755859375]
    """
    return -softplus(-x)
