"""What users have, as batches of arrays: tables, tuples, dictionaries, data sets."""

import math
import numbers
import warnings
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

from jaxgen.core import unknown
from jaxgen.core.stored import Stored
from jaxgen.data import Dataset
from jaxgen.data.columns import column_name
from jaxgen.data.stored import is_source, parts_of
from jaxgen.models import Model
from jaxgen.training.missing import fill_in
from jaxgen.training.objectives import Batch
from jaxgen.training.rows import hold_out, num_examples
from jaxgen.training.settings import TrainSettings

# The keys of a dictionary, in the order of a tuple; labels stand for a context.
_PARTS = ("x", "context", "lengths", "weights", "observed")


class Given(NamedTuple):
    """What was given, as a batch of NumPy arrays, and the names of a table's columns, if any."""

    batch: Batch
    columns: tuple[str, ...] | None = None


def as_given(data: Any, model: Model, what: str) -> Given | None:
    """Data of any form that :func:`~jaxgen.training.fit` takes; None for None.

    Integer labels ``(n,)`` become what the model's context is: themselves, or their one-hot.

    Args:
        data: examples, or a :class:`Batch`, a tuple or dictionary of its parts, a
            :class:`~jaxgen.data.Dataset`.
        model: what they are for.
        what: what they are called in messages: ``"training"``.

    Raises:
        ValueError: if they are no numbers, or the labels do not fit the context.
    """
    if data is None:
        return None
    if isinstance(data, Dataset) and has_levels_beyond(model, data.levels):
        warnings.warn(
            f"{data.name} has {data.levels} levels, the model {model.levels}: those beyond have "
            f"probability, and are drawn, until it has learned that they never come; build it with "
            f"levels={data.levels}"
            + (
                ""
                if data.vocabulary is None
                else ", or number its characters as those of the "
                "text that the model knows: Dataset.in_vocabulary"
            ),
            stacklevel=3,
        )
    parts = _parts(data, model, what)
    x, context, lengths, weights, observed = (parts.get(name) for name in _PARTS)
    where = f"the {what} data"
    names = data.columns if isinstance(data, Dataset) else _column_names(x)
    if isinstance(x, Stored) and (observed is not None or lengths is not None):
        what_else = "observed" if lengths is None else "lengths"
        raise ValueError(f"{where}: expected examples in memory with {what_else}, got {x!r}")
    if observed is not None:
        if x is None or lengths is not None:
            has = "no examples" if x is None else "lengths too"
            raise ValueError(f"{where}: expected observed to go with whole examples, got {has}")
        observed = np.asarray(observed)
        x = fill_in(as_numbers(x, where), observed, model, where)
    return Given(
        Batch(
            None if x is None else as_numbers(x, where),
            None if context is None else _context(context, model, what),
            None if lengths is None else as_numbers(lengths, f"the lengths of {where}"),
            None if weights is None else _weights(weights, where),
            observed,
        ),
        names,
    )


def with_validation(
    train: Batch, valid: Any, model: Model, settings: TrainSettings
) -> tuple[Batch, Batch | None]:
    """The training and the validation data, which are given, or a fraction that is held out.

    Raises:
        ValueError: for a number that is no such fraction.
    """
    if isinstance(valid, numbers.Number):
        # A whole number is no fraction, nor is True.
        if not isinstance(valid, float | np.floating) or not 0 < valid < 1:
            raise ValueError(
                f"valid: expected validation data, a fraction between 0 and 1 of the training "
                f"data, or None, got {valid!r}"
            )
        return hold_out(train, float(valid), num_examples(train, settings), settings.seed)
    given = as_given(valid, model, "validation")
    return train, None if given is None else given.batch


def check_alike(train: Any, valid: Any) -> None:
    """Refuses data sets that number other characters, or classes of other names, than each other.

    Raises:
        ValueError: saying how the one is brought into the numbers of the other.
    """
    if not (isinstance(train, Dataset) and isinstance(valid, Dataset)):
        return
    for part, said in (("vocabulary", "another vocabulary"), ("classes", "other classes")):
        own, other = getattr(train, part), getattr(valid, part)
        if None not in (own, other) and own != other:
            raise ValueError(
                f"fit: the validation data have {said} than the training data, so that their "
                f"numbers mean something else; give valid.in_{part}(train.{part})"
            )


def has_levels_beyond(model: Model, levels: int | None) -> bool:
    """Whether a model would have to learn that some of its levels never come."""
    return levels is not None and model.levels is not None and levels < model.levels < math.inf


def _parts(data: Any, model: Model, what: str) -> dict[str, Any]:
    """The parts of a batch by name, as they were given."""
    if isinstance(data, str):
        raise ValueError(
            f"the {what} data: expected arrays, got the string {data!r}; a data set is loaded by "
            f"jaxgen.data.load"
        )
    if is_source(data):
        try:
            parts = parts_of(data)
            # The labels of data that nothing is conditional on stay unused.
            return parts if model.context_shape is not None else {"x": parts["x"]}
        except ValueError as error:
            raise ValueError(f"the {what} data: {error}") from error
    if isinstance(data, Dataset):
        # The labels of data that nothing is conditional on stay unused.
        labels = None if model.context_shape is None else data.y
        lengths, observed = data.lengths, data.observed
        return {"x": data.x, "context": labels, "lengths": lengths, "observed": observed}
    if isinstance(data, Mapping):
        for key in data:
            if key not in (*_PARTS, "labels"):
                raise unknown(f"part of the {what} data", str(key), (*_PARTS, "labels"))
        if data.get("context") is not None and data.get("labels") is not None:
            raise ValueError(f"the {what} data: expected a context or labels, got both")
        context = data.get("context")
        return {**data, "context": data.get("labels") if context is None else context}
    if isinstance(data, tuple):
        if len(data) > len(_PARTS):
            raise ValueError(
                f"the {what} data: expected a tuple ({', '.join(_PARTS)}) or the beginning of one, "
                f"got {len(data)} parts"
            )
        return dict(zip(_PARTS, data, strict=False))
    return {"x": data}


def _column_names(x: Any) -> tuple[str, ...] | None:
    """The names of a table's columns; None of what is no table."""
    # Those of Arrow call them so, and have the columns themselves as columns.
    columns = getattr(x, "column_names", None) or getattr(x, "columns", None)
    return tuple(map(str, columns)) if isinstance(columns, Iterable) else None


def as_numbers(value: Any, where: str) -> Any:
    """An array of numbers in the machine's own byte order; stored examples as they are.

    Raises:
        ValueError: if there are values that are missing, or no numbers, naming the first.
    """
    if isinstance(value, Stored):
        return value
    names = _column_names(value)
    if np.ma.isMaskedArray(value):
        missing = int(np.ma.getmaskarray(value).sum())
        if missing:
            raise ValueError(
                f"{where}: expected every value, got a masked array that lacks {missing}; drop "
                f"those rows, fill the values in, or give a model of any order the rows and a mask "
                f"of what is observed: Batch(x, observed=mask)"
            )
        value = value.data
    try:
        array = np.asarray(value) if names is None else _table(value)
    except (ImportError, TypeError, ValueError) as error:
        raise ValueError(
            f"{where}: expected an array of numbers, got {type(value).__name__} ({error})"
        ) from error
    if array.dtype.kind in "OUS":
        array = _numbers_in(array, value, names, where)
    if array.dtype.kind not in "biuf" and array.dtype.name != "bfloat16":
        advice = "; subtract a date and divide by a unit first" if array.dtype.kind in "Mm" else ""
        raise ValueError(f"{where}: expected real numbers or integers, got {array.dtype}{advice}")
    if array.dtype.kind == "f" and array.dtype.itemsize > 8:
        array = array.astype(np.float64)
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def _table(value: Any) -> np.ndarray:
    """A table as an array: one of objects, if its columns are of several kinds."""
    if hasattr(value, "to_numpy"):
        return value.to_numpy()
    if not hasattr(value, "__array__") and hasattr(value, "to_pandas"):
        return value.to_pandas().to_numpy()
    return np.asarray(value)


def _numbers_in(
    array: np.ndarray, value: Any, names: tuple[str, ...] | None, where: str
) -> np.ndarray:
    """An array of Python objects as one of numbers, if that is what they are."""
    if array.ndim == 0:
        way = "" if names is None else ", a table with no way to an array (to_numpy, __array__)"
        raise ValueError(f"{where}: expected an array of numbers, got {type(value).__name__}{way}")
    for index, cell in np.ndenumerate(array.astype(object)):
        if isinstance(cell, numbers.Real):
            continue
        column = "" if len(index) < 2 else f"column {column_name(index[1:], names)}, "
        # Whatever stands for a missing value in a table is not equal to itself, or None.
        missing = cell is None or type(cell).__name__ in ("NAType", "NaTType")
        advice = "drop or fill missing values" if missing else "encode it as numbers, or drop it"
        raise ValueError(
            f"{where}: expected numbers, got {cell!r} in {column}row {index[0]}; {advice}"
        )
    whole = all(isinstance(cell, numbers.Integral) for cell in array.flat)
    try:
        return array.astype(np.int64 if whole else np.float64)
    except OverflowError as error:
        raise ValueError(f"{where}: expected numbers that fit in 64 bits: {error}") from error


def _weights(weights: Any, where: str) -> np.ndarray:
    """Weights of mean 1, so that the weighted mean over a batch estimates that over the data."""
    weights = as_numbers(weights, f"the weights of {where}").astype(np.float64)
    fit = weights.ndim == 1 and np.isfinite(weights).all() and (weights >= 0).all()
    if not fit or not weights.any():
        raise ValueError(
            f"the weights of {where}: expected a finite number for each example, none of them "
            f"negative and not all 0, got shape {weights.shape}"
            + (f", {weights.min()} to {weights.max()}" if weights.size else "")
        )
    return (weights / weights.mean()).astype(np.float32)


def _context(context: Any, model: Model, what: str) -> np.ndarray:
    """Contexts as they are; labels, where the model takes their one-hot, as that."""
    where = f"the contexts of the {what} data"
    context = as_numbers(context, where)
    shape = model.context_shape
    if shape is None or len(shape) == 0 or context.ndim != 1 or context.dtype.kind not in "biu":
        return context
    if isinstance(context, Stored):  # numbers of classes, one for each example: a small array
        context = context[:]
    low, high = (int(context.min()), int(context.max())) if context.size else (0, 0)
    if len(shape) != 1 or shape[0] < 2 or low < 0 or high >= shape[0]:
        taken = f"a one-hot of {shape[0]} classes, 0 to {shape[0] - 1}" if len(shape) == 1 else ""
        raise ValueError(
            f"{where}: got labels from {low} to {high}, but the model takes contexts of shape "
            f"{shape}{', such as ' + taken if taken else ''}; number the classes so, or embed the "
            f"labels: jaxgen.models.Embedded"
        )
    return (context[:, None] == np.arange(shape[0])).astype(np.float32)
