"""Examples of a run's own data, and of others, in the shape that its model takes."""

import dataclasses
import math
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxgen.core import Context, naming_columns
from jaxgen.data import Dataset
from jaxgen.data.images import StoredImages, pictures_of, place_and_side
from jaxgen.data.npz import load_array
from jaxgen.data.tables import SUFFIXES
from jaxgen.data.text import pieces_of
from jaxgen.models import Model
from jaxgen.runs.directory import Run
from jaxgen.runs.tables import completed, table_of


class Examples(NamedTuple):
    """Examples by their numbers, their contexts, the files that they are from, if each has its own,
    and how many of their values are missing, if any are."""

    numbers: np.ndarray
    x: np.ndarray
    context: Context
    files: list[Path] | None = None
    missing: np.ndarray | None = None

    def rows(self, rows: slice) -> "Examples":
        """Some of them."""
        return Examples(
            self.numbers[rows],
            self.x[rows],
            None if self.context is None else self.context[rows],
            None if self.files is None else self.files[rows],
            None if self.missing is None else self.missing[rows],
        )

    def first(self, num: int | None) -> "Examples":
        """So many, or all if None."""
        if num is not None and num < 1:
            raise ValueError(f"expected an example or more, got {num}")
        return self.rows(slice(num))


def whole_examples(model: Model, data: Dataset, labels: np.ndarray | None, seed: int) -> Any:
    """The examples; where values of a row are missing, with a draw given the others.

    Of rows that come from the model, so do these: a score, or a test of calibration, means what it
    means of whole rows.
    """
    if data.observed is None:
        return data.x
    return completed(model, data.x, data.observed, labels, seed, 1, data.columns)[0]


def examples_of(opened: Run, model: Model, data: str | None, split: str, seed: int) -> Examples:
    """A split of a run's data, or of others in the shape of its examples."""
    if data is None:
        return _of(opened, model, opened.load_data(split), seed)
    recipe = dataclasses.replace(opened.recipe, data=data, event_shape=list(opened.event_shape))
    return _of(opened, model, _known_text(opened, recipe.load_data(split)), seed)


def scored_examples(opened: Run, model: Model, data: str | None, split: str, seed: int) -> Examples:
    """A split of named data, or all rows of a file, all pictures of a folder."""
    place = None if data is None else Path(data)
    if place is None or ":" in str(place):
        return examples_of(opened, model, data, split, seed)
    if place.is_dir():
        return _of(opened, model, _pictures(opened, model, place), seed)
    if place.suffix in (".npy", ".npz"):
        return _rows(opened, model, place)
    if opened.vocabulary is not None and place.is_file():
        pieces = pieces_of(place, opened.event_shape[0], opened.vocabulary)
        text = Dataset(str(place), "test", **pieces)
        if (rest := int(pieces["lengths"][-1])) < opened.event_shape[0] and len(text) > 1:
            warnings.warn(
                f"{place}: its end, {rest} characters or bytes, is shorter than the pieces of "
                f"{opened.event_shape[0]}, and not scored",
                stacklevel=3,
            )
        return _of(opened, model, _known_text(opened, text), seed)
    if place.suffix in SUFFIXES:
        return _of(opened, model, table_of(opened, model, place), seed)
    if place.is_file():
        raise ValueError(
            f"{place}: expected an .npy, .npz, .csv or .parquet file, a folder of pictures, or, "
            f"for a run of text, a text"
        )
    if place.suffix or len(place.parts) > 1:
        raise FileNotFoundError(f"expected data, found no file or folder {place}")
    return examples_of(opened, model, data, split, seed)


def _rows(opened: Run, model: Model, place: Path) -> Examples:
    """All examples in a file of an array."""
    if model.context_shape is not None:
        raise ValueError(
            f"score: the model of {opened.path} needs a context for each example, and {place} has "
            f"none; name the data by a spec that has labels"
        )
    x = load_array(place)
    if x.size == math.prod(x.shape[:1]) * math.prod(opened.event_shape):
        x = x.reshape(x.shape[:1] + opened.event_shape)
    return Examples(np.arange(len(x)), x, None)


def _known_text(opened: Run, data: Dataset) -> Dataset:
    """A text in the numbers that its characters had in training; other data as they are."""
    if opened.vocabulary is None:
        return data
    data = data.in_vocabulary(opened.vocabulary)
    if opened.vocabulary.characters is not None and data.lengths is not None:
        there = np.arange(data.event_shape[0]) < data.lengths[:, None]  # what is no padding
        if share := float(np.mean(data.x[there] == 0)):
            warnings.warn(
                f"{share:.2%} of the characters of {data.name} are none of the training text: they "
                f"are scored as one and the same unknown character",
                stacklevel=4,
            )
    return data


def _pictures(opened: Run, model: Model, folder: Path) -> Dataset:
    """All pictures of a folder, as the run knows its own; for a model of classes, by subfolder."""
    kind, _, own = opened.recipe.data.partition(":")
    x = pictures_of(folder, place_and_side(own)[1] if kind == "images" else None)
    y, classes = None, opened.classes
    if model.context_shape is not None:
        known = classes or ()
        for path in x.paths:
            if path.parent.name not in known:
                raise ValueError(
                    f"{path}: expected a picture in the folder of a class that the model knows "
                    f"({', '.join(known) or 'none has a name'})"
                )
        y = np.array([known.index(path.parent.name) for path in x.paths])
    data = Dataset(str(folder), "test", x, y, levels=256, classes=None if y is None else classes)
    shape = list(opened.event_shape)
    return dataclasses.replace(opened.recipe, event_shape=shape).as_known(data)


def _of(opened: Run, model: Model, data: Dataset, seed: int) -> Examples:
    labels = opened.labels(model, data)
    if data.columns is not None and data.observed is None:
        with naming_columns(data.columns):
            model.check_data(data.x)
    if model.context_shape is not None and labels is None:
        raise ValueError(f"expected data with labels for a conditional model, got {data.name}")
    x, numbers = whole_examples(model, data, labels, seed), np.arange(len(data))
    files = data.x.paths if isinstance(data.x, StoredImages) else None
    context = None if labels is None else jax.numpy.asarray(labels)
    if data.lengths is not None:
        numbers = np.flatnonzero(data.lengths == data.event_shape[0])
        if not len(numbers):
            raise ValueError(
                f"expected whole examples of length {data.event_shape[0]}, got shorter ones alone "
                f"in {data.name}"
            )
        x, context = x[numbers], None if context is None else context[numbers]
        if len(numbers) < len(data) - 1:  # what is left of a text is shorter, always
            warnings.warn(
                f"{len(data) - len(numbers)} of {len(data)} examples of {data.name} "
                f"({data.split}) are shorter than the others, and left out: their scores would "
                f"not compare",
                stacklevel=4,
            )
    missing = None if data.observed is None else (~data.observed).reshape(len(data), -1).sum(axis=1)
    return Examples(numbers, x, context, files, missing)


def halves(opened: Run, model: Model, seed: int) -> tuple[Examples, Examples]:
    """Two halves of the validation split, by turns."""
    valid = examples_of(opened, model, None, "valid", seed)
    if len(valid.x) < 4:
        raise ValueError(f"expected 4 validation examples or more, got {len(valid.x)}")
    return valid.rows(slice(0, None, 2)), valid.rows(slice(1, None, 2))
