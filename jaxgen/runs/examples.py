"""Examples of a run's own data, and of others, in the shape that its model takes."""

import dataclasses
import math
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxgen.core import Context
from jaxgen.data import Dataset
from jaxgen.data.images import StoredImages, pictures_of, place_and_side
from jaxgen.data.npz import load_array
from jaxgen.data.tables import SUFFIXES
from jaxgen.models import Model
from jaxgen.runs.directory import Run, labels_of
from jaxgen.runs.tables import completed, table_of


class Examples(NamedTuple):
    """Examples, their contexts, and the files that they are from, if each has its own."""

    x: np.ndarray
    context: Context
    files: list[Path] | None = None

    def rows(self, rows: slice) -> "Examples":
        """Some of them."""
        return Examples(
            self.x[rows],
            None if self.context is None else self.context[rows],
            None if self.files is None else self.files[rows],
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
    return completed(model, data.x, data.observed, labels, seed, 1)[0]


def examples_of(opened: Run, model: Model, data: str | None, split: str, seed: int) -> Examples:
    """A split of a run's data, or of others in the shape of its examples."""
    if data is None:
        return _of(model, opened.load_data(split), seed)
    shape = list(opened.event_shape)
    recipe = dataclasses.replace(opened.recipe, data=data, event_shape=shape)
    return _of(model, recipe.load_data(split), seed)


def scored_examples(opened: Run, model: Model, data: str | None, split: str, seed: int) -> Examples:
    """A split of named data, or all rows of a file, all pictures of a folder."""
    place = None if data is None else Path(data)
    of_rows = place is not None and place.suffix in (".npy", ".npz", *SUFFIXES)
    if data is None or ":" in data or not (of_rows or Path(data).is_dir()):
        return examples_of(opened, model, data, split, seed)
    if model.context_shape is not None:
        raise ValueError(
            f"score: the model of {opened.path} needs a context for each example, and {data} has "
            f"none; name the data by a spec that has labels"
        )
    if Path(data).is_dir():
        kind, _, own = opened.recipe.data.partition(":")
        side = place_and_side(own)[1] if kind == "images" else None
        recipe = dataclasses.replace(opened.recipe, event_shape=list(opened.event_shape))
        pictures = Dataset(data, "test", pictures_of(Path(data), side), levels=256)
        return _of(model, recipe.as_known(pictures), seed)
    if Path(data).suffix in SUFFIXES:
        return _of(model, table_of(opened, data), seed)
    x = load_array(Path(data))
    if x.size == math.prod(x.shape[:1]) * math.prod(opened.event_shape):
        x = x.reshape(x.shape[:1] + opened.event_shape)
    return Examples(x, None)


def _of(model: Model, data: Dataset, seed: int) -> Examples:
    if data.lengths is not None:
        raise ValueError(f"expected whole examples, got {data.name}, which have lengths")
    labels = labels_of(model, data)
    if model.context_shape is not None and labels is None:
        raise ValueError(f"expected data with labels for a conditional model, got {data.name}")
    x = whole_examples(model, data, labels, seed)
    files = data.x.paths if isinstance(data.x, StoredImages) else None
    return Examples(x, None if labels is None else jax.numpy.asarray(labels), files)


def halves(opened: Run, model: Model, seed: int) -> tuple[Examples, Examples]:
    """Two halves of the validation split, by turns."""
    valid = examples_of(opened, model, None, "valid", seed)
    if len(valid.x) < 4:
        raise ValueError(f"expected 4 validation examples or more, got {len(valid.x)}")
    return valid.rows(slice(0, None, 2)), valid.rows(slice(1, None, 2))
