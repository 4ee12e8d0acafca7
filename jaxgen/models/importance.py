"""Importance weighting (Burda et al. 2016): the mean of many unbiased weights."""

import math
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from jaxgen.core import Context, program
from jaxgen.functional import support

_TOGETHER = 1024  # weights of all examples: so many fill a processor, and need little memory


@program()
def log_mean_weight(model: Any, x: Array, keys: Array, context: Context = None) -> Array:
    """The logarithm of the mean of a model's weights, one for each key; they are streamed.

    Args:
        model: any :class:`~jaxgen.models.Model`, whose ``log_weight`` is called.
        x: array ``(*batch, *event_shape)``.
        keys: ``(K,)`` random keys.
        context: array ``(*batch, *context_shape)`` for a conditional model.

    Returns:
        Array ``(*batch,)`` in nats.
    """
    examples = math.prod(x.shape[: x.ndim - len(model.event_shape)])
    together = max(1, _TOGETHER // max(examples, 1))

    def log_sum(keys: Array) -> Array:
        weights = jax.vmap(lambda key: model.log_weight(x, key, context))(keys)
        return support.logsumexp(weights, 0)

    def body(total: Array, keys: Array) -> tuple[Array, None]:
        return support.logsumexp(jnp.stack([total, log_sum(keys)]), 0), None

    first = len(keys) % together or min(together, len(keys))
    others = keys[first:].reshape(-1, together, *keys.shape[1:])
    total, _ = jax.lax.scan(body, log_sum(keys[:first]), others)
    return total - math.log(len(keys))
