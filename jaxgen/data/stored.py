"""Examples that are read when they are needed: arrays in files, and objects that have items.

Files are read at the places where the rows are, by any number of threads and processes, and not
mapped into memory. What ``fit`` knows of all examples before it starts (that they are numbers, in
the model's support; their location and scale) it takes from a sample of them; each batch is checked
as it comes.
"""

import hashlib
import os
import threading
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from jaxgen.core.stored import Stored
from jaxgen.data.arrays import Loaded
from jaxgen.data.splits import shuffled_rows

_HASHED = 2**24  # bytes at a time


class StoredArray(Stored):
    """The rows of an ``.npy`` file, or of an array in an ``.npz`` archive that is not compressed.

    The dtypes become what :mod:`jaxgen.data.arrays` says: bool uint8 of 2 levels, floats float32.
    Other integers than uint8 are refused, of which only all together tell how many levels there
    are.

    Args:
        path: the file.
        key: the array in an archive; None for an ``.npy`` file.

    Raises:
        ValueError: if it is no such file, is compressed, or of another dtype.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "images.npy"
    >>> np.save(path, np.arange(32, dtype=np.uint8).reshape(8, 2, 2))
    >>> images = StoredArray(path)
    >>> images, images.levels, images[[7, 0]].shape
    (StoredArray(uint8(8, 2, 2, 1)), 256, (2, 2, 2, 1))
    """

    def __init__(self, path: Path | str, key: str | None = None):
        self.path = Path(path)
        shape, self._kept, self._start = _header(self.path, key)
        self.levels = {"b": 2, "u": 256}.get(self._kept.kind)
        if not shape or not (self._kept.kind in "bf" or self._kept == np.uint8):
            raise ValueError(
                f"{path}: expected rows of bool, uint8 or floats to read from disk, got "
                f"{self._kept}{shape}; store levels as uint8"
            )
        self._row = int(np.prod(shape[1:], dtype=np.int64)) * self._kept.itemsize
        grey = self._kept.itemsize == 1 and len(shape) == 3  # as jaxgen.data.arrays has it
        dtype = np.float32 if self._kept.kind == "f" else np.uint8
        super().__init__((*shape, 1) if grey else shape, dtype)

    def read(self, rows: np.ndarray) -> np.ndarray:
        found = np.empty((len(rows), self._row), np.uint8)
        file = os.open(self.path, os.O_RDONLY)
        try:
            for place, row in zip(found, rows.tolist(), strict=True):
                at = self._start + row * self._row
                if os.preadv(file, [place.data], at) != self._row:
                    raise OSError(
                        f"{self.path} has become shorter: expected {self._row} bytes of row {row}, "
                        f"got fewer; put it back, training goes on from its last checkpoint"
                    )
        finally:
            os.close(file)
        values = found.reshape(-1).view(self._kept).reshape(len(rows), *self.shape[1:])
        if self._kept.kind == "f":
            return values.astype(self.dtype, copy=False)
        return values.view(np.uint8)

    def digest(self) -> Any:
        # As jaxgen.data.arrays.sha256_of has it, a part at a time.
        kept = self.dtype.newbyteorder("<")
        digest = hashlib.sha256(f"{kept.str}{self.shape}".encode())
        step = max(1, _HASHED // max(1, self._row))
        for start in range(0, len(self), step):
            part = self[start : start + step].astype(kept, copy=False)
            digest.update(np.ascontiguousarray(part).reshape(-1).view(np.uint8).data)
        return digest


class StoredItems(Stored):
    """One part of each item of an object that has ``__len__`` and ``__getitem__``.

    Args:
        items: see :func:`parts_of`.
        pick: from an item to the array that is wanted.
    """

    def __init__(self, items: "_Items", pick: Callable[[Any], np.ndarray]):
        self._items, self._pick = items, pick
        first = pick(items.get(np.zeros(1, np.int64))[0])
        dtype = np.dtype(np.float32) if first.dtype == np.float64 else first.dtype
        super().__init__((len(items), *first.shape), dtype)

    def read(self, rows: np.ndarray) -> np.ndarray:
        found = np.empty((len(rows), *self._shape[1:]), self.dtype)
        for index, item in enumerate(self._items.get(rows)):
            try:
                value = self._pick(item)
            except (KeyError, IndexError, TypeError, ValueError) as error:
                raise ValueError(f"item {rows[index]}: {error}") from error
            if value.shape != self._shape[1:]:
                raise ValueError(
                    f"item {rows[index]}: expected shape {self._shape[1:]}, as item 0 has, got "
                    f"{value.shape}"
                )
            found[index] = value
        return found

    def digest(self) -> Any:
        # All of them may take hours to read.
        some = self[self.sampled_rows()]
        digest = hashlib.sha256(f"{self.dtype.str}{self.shape} {len(some)} sampled".encode())
        digest.update(np.ascontiguousarray(some).reshape(-1).view(np.uint8).data)
        return digest


class _Items:
    """Items of an object by rows; those that were read last are at hand for their other parts."""

    def __init__(self, items: Any):
        self._items, self._last = items, threading.local()

    def __len__(self) -> int:
        return len(self._items)

    def get(self, rows: np.ndarray) -> list[Any]:
        key = rows.tobytes()
        if getattr(self._last, "key", None) != key:
            many = getattr(self._items, "__getitems__", None)
            numbers = rows.tolist()
            self._last.items = list(many(numbers)) if many else [self._items[n] for n in numbers]
            self._last.key = key
        return self._last.items

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self._items,)


def is_source(data: Any) -> bool:
    """Whether data are an object whose items are examples, and no array, sequence or table."""
    if isinstance(data, list | tuple | str | bytes | Mapping) or not hasattr(data, "__getitem__"):
        return False
    if hasattr(data, "__getitems__"):  # as the tables of Hugging Face have, whose items are rows
        return True
    table = any(hasattr(data, name) for name in ("__array__", "columns", "column_names", "shape"))
    return hasattr(data, "__len__") and not table


def parts_of(source: Any) -> dict[str, Stored]:
    """The examples of an object that has items, and their contexts, if there are any.

    An item is an example; a pair of an example and its context or label; or a mapping with ``x`` or
    ``image``, and perhaps ``context`` or ``label``: PyTorch and Hugging Face data sets, a TFDS or
    ArrayRecord ``data_source``. Pictures of Pillow's become arrays ``(height, width, channels)``.

    Args:
        source: has ``__len__`` and ``__getitem__``; with ``__getitems__``, it is asked for many
            rows at once. Where worker processes read, it must pickle.

    Raises:
        ValueError: if it is empty, or its items are something else.

    >>> parts_of({row: (np.ones(2), 0) for row in range(3)})
    {'x': StoredItems(float32(3, 2)), 'context': StoredItems(int64(3,))}
    """
    if not len(source):
        raise ValueError(f"expected items in the {type(source).__name__}, got none")
    items = _Items(source)
    first = items.get(np.zeros(1, np.int64))[0]
    if isinstance(first, Mapping):
        if unread := sorted({"weights", "lengths", "observed", "labels"} & set(first)):
            raise ValueError(
                f"expected items of {type(source).__name__} with 'x' or 'image', and 'context' or "
                f"'label', got {', '.join(unread)} too, which are read of arrays alone"
            )
        keys: dict[str, Any] = {
            part: next((name for name in names if name in first), None)
            for part, names in (("x", ("x", "image")), ("context", ("context", "label")))
        }
        if keys["x"] is None:
            raise ValueError(
                f"expected items of {type(source).__name__} with an entry 'x' or 'image', got "
                f"{', '.join(map(str, first))}; rename one, or give arrays"
            )
    elif isinstance(first, tuple):
        if len(first) != 2:
            raise ValueError(
                f"expected items of {type(source).__name__} that are an example, or a pair of one "
                f"and its context, got {len(first)} parts"
            )
        keys = {"x": 0, "context": 1}
    else:
        return {"x": StoredItems(items, _numbers)}
    return {part: StoredItems(items, _Entry(key)) for part, key in keys.items() if key is not None}


def entries(source: Any, key: Any) -> StoredItems:
    """One entry of each item of an object that has items."""
    return StoredItems(_Items(source), _Entry(key))


class _Entry:
    """Picks an entry of an item, as an array; unlike a function made here, it pickles."""

    def __init__(self, key: Any):
        self._key = key

    def __call__(self, item: Any) -> np.ndarray:
        return _numbers(item[self._key])


def _numbers(value: Any) -> np.ndarray:
    array = np.asarray(value)
    if array.dtype.kind not in "biuf":
        raise ValueError(f"expected items of numbers, got {array.dtype} ({type(value).__name__})")
    grey = hasattr(value, "getbands") and array.ndim == 2  # a picture of Pillow's
    return array[..., None] if grey else array


def load_npy(path: str, split: str) -> Loaded:
    """One split of an ``.npy`` file, which stays on disk; cut as ``shuffled_rows`` does.

    Args:
        path: absolute, or relative to the current directory or to ``$JAXGEN_DATA``.
        split: ``"train"``, ``"valid"`` or ``"test"``.

    Returns:
        x (n, *event_shape), stored; no labels; levels or None.

    Raises:
        FileNotFoundError: no such file.
        ValueError: it is no ``.npy`` file of bool, uint8 or floats.
    """
    from jaxgen.data.npz import find

    stored = StoredArray(find(path))
    return stored.at(shuffled_rows(len(stored), split)), None, stored.levels  # type: ignore[return-value]


def _header(path: Path, key: str | None) -> tuple[tuple[int, ...], np.dtype, int]:
    """The shape and dtype of an array in a file, and where its numbers start."""
    try:
        with path.open("rb") as file:
            if key is not None:
                _seek_member(file, path, key)
            version = np.lib.format.read_magic(file)
            read = {
                (1, 0): np.lib.format.read_array_header_1_0,
                (2, 0): np.lib.format.read_array_header_2_0,
            }[version]
            shape, fortran, dtype = read(file)
            start = file.tell()
    except (ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(
            f"{path}: expected an array as numpy.save, or numpy.savez without compression, writes "
            f"it, got a file that cannot be read so ({error})"
        ) from None
    if dtype.hasobject:
        raise ValueError(f"{path}: expected plain numbers, got Python objects; store numbers")
    if fortran and len(shape) > 1:
        raise ValueError(
            f"{path}: expected rows one after the other (C order), got columns (Fortran order); "
            f"store it again by numpy.ascontiguousarray"
        )
    needed = start + int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    if path.stat().st_size < needed:
        raise ValueError(
            f"{path} is cut off: expected {needed} bytes, got {path.stat().st_size}; fetch or "
            f"store it again"
        )
    return shape, dtype, start


def _seek_member(file: Any, path: Path, key: str) -> None:
    """Goes to where an array of an archive starts."""
    with zipfile.ZipFile(file) as archive:
        member = archive.getinfo(f"{key}.npy")
    if member.compress_type != zipfile.ZIP_STORED:
        raise ValueError("it is compressed")
    file = path.open("rb") if file.closed else file
    file.seek(member.header_offset + 26)
    lengths = np.frombuffer(file.read(4), "<u2")  # of the name, and of what follows it
    file.seek(int(lengths.sum()), os.SEEK_CUR)
