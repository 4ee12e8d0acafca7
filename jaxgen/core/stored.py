"""Examples that stay where they are stored: what looks like an array, and is read by rows."""

import abc
import copy
from collections.abc import Callable
from typing import Any, Self

import numpy as np

# Who wants to know something of all stored examples looks at so many, or at fewer large ones.
_SAMPLE = 10_000
_SAMPLE_BYTES = 2**28

# From examples and their rows in the store to other examples of the same shape.
Change = Callable[[np.ndarray, np.ndarray], np.ndarray]


class Stored(abc.ABC):
    """Examples on disk, or wherever, of which rows are read when they are asked for.

    Indexing by rows (an integer, a slice, an array of integers of any shape) reads them and gives
    an array; nothing else does. A subclass says how, in :meth:`read`.

    Args:
        shape: ``(n, *event_shape)``.
        dtype: of what is read.
    """

    def __init__(self, shape: tuple[int, ...], dtype: Any):
        self._shape, self.dtype = tuple(shape), np.dtype(dtype)
        self._rows: np.ndarray | None = None
        self._changes: tuple[Change, ...] = ()
        self._event = self._shape[1:]

    @abc.abstractmethod
    def read(self, rows: np.ndarray) -> np.ndarray:
        """The examples of these rows of the store ``(k,)``, as an array ``(k, *event_shape)``."""

    @abc.abstractmethod
    def digest(self) -> Any:
        """A hash, which may be fed more, by which the same examples are known again."""

    @property
    def shape(self) -> tuple[int, ...]:
        """``(n, *event_shape)``."""
        count = self._shape[0] if self._rows is None else len(self._rows)
        return (count, *self._event)

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        return int(np.prod(self.shape, dtype=np.int64))

    @property
    def nbytes(self) -> int:
        return self.size * self.dtype.itemsize

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: Any) -> np.ndarray:
        if isinstance(rows, slice):
            rows = np.arange(len(self))[rows]
        rows = np.asarray(rows)
        if rows.dtype.kind not in "iu":
            raise TypeError(f"expected integers for rows, got {rows.dtype}")
        if rows.size and not -len(self) <= rows.min() <= rows.max() < len(self):
            raise IndexError(f"expected rows from 0 to {len(self) - 1}, got {rows.max()}")
        where = rows.reshape(-1) % max(len(self), 1)
        where = where if self._rows is None else self._rows[where]
        found = self.read(where).reshape(len(where), *self._event)
        for change in self._changes:
            found = change(found, where)
        return found.reshape(*rows.shape, *self._event)

    def at(self, rows: np.ndarray | slice) -> Self:
        """Some of the rows, which stay stored."""
        all_rows = np.arange(self._shape[0]) if self._rows is None else self._rows
        return self._with(_rows=all_rows[rows])

    def changed(self, change: Change) -> Self:
        """The same with examples that something is done to whenever they are read.

        Args:
            change: ``(examples, rows of the store) -> examples`` of the same shape and dtype.
        """
        return self._with(_changes=(*self._changes, change))

    def reshaped(self, event_shape: tuple[int, ...]) -> Self:
        """The same with examples of another shape of the same size."""
        return self._with(_event=tuple(event_shape))

    def _with(self, **changes: Any) -> Self:
        other = copy.copy(self)
        vars(other).update(changes)
        return other

    def sampled_rows(self) -> np.ndarray:
        """Some rows, evenly spaced: enough examples to know what they are like, few enough for
        memory."""
        each = max(1, self.nbytes // max(len(self), 1))
        count = max(1, min(len(self), _SAMPLE, _SAMPLE_BYTES // each))
        return np.linspace(0, len(self) - 1, count).round().astype(np.int64)

    def __array__(self, *args: Any, **kwargs: Any) -> np.ndarray:
        raise TypeError(
            f"{self!r} stays on disk; take rows of it, as in x[:1000], where an array is needed"
        )

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.dtype}{self.shape})"


def in_memory(x: Any) -> Any:
    """An array as it is; of stored examples a sample."""
    return x[x.sampled_rows()] if isinstance(x, Stored) else x
