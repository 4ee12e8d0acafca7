"""``csv:PATH[:LABEL]`` and ``parquet:PATH[:LABEL]``: tables of numbers, by pyarrow.

Every column is a number of the example, in the order of the file, as float32; booleans become 0
and 1. Cells that are empty, or NaN, are missing, as ``observed`` says. With ``LABEL``, the column
of that name holds the labels, whose values are numbered in order, and become the names of the
classes. All rows are cut into 80/10/10 as ``shuffled_rows`` does. A relative path is looked up in
the current directory, then in the folder that the environment variable JAXGEN_DATA names.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jaxgen.core import unknown
from jaxgen.data.arrays import as_events
from jaxgen.data.npz import find
from jaxgen.data.splits import shuffled_rows

# What files of tables are called.
SUFFIXES = (".csv", ".parquet")


def load_csv(given: str, split: str) -> dict[str, Any]:
    """One split of a file of comma-separated values, whose first line has the names.

    Args:
        given: ``PATH`` or ``PATH:LABEL``.
        split: ``"train"``, ``"valid"`` or ``"test"``.

    Returns:
        The fields of a data set by name: x (n, columns), the names of the columns, what is
        observed, if a value is missing anywhere, y (n,) and the names of its classes, if it has.

    Raises:
        ImportError: pyarrow is not installed.
        FileNotFoundError: no such file.
        ValueError: it cannot be read, a column is no number or has no value, or misses some labels.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "table.csv"
    >>> _ = path.write_text("a,b,kind" + "".join(f"\\n{i},{i / 2},k{i % 2}" for i in range(10)))
    >>> found = load_csv(f"{path}:kind", "train")
    >>> found["x"].shape, sorted(set(found["y"].tolist())), found["classes"]
    ((8, 2), [0, 1], ('k0', 'k1'))
    """
    return _load(given, split, ".csv")


def load_parquet(given: str, split: str) -> dict[str, Any]:
    """One split of a Parquet file; as :func:`load_csv`."""
    return _load(given, split, ".parquet")


def read_rows(
    path: Path, columns: Sequence[str], label: str | None = None
) -> tuple[dict[str, Any], np.ndarray]:
    """All rows of a file, in its order, with the columns of these names.

    Returns:
        What :func:`load_csv` does, and the numbers as the file has them, float64, NaN where there
        are none.

    Raises:
        ImportError, FileNotFoundError, ValueError: as there, or a column is not there.
    """
    table = _read(path, path.suffix)
    for name in columns:
        if name not in table.column_names:
            raise ValueError(
                f"{unknown(f'column of {path}', name, table.column_names)} It is one of training; "
                f"where nothing of it is known, an empty column of that name says so"
            )
    return _fields(table, list(columns), label, path, empty=True)


def _load(given: str, split: str, suffix: str) -> dict[str, Any]:
    name, _, label = given.partition(":")
    path = find(name)
    table = _read(path, suffix)
    columns = [each for each in table.column_names if each != label]
    found, _ = _fields(table, columns, label or None, path)
    rows = shuffled_rows(len(found["x"]), split)
    return {k: v[rows] if isinstance(v, np.ndarray) else v for k, v in found.items()}


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
        table = read(path)
    except FileNotFoundError:
        raise FileNotFoundError(f"expected a file, found none at {path}") from None
    except (pa.ArrowException, OSError) as error:
        raise ValueError(f"{path}: expected a {suffix[1:]} file, got {error}") from None
    if suffix != ".csv":
        return table
    names = table.column_names
    if twice := [name for name in names if names.count(name) > 1]:
        raise ValueError(f"{path}: expected columns of different names, got {twice[0]!r} twice")
    # Numbered from 0 are those that never had a name.
    if names != [str(n) for n in range(len(names))] and all(map(_is_number, names)):
        raise ValueError(
            f"{path}: expected names of columns in the first line, got numbers ({names[0]}, ...); "
            f"write a line of names above them"
        )
    return table


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _fields(
    table: Any, columns: list[str], label: str | None, path: Path, *, empty: bool = False
) -> tuple[dict[str, Any], np.ndarray]:
    """The fields of a data set, and the numbers as they are; a column may be empty, or not."""
    for name in (*columns, *([label] if label else [])):
        if name not in table.column_names:
            raise unknown(f"column of {path}", name, table.column_names)
    if not columns:
        raise ValueError(f"{path}: expected a column of numbers or more, got none")
    if not len(table):
        raise ValueError(f"{path}: expected a row or more, got none")
    x = np.stack([_numbers(table, each, path, empty) for each in columns], axis=-1)
    observed = ~np.isnan(x)
    # Whether float32 keeps a column is seen from the values that it has.
    filler = [np.median(v[~np.isnan(v)]) if np.any(~np.isnan(v)) else 0.0 for v in x.T]
    kept = as_events({"rows": np.where(observed, x, filler)}, str(path))[0]["rows"]
    fields: dict[str, Any] = {"x": kept, "columns": tuple(columns)}
    if not observed.all():
        fields["x"] = np.where(observed, kept, np.array(np.nan, kept.dtype))
        fields["observed"] = observed
    if label:
        fields |= _labels(table, label, path)
    return fields, x


def _numbers(table: Any, name: str, path: Path, empty: bool) -> np.ndarray:
    """A column as float64, with NaN where it has no value."""
    column = table.column(name)
    if str(column.type) == "bool":
        column = column.cast("uint8")
    values = column.to_numpy()
    if column.null_count == len(column) or (values.dtype.kind == "f" and np.isnan(values).all()):
        if empty:
            return np.full(len(column), np.nan)
        raise ValueError(f"{path}: expected a number in column {name!r}, got none; leave it out")
    if values.dtype.kind not in "iuf":
        raise ValueError(
            f"{path}: expected numbers in column {name!r}, got {column.type}; number its values, "
            f"drop it, or name it as the label: {path.name}:{name}"
        )
    return values.astype(np.float64)


def _labels(table: Any, name: str, path: Path) -> dict[str, Any]:
    """The labels of a column, and the names that they number, numbers among them."""
    labels = table.column(name).to_numpy()
    # Empty cells of a column of words are words without a letter.
    missing = sum(each is None or each != each or not str(each).strip() for each in labels)
    if missing:
        raise ValueError(f"{path}: expected a label in every row, got {missing} missing")
    names, numbers = np.unique(labels, return_inverse=True)
    # A whole number is the same class whether it is stored as an integer or not.
    whole = names.dtype.kind == "f" and np.all(names == np.round(names))
    return {"y": numbers, "classes": tuple(map(str, names.astype(np.int64) if whole else names))}
