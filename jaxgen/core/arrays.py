"""Arrays and keys that methods are given: refused unless they are what they are taken for.

What is refused here would otherwise end in an error of JAX's or NumPy's own, or in numbers that
nobody meant: an integer that int32 cannot hold wraps around, a masked value is read all the same.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxgen.core.arguments import Shape, described
from jaxgen.core.stored import Stored


def check_array(value: Any, where: str, name: str = "x") -> Any:
    """An array of real numbers, integers or booleans, of JAX's or NumPy's as it came.

    Args:
        value: what was given; lists and numbers become arrays of NumPy's, stored examples
            (:class:`~jaxgen.core.stored.Stored`) stay stored.
        where: the method, for the message.
        name: the argument's.

    Raises:
        TypeError: for anything else: None, text, objects, complex numbers, masked values.
        ValueError: for numbers that are too large for the dtype they would be held in.

    >>> check_array([[1, 2]], "Flow.log_prob").shape
    (1, 2)
    """
    if isinstance(value, Array):  # a traced one, too
        if not _holds_numbers(value.dtype):
            raise TypeError(f"{where}: expected real numbers for {name}, got {described(value)}")
        return value
    if isinstance(value, Stored):
        return value
    given = value
    if not isinstance(value, np.ndarray):
        value = _from_python(value, where, name)
        if isinstance(value, Array):
            return value
    if isinstance(value, np.ma.MaskedArray) and np.ma.is_masked(value):
        raise TypeError(
            f"{where}: expected numbers for {name}, got {np.ma.count_masked(value)} masked values; "
            f"fill them first"
        )
    value = np.asarray(value)  # of no subclass, which JAX refuses
    if not _holds_numbers(value.dtype):
        raise TypeError(
            f"{where}: expected an array of numbers for {name}, got {described(given)}"
            + _advice(value)
        )
    if not value.dtype.isnative:
        value = value.astype(value.dtype.newbyteorder("="))
    _check_range(value, where, name)
    return value


def spread(value: Any, shape: Shape, where: str, name: str) -> Array:
    """Given finite numbers as an array of this shape, to which they must broadcast.

    Raises:
        TypeError: if they are no numbers.
        ValueError: if one is not finite, or the shape does not fit.

    >>> spread(2, (3,), "Standardize", "scale").tolist()
    [2.0, 2.0, 2.0]
    """
    given = check_array(value, where, name)
    if not isinstance(given, jax.core.Tracer) and not np.all(np.isfinite(given)):
        raise ValueError(f"{where}: expected finite numbers for {name}, got {given}")
    try:
        return jnp.broadcast_to(jnp.asarray(given, jnp.result_type(float)), shape)
    except ValueError:
        raise ValueError(
            f"{where}: expected for {name} an array that broadcasts to {shape}, got shape "
            f"{given.shape}"
        ) from None


def check_finite(
    value: Array | np.ndarray, where: str, name: str = "x", *, infinite: bool = False
) -> None:
    """Refuses real numbers of which some are NaN or infinite, where they can be seen.

    Args:
        value: an array.
        where, name: for the message.
        infinite: lets infinite ones pass, where they have a density, of 0.

    Raises:
        ValueError: saying how many.
    """
    if isinstance(value, jax.core.Tracer) or not jnp.issubdtype(value.dtype, jnp.floating):
        return
    bad = np.asarray(value)
    bad = bad[np.isnan(bad) if infinite else ~np.isfinite(bad)]
    if bad.size:
        raise ValueError(
            f"{where}: expected finite numbers for {name}, got {bad.size} of {value.size} NaN or "
            f"infinite, the first {bad[0]}"
        )


def check_key(key: Any, where: str, name: str = "key") -> None:
    """Refuses what is no random key of JAX's, or more than one.

    Raises:
        TypeError: saying what came, and how a key is made.

    >>> check_key(jax.random.key(0), "Flow.sample")
    >>> check_key(0, "Flow.sample")
    Traceback (most recent call last):
    TypeError: Flow.sample: expected one random key for key, as jax.random.key(0), got 0
    """
    if isinstance(key, Array | np.ndarray):
        if jnp.issubdtype(key.dtype, jax.dtypes.prng_key) and key.ndim == 0:
            return
        # Keys of the older kind are plain numbers: two, or four where the generator is another.
        if key.dtype == np.uint32 and key.shape in ((2,), (4,)):
            return
    raise TypeError(
        f"{where}: expected one random key for {name}, as jax.random.key(0), got {described(key)}"
    )


@functools.cache
def _holds_numbers(dtype: Any) -> bool:
    return any(jnp.issubdtype(dtype, kind) for kind in (np.bool_, np.integer, np.floating))


def _from_python(value: Any, where: str, name: str) -> Array | np.ndarray:
    """A list, a number, or an array of another library's."""
    if hasattr(value, "__jax_array__"):
        return jnp.asarray(value)
    try:
        return np.asarray(value)
    except jax.errors.TracerArrayConversionError:  # a list that holds traced numbers
        return jnp.asarray(value)
    except (TypeError, ValueError, OverflowError):
        raise TypeError(
            f"{where}: expected an array of numbers for {name}, got {described(value)}"
        ) from None


def _advice(value: np.ndarray) -> str:
    if value.dtype != object or not value.ndim:
        return ""
    return (
        "; convert its columns to numbers first: real ones to float32, categories to integer "
        "levels (for a flow, in jaxgen.models.Dequantized)"
    )


def _check_range(value: np.ndarray, where: str, name: str) -> None:
    if value.dtype.kind not in "iuf" or not value.size:
        return
    held = jax.dtypes.canonicalize_dtype(value.dtype)
    if held == value.dtype:
        return
    if value.dtype.kind == "f":
        _check_reals(value, held, where, name)
        return
    limits, low, high = np.iinfo(held), int(value.min()), int(value.max())
    if low < limits.min or high > limits.max:
        raise ValueError(
            f"{where}: expected integers that {held} can hold for {name}, got values from {low} to "
            f"{high}"
        )


def _check_reals(value: np.ndarray, held: np.dtype, where: str, name: str) -> None:
    """Refuses finite numbers that would become infinite."""
    largest = float(np.finfo(held).max)
    # fmax passes over NaN; infinite ones are the methods' own to refuse, or to take.
    if np.fmax.reduce(np.abs(value), axis=None) <= largest:
        return
    with np.errstate(over="ignore"):
        beyond = value[np.isfinite(value) & np.isinf(value.astype(held))]
    if beyond.size:
        raise ValueError(
            f"{where}: expected numbers that {held} can hold for {name}, up to {largest:.3g}, got "
            f"{beyond[0]:.3g}; divide by a larger unit, or compute in float64: "
            f"jax.config.update('jax_enable_x64', True)"
        )
