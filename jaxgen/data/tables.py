"""``csv:PATH[:LABEL]`` and ``parquet:PATH[:LABEL]``: tables of numbers, by pyarrow.

Every column is a number of the example, in the order of the file, as float32; booleans become 0
and 1. With ``LABEL``, the column of that name holds the labels: integers, or anything else, whose
values are numbered in order. All rows are cut into 80/10/10 as ``shuffled_rows`` does. A relative
path is looked up in the current directory, then in the folder that the environment variable
JAXGEN_DATA names.
"""

from pathlib import Path
from typing import Any

import numpy as np

from jaxgen.core import unknown
from jaxgen.data.arrays import Loaded, as_events
from jaxgen.data.npz import find
from jaxgen.data.splits import shuffled_rows


def load_csv(given: str, split: str) -> Loaded:
    """One split of a file of comma-separated values, whose first line has the names.

    Args:
        given: ``PATH`` or ``PATH:LABEL``.
        split: ``"train"``, ``"valid"`` or ``"test"``.

    Returns:
        x (n, columns), y (n,) or None, no levels.

    Raises:
        ImportError: pyarrow is not installed.
        FileNotFoundError: no such file.
        ValueError: it cannot be read, or a column is no number, or misses some.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "table.csv"
    >>> _ = path.write_text("a,b,kind" + "".join(f"\\n{i},{i / 2},k{i % 2}" for i in range(10)))
    >>> x, y, levels = load_csv(f"{path}:kind", "train")
    >>> x.shape, sorted(set(y.tolist())), levels
    ((8, 2), [0, 1], None)
    """
    return _load(given, split, "csv")


def load_parquet(given: str, split: str) -> Loaded:
    """One split of a Parquet file; as :func:`load_csv`."""
    return _load(given, split, "parquet")


def _load(given: str, split: str, kind: str) -> Loaded:
    try:
        import pyarrow as pa
        from pyarrow import csv, parquet
    except ImportError as error:
        raise ImportError(
            f'{kind}: tables are read by pyarrow, which is not installed; run: pip install "jaxgen'
            f'[data]"'
        ) from error
    name, _, label = given.partition(":")
    path = find(name)
    try:
        table = csv.read_csv(path) if kind == "csv" else parquet.read_table(path)
    except (pa.ArrowException, OSError) as error:
        raise ValueError(f"{path}: expected a {kind} file, got {error}") from None
    if label and label not in table.column_names:
        raise unknown(f"column of {path}", label, table.column_names)
    columns = [each for each in table.column_names if each != label]
    x = np.stack([_numbers(table, each, path) for each in columns], axis=-1)
    events, _ = as_events({"rows": x}, str(path))
    rows = shuffled_rows(len(x), split)
    return events["rows"][rows], _labels(table, label, path)[rows] if label else None, None


def _numbers(table: Any, name: str, path: Path) -> np.ndarray:
    column = table.column(name)
    if column.null_count:
        raise ValueError(
            f"{path}: expected a number in every row, got {column.null_count} missing in column "
            f"{name!r}; fill or drop them, or give fit the rows and what is observed"
        )
    values = column.to_numpy()
    if values.dtype.kind not in "biuf":
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
