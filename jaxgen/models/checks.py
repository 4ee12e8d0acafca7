"""The checks that the methods of every model share, put around them when a class is made.

They look at what each argument is, by its name: an array, a key, a number of samples, a method.
Shapes and values are the methods' own to check, which know the events.
"""

import contextlib
import functools
import inspect
import operator
import typing
from collections.abc import Callable
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxgen.core import check_array, check_finite, check_key, check_method, described

M = TypeVar("M", bound=type)

# (value, where, name) -> the value to go on with
_Check = Callable[[Any, str, str], Any]

_METHODS = (
    "log_prob",
    "log_weight",
    "elbo",
    "elbo_terms",
    "dream",
    "as_normal",
    "centre",
    "importance_log_prob",
    "sample",
    "sample_and_log_prob",
    "complete",
    "conditional_log_prob",
    "observed_log_prob",
    "observed_elbo",
    "conditions_exactly",
    "conditional_cdf",
    "position_log_probs",
    "infer",
    "decode",
    "reconstruct",
    "quantization_error",
    "standardize",
    "initialize",
    "calibrate",
)


def check_methods(model: M) -> M:
    """Wraps the methods that a class of models defines itself, and gives the class back."""
    for name in _METHODS:
        if name in model.__dict__:
            setattr(model, name, _checked(model.__dict__[name]))
    return model


def require_real(model: Any, where: str, what: str) -> None:
    """Refuses a part of a flow that is a model of integers, in all columns or in some.

    The mass of a level is no density: the volume of a flow's map means nothing to it.

    Raises:
        TypeError: naming the part, and the model that a flow of levels is.
    """
    if model.levels is None and not model.discrete:
        return
    kind = "integers in some columns" if model.levels is None else f"{model.levels} levels"
    raise TypeError(
        f"{where}: expected a density of real values for {what}, got a model of {kind}, "
        f"{type(model).__name__}; a flow becomes a model of levels by "
        f"jaxgen.models.Dequantized(flow, levels)"
    )


def count(num_samples: Any, where: str, name: str = "num_samples", least: int = 0) -> int:
    """The checked number of samples; any integer that can be an index, numpy's too."""
    number, kind = -1, "an integer "
    with contextlib.suppress(TypeError):
        if not isinstance(num_samples, bool | np.bool_):
            number, kind = operator.index(num_samples), ""
    if not least <= number < 2**31:
        expected = f"{kind}{name} " + (f">= {least}" if number < least else "< 2**31")
        raise ValueError(f"{where}: expected {expected}, got {described(num_samples)}")
    return number


def checked_temperature(temperature: float | Array, model: Any) -> float | Array:
    """The temperature as a Python number, which leaves the dtype of what it multiplies."""
    # Beyond single precision, it would be 0 or infinite where it is used.
    low, high = float(jnp.finfo(jnp.float32).tiny), float(jnp.finfo(jnp.float32).max)
    expected = f"a positive, finite temperature, from {low:.3g} to {high:.3g}"
    return checked_number(temperature, lambda value: low <= value <= high, expected, model)


def checked_number(
    value: float | Array, fits: Callable[[float], bool], expected: str, model: Any
) -> float | Array:
    """An argument of ``sample`` as a checked Python number, where it is known."""
    if isinstance(value, jax.core.Tracer):
        return value
    try:
        number = np.nan if isinstance(value, str) else float(value)
    except (TypeError, ValueError):
        number = np.nan
    if not fits(number):
        raise ValueError(f"{type(model).__name__}.sample: expected {expected}, got {value!r}")
    return number


def _context(value: Any, where: str, name: str) -> Any:
    value = check_array(value, where, name)
    check_finite(value, where, name)
    return value


def _key(value: Any, where: str, name: str) -> Any:
    check_key(value, where, name)
    return value


def _method(value: Any, where: str, name: str) -> Any:
    check_method(value)
    return value


_CHECKS: dict[str, _Check] = {
    **dict.fromkeys(("x", "z", "observed", "order", "lengths"), check_array),
    "context": _context,
    "key": _key,
    "dropout_key": _key,
    "num_samples": count,
    "method": _method,
}


def _checked(method: Callable[..., Any]) -> Callable[..., Any]:
    parameters = list(inspect.signature(method).parameters.values())[1:]
    names = [each.name for each in parameters]
    checks = {each.name: _CHECKS[each.name] for each in parameters if each.name in _CHECKS}
    if method.__name__ == "importance_log_prob":  # of which none would be no estimate
        checks["num_samples"] = functools.partial(count, least=1)
    optional = {
        each.name
        for each in parameters
        if each.default is None or type(None) in typing.get_args(each.annotation)
    }

    @functools.wraps(method)
    def checked(self: Any, *args: Any, **kwargs: Any) -> Any:
        where = f"{type(self).__name__}.{method.__name__}"
        if not hasattr(self, "event_shape"):
            raise TypeError(f"{where}: expected a model that sets event_shape, got one without")

        def read(name: str, value: Any) -> Any:
            if name not in checks or (value is None and name in optional):
                return value
            return checks[name](value, where, name)

        # What does not fit the signature is left to Python, which says so.
        positional = [read(name, value) for name, value in zip(names, args, strict=False)]
        options = {name: read(name, value) for name, value in kwargs.items()}
        return method(self, *positional, *args[len(positional) :], **options)

    return checked
