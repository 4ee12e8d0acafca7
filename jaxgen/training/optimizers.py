"""From settings to an optax optimizer."""

from typing import Any

import jax
import optax

from jaxgen.core import unknown
from jaxgen.training.settings import TrainSettings


def make_schedule(settings: TrainSettings) -> optax.Schedule:
    """The learning rate as a function of the step: linear warm-up, then cosine or constant."""
    remaining = max(settings.steps - settings.warmup_steps, 1)
    if settings.schedule == "cosine":
        main = optax.cosine_decay_schedule(settings.learning_rate, remaining)
    else:
        main = optax.constant_schedule(settings.learning_rate)
    if settings.warmup_steps == 0:
        return main
    warmup = optax.linear_schedule(0.0, settings.learning_rate, settings.warmup_steps)
    return optax.join_schedules([warmup, main], [settings.warmup_steps])


def make_optimizer(settings: TrainSettings) -> optax.GradientTransformation:
    """Clipping, the named optimizer, decoupled weight decay of kernels, the schedule.

    Raises:
        ValueError: if optax has no ``scale_by_<optimizer>``, or it takes no such arguments.

    >>> optimizer = make_optimizer(TrainSettings(optimizer="adamax", weight_decay=0.1))
    """
    scale = getattr(optax, f"scale_by_{settings.optimizer}", None)
    if scale is None:
        known = sorted(n.removeprefix("scale_by_") for n in dir(optax) if n.startswith("scale_by_"))
        raise unknown("optimizer", settings.optimizer, known)
    parts = [] if settings.clip_norm is None else [optax.clip_by_global_norm(settings.clip_norm)]
    try:
        parts.append(scale(**settings.optimizer_args))
    except TypeError as error:
        raise ValueError(f"optimizer_args: {error}") from error
    if settings.weight_decay:
        parts.append(optax.add_decayed_weights(settings.weight_decay, mask=is_kernel))
    parts.append(optax.scale_by_learning_rate(make_schedule(settings)))
    return optax.chain(*parts)


def is_kernel(params: Any) -> Any:
    """True for parameters under a name with ``kernel``: biases and scales are not decayed."""

    def named_kernel(path: tuple[Any, ...], _: Any) -> bool:
        # The attribute's own name: behind it come an index into a list and the variable's value.
        names = [jax.tree_util.keystr((part,), simple=True) for part in path]
        return "kernel" in [name for name in names if not (name.isdigit() or name == "value")][-1]

    return jax.tree_util.tree_map_with_path(named_kernel, params)
