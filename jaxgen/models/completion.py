r"""The one engine that fills holes: completions, and their density, of any autoregressive network.

What is observed goes first in the generation order, where the network's order may be chosen; what
is missing is drawn step by step after it, or scored in one pass,

.. math:: \log p(x_m \mid x_o) = \sum_{t \in m} \log p\left(x_t \mid x_o, x_{m, <t}\right).

The functions take a network and a likelihood, masks over positions as ``(D,)`` or ``(*batch, D)``,
and events whose observed part has been checked; :class:`~jaxgen.models.Autoregressive` and the
models over it (ensembles, several scales) are what users call.
"""

import math
import warnings
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxgen.conditionals.base import Conditional
from jaxgen.core import Context, Key, Mask, Order, Shape, ShapeError, float_dtype, is_concrete
from jaxgen.functional import masks, support
from jaxgen.functional.autoregressive import Emit
from jaxgen.likelihoods import Likelihood
from jaxgen.models.drawing import Draw

# What says whether completions by a network, of a mask, in an order, are exact, to a named method.
Check = Callable[[Conditional, Mask, Order, str], None]


class ApproximateCompletion(UserWarning):
    """A completion that ignores observed values which come late in the generation order."""


def flat_mask(network: Conditional, observed: Mask, batch: Shape, where: str) -> Mask:
    """A mask of grids as one of positions, ``(D,)`` for all events or ``(*batch, D)``.

    It is NumPy's where its numbers can be looked at.

    Raises:
        ShapeError: if it is no boolean mask of the grid, or of a grid for every event.
    """
    grid = network.grid_shape
    observed = np.asarray(observed) if is_concrete(observed) else observed
    if observed.dtype != bool or observed.shape not in (grid, (*batch, *grid)):
        own = f", or {(*batch, *grid)} for a mask of its own for every event" if batch else ""
        raise ShapeError(
            f"{where}: expected a boolean mask of shape {grid}{own}, got "
            f"{observed.dtype}{observed.shape}"
        )
    return observed.reshape(*observed.shape[: observed.ndim - len(grid)], network.num_positions)


def is_exact(network: Conditional, observed: Mask, order: Array | np.ndarray | None) -> bool:
    """Whether completions are exact for a mask, or for all of many.

    They are where the observed positions may go first, are a beginning of the network's own order,
    or depend on none that are missing (in a Bayesian network, say).
    """
    if moves_observed(network, order):
        return True
    rows = np.asarray(observed).reshape(-1, network.num_positions)
    in_order = rows[:, network.own_order()]
    if not np.any(in_order[:, 1:] & ~in_order[:, :-1]):
        return True  # a beginning
    depends = network.dependencies()
    if depends is None:
        return False
    return not np.any(masks.through(rows, depends) & ~rows)


def warn_unless_exact(
    network: Conditional, observed: Mask, order: Array | np.ndarray | None, where: str
) -> None:
    """Tells the user of the calling method of an approximation; under a trace nothing can."""
    if isinstance(observed, np.ndarray) and not is_exact(network, observed, order):
        warnings.warn(
            f"{where}: an approximation: {type(network).__name__} generates in an order of its "
            f"own, so what is missing is drawn without the observed positions that come after it; "
            f"an average over orders (lmconv, eonade, or made with num_orders) is exact, and so is "
            f"any network trained in many orders, given order",
            ApproximateCompletion,
            stacklevel=4,
        )


def require_exact(
    network: Conditional, observed: Mask, order: Array | np.ndarray | None, where: str
) -> None:
    """Refuses a mask under which the observed part has no density that the network knows.

    Raises:
        TypeError: for an observed position that depends on a missing one; and for a traced mask of
            a network in an order of its own, which cannot be looked at.
    """
    known = isinstance(observed, np.ndarray)
    if not moves_observed(network, order) and not (known and is_exact(network, observed, order)):
        raise TypeError(
            f"{where}: {type(network).__name__} generates in an order of its own, and knows the "
            f"density of an observed part only if it depends on nothing that is missing (a "
            f"beginning of the order{'' if known else ', which cannot be told under jax.jit'}); an "
            f"average over orders (lmconv, eonade, or made with num_orders) knows that of any part"
        )


def hide_missing(event: Shape, network: Conditional, x: Array, observed: Mask) -> Array:
    """Events with zeros for what is missing, which must not be read, were it NaN."""
    return jnp.where(of_entries(event, network, observed), x, jnp.zeros_like(x))


def of_entries(event: Shape, network: Conditional, observed: Mask) -> Array:
    """A mask over positions ``(*batch, D)`` as one over entries, to be broadcast against events."""
    mask = jnp.asarray(observed)
    entries = (1,) * (len(event) - len(network.grid_shape))
    return mask.reshape(*mask.shape[:-1], *network.grid_shape, *entries)


def draw_missing(
    network: Conditional,
    likelihood: Likelihood,
    draw: Draw,
    x: Array,
    observed: Mask,
    context: Context = None,
    order: Order = None,
    *,
    known: int = 0,
) -> Array:
    """Events with their missing positions drawn, one mask ``(D,)`` for all.

    The observed positions fill the network's cache in one pass; what is missing is run step by
    step.

    Args:
        network, likelihood: the model.
        draw: how a position is drawn.
        x: events ``(*batch, *event_shape)``, zeros where they are missing.
        observed: boolean array ``(D,)``.
        context: array ``(*batch, *context_shape)`` for a conditional network.
        order: as in :meth:`Autoregressive.complete <jaxgen.models.Autoregressive.complete>`.
        known: so many steps at the beginning are observed; of the later ones, those that are keep
            their values.
    """
    order = observed_first(network, observed, order)
    positions = network.resolve_order(order)
    emit, values = keep_observed(network, likelihood, draw, x, observed, positions)
    entries = _entries(network, likelihood)
    if known == network.num_positions:
        return network.from_sequence(values, positions, entries=entries)
    read = likelihood.encode(x)
    inputs = network.to_sequence(read, positions)
    cache = network.prefill(read, known, context, order)
    first = inputs[known - 1] if known else jnp.zeros_like(inputs[0])
    drawn = network.run(cache, emit, first, known)
    filled = jnp.concatenate([values[:known], drawn])
    return network.from_sequence(filled, positions, entries=entries)


def keep_observed(
    network: Conditional,
    likelihood: Likelihood,
    draw: Draw,
    x: Array,
    observed: Mask,
    positions: Array,
) -> tuple[Emit, Array]:
    """An emission that draws what is missing and keeps what is observed, a mask ``(D,)``.

    With it come the events as a sequence in the order of ``positions``.
    """
    values = network.to_sequence(x, positions, entries=_entries(network, likelihood))
    there = jnp.asarray(observed)[positions]

    def emit(t: Array, params: Array) -> tuple[Array, Array]:
        drawn = draw(positions[t], params).astype(values.dtype)
        value = jnp.where(there[t], values[t], drawn)
        return likelihood.at(positions[t]).encode(value), value

    return emit, values


def score_missing(
    network: Conditional,
    likelihood: Likelihood,
    x: Array,
    observed: Mask,
    context: Context = None,
    order: Order = None,
    volume: Array | float = 0.0,
    *,
    key: Key = None,
) -> Array:
    """The log-probability of what is not observed, one mask ``(D,)`` for all, in nats.

    Every missing position is scored given those before it in the order; returns ``(*batch,)``, of
    which those of events outside the support are ``-inf``. To every position ``volume``, of
    ``grid_shape``, is added.
    """
    parts = (network, likelihood, x, observed, context, order, None, volume)
    return _score_both(*parts, key=key)[1]


def score_parts(
    network: Conditional,
    likelihood: Likelihood,
    x: Array,
    observed: Mask,
    context: Context = None,
    order: Order = None,
    within: Array | None = None,
    volume: Array | float = 0.0,
    *,
    key: Key = None,
) -> tuple[Array, Array]:
    """The log-probabilities of what is observed and, given it, of what is missing, in nats.

    What is observed goes first in the order where it may. The mask is ``(D,)`` for all events, or
    ``(*batch, D)``; both results are ``(*batch,)``. With events of several lengths, ``within`` are
    the positions that are no padding, ``(*batch, D)``, in masks of their own as well. ``volume`` is
    as in :func:`score_missing`.
    """

    def score(
        x: Array, observed: Array, context: Context, within: Array | None, key: Key
    ) -> tuple[Array, Array]:
        first = observed_first(network, observed, order)
        parts = (network, likelihood, x, observed, context, first, within, volume)
        return _score_both(*parts, key=key)

    mask = jnp.asarray(observed)
    if mask.ndim == 1:
        return score(x, mask, context, within, key)
    batch = x.shape[: x.ndim - len(network.grid_shape) - _entries(network, likelihood)]
    keys = None if key is None else jax.random.split(key, math.prod(batch))
    parts = (*one_by_one(batch, x, mask, context, within), keys)
    there, missing = jax.vmap(score)(*parts)
    return there.reshape(batch), missing.reshape(batch)


def _score_both(
    network: Conditional,
    likelihood: Likelihood,
    x: Array,
    observed: Mask,
    context: Context,
    order: Order,
    within: Array | None,
    volume: Array | float,
    *,
    key: Key = None,
) -> tuple[Array, Array]:
    """What the observed and the missing positions add to ``log p(x)``, one mask ``(D,)`` for all,
    each given those before it in the order."""
    grid = network.grid_shape
    x, inside = likelihood.restricted(x)
    params = network(likelihood.encode(x), context, order, key=key)
    each = likelihood.log_prob(x, params.astype(float_dtype(params.dtype))) + volume
    if within is not None:
        each = jnp.where(within.reshape(grid), each, 0.0)
    there = jnp.asarray(observed).reshape(grid)
    positions = tuple(range(each.ndim - len(grid), each.ndim))
    observed_sum = jnp.sum(jnp.where(there, each, 0.0), positions)
    missing_sum = jnp.sum(jnp.where(there, 0.0, each), positions)
    return support.restrict(observed_sum, inside), support.restrict(missing_sum, inside)


def _entries(network: Conditional, likelihood: Likelihood) -> int:
    """How many axes a position's value has, of which the network may read more."""
    return len(likelihood.position_shape(network.position_shape))


def one_by_one(batch: Shape, *each: Any) -> tuple:
    """Events, masks and contexts ``(*batch, ...)`` with one batch axis, to be mapped over."""
    size = math.prod(batch)
    return jax.tree.map(lambda a: a.reshape(size, *a.shape[len(batch) :]), each)


def moves_observed(network: Conditional, order: Array | np.ndarray | None) -> bool:
    """Whether what is observed may go first."""
    return not network.fixed_order and (order is not None or network.order_agnostic)


def observed_first(network: Conditional, observed: Mask, order: Order) -> Array | None:
    """The order with what is observed, a mask ``(D,)``, moved to its front, where it may be."""
    if not moves_observed(network, order):
        return order
    return masks.observed_first(network.resolve_order(order), jnp.asarray(observed))
