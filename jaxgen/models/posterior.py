r"""How latents are drawn from a posterior, and what of it a gradient sees.

A weight :math:`w = p(x, z) / q_\phi(z | x)` with :math:`z = f_\phi(\epsilon, x)` depends on the
posterior's parameters in two ways, through ``z`` (the path) and through ``q`` (the score). Its
value is the same for all draws below; objectives choose what of its gradient they take:

===========================  =======================  ==========================================
draw                         through ``z``            through ``log q``
===========================  =======================  ==========================================
:func:`direct`               yes                      yes: the gradient of ``log w`` as it is
:func:`path` ``(scale)``     times ``scale``          no: STL (Roeder et al. 2017) at 1, DReG
                                                      (Tucker et al. 2019) at the normalised weight
:func:`wake`                 no                       with the other sign: what makes draws of high
                                                      weight likelier (Bornschein & Bengio 2015)
:func:`fixed`                no                       no: the model's parameters alone
===========================  =======================  ==========================================

What a posterior's *context* depends on, such as a latent above it, is no parameter of its own: the
gradient goes on through it at full size, whatever ``scale`` is, and is scaled where it belongs.
"""

import math
from collections.abc import Callable
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array

from jaxgen.core import Context, Shape

T = TypeVar("T")  # arrays

# (posterior, key, batch, context) -> (z, log q(z | context)), of one draw for each of the batch.
Draw = Callable[[Any, Array, Shape, Context], tuple[Array, Array]]


def one_each(draw: Callable[[int, Context], T], batch: Shape, context: Context) -> T:
    """Draws for each of a batch, of a model that may know of no contexts.

    Args:
        draw: ``(num_samples, context)`` to arrays with leading axes ``(num_samples, *batch)``.
        batch: the shape of the batch.
        context: contexts of this batch, which need a draw each; without any, as many are drawn.

    Returns:
        What ``draw`` gives, with leading axes ``batch``.
    """
    if context is not None:
        return jax.tree.map(lambda each: each[0], draw(1, context))
    drawn = draw(math.prod(batch), None)
    return jax.tree.map(lambda each: each.reshape(*batch, *each.shape[1:]), drawn)


def direct(posterior: Any, key: Array, batch: Shape, context: Context) -> tuple[Array, Array]:
    """A draw and its ``log q`` from one pass, both differentiable in all that they depend on."""
    return one_each(lambda n, c: posterior.sample_and_log_prob(key, n, c), batch, context)


def path(scale: Array | float = 1.0) -> Draw:
    """Draws of which gradients reach the posterior's parameters through ``z`` alone.

    Args:
        scale: what those are multiplied by, ``(*batch,)`` or a number.
    """

    def draw(posterior: Any, key: Array, batch: Shape, context: Context) -> tuple[Array, Array]:
        unmoved = jax.lax.stop_gradient(posterior)
        own, _ = direct(posterior, key, batch, jax.lax.stop_gradient(context))
        through, _ = direct(unmoved, key, batch, context)
        events = tuple(range(-len(posterior.event_shape), 0))
        factor = jnp.expand_dims(jnp.broadcast_to(jnp.asarray(scale, own.dtype), batch), events)
        z = same(own, through, factor)
        return z, unmoved.log_prob(z, context)

    return draw


@jax.custom_jvp
def same(own: Array, through: Array, factor: Array) -> Array:
    """The first array, whose tangent is ``factor`` of its own and all of that of ``through``.

    As a sum of the two less one of them it would not be equal to rounding.
    """
    return own


@same.defjvp
def _same_jvp(primals: tuple[Array, ...], tangents: tuple[Array, ...]) -> tuple[Array, Array]:
    own, _, factor = primals
    own_tangent, through_tangent, _ = tangents
    return own, factor * own_tangent + through_tangent


def wake(posterior: Any, key: Array, batch: Shape, context: Context) -> tuple[Array, Array]:
    """Draws without a gradient, with ``log q`` whose gradient is that of ``-log q``."""
    z = jax.lax.stop_gradient(direct(posterior, key, batch, context)[0])
    log_q = posterior.log_prob(z, context)
    return z, 2.0 * jax.lax.stop_gradient(log_q) - log_q


def fixed(posterior: Any, key: Array, batch: Shape, context: Context) -> tuple[Array, Array]:
    """Draws and their ``log q`` without any gradient."""
    return jax.lax.stop_gradient(direct(posterior, key, batch, context))


def not_reparametrized(model: Any) -> str | None:
    """The name of the part of a model whose samples have no gradient in all parameters, if any."""
    if model.levels is not None or model.discrete:
        return type(model).__name__
    for _, part in nnx.iter_modules(model):
        for member in (part, getattr(part, "likelihood", None)):
            if not getattr(member, "reparametrized", True):
                return type(member).__name__
    return None
