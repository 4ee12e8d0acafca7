"""Completions of many events: how many of each, from which step on, each with a mask of its own."""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxgen.conditionals.base import Conditional
from jaxgen.core import Context, Mask, Order, program
from jaxgen.likelihoods import Likelihood
from jaxgen.models import completion
from jaxgen.models.border import Bordered
from jaxgen.models.drawing import Tempering, drawing

# A completion outside of jit starts at one of so many steps, each of which has its own program.
_STARTS = 4
_DRAWN_AT_ONCE = 32


@program("num_samples", "known")
def filled(
    network: Bordered,
    likelihood: Likelihood,
    key: Array,
    x: Array,
    observed: Mask,
    num_samples: int,
    known: int,
    context: Context,
    order: Order,
    tempering: Tempering,
) -> Array:
    """Completions ``(num_samples, *x.shape)`` of events that have been checked.

    Args:
        network, likelihood: the model.
        key: the random key.
        x: events, zeros where they are missing.
        observed: a mask ``(D,)`` for all events, or ``(*batch, D)``.
        num_samples: completions of each event.
        known: so many steps are observed of every event, see :func:`num_leading`.
        context, order: as in :meth:`Autoregressive.complete
            <jaxgen.models.Autoregressive.complete>`.
        tempering: of the draws.
    """
    event = network.grid_shape + likelihood.position_shape(network.position_shape)
    # As the noise of a sample, and as the levels that are drawn.
    real = jnp.promote_types(x.dtype, jnp.result_type(float))
    x = x.astype(real if likelihood.levels is None else jnp.int32)
    # Events with masks of their own are filled side by side.
    copies = 1 if observed.ndim == 1 else math.prod(x.shape[: x.ndim - len(event)])

    def fill(key: Array, x: Array, observed: Array, context: Context) -> Array:
        x, context = jax.tree.map(
            lambda each: jnp.broadcast_to(each, (num_samples, *each.shape)), (x, context)
        )
        batch = x.shape[: x.ndim - len(event)]
        draw = drawing(network, likelihood, key, batch, tempering, copies=copies)
        u = network.border.inwards(x)
        parts = (network, likelihood, draw, u, observed, context, order)
        new = network.border.outwards(completion.draw_missing(*parts, known=known))
        # What is observed stays what it is, to the bit.
        return jnp.where(completion.of_entries(event, network, observed), x, new)

    return _fill_each(fill, key, x, observed, context, num_samples)


def filled_by_members(
    member: Callable[[Array], tuple[Any, Array]],
    picks: Array,
    key: Array,
    x: Array,
    observed: Mask,
    known: int,
    context: Context,
    tempering: Tempering,
) -> Array:
    """Completions by members of an ensemble, each of which has its own order.

    Args:
        member: from a number to an autoregressive model and its order.
        picks: the members that complete, ``(num_samples,)`` for all events, or
            ``(rows, num_samples)`` for each.
        key, x, observed, known, context, tempering: as in :func:`filled`.
    """
    num_samples = picks.shape[-1]

    def fill(key: Array, picks: Array, x: Array, observed: Mask, context: Context) -> Array:
        def one(key: Array, pick: Array) -> Array:
            model, order = member(pick)
            parts = (model.network, model.likelihood, key, x, observed, 1, known)
            return filled(*parts, context, order, tempering)[0]

        return mapped(one, jax.random.split(key, num_samples), picks)

    if picks.ndim == 1:
        return fill(key, picks, x, observed, context)
    own = observed.ndim > 1

    def event(each: tuple) -> Array:
        key, picks, x, of_event, context = each
        return fill(key, picks, x, of_event if own else observed, context)

    batch = x.shape[: x.ndim - len(member(picks[0, 0])[0].event_shape)]
    flat = completion.one_by_one(batch, x, jnp.asarray(observed) if own else None, context)
    drawn = jax.lax.map(event, (jax.random.split(key, len(picks)), picks, *flat))
    return jnp.moveaxis(drawn, 0, 1).reshape(num_samples, *x.shape)


def mapped(one: Callable[..., Array], *each: Array | None) -> Array:
    """Draws in orders of their own.

    Some networks make weights for each order: of so many draws at once as may be held.
    """
    return jax.lax.map(lambda arguments: one(*arguments), each, batch_size=_DRAWN_AT_ONCE)


def _fill_each(
    fill: Callable[[Array, Array, Array, Context], Array],
    key: Array,
    x: Array,
    observed: Mask,
    context: Context,
    num_samples: int,
) -> Array:
    """Events of one mask ``(D,)`` filled together, those with masks of their own side by side.

    Args:
        fill: ``(key, x, mask, context) -> (num_samples, *x.shape)``, for one mask.
        key: random key.
        x, observed, context: events, masks and contexts, of one batch shape.
        num_samples: completions of each event.
    """
    mask = jnp.asarray(observed)
    if mask.ndim == 1:
        return fill(key, x, mask, context)
    batch = mask.shape[:-1]
    if math.prod(batch) == 0:
        return jnp.zeros((num_samples, *x.shape), x.dtype)
    keys = jax.random.split(key, math.prod(batch))
    drawn = jax.vmap(fill, out_axes=1)(keys, *completion.one_by_one(batch, x, mask, context))
    return drawn.reshape(num_samples, *x.shape)


def num_leading(
    network: Conditional,
    observed: Mask,
    order: Array | np.ndarray | None = None,
    *,
    few: bool = False,
) -> int:
    """How many steps at the beginning are observed in every event; 0 where that cannot be seen.

    ``few`` rounds it down to one of few numbers, where each has a program of its own.
    """
    if not isinstance(observed, np.ndarray):
        return 0
    rows = observed.reshape(-1, network.num_positions)
    if not completion.moves_observed(network, order):
        rows = np.cumprod(rows[:, network.own_order()], axis=1)
    known = int(rows.sum(1).min(initial=network.num_positions))
    if few and known < network.num_positions:
        known -= known % math.ceil(network.num_positions / _STARTS)
    return known
