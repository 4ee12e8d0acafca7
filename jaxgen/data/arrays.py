"""From arrays as they are stored to arrays of events, with the number of quantisation levels.

| stored | event | levels |
|---|---|---|
| bool | uint8 | 2 |
| uint8 | uint8 | 256 |
| other integers, none negative | unchanged | largest value + 1, at least 2 |
| floats | float32 | None |

All uint8 arrays have 256 levels, those that hold only 0 and 1 too: binary data are stored as bool.
Columns of float64 whose content float32 would lose are refused, as :func:`jaxgen.training.fit`
refuses them; where jax computes in float64, such arrays stay as they are.

A uint8 or bool array of shape (n, height, width) is a stack of grey images: its events get the
channel axis that every image has in this library, (n, height, width, 1).
"""

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from jaxgen.data.columns import lost_in_single, refuse_lost

# What a loader returns for one split: x (n, *event_shape), y (n,) or None, levels or None.
Loaded = tuple[np.ndarray, np.ndarray | None, int | None]


def as_events(
    arrays: Mapping[str, np.ndarray], source: str
) -> tuple[dict[str, np.ndarray], int | None]:
    """Converts the arrays of one data set; ``levels`` is one number for all of them.

    Args:
        arrays: the arrays by name, each (n, *stored_shape), alike but for n.
        source: what to call the data set in errors.

    Returns:
        The converted arrays by name, each (n, *event_shape), and ``levels``.

    Raises:
        ValueError: the arrays differ in dtype or event shape, have no axis of rows, are negative
            integers, are not numbers, or have columns that float32 would lose.

    >>> x, levels = as_events({"train": np.zeros((5, 28, 28), bool)}, "example")
    >>> x["train"].shape, x["train"].dtype.name, levels
    ((5, 28, 28, 1), 'uint8', 2)
    """
    for name, array in arrays.items():
        if array.ndim == 0:
            raise ValueError(
                f"{source}: expected array {name!r} of shape (n, *event_shape), got a scalar; "
                "store one row per example"
            )
    kinds = {name: f"{array.dtype}{array.shape[1:]}" for name, array in arrays.items()}
    if len(set(kinds.values())) > 1:
        raise ValueError(
            f"{source}: expected one dtype and event shape in every split, got "
            f"{', '.join(f'{name} {kind}' for name, kind in kinds.items())}; store them alike"
        )
    dtype = next(iter(arrays.values())).dtype
    levels: int | None
    if dtype == np.bool_:
        converted, levels = {k: a.astype(np.uint8) for k, a in arrays.items()}, 2
    elif dtype == np.uint8:
        converted, levels = dict(arrays), 256
    elif np.issubdtype(dtype, np.integer):
        _refuse_negative(arrays, source)
        converted = {k: a.astype(dtype.newbyteorder("="), copy=False) for k, a in arrays.items()}
        levels = max(2, 1 + max(int(a.max(initial=0)) for a in arrays.values()))
    elif np.issubdtype(dtype, np.floating):
        converted, levels = _reals(arrays, source), None
    else:
        raise ValueError(
            f"{source}: expected an array of booleans, integers or floats, got dtype {dtype}; "
            "convert it before storing"
        )
    if levels is not None and dtype.itemsize == 1:
        converted = {k: a[..., None] if a.ndim == 3 else a for k, a in converted.items()}
    return converted, levels


def sha256_of(array: np.ndarray) -> Any:
    """A hash of an array, which may be fed more: of its dtype (as ``<f4``) and shape as text, and
    its bytes in C order."""
    array = array.astype(array.dtype.newbyteorder("<"), copy=False)
    digest = hashlib.sha256(f"{array.dtype.str}{array.shape}".encode())
    # As bytes, which types that NumPy does not know of itself have no other buffer for.
    digest.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    return digest


def _reals(arrays: Mapping[str, np.ndarray], source: str) -> dict[str, np.ndarray]:
    """The arrays in float32; in float64 where they need it, and jax has it."""
    lost = False
    for name, array in arrays.items():
        # NaN and infinity are refused with the row, by Dataset.
        if array.dtype.itemsize < 8 or not np.isfinite(array).all():
            continue
        wide = array.astype(np.float64, copy=False)
        refuse_lost(wide, None, f"{source}, array {name!r}")
        lost = lost or lost_in_single(wide, None) is not None
    dtype = np.float64 if lost else np.float32
    with np.errstate(over="ignore"):
        return {name: array.astype(dtype) for name, array in arrays.items()}


def _refuse_negative(arrays: Mapping[str, np.ndarray], source: str) -> None:
    for name, array in arrays.items():
        lowest = array.min(initial=0)
        if lowest < 0:
            raise ValueError(
                f"{source}: expected integers from 0 to levels - 1, got {lowest} in array "
                f"{name!r}; shift them to start at 0, or store floats if the data are real-valued"
            )
