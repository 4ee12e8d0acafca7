"""How numbers are compared, and how a failure is said."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

# What JAX raises where Python or NumPy asks a traced array for its numbers.
_TRACED = (
    jax.errors.ConcretizationTypeError,
    jax.errors.TracerArrayConversionError,
    jax.errors.TracerIntegerConversionError,
)

Report = dict[str, str]
PASSED = "passed"


def tolerance_of(dtype: Any) -> float:
    """The largest difference, relative to ``1 + |expected|``, that rounding explains.

    Round trips lose digits in proportion to the condition number of the map, which reaches a few
    thousand in a randomly perturbed flow. 1e-9 in float64 leaves room for 4e6; in float32, 1e-3
    leaves room for 8e3.

    >>> tolerance_of(jnp.float32)
    0.001
    """
    return 1e-9 if jnp.finfo(dtype).bits == 64 else 1e-3


def close(what: str, got: Any, expected: Any, tolerance: float) -> None:
    """Compares two arrays; a NaN or an infinity in either is a failure.

    Raises:
        AssertionError: naming ``what``, the place of the largest difference, and both numbers.
    """
    got, expected = np.asarray(got, np.float64), np.asarray(expected, np.float64)
    shape(what, got, expected.shape)
    for name, array in (("got", got), ("expected", expected)):
        bad = int(np.sum(~np.isfinite(array)))
        if bad:
            raise AssertionError(f"{what}: {bad} of {array.size} numbers {name} are not finite")
    if got.size == 0:
        return
    error = np.abs(got - expected) / (1.0 + np.abs(expected))
    worst = np.unravel_index(np.argmax(error), error.shape)
    if error[worst] > tolerance:
        index = tuple(int(i) for i in worst)
        raise AssertionError(
            f"{what}: got {got[worst]:.10g}, expected {expected[worst]:.10g} at index {index}; "
            f"the difference {error[worst]:.2g} (relative to 1 + |expected|) exceeds {tolerance:g}"
        )


def shape(what: str, got: Any, expected: tuple[int, ...]) -> None:
    """Compares an array's shape."""
    if got.shape != expected:
        raise AssertionError(f"{what}: expected shape {expected}, got {got.shape}")


def dtype(what: str, got: Any, expected: Any) -> None:
    """Compares an array's dtype."""
    if got.dtype != expected:
        raise AssertionError(f"{what}: expected dtype {np.dtype(expected)}, got {got.dtype}")


@contextmanager
def attempt(what: str) -> Iterator[None]:
    """Names what was being done when a member raised an error of its own.

    Raises:
        AssertionError: from that error, which it quotes.
    """
    try:
        yield
    except AssertionError:
        raise
    except _TRACED as error:
        # What follows the first sentence is about lines of the kit and of JAX.
        first = str(error).partition("\n")[0].rstrip(".")
        raise AssertionError(
            f"{what}: raised {type(error).__name__}: {first}; what is traced, as the t of a step, "
            f"has no numbers yet: jnp.where(t > 0, ...) or jax.lax.cond, not `if t > 0`, and jnp, "
            f"not numpy"
        ) from error
    except Exception as error:
        raise AssertionError(f"{what}: raised {type(error).__name__}: {error}") from error


def wave(shape: tuple[int, ...], dtype: Any) -> Any:
    """Fixed weights of either sign, so that contributions to a sum do not cancel by accident."""
    return jnp.cos(1.0 + jnp.arange(np.prod(shape, dtype=int), dtype=dtype)).reshape(shape)
