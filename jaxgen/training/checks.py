"""What training refuses: data that do not fit the model, or each other, and the rest of it."""

import functools
import inspect
from collections.abc import Sequence
from typing import Any

import numpy as np
from flax import nnx
from jax import Array
from jax.sharding import Mesh

from jaxgen.core import ShapeError, described, naming_columns, needs_calibration
from jaxgen.data.batching import batch_indices
from jaxgen.data.columns import refuse_lost
from jaxgen.models import Model
from jaxgen.training.objectives import Batch
from jaxgen.training.optimizers import Optimizer, as_transformation, check_optimizer
from jaxgen.training.rows import looked_at, num_examples, without_padding
from jaxgen.training.settings import TrainSettings
from jaxgen.training.stopping import Callback, check_callbacks


def check_inputs(
    model: Model,
    train: Batch,
    valid: Batch | None,
    settings: TrainSettings,
    optimizer: Optimizer | None = None,
    names: Sequence[str] | None = None,
) -> None:
    """Refuses what :func:`fit` cannot train on; ``names`` are of the columns of the data, if any.

    Raises:
        ValueError: saying what was expected and what came.
    """
    check_data(model, looked_at(train), None if valid is None else looked_at(valid), names)
    batch_indices(settings.seed, 0, 1, num_examples(train, settings), settings.batch_size)
    check_optimizer(as_transformation(optimizer, settings), nnx.state(model, nnx.Param))


def check_arguments(
    model: Any,
    settings: Any,
    objective: Any,
    mesh: Any,
    callbacks: Sequence[Callback],
) -> None:
    """Refuses arguments of :func:`fit` that are something else.

    Raises:
        TypeError: naming the argument, what was expected and what came.
    """
    kinds = {"model": (model, Model), "settings": (settings, TrainSettings)}
    if mesh is not None:
        kinds["mesh"] = (mesh, Mesh)
    for name, (value, kind) in kinds.items():
        if not isinstance(value, kind):
            raise TypeError(f"fit: expected a {kind.__name__} for {name}, got {described(value)}")
    if not callable(objective):
        raise TypeError(
            f"fit: expected a function (model, batch, key) -> loss for objective, got "
            f"{described(objective)}"
        )
    try:
        function, args, named = objective, (), {}
        if isinstance(objective, functools.partial):  # whose own signature says less of mistakes
            function, args, named = objective.func, objective.args, objective.keywords
        inspect.signature(function).bind(*args, None, None, None, **named)
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"fit: expected a function (model, batch, key) -> loss for objective, got "
            f"{_name_of(objective)}: {error}; further arguments are given by "
            f"functools.partial(objective, name=value)"
        ) from None
    check_callbacks(callbacks)


def _name_of(function: Any) -> str:
    """The name of a function, also of one whose arguments are partly given."""
    if isinstance(function, functools.partial):
        given = ", ".join(f"{name}={value!r}" for name, value in function.keywords.items())
        return f"{_name_of(function.func)}({given})"
    return getattr(function, "__name__", type(function).__name__)


def check_data(
    model: Model, train: Batch, valid: Batch | None, names: Sequence[str] | None = None
) -> None:
    """Refuses data that do not fit the model, or each other, or lose their content in float32.

    Raises:
        ValueError: saying which data, what was expected and what came.
    """
    if _are_contexts(model, train, valid):
        raise ValueError(
            f"the validation data are of the shape of contexts, {model.context_shape}, and the "
            f"training data hold none; contexts go with their examples: fit(model, (x, context)), "
            f"or Batch(x, context)"
        )
    splits = {"training": train} if valid is None else {"training": train, "validation": valid}
    for name, batch in splits.items():
        with naming_columns(names):
            _check_split(model, batch, name, required=batch is valid or needs_calibration(model))
        if batch.x is not None and model.levels is None:
            refuse_lost(batch.x, names, f"the {name} data")
        if batch.context is not None:
            refuse_lost(batch.context, None, f"the contexts of the {name} data")


def _are_contexts(model: Model, train: Batch, valid: Batch | None) -> bool:
    """Whether someone gave contexts where validation data belong."""
    if valid is None:
        return False
    if model.context_shape is None or train.context is not None or valid.context is not None:
        return False
    if train.x is None or valid.x is None or model.context_shape == model.event_shape:
        return False
    return valid.x.shape == (len(train.x), *model.context_shape)


def _check_split(model: Model, batch: Batch, name: str, *, required: bool) -> None:
    if batch.x is not None:
        _check_shape(model, batch.x, name)
        if batch.context is None and model.context_shape is not None:
            raise ShapeError(
                f"the {name} data hold no contexts: this is a conditional model; expected a "
                f"context of shape {model.context_shape} for each example, as (x, context)"
            )
    elif required:
        raise ValueError(
            f"the {name} data hold no examples, got None; expected (n, {model.event_shape})"
        )
    count = _count(batch, name)
    if batch.lengths is not None:
        if batch.x is None or batch.lengths.shape != (count,):
            raise ValueError(
                f"the {name} data: expected a length for each example, got lengths of shape "
                f"{batch.lengths.shape}; the parts of a tuple are (x, context, lengths, weights, "
                f"observed)"
            )
        lengths = np.asarray(batch.lengths)
        model.check_lengths(lengths)
        if not lengths.any():
            raise ValueError(
                f"the {name} data: expected lengths of 1 or more, got {len(lengths)} of 0, which "
                f"leave nothing of any example"
            )
    x = without_padding(batch).x
    if x is not None:
        model.check_data(x)
    if batch.weights is not None and batch.weights.shape != (count,):
        raise ValueError(
            f"the {name} data: expected a weight for each of {count} examples, got weights of "
            f"shape {batch.weights.shape}"
        )
    if batch.weights is not None and not np.any(batch.weights):
        raise ValueError(
            f"the {name} data: expected a weight above 0, got {count} examples of weight 0, such "
            f"as a part that was held out may consist of"
        )
    if batch.context is not None:
        if not np.isfinite(batch.context).all():
            raise ValueError(f"the contexts of the {name} data hold NaN or infinite values")
        shape = model.context_shape
        if shape is not None and batch.context.shape != (count, *shape):
            expected = ", ".join(["n", *map(str, shape)])
            raise ShapeError(
                f"the contexts of the {name} data: expected shape ({expected}), got "
                f"{batch.context.shape}"
            )
        model.check_context(batch.context)


def _count(batch: Batch, name: str) -> int:
    """How many examples, or else contexts, there are; each with the other."""
    for what, value in (("examples", batch.x), ("contexts", batch.context)):
        if value is not None and value.ndim == 0:
            raise ShapeError(f"the {name} data: expected many {what}, got the number {value}")
    if batch.x is None:
        return 0 if batch.context is None else len(batch.context)
    if batch.context is not None and len(batch.context) != len(batch.x):
        raise ValueError(
            f"the {name} data hold {len(batch.x)} examples, but {len(batch.context)} contexts"
        )
    return len(batch.x)


def _check_shape(model: Model, x: np.ndarray | Array, name: str) -> None:
    expected = ", ".join(["n", *map(str, model.event_shape)])
    if x.ndim != 1 + len(model.event_shape):
        raise ShapeError(f"the {name} data: expected shape ({expected}), got {x.shape}")
    if len(x) == 0:
        raise ValueError(f"the {name} data are empty: expected (n, {model.event_shape})")
