"""The zoo by name, for configurations and the command line."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from flax import nnx

from jaxgen.core import Shape, unknown
from jaxgen.models import Model
from jaxgen.zoo.arguments import explained

_CONSTRUCTORS: dict[str, Callable[..., Model]] = {}

C = TypeVar("C", bound=Callable[..., Model])


def constructor(function: C) -> C:
    """Enters a constructor into the zoo by its name, and completes its docstring.

    It takes the event's shape first, then keyword-only hyperparameters, ``rngs`` last. What its
    docstring does not say of an argument, :mod:`jaxgen.zoo.arguments` does.
    """
    _CONSTRUCTORS[function.__name__] = function
    if function.__doc__ is not None:  # as it is under python -OO
        function.__doc__ = explained(function)
    return function


def names() -> list[tuple[str, str]]:
    """The constructors' names and what each of them builds, alphabetically."""
    return [
        (name, (inspect.getdoc(function) or "").partition("\n")[0])
        for name, function in sorted(_CONSTRUCTORS.items())
    ]


def hyperparameters(name: str) -> dict[str, Any]:
    """The hyperparameters of a model and their defaults.

    Raises:
        ValueError: for an unknown model, naming the nearest one.
    """
    if name not in _CONSTRUCTORS:
        raise unknown("model", name, _CONSTRUCTORS)
    parameters = inspect.signature(_CONSTRUCTORS[name]).parameters.values()
    return {p.name: p.default for p in parameters if p.kind == p.KEYWORD_ONLY and p.name != "rngs"}


def build(name: str, event_shape: Shape, arguments: Mapping[str, Any], *, rngs: nnx.Rngs) -> Model:
    """The model of this name with these hyperparameters.

    Raises:
        ValueError: for an unknown model or hyperparameter, naming the nearest one.

    >>> type(build("maf", (2,), {"layers": 2, "hidden": [8]}, rngs=nnx.Rngs(0))).__name__
    'Flow'
    """
    known = hyperparameters(name)
    for argument in arguments:
        if argument not in known:
            raise unknown(f"{name} hyperparameter", argument, known)
    return _CONSTRUCTORS[name](tuple(event_shape), **arguments, rngs=rngs)
