"""Tables from files, for the model of a run: their rows, and what is missing of them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxgen.core import naming_columns
from jaxgen.data import Dataset
from jaxgen.data.tables import SUFFIXES, read_rows
from jaxgen.models import Model
from jaxgen.runs.directory import Run
from jaxgen.runs.draw import check_seed, in_columns
from jaxgen.runs.files import ExperimentFile
from jaxgen.runs.outputs import opened_for, write_table


def table_of(run: Run, model: Model, path: Path) -> Dataset:
    """All rows of a file, in its order, with the columns that a run was trained on.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the run's data are no table, or the file lacks a column of theirs.
    """
    return Dataset(str(path), "test", **_fields(run, model, path)[0])


def _fields(run: Run, model: Model, path: Path) -> tuple[dict[str, Any], np.ndarray]:
    """The fields of a data set, and the values as they are in the file, in float64."""
    if run.columns is None:
        raise ValueError(
            f"{path}: expected a run of a table, whose columns have names, got {run.path} of "
            f"{run.recipe.data}; its data are given as an array: .npy or .npz"
        )
    label = None if model.context_shape is None else run.recipe.data.split(":")[2]
    return read_rows(path, run.columns, label)


def completed(
    model: Model,
    x: np.ndarray,
    observed: np.ndarray,
    labels: np.ndarray | None,
    seed: int,
    num: int,
    names: Sequence[str] | None = None,
) -> np.ndarray:
    """Draws of what is missing of rows, ``(num, n, *event_shape)``; their columns have names.

    Raises:
        ValueError: if the model completes nothing, or what is there is outside of its support.
    """
    if model.grid_shape is None:
        raise ValueError(
            f"values are missing, and a {type(model).__name__} does not know how to complete the "
            f"rows; leave those out, or train a model that does, such as tabular"
        )
    given = None if labels is None else jax.numpy.asarray(labels)
    # Called as it is, and not compiled here, it looks at the values.
    with naming_columns(names):
        found = model.complete(jax.random.key(seed), jnp.asarray(x), observed, num, given)
    return np.asarray(found)


def complete_table(
    run: Path | str,
    out: Path | str,
    *,
    data: Path | str,
    num: int = 1,
    seed: int = 0,
    file: ExperimentFile | Path | str | None = None,
) -> int:
    """Fills in what is missing of a table's rows, by draws of a run's model given the rest.

    A row of the result has the index of the row in the file, the number of the draw, and every
    column; values that are there stay what they are. Several draws show how sure the model is
    (multiple imputation; Rubin 1987).

    Args:
        run: the run directory, of a model that completes, such as ``tabular``.
        out: the table, a ``.csv`` file.
        data: a ``.csv`` or ``.parquet`` file; columns that the run was not trained on are left out.
        num: draws for each row.
        seed: of the draws.
        file: the experiment file, for a model that is defined there; a path is executed.

    Returns:
        How many values were missing.

    Raises:
        RunError: if there is no run, it is damaged, or the table cannot be written.
        ValueError: if the model completes nothing, or the file does not fit it.
    """
    if num < 1:
        raise ValueError(f"complete: expected at least 1 draw for each row, got {num}")
    if Path(data).suffix not in SUFFIXES:
        raise ValueError(f"complete: expected a .csv or .parquet file of rows, got {data}")
    opened = opened_for(run, out, ".csv", data=data)
    model = opened.load(file)
    fields, exact = _fields(opened, model, Path(data))
    table = Dataset(str(data), "test", **fields)
    observed = ~np.isnan(exact)
    labels, names = opened.labels(model, table), opened.columns
    draws = completed(model, table.x, observed, labels, check_seed(seed), num, names)

    def values(row: int, draw: int) -> list[Any]:
        known = zip(observed[row], exact[row], draws[draw, row], strict=True)
        return in_columns(model, [given if there else drawn for there, given, drawn in known])

    rows = ([row, draw, *values(row, draw)] for row in range(len(table)) for draw in range(num))
    write_table(out, ["example", "draw", *(opened.columns or ())], rows)
    return int((~observed).sum())
