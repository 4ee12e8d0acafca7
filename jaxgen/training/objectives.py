"""What training minimises."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxgen.models import Model


class Batch(NamedTuple):
    """Examples ``(batch, *event_shape)`` and, for a conditional model, their contexts."""

    x: Array | np.ndarray
    context: Array | np.ndarray | None = None


def negative_log_likelihood(model: Model, batch: Batch, key: Array) -> Array:
    """``-mean log p(x)`` in nats, or of the model's lower bound: maximum likelihood.

    ``key`` feeds dropout, dequantization and random orders. Any function of this signature can be
    an objective.

    >>> from jaxgen.models import StandardNormal
    >>> batch = Batch(jnp.zeros((4, 2)))
    >>> round(float(negative_log_likelihood(StandardNormal((2,)), batch, jax.random.key(0))), 4)
    1.8379
    """
    noise_key, dropout_key = jax.random.split(key)
    x, context = jax.tree.map(jnp.asarray, (batch.x, batch.context))
    return -jnp.mean(model.elbo(x, noise_key, context, dropout_key=dropout_key))
