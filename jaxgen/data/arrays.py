"""From arrays as they are stored to arrays of events, with the number of quantisation levels.

| stored | event | levels |
|---|---|---|
| bool | uint8 | 2 |
| uint8 | uint8 | 256 |
| other integers, none negative | unchanged | largest value + 1, at least 2 |
| floats | float32 | None |

A uint8 or bool array of shape (n, height, width) is a stack of grey images: its events get the
channel axis that every image has in this library, (n, height, width, 1).
"""

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np

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
            integers, or are not numbers.

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
        # What overflows becomes infinite here, and Dataset refuses it with the row.
        with np.errstate(over="ignore"):
            converted, levels = {k: a.astype(np.float32) for k, a in arrays.items()}, None
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


def _refuse_negative(arrays: Mapping[str, np.ndarray], source: str) -> None:
    for name, array in arrays.items():
        lowest = array.min(initial=0)
        if lowest < 0:
            raise ValueError(
                f"{source}: expected integers from 0 to levels - 1, got {lowest} in array "
                f"{name!r}; shift them to start at 0, or store floats if the data are real-valued"
            )
