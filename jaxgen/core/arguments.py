"""What constructors are given, checked by what their signatures say and what the names mean.

An annotation says the kind (``int``, ``float | None``, ``Sequence[int]``, a class), the name says
the range: a ``dropout`` is a rate wherever it stands. So a constructor says neither again; it
checks what goes beyond, such as one argument against another.
"""

import functools
import inspect
import math
import numbers
import operator
import reprlib
import types
import typing
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple, TypeVar

import jax
import numpy as np
from flax import nnx
from jax import Array

Shape = tuple[int, ...]

F = TypeVar("F", bound=Callable[..., Any])

# The least of the integers that may be less than 1.
_LEAST = {
    "angles": 0,
    "blocks": 0,
    "channel_couplings": 0,
    "encoder_blocks": 0,
    "event_ndims": 0,
    "num_blocks": 0,
    "num_examples": 0,
    "places": 0,
    "seed": 0,
    "upsampling_blocks": 0,
}
_MOST = 2**24  # units, layers, levels: beyond it nothing can be held, and float32 cannot count
_LONGEST = 2**31 - 1  # an axis of an array

# Shapes that may have no axes: of a scalar at a position, of a label.
_SCALARS = ("position_shape", "context_shape", "input_shape", "statistics_shape")


class _Range(NamedTuple):
    """Which real numbers are meant."""

    expected: str
    contains: Callable[[float], bool]


_FINITE = _Range("a finite number", math.isfinite)
_POSITIVE = _Range("a positive, finite number", lambda value: 0 < value < math.inf)
_RANGES = {
    "alpha": _Range("a number from 0 to less than 0.5", lambda value: 0 <= value < 0.5),
    "bound": _POSITIVE,
    "df": _POSITIVE,
    "dropout": _Range("a rate from 0 to less than 1", lambda value: 0 <= value < 1),
    "eps": _POSITIVE,
}


class Kind(NamedTuple):
    """What an argument may be.

    ``read`` gives the value to go on with, a Python number for an array of one, or raises a
    TypeError or a ValueError without words.
    """

    expected: str
    read: Callable[[Any], Any]


def checked_arguments(function: F, *, least_axes: int = 1) -> F:
    """Wraps a constructor, a function or ``__init__``, with the checks of its arguments.

    Args:
        function: the constructor, or any other function or method of such arguments.
        least_axes: of an event: 0 where it may be a scalar.

    Raises:
        TypeError: when called with an argument of another kind than its annotation says.
        ValueError: when called with one outside the range that its name stands for.

    >>> @checked_arguments
    ... def model(event_shape: tuple[int, ...], *, width: int = 8, bound: float | None = None):
    ...     return event_shape, width, bound
    >>> model([2, 2], bound=3)
    ((2, 2), 8, 3)
    >>> model((2,), width=0)
    Traceback (most recent call last):
    ValueError: model: expected an integer from 1 to 2**24 for width, got 0
    """
    # Signatures are looked at when they are needed: there are many, and imports wait for them.
    code = typing.cast(types.FunctionType, inspect.unwrap(function)).__code__
    method = code.co_varnames[:1] == ("self",)
    suffix = "" if function.__name__ == "__init__" else f".{function.__name__}"

    @functools.cache
    def kinds() -> dict[str, Kind | None]:
        parameters = list(inspect.signature(function).parameters.values())[method:]
        kinds = {each.name: kind_of(each.name, each.annotation) for each in parameters}
        return kinds | ({"event_shape": shape_kind(0)} if least_axes == 0 else {})

    @functools.wraps(function)
    def checked(*args: Any, **kwargs: Any) -> Any:
        own, given = args[:method], args[method:]
        where = type(own[0]).__name__ + suffix if method else function.__name__

        def read(name: str, value: Any) -> Any:
            kind = kinds().get(name)
            return value if kind is None else read_as(kind, value, name, where)

        # What does not fit the signature is left to Python, which says so.
        named = dict(zip(kinds(), given, strict=False))
        positional = [read(name, value) for name, value in named.items()]
        options = {name: read(name, value) for name, value in kwargs.items()}
        return function(*own, *positional, *given[len(positional) :], **options)

    return typing.cast(F, checked)


def read_as(kind: Kind, value: Any, name: str, where: str) -> Any:
    """The value of an argument, refused unless it is of this kind; a traced one is left alone."""
    if isinstance(value, jax.core.Tracer):
        return value
    try:
        return kind.read(value)
    except (TypeError, ValueError) as error:
        refused = TypeError if isinstance(error, TypeError) else ValueError
        raise refused(
            f"{where}: expected {kind.expected} for {name}, got {described(value)}"
        ) from None


def read_number(value: Any, annotation: Any, name: str, where: str) -> Any:
    """A number, or None, refused unless it is what its name and this annotation say.

    >>> read_number(np.int64(4), int | None, "levels", "Dataset")
    4
    """
    kind = kind_of(name, annotation)
    return value if kind is None else read_as(kind, value, name, where)


def described(value: Any) -> str:
    """What came, in a few words: a number as it is, an array by its dtype and shape.

    >>> described(np.zeros((2, 3))), described("abc"), described(nnx.Rngs(0))
    ('float64(2, 3)', "'abc'", 'a Rngs')
    >>> described(nnx.Linear)
    'the class Linear, no instance of it'
    """
    if isinstance(value, Array | np.ndarray):
        return f"{value.dtype}{value.shape}"
    if isinstance(value, nnx.Pytree):
        return f"a {type(value).__name__}"
    if isinstance(value, type):
        return f"the class {value.__name__}, no instance of it"
    return reprlib.repr(value)


def kind_of(name: str, annotation: Any) -> Kind | None:
    """What an argument of this name and annotation may be; None where they do not say.

    >>> kind_of("dropout", float | None).expected
    'a rate from 0 to less than 1, or None,'
    """
    if isinstance(annotation, TypeVar):  # of whatever is returned
        annotation = annotation.__bound__
    origin, parts = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (typing.Union, types.UnionType):
        others = [part for part in parts if part is not type(None)]
        kind = kind_of(name, others[0]) if len(others) == 1 else None
        return kind if kind is None or len(others) == len(parts) else _or_none(kind)
    if origin is tuple:
        return _tuple(name, parts)
    if origin is Sequence:
        one = kind_of(name, parts[0])
        return None if one is None else _several(one)
    if origin is Callable:
        return FUNCTION
    if not isinstance(annotation, type) or annotation is inspect.Parameter.empty:
        return None
    if annotation is bool:
        return Kind("True or False", _bool)
    if annotation is int:
        return _integer(_LEAST.get(name, 1), _MOST)
    if annotation is float:
        return _real(_RANGES.get(name, _FINITE))
    if annotation is str:
        return Kind("a string", lambda value: _instance(value, str))
    if annotation is nnx.Rngs:
        return Kind("flax.nnx.Rngs, as in rngs=nnx.Rngs(0),", lambda v: _instance(v, nnx.Rngs))
    if issubclass(annotation, nnx.Pytree | np.random.Generator):
        return Kind(f"a {annotation.__name__}", lambda value: _instance(value, annotation))
    return None


def _callable(value: Any) -> Any:
    if not callable(value):
        raise TypeError
    return value


FUNCTION = Kind("a function", _callable)


def shape_kind(least_axes: int) -> Kind:
    """A tuple of positive integers, so many of them at least.

    >>> shape_kind(1).read([2, np.int64(3)])
    (2, 3)
    """
    expected = (
        "a tuple of positive integers" if least_axes else "a tuple of positive integers or ()"
    )
    one = _integer(1, _LONGEST)
    return Kind(expected, lambda value: _entries(value, one, range(least_axes, 2**31)))


def _integer(least: int, most: int) -> Kind:
    def read(value: Any) -> int:
        if isinstance(value, bool | np.bool_):
            raise TypeError
        number = operator.index(value)
        if not least <= number <= most:
            raise ValueError
        return number

    return Kind(f"an integer from {least} to 2**{most.bit_length() - 1}", read)


def _real(within: _Range) -> Kind:
    def read(value: Any) -> float:
        number = value
        if isinstance(value, Array | np.ndarray | np.generic) and value.ndim == 0:
            number = value.item()
        if isinstance(number, bool) or not isinstance(number, numbers.Real):
            raise TypeError
        if not within.contains(float(number)):
            raise ValueError
        return typing.cast(float, number)

    return Kind(within.expected, read)


def _tuple(name: str, parts: tuple[Any, ...]) -> Kind | None:
    if parts == (int, ...):
        return shape_kind(0 if name in _SCALARS else 1)
    if parts == (int, int):
        one = _integer(1, _LONGEST)
        return Kind("two positive integers", lambda value: _entries(value, one, range(2, 3)))
    if parts == (float, float):
        return Kind("two finite numbers, the lower one first,", _interval)
    return None


def _several(one: Kind) -> Kind:
    expected = f"a sequence, each entry {one.expected.rstrip(',')},"
    return Kind(expected, lambda value: _entries(value, one, range(2**31)))


def _or_none(kind: Kind) -> Kind:
    def read(value: Any) -> Any:
        return None if value is None else kind.read(value)

    expected = kind.expected + (" or" if kind.expected.endswith(",") else ", or") + " None"
    return Kind(expected + ",", read)


def _entries(value: Any, one: Kind, lengths: range) -> tuple[Any, ...]:
    if isinstance(value, str | bytes | dict | set) or not isinstance(value, Iterable):
        raise TypeError
    entries = tuple(one.read(entry) for entry in value)
    if len(entries) not in lengths:
        raise ValueError
    return entries


def _interval(value: Any) -> tuple[float, float]:
    low, high = _entries(value, _real(_FINITE), range(2, 3))
    if not low < high:
        raise ValueError
    return low, high


def _bool(value: Any) -> bool:
    return bool(_instance(value, bool | np.bool_))


def _instance(value: Any, kind: Any) -> Any:
    if not isinstance(value, kind):
        raise TypeError
    return value
