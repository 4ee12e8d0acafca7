"""Batches by their rows: how many there are, some of them, a part held out, the typical ones."""

import math
from typing import Any

import jax
import numpy as np

from jaxgen.core.stored import Stored
from jaxgen.models import Model
from jaxgen.models.padding import filled
from jaxgen.training.objectives import Batch
from jaxgen.training.settings import TrainSettings


def num_examples(data: Batch, settings: TrainSettings) -> int:
    """How many rows there are to draw batches from; one batch of nothing if there are no data."""
    arrays = jax.tree.leaves(data)
    return len(arrays[0]) if arrays else settings.batch_size


def take_rows(data: Batch, rows: np.ndarray) -> Batch:
    """These examples of a batch."""
    return jax.tree.map(lambda array: array[rows], data)


def kept_rows(data: Batch, rows: np.ndarray) -> Batch:
    """These examples of a batch; those that are stored stay so."""
    return jax.tree.map(
        lambda array: array.at(rows) if isinstance(array, Stored) else array[rows], data
    )


def stored_in(data: Batch) -> list[Stored]:
    """The examples, and what belongs to them, that are read when they are needed."""
    parts: list[Any] = list(data)
    return [array for array in parts if isinstance(array, Stored)]


def looked_at(data: Batch) -> Batch:
    """A batch for what has to know all examples: of those that are stored a sample."""
    stored = stored_in(data)
    return take_rows(data, stored[0].sampled_rows()) if stored else data


def without_padding(data: Batch) -> Batch:
    """A batch for what looks at data without knowing of lengths: padding holds others' values."""
    if data.x is None or data.lengths is None:
        return data
    return data._replace(x=filled(data.x, np.asarray(data.lengths)))


def mean_size(model: Model, data: Batch) -> float:
    """The mean number of values that an example holds, padding and what is missing left out."""
    if data.observed is not None:
        share = float(np.mean(data.observed))
        return share * math.prod(model.event_shape)
    if data.lengths is None:
        return math.prod(model.event_shape)
    return float(np.mean(data.lengths)) * math.prod(model.event_shape[1:])


def hold_out(data: Batch, fraction: float, count: int, seed: int) -> tuple[Batch, Batch]:
    """The rows to train on, and a random part of all, at least one row, to validate on.

    Both keep the order that the rows had; the same seed holds out the same ones.

    Raises:
        ValueError: if nothing is left to train on.
    """
    size = max(1, round(fraction * count))
    if size >= count:
        raise ValueError(
            f"valid={fraction}: expected more than {size} examples to hold out {size}, got {count}"
        )
    # Not the generator of the seed alone, whose permutation orders the first epoch.
    rows = np.random.default_rng([seed, count, size]).permutation(count)
    return kept_rows(data, np.sort(rows[size:])), kept_rows(data, np.sort(rows[:size]))


def typical_rows(data: Batch, count: int, seed: int) -> np.ndarray:
    """As many rows as there are, in random order, each as often as its weight says.

    What looks at data without knowing of weights, such as the initialisation of a layer, sees them
    so. Without weights they are all the rows, each once.
    """
    order = np.random.default_rng(seed).permutation(count)
    if data.weights is None:
        return order
    ends = np.cumsum(data.weights, dtype=np.float64)
    # Evenly spaced over the total weight: a row of weight 2 is hit twice, one of 0 never.
    places = (np.arange(count) + 0.5) * (ends[-1] / count)
    return np.searchsorted(ends, places)[order]
