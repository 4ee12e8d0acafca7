"""The zoo by name, for configurations and the command line."""

import functools
import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar, cast

import jax
import numpy as np
from flax import nnx

from jaxgen.bijectors.bounded import bounds_of_entries
from jaxgen.core import (
    Shape,
    ShapeError,
    checked_arguments,
    constructed,
    described,
    replace,
    unknown,
)
from jaxgen.models import Model
from jaxgen.zoo.arguments import NEEDS, explained

_CONSTRUCTORS: dict[str, Callable[..., Model]] = {}

_MOST_PARAMETERS = 2**38  # a terabyte of them

C = TypeVar("C", bound=Callable[..., Model])


def constructor(function: C) -> C:
    """Enters a constructor into the zoo by its name, and completes its docstring.

    It takes the event's shape first, then keyword-only hyperparameters, ``rngs`` last. What its
    docstring does not say of an argument, :mod:`jaxgen.zoo.arguments` does; and its arguments are
    checked before it sees them. Its models remember how they were built, as their ``origin``.
    """
    signature = inspect.signature(function)
    defaults = {name: each.default for name, each in signature.parameters.items()}

    @functools.wraps(function)
    def building(*args: Any, **kwargs: Any) -> Model:
        for name, needed in NEEDS.items():
            if name in kwargs and {needed: ..., **defaults, **kwargs}[needed] is None:
                refuse_ignored(function.__name__, f"without {needed}", **{name: kwargs[name]})
        event_shape = args[0] if args else kwargs.get("event_shape")
        if event_shape is not None and "bounds" in kwargs:  # before anything is built
            bounds_of_entries(kwargs["bounds"], event_shape[-1])

        def check(model: Model) -> None:
            if (size := sum(leaf.size for leaf in jax.tree.leaves(model))) > _MOST_PARAMETERS:
                raise ValueError(
                    f"{function.__name__}: expected a model that memory can hold, got {size:.1e} "
                    f"parameters by {_listed(args, kwargs)}"
                )

        def build(rngs: nnx.Rngs) -> Model:
            return function(*args, **{**kwargs, "rngs": rngs})

        if "rngs" not in kwargs:
            return function(*args, **kwargs)  # which says what is missing
        try:
            model = constructed(build, kwargs["rngs"], check)
        except (MemoryError, jax.errors.JaxRuntimeError) as error:
            if not isinstance(error, MemoryError) and "RESOURCE_EXHAUSTED" not in str(error):
                raise
            raise ValueError(
                f"{function.__name__}: expected a model that memory can hold, got "
                f"{_listed(args, kwargs)}: {error}"
            ) from error
        except (ValueError, TypeError) as error:
            its_own = type(error) in (ShapeError, ValueError, TypeError)
            if not its_own or str(error).startswith(function.__name__):
                raise
            # Of a part of the model, which knows nothing of the arguments that led to it.
            told = {name: value for name, value in kwargs.items() if name != "rngs"}
            raise type(error)(
                f"{function.__name__}: {error} (in a model of {_listed(args, told)})"
            ) from error
        given = signature.bind(*args, **kwargs)
        given.apply_defaults()
        return _with_origin(model, function.__name__, dict(given.arguments))

    checked = cast(C, checked_arguments(building))
    _CONSTRUCTORS[function.__name__] = checked
    if function.__doc__ is not None:  # as it is under python -OO
        checked.__doc__ = explained(function)
    return checked


def _with_origin(model: Model, constructor: str, arguments: dict[str, Any]) -> Model:
    """The model with a note of the call that built it, where the arguments are plain data."""
    del arguments["rngs"]
    event_shape = arguments.pop("event_shape")
    call = {"constructor": constructor, "event_shape": event_shape, "arguments": arguments}
    try:
        # In one order, so that equal calls give equal models.
        return replace(model, origin=json.dumps(call, default=_as_number, sort_keys=True))
    except TypeError:  # an argument that is an object cannot be written down
        return model


def _as_number(value: Any) -> Any:
    """A number of numpy's in JSON's terms."""
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"expected plain data, got {type(value).__name__}")


def refuse_ignored(name: str, because: str, **given: Any) -> None:
    """Refuses arguments that mean nothing beside another one, where they are not the defaults.

    Raises:
        ValueError: naming the argument, its value, and why it would be ignored.

    >>> refuse_ignored("nsf", "for structure='coupling'", hidden=(8,))
    Traceback (most recent call last):
    ValueError: nsf: hidden means nothing for structure='coupling'; expected none, got (8,)
    """
    defaults = hyperparameters(name)
    for argument, value in given.items():
        if value != defaults[argument]:
            raise ValueError(
                f"{name}: {argument} means nothing {because}; expected none, got {value!r}"
            )


def _listed(args: Sequence[Any], kwargs: Mapping[str, Any]) -> str:
    """Arguments in a line."""
    named = (f"{name}={described(value)}" for name, value in kwargs.items())
    return ", ".join([*map(described, args), *named])


# Constructors of parts of models, which are no models of data: a dequantizer's data are contexts.
PARTS = ("dequantizer",)


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
        raise unknown("model", name, [each for each in _CONSTRUCTORS if each not in PARTS])
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
