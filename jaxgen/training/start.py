"""The state that training starts from: layers initialised from data, arrays on their devices."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jax import Array
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from jaxgen.core import needs_calibration
from jaxgen.models import Model
from jaxgen.training.augment import as_seen
from jaxgen.training.objectives import Batch, Objective
from jaxgen.training.rows import looked_at, take_rows, typical_rows, without_padding
from jaxgen.training.settings import TrainSettings
from jaxgen.training.sharding import placed_at, shardings
from jaxgen.training.state import TrainState

# The statistics of layers such as batch normalisation are taken from this many training examples,
# or all there are: in one pass, which has to fit the device.
CALIBRATION_EXAMPLES = 10_000

Calibrate = Callable[[Model], Model]


class Start(NamedTuple):
    """A training before its first step.

    ``placed`` says how ``state`` lies on the mesh, ``calibrate`` makes a model fit for evaluation,
    and ``context`` are those of the examples that layers were initialised from.
    """

    state: TrainState
    placed: TrainState
    calibrate: Calibrate
    context: Any


def started(
    model: Model,
    train: Batch,
    count: int,
    objective: Objective,
    optimizer: optax.GradientTransformation,
    settings: TrainSettings,
    mesh: Mesh,
    init_key: Array,
    train_key: Array,
) -> Start:
    """The start of a training.

    Args:
        model: as it was given.
        train, count: the training data, and how many examples they are.
        objective: by which the model may see them augmented.
        optimizer, settings: of the training.
        mesh: the devices.
        init_key: of what layers draw that are initialised from data.
        train_key: of the noise of all steps.
    """
    rows = typical_rows(train, count, settings.seed)
    plain = without_padding(train)
    first = as_seen(objective, take_rows(plain, rows[: settings.init_batch_size]))
    typical = looked_at(plain) if train.weights is None else take_rows(plain, rows)
    whole = as_seen(objective, typical)
    everywhere = NamedSharding(mesh, PartitionSpec())
    if not mesh.is_multi_process:  # numbers of the host do not mix with arrays of several
        # As the model of an earlier training is: what follows is compiled for where its arrays are.
        model = placed_at(model, everywhere)
    model = placed_at(model.standardize(whole.x, whole.context), everywhere)
    if first.x is not None:
        model = jax.jit(type(model).initialize)(model, first.x, init_key, first.context)
    seen = as_seen(objective, take_rows(plain, rows[:CALIBRATION_EXAMPLES]))
    calibrate = _calibration(model, seen, init_key)
    # Cut before it is copied for the average and the optimizer: no device holds all of those.
    fsdp = settings.sharding == "fsdp"
    model = placed_at(model, shardings(model, mesh, fsdp=fsdp))
    state = TrainState.create(model, optimizer, train_key)
    placed = shardings(state, mesh, fsdp=fsdp)
    return Start(placed_at(state, placed), placed, calibrate, first.context)


def _calibration(model: Model, data: Batch, key: Array) -> Calibrate:
    """What makes a model of this structure fit for evaluation: nothing, for most models."""
    if not needs_calibration(model):
        return lambda model: model
    run = jax.jit(type(model).calibrate)
    start = [np.asarray(leaf) for leaf in jax.tree.leaves(nnx.state(model, nnx.Param))]

    def calibrate(model: Model) -> Model:
        # Statistics are stale once a parameter has changed, and not before.
        now = jax.tree.leaves(nnx.state(model, nnx.Param))
        if all(bool(jnp.array_equal(*pair)) for pair in zip(start, now, strict=True)):
            return model
        return run(model, data.x, key, data.context)

    return calibrate
