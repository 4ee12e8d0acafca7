"""What a data set refuses when it is made."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxgen.core import described


def check_real(x: np.ndarray, where: str, observed: np.ndarray | None = None) -> None:
    """Refuses what is no finite floats, at least where they are observed."""
    if x.dtype.kind != "f":
        raise ValueError(
            f"{where}: expected floats, because levels is None, got dtype {x.dtype}; "
            "give levels for integers, or convert to float32"
        )
    fit = np.isfinite(x) if observed is None else np.isfinite(x) | ~observed
    finite = fit.reshape(len(x), -1).all(axis=1)
    if not finite.all():
        raise ValueError(
            f"{where}: expected finite values, got NaN or infinity in {np.sum(~finite)} of "
            f"{len(x)} rows, the first of them row {np.argmin(finite)}; remove or replace them, "
            "or say by observed which are there"
        )


def check_levels(x: np.ndarray, levels: int, where: str) -> None:
    """Refuses what is no integers from 0 to below the levels."""
    if levels < 2:
        raise ValueError(
            f"{where}: expected at least 2 levels, got {levels}; "
            "give the number of values that a dimension can take, or None for real values"
        )
    if x.dtype.kind not in ("iub" if levels == 2 else "iu"):
        raise ValueError(
            f"{where}: expected integers, because levels is {levels}, got dtype {x.dtype}; "
            "convert to uint8, or give levels=None for real values"
        )
    low, high = int(x.min()), int(x.max())
    if low < 0 or high >= levels:
        raise ValueError(
            f"{where}: expected integers from 0 to {levels - 1}, because levels is {levels}, got "
            f"{low} to {high}; shift the values or correct levels"
        )


def as_names(names: Any, what: str, where: str) -> tuple[str, ...]:
    """Different strings."""
    ordered = isinstance(names, Sequence | np.ndarray) and not isinstance(names, str)
    if not ordered or not all(isinstance(name, str) for name in names):
        raise ValueError(f"{where}: expected {what} to be a tuple of names, got {names!r}")
    for name, times in Counter(names).items():
        if times > 1:
            raise ValueError(f"{where}: expected {what} of different names, got {name!r} twice")
    return tuple(str(name) for name in names)


def check_vocabulary(vocabulary: Any, levels: int | None, where: str) -> None:
    """Refuses what is none, and one that numbers other levels."""
    known = getattr(vocabulary, "levels", None)
    if known is None:
        raise TypeError(f"{where}: expected a Vocabulary, got {described(vocabulary)}")
    if known != levels:
        raise ValueError(f"{where}: expected levels={known}, as the vocabulary has, got {levels}")


def as_labels(
    y: np.ndarray, num_examples: int, classes: tuple[str, ...] | None, where: str
) -> np.ndarray:
    """One int32 for each example, the number of a class if these have names."""
    y = np.asarray(y)
    if y.dtype.kind not in "iu" or y.shape != (num_examples,):
        raise ValueError(
            f"{where}: expected integer labels y of shape ({num_examples},), one for each row of "
            f"x, got {y.dtype}{y.shape}; give one integer a row, or y=None"
        )
    limits = np.iinfo(np.int32)
    if y.min() < limits.min or y.max() > limits.max:
        raise ValueError(
            f"{where}: expected labels that fit in int32, got {y.min()} to {y.max()}; renumber them"
        )
    if classes is not None and not 0 <= y.min() <= y.max() < len(classes):
        raise ValueError(
            f"{where}: expected labels from 0 to {len(classes) - 1}, the numbers of "
            f"{len(classes)} classes, got {y.min()} to {y.max()}"
        )
    return y.astype(np.int32)


def as_lengths(lengths: np.ndarray, x: np.ndarray, where: str) -> np.ndarray:
    """An int32 from 1 to the length for each example."""
    lengths = np.asarray(lengths)
    if x.ndim < 2:
        raise ValueError(
            f"{where}: lengths are for examples of shape (length,) or (length, *position), got "
            f"{x.shape[1:]}"
        )
    if lengths.dtype.kind not in "iu" or lengths.shape != (len(x),):
        raise ValueError(
            f"{where}: expected integer lengths of shape ({len(x)},), one for each row of x, got "
            f"{lengths.dtype}{lengths.shape}"
        )
    if lengths.min() < 1 or lengths.max() > x.shape[1]:
        raise ValueError(
            f"{where}: expected lengths from 1 to {x.shape[1]}, got {lengths.min()} to "
            f"{lengths.max()}; leave out what is empty"
        )
    return lengths.astype(np.int32)


def as_observed(
    observed: np.ndarray,
    x: np.ndarray,
    levels: int | None,
    lengths: np.ndarray | None,
    where: str,
) -> np.ndarray:
    """A boolean for each real value."""
    observed = np.asarray(observed)
    if levels is not None or lengths is not None:
        what = "levels" if levels is not None else "lengths"
        raise ValueError(
            f"{where}: observed is for real values without padding, got {what}; fit takes both as "
            f"arrays: Batch(x, observed=mask)"
        )
    if observed.dtype != bool or observed.shape != x.shape:
        raise ValueError(
            f"{where}: expected observed to be booleans of shape {x.shape}, as x has, got "
            f"{observed.dtype}{observed.shape}"
        )
    return observed


def read_only(array: np.ndarray) -> np.ndarray:
    """A view that cannot be written to."""
    # The caller's own array stays writeable. The digest is cached, so ours must not change.
    view = array.view()
    view.flags.writeable = False
    return view
