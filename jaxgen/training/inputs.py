"""What training is given, as batches of arrays, and what it refuses."""

import math
from typing import Any

import jax
import numpy as np
from flax import nnx
from jax import Array

from jaxgen.core import ShapeError, needs_calibration
from jaxgen.data.batching import batch_indices
from jaxgen.models import Model
from jaxgen.training.objectives import Batch
from jaxgen.training.optimizers import Optimizer, as_transformation, check_optimizer
from jaxgen.training.settings import TrainSettings


def as_batch(data: Any) -> Batch | None:
    """Examples, or a tuple of a batch's parts, as a :class:`Batch` of NumPy arrays."""
    if data is None:
        return None
    parts = data if isinstance(data, tuple) else (data,)
    return Batch(*(None if part is None else np.asarray(part) for part in parts))


def num_examples(data: Batch, settings: TrainSettings) -> int:
    """How many rows there are to draw batches from; one batch of nothing if there are no data."""
    arrays = jax.tree.leaves(data)
    return len(arrays[0]) if arrays else settings.batch_size


def take_rows(data: Batch, rows: np.ndarray) -> Batch:
    """These examples of a batch."""
    return jax.tree.map(lambda array: array[rows], data)


def mean_size(model: Model, data: Batch) -> float:
    """The mean number of values that an example holds, padding left out."""
    return math.prod(model.event_shape) if data.lengths is None else float(np.mean(data.lengths))


def check_inputs(
    model: Model,
    train: Batch,
    valid: Batch | None,
    settings: TrainSettings,
    optimizer: Optimizer | None = None,
) -> None:
    """Refuses what :func:`fit` cannot train on.

    Raises:
        ValueError: saying what was expected and what came.
    """
    check_data(model, train, valid)
    batch_indices(settings.seed, 0, 1, num_examples(train, settings), settings.batch_size)
    check_optimizer(as_transformation(optimizer, settings), nnx.state(model, nnx.Param))


def check_data(model: Model, train: Batch, valid: Batch | None) -> None:
    """Refuses data that do not fit the model, or each other.

    Raises:
        ValueError: saying what was expected and what came.
    """
    for name, batch in (("training", train), ("validation", valid)):
        if batch is None:
            continue
        if batch.x is not None:
            _check_examples(model, batch.x, name)
        elif batch is valid or needs_calibration(model):
            raise ValueError(
                f"the {name} data hold no examples, got None; expected (n, {model.event_shape})"
            )
        if batch.lengths is not None:
            if batch.x is None or batch.lengths.shape != (len(batch.x),):
                raise ValueError(
                    f"the {name} data: expected a length for each example, got lengths of shape "
                    f"{batch.lengths.shape}"
                )
            model.check_lengths(np.asarray(batch.lengths))
        if batch.context is None:
            continue
        if batch.x is not None and len(batch.context) != len(batch.x):
            raise ValueError(
                f"the {name} data hold {len(batch.x)} examples, but {len(batch.context)} contexts"
            )
        if not np.isfinite(batch.context).all():
            raise ValueError(f"the contexts of the {name} data hold NaN or infinite values")
        model.check_context(batch.context)


def _check_examples(model: Model, x: np.ndarray | Array, name: str) -> None:
    if len(x) == 0:
        raise ValueError(f"the {name} data are empty: expected (n, {model.event_shape})")
    if x.ndim != 1 + len(model.event_shape):
        expected = ", ".join(["n", *map(str, model.event_shape)])
        raise ShapeError(f"the {name} data: expected shape ({expected}), got {x.shape}")
    model.check_data(x)
