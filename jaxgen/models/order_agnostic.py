r"""One step of a random order: how a network that predicts any part from any other is trained.

Of an event with ``D`` positions, ``D - n`` of which are hidden (Uria, Murray and Larochelle, 2014),

.. math:: \frac{D + 1}{D - n} \sum_{i \text{ hidden}} \log p(x_i \mid x_\text{seen})

is ``log p_o(x)`` on average over random orders ``o`` and numbers ``n`` of positions seen.
"""

import math

import jax
import jax.numpy as jnp
from jax import Array

from jaxgen.conditionals.base import Conditional
from jaxgen.core import Context, Key
from jaxgen.functional import support
from jaxgen.likelihoods import Likelihood


def one_step(
    network: Conditional,
    likelihood: Likelihood,
    x: Array,
    key: Array,
    context: Context = None,
    *,
    dropout_key: Key = None,
) -> Array:
    """An unbiased estimate, ``(*batch,)`` in nats, of ``log p_o(x)`` averaged over all orders.

    Any number of positions is seen, equally likely, and any of them.

    Args:
        network: an order-agnostic one, see :class:`~jaxgen.conditionals.EoNADE`.
        likelihood: of its positions.
        x: events ``(*batch, *event_shape)``, checked.
        key: of the positions that are seen.
        context: array ``(*batch, *context_shape)``, checked.
        dropout_key: turns dropout on.
    """
    x, inside = likelihood.restricted(x)
    batch, size = x.shape[: x.ndim - len(network.event_shape)], network.num_positions
    rate_key, seen_key = jax.random.split(key)
    # Each position is seen with probability r, and r is uniform. Then the number of positions
    # seen is uniform on 0, ..., D and they are any, as in a random order, without a sort. The
    # rates of a batch are spread evenly, which takes nothing from their being uniform.
    rows = math.prod(batch)
    rates = (jax.random.uniform(rate_key) + jnp.arange(rows) / rows) % 1.0
    seen = jax.random.uniform(seen_key, (rows, size)) < rates[:, None]
    seen = seen.reshape(*batch, size)
    params = network.predict(
        likelihood.encode(x), seen.reshape(*batch, *network.grid_shape), context, key=dropout_key
    )
    each = likelihood.log_prob(x, params).reshape(*batch, size)
    missing = jnp.sum(jnp.where(seen, 0.0, each), axis=-1)
    # The D + 1 instead of D makes up for the draws in which nothing is missing.
    estimate = missing * ((size + 1) / jnp.maximum(size - jnp.sum(seen, axis=-1), 1))
    return support.restrict(estimate, inside)
