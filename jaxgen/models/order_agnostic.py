r"""Training in many orders: some for each batch, or one step of any of them.

A network that predicts any part from any other is trained by one step of a random order.

Of an event with ``D`` positions, ``D - n`` of which are hidden (Uria, Murray and Larochelle, 2014),

.. math:: \frac{D + 1}{D - n} \sum_{i \text{ hidden}} \log p(x_i \mid x_\text{seen})

is ``log p_o(x)`` on average over random orders ``o`` and numbers ``n`` of positions seen.
"""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import Array

from jaxgen.conditionals.base import Conditional
from jaxgen.core import Context, Key, Shape
from jaxgen.functional import support
from jaxgen.likelihoods import Likelihood


def one_step(
    network: Conditional,
    likelihood: Likelihood,
    x: Array,
    key: Array,
    context: Context = None,
    observed: Array | None = None,
    *,
    dropout_key: Key = None,
) -> Array:
    """An unbiased estimate, ``(*batch,)`` in nats, of ``log p_o(x)`` averaged over all orders.

    Any number of positions is seen, equally likely, and any of them: of those that are observed,
    where some are missing, and then it is the density of the observed part that is estimated.

    Args:
        network: an order-agnostic one, see :class:`~jaxgen.conditionals.EoNADE`.
        likelihood: of its positions.
        x: events ``(*batch, *event_shape)``, checked.
        key: of the positions that are seen.
        context: array ``(*batch, *context_shape)``, checked.
        observed: boolean array ``(D,)`` or ``(*batch, D)``; None for all.
        dropout_key: turns dropout on.
    """
    x, inside = likelihood.restricted(x)
    event = network.grid_shape + likelihood.position_shape(network.position_shape)
    batch, size = x.shape[: x.ndim - len(event)], network.num_positions
    rate_key, seen_key = jax.random.split(key)
    # Each position is seen with probability r, and r is uniform. Then the number of positions
    # seen is uniform on 0, ..., D and they are any, as in a random order, without a sort. The
    # rates of a batch are spread evenly, which takes nothing from their being uniform.
    rows = math.prod(batch)
    rates = (jax.random.uniform(rate_key) + jnp.arange(rows) / rows) % 1.0
    seen = jax.random.uniform(seen_key, (rows, size)) < rates[:, None]
    there = jnp.broadcast_to(True if observed is None else observed, (*batch, size))
    seen = seen.reshape(*batch, size) & there
    params = network.predict(
        likelihood.encode(x), seen.reshape(*batch, *network.grid_shape), context, key=dropout_key
    )
    each = likelihood.log_prob(x, params).reshape(*batch, size)
    hidden = there & ~seen
    total = jnp.sum(jnp.where(hidden, each, 0.0), axis=-1)
    # The D + 1 instead of D makes up for the draws in which nothing is hidden.
    estimate = total * ((jnp.sum(there, -1) + 1) / jnp.maximum(jnp.sum(hidden, -1), 1))
    return support.restrict(estimate, inside)


def in_groups(
    score: Callable[..., Array],
    batch: Shape,
    groups: int,
    members: int,
    key: Array,
    dropout_key: Key,
    *each: Array | None,
) -> Array:
    """What a batch scores in as many groups, each under another member of an ensemble.

    Args:
        score: ``(member, dropout key, *parts) -> scores``, of a group.
        batch: the batch shape.
        groups: how many at most; fewer where the batch is not divisible by so many.
        members: of the ensemble.
        key: of the members that are drawn.
        dropout_key: split among the groups.
        each: arrays ``(*batch, ...)``.

    Returns:
        Array ``(*batch,)``.
    """
    rows = math.prod(batch)
    groups = math.gcd(rows, min(groups, members))
    cut = jax.tree.map(lambda a: a.reshape(groups, rows // groups, *a.shape[len(batch) :]), each)
    picks = jax.random.choice(key, members, (groups,), replace=False)
    keys = None if dropout_key is None else jax.random.split(dropout_key, groups)
    return jax.vmap(score)(picks, keys, *cut).reshape(batch)
