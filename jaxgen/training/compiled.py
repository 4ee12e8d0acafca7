"""Compiled steps that outlive a training, for the next one of the same kind.

What is kept are the last few programs, by everything that they depend on: the settings that the
optimizer is made of, the mesh, and the structure and shapes of the state and the data. An objective
or an optimizer of the user's own is traced anew by every training, because it may read what has
changed since.
"""

import functools
from collections.abc import Callable, Hashable
from typing import Any

import jax
from jax import Array
from jax.sharding import Mesh, NamedSharding

from jaxgen.training.objectives import Batch, Objective, economical, negative_log_likelihood
from jaxgen.training.optimizers import Optimizer, as_transformation
from jaxgen.training.settings import TrainSettings
from jaxgen.training.state import TrainState
from jaxgen.training.steps import Metrics, make_step, make_steps

Structure = tuple[Any, tuple[Hashable, ...]]  # of a tree, and of the shapes of its arrays
Run = Callable[[TrainState, Batch, Array | None], tuple[TrainState, Metrics]]

# So many functions are kept, each with its programs: one for whole dispatches, one for a rest.
MOST_KEPT = 8

# The settings that a step is made of, besides optimizer_args.
_SETTINGS = (
    "steps",
    "batch_size",
    "learning_rate",
    "schedule",
    "warmup_steps",
    "optimizer",
    "weight_decay",
    "clip_norm",
    "ema_decay",
    "compute_dtype",
    "remat",
    "accumulate_steps",
)


def steps_for(
    objective: Objective,
    optimizer: Optimizer | None,
    settings: TrainSettings,
    mesh: Mesh,
    placed: Any,
    state: TrainState,
    data: Batch,
    streamed: bool = False,
) -> Run:
    """:func:`~jaxgen.training.make_steps` of these, kept from an earlier call where it can be.

    Args:
        objective, optimizer, settings, mesh: as in :func:`~jaxgen.training.fit`.
        placed: how the state lies on the mesh, see :func:`~jaxgen.training.sharding.shardings`.
        state, data: examples of what it will be called with.
        streamed: whether the data are sent a dispatch at a time.
    """
    arguments = tuple(sorted(settings.optimizer_args.items()))
    plain = all(isinstance(value, int | float | str | None) for _, value in arguments)
    if objective is not negative_log_likelihood or optimizer is not None or not plain:
        return _steps(objective, optimizer, settings, mesh, placed, streamed)
    chosen = tuple((name, vars(settings)[name]) for name in _SETTINGS)
    lies = tuple(jax.tree.leaves(placed))
    return _kept(chosen, arguments, mesh, lies, streamed, _structure(state), _structure(data))


def _steps(
    objective: Objective,
    optimizer: Optimizer | None,
    settings: TrainSettings,
    mesh: Mesh,
    placed: Any,
    streamed: bool,
) -> Run:
    transformation = as_transformation(optimizer, settings)
    objective = economical(objective, settings.compute_dtype, settings.remat)
    parts = settings.accumulate_steps
    step = make_step(objective, transformation, settings.ema_decay, accumulate_steps=parts)
    return make_steps(step, mesh, placed, streamed=streamed)


def num_kept() -> int:
    """How many functions are kept."""
    return _kept.cache_info().currsize


@functools.lru_cache(MOST_KEPT)
def _kept(
    chosen: tuple[tuple[str, Any], ...],
    arguments: tuple[tuple[str, Any], ...],
    mesh: Mesh,
    lies: tuple[NamedSharding, ...],
    streamed: bool,
    state: Structure,
    data: Structure,
) -> Run:
    """One function for each structure: jax would keep the programs of all of them otherwise."""
    settings = TrainSettings(**dict(chosen), optimizer_args=dict(arguments))
    placed = jax.tree.unflatten(state[0], lies)
    return _steps(negative_log_likelihood, None, settings, mesh, placed, streamed)


def _structure(tree: Any) -> Structure:
    leaves, structure = jax.tree.flatten(tree)
    return structure, tuple((leaf.shape, str(leaf.dtype)) for leaf in leaves)
