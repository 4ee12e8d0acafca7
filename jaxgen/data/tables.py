"""``csv:PATH[:LABEL]`` and ``parquet:PATH[:LABEL]``: tables of numbers, by pyarrow.

Every column is a number of the example, in the order of the file, as float32; booleans become 0
and 1. Cells that are empty, or NaN, are missing, as ``observed`` says. With ``LABEL``, the column
of that name holds the labels: integers, or anything else, whose values are numbered in order. All
rows are cut into 80/10/10 as ``shuffled_rows`` does. A relative path is looked up in the current
directory, then in the folder that the environment variable JAXGEN_DATA names.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxgen.core import unknown
from jaxgen.data.arrays import as_events
from jaxgen.data.npz import find
from jaxgen.data.splits import shuffled_rows

# What files of tables are called.
SUFFIXES = (".csv", ".parquet")


class Rows(NamedTuple):
    """The rows of a table: (n, columns), NaN where a value is missing, and what is there."""

    x: np.ndarray
    observed: np.ndarray | None
    columns: tuple[str, ...]


def load_csv(given: str, split: str) -> tuple[Any, ...]:
    """One split of a file of comma-separated values, whose first line has the names.

    Args:
        given: ``PATH`` or ``PATH:LABEL``.
        split: ``"train"``, ``"valid"`` or ``"test"``.

    Returns:
        x (n, columns), y (n,) or None, and the other fields of a data set: no levels, the names of
        the columns, and what is observed, if a value is missing anywhere.

    Raises:
        ImportError: pyarrow is not installed.
        FileNotFoundError: no such file.
        ValueError: it cannot be read, a column is no number or has no value, or misses some labels.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "table.csv"
    >>> _ = path.write_text("a,b,kind" + "".join(f"\\n{i},{i / 2},k{i % 2}" for i in range(10)))
    >>> x, y, *_, columns, observed = load_csv(f"{path}:kind", "train")
    >>> x.shape, sorted(set(y.tolist())), columns, observed
    ((8, 2), [0, 1], ('a', 'b'), None)
    """
    return _load(given, split, ".csv")


def load_parquet(given: str, split: str) -> tuple[Any, ...]:
    """One split of a Parquet file; as :func:`load_csv`."""
    return _load(given, split, ".parquet")


def read_rows(path: Path, columns: Sequence[str]) -> Rows:
    """All rows of a file, in its order, with the columns of these names.

    Raises:
        ImportError, FileNotFoundError, ValueError: as :func:`load_csv`, or a column is not there.
    """
    table = _read(path, path.suffix)
    for name in columns:
        if name not in table.column_names:
            raise unknown(f"column of {path}", name, table.column_names)
    return _rows(table, list(columns), path)


def _load(given: str, split: str, suffix: str) -> tuple[Any, ...]:
    name, _, label = given.partition(":")
    path = find(name)
    table = _read(path, suffix)
    if label and label not in table.column_names:
        raise unknown(f"column of {path}", label, table.column_names)
    found = _rows(table, [each for each in table.column_names if each != label], path)
    rows = shuffled_rows(len(found.x), split)
    y = _labels(table, label, path)[rows] if label else None
    there = None if found.observed is None else found.observed[rows]
    return found.x[rows], y, None, None, None, None, found.columns, there


def _read(path: Path, suffix: str) -> Any:
    """A table of Arrow's."""
    try:
        import pyarrow as pa
        from pyarrow import csv, parquet
    except ImportError as error:
        raise ImportError(
            f"{path}: tables are read by pyarrow, which is not installed; run: pip install "
            f'"jaxgen[data]"'
        ) from error
    read = csv.read_csv if suffix == ".csv" else parquet.read_table
    try:
        return read(path)
    except FileNotFoundError:
        raise FileNotFoundError(f"expected a file, found none at {path}") from None
    except (pa.ArrowException, OSError) as error:
        raise ValueError(f"{path}: expected a {suffix[1:]} file, got {error}") from None


def _rows(table: Any, columns: list[str], path: Path) -> Rows:
    if not columns:
        raise ValueError(f"{path}: expected a column of numbers or more, got none")
    if not len(table):
        raise ValueError(f"{path}: expected a row or more, got none")
    x = np.stack([_numbers(table, each, path) for each in columns], axis=-1)
    observed = ~np.isnan(x)
    # Whether float32 keeps a column is seen from the values that it has.
    kept = as_events({"rows": np.where(observed, x, np.nanmedian(x, axis=0))}, str(path))[0]["rows"]
    if observed.all():
        return Rows(kept, None, tuple(columns))
    return Rows(np.where(observed, kept, np.array(np.nan, kept.dtype)), observed, tuple(columns))


def _numbers(table: Any, name: str, path: Path) -> np.ndarray:
    """A column as float64, with NaN where it has no value."""
    column = table.column(name)
    if str(column.type) == "bool":
        column = column.cast("uint8")
    values = column.to_numpy()
    if column.null_count == len(column) or (values.dtype.kind == "f" and np.isnan(values).all()):
        raise ValueError(f"{path}: expected a number in column {name!r}, got none; leave it out")
    if values.dtype.kind not in "iuf":
        raise ValueError(
            f"{path}: expected numbers in column {name!r}, got {column.type}; number its values, "
            f"drop it, or name it as the label: {path.name}:{name}"
        )
    return values.astype(np.float64)


def _labels(table: Any, name: str, path: Path) -> np.ndarray:
    column = table.column(name)
    if column.null_count:
        raise ValueError(f"{path}: expected a label in every row, got {column.null_count} missing")
    values = column.to_numpy()
    if values.dtype.kind in "iu":
        return values
    return np.unique(values, return_inverse=True)[1]
