"""Objectives by name, for configurations and the command line."""

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any

from jax import Array

from jaxgen.core import unknown
from jaxgen.training.objectives.likelihood import Objective, negative_log_likelihood
from jaxgen.training.objectives.variational import (
    elbo,
    importance_weighted,
    reweighted_wake_sleep,
    vector_quantized,
    wake_sleep,
)

_OBJECTIVES: dict[str, Callable[..., Array]] = {
    function.__name__: function
    for function in (
        negative_log_likelihood,
        elbo,
        importance_weighted,
        wake_sleep,
        reweighted_wake_sleep,
        vector_quantized,
    )
}


def has_name(objective: Callable[..., Any]) -> bool:
    """Whether an objective is one of these, with arguments or without."""
    function = objective.func if isinstance(objective, functools.partial) else objective
    return function in _OBJECTIVES.values()


def named_objective(
    name: str, arguments: Mapping[str, Any], own: Mapping[str, Callable[..., Any]] | None = None
) -> Objective:
    """The objective of this name, with its keyword arguments filled in.

    Args:
        name: one of :mod:`jaxgen.training.objectives`, or of ``own``.
        arguments: what it takes besides the model, the batch and the key.
        own: further functions ``(model, batch, key, **arguments) -> loss``, by name.

    Raises:
        ValueError: for an unknown name, naming the nearest, or arguments that it does not take.

    >>> named_objective("negative_log_likelihood", {}) is negative_log_likelihood
    True
    """
    known = {**(own or {}), **_OBJECTIVES}
    if name not in known:
        raise unknown("objective", name, known)
    try:
        inspect.signature(known[name]).bind(None, None, None, **arguments)
    except TypeError as error:
        raise ValueError(
            f"objective_args: {name}: {error}; a recipe has them by name, and fit takes "
            f"objective=functools.partial({name}, ...)"
        ) from error
    return functools.partial(known[name], **arguments) if arguments else known[name]
