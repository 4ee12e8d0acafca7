"""One training step: jitted over a mesh, many per dispatch, and under ``pmap``."""

import inspect
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jax import Array
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from jaxgen.core import ShapeError, described, partition
from jaxgen.models import Model
from jaxgen.training.objectives import Batch, Objective
from jaxgen.training.state import TrainState

Metrics = dict[str, Array]
Step = Callable[[TrainState, Batch], tuple[TrainState, Metrics]]


def make_step(
    objective: Objective,
    optimizer: optax.GradientTransformation,
    ema_decay: float = 0.99,
    *,
    axis_name: str | None = None,
    accumulate_steps: int = 1,
) -> Step:
    """A pure function ``(state, batch) -> (state, metrics)``; it does not jit itself.

    Args:
        objective: ``(model, batch, key) -> loss``; with an argument ``step`` it gets the number of
            the step.
        optimizer: an optax optimizer of the model's ``nnx.Param`` leaves.
        ema_decay: decay of the moving average of the parameters.
        axis_name: the mapped axis over which gradients are averaged, under ``pmap``.
        accumulate_steps: parts of the batch that are gone through one after the other; part ``i``
            has every so manyth row, from the ``i``-th on, and the key ``fold_in(key, i)``.

    Returns:
        The step. Its metrics are ``loss`` and ``grad_norm`` (before clipping).

    >>> from jaxgen import zoo
    >>> from jaxgen.training import negative_log_likelihood
    >>> model, optimizer = zoo.made((4,), hidden=(2,), rngs=nnx.Rngs(0)), optax.adam(1e-3)
    >>> state = TrainState.create(model, optimizer, jax.random.key(0))
    >>> step = jax.jit(make_step(negative_log_likelihood, optimizer))
    >>> state, metrics = step(state, Batch(jnp.zeros((8, 4), int)))
    >>> int(state.step), sorted(metrics)
    (1, ['grad_norm', 'loss'])
    """

    loss_at = at_step(objective)

    def step(state: TrainState, batch: Batch) -> tuple[TrainState, Metrics]:
        params, rebuild = partition(state.model)
        key = jax.random.fold_in(state.key, state.step)
        if axis_name is not None:
            key = jax.random.fold_in(key, jax.lax.axis_index(axis_name))

        @jax.value_and_grad
        def loss_of(params: nnx.State, batch: Batch, key: Array) -> Array:
            return _scalar(loss_at(rebuild(params), batch, key, state.step))

        if accumulate_steps == 1:
            loss, grads = loss_of(params, batch, key)
        else:
            loss, grads = _mean_of_parts(loss_of, params, batch, key, accumulate_steps)
        if axis_name is not None:
            loss, grads = jax.lax.pmean((loss, grads), axis_name)
        updates, opt_state = optimizer.update(grads, state.opt_state, params)
        params = optax.apply_updates(params, updates)
        # Ramped up, so that the average does not remember the initial parameters for long.
        count = state.step.astype(jnp.float32)
        decay = jnp.minimum(ema_decay, (1.0 + count) / (10.0 + count))
        ema = jax.tree.map(lambda old, new: old + (1.0 - decay) * (new - old), state.ema, params)
        new = TrainState(rebuild(params), ema, opt_state, state.step + 1, state.key)
        return new, {"loss": loss, "grad_norm": optax.tree.norm(grads)}

    return step


def at_step(objective: Objective) -> Callable[[Model, Batch, Array, Array | int], Any]:
    """An objective of a model, a batch, a key and the step, whether it asks for that or not."""
    if "step" in inspect.signature(objective).parameters:
        return lambda model, batch, key, step: objective(model, batch, key, step=step)
    return lambda model, batch, key, step: objective(model, batch, key)


def _mean_of_parts(
    loss_of: Callable[..., Any], params: nnx.State, batch: Batch, key: Array, count: int
) -> Any:
    """The mean loss and gradient of parts of a batch, one of which is in memory at a time."""

    def rows_of_parts(array: Any) -> Array:
        # Every count-th row: cut over devices, each has its share of every part.
        array = jnp.asarray(array)
        return array.reshape(-1, count, *array.shape[1:]).swapaxes(0, 1)

    def body(total: Any, part: Any) -> tuple[Any, None]:
        index, rows = part
        found = loss_of(params, rows, jax.random.fold_in(key, index))
        return jax.tree.map(jnp.add, total, found), None

    parts = (jnp.arange(count), jax.tree.map(rows_of_parts, batch))
    first = jax.tree.map(lambda part: part[0], parts)
    shapes = jax.eval_shape(lambda part: loss_of(params, part[1], key), first)
    zeros = jax.tree.map(lambda shape: jnp.zeros(shape.shape, shape.dtype), shapes)
    total, _ = jax.lax.scan(body, zeros, parts)
    return jax.tree.map(lambda value: value / count, total)


def _scalar(loss: Any) -> Array:
    """The loss, which must be one real number."""
    array = isinstance(loss, Array)
    if array and loss.shape != ():
        raise ShapeError(f"objective: expected a scalar loss, got shape {loss.shape}")
    if not isinstance(loss, float) and not (array and jnp.issubdtype(loss.dtype, jnp.floating)):
        raise ShapeError(f"objective: expected a scalar loss, got {described(loss)}")
    return jnp.asarray(loss)


def make_steps(
    step: Step, mesh: Mesh, placed: Any = None, *, streamed: bool = False
) -> Callable[..., tuple[TrainState, Metrics]]:
    """Many steps in one dispatch, over a mesh with the axis ``"data"``.

    The result is called as ``run(state, data, indices)``: ``data`` is a :class:`Batch` of examples
    that stay on the device, ``indices`` ``(num_steps, batch_size)`` says which rows each step sees.
    The state is donated. Batches are split over the mesh; XLA inserts the averaging of gradients.
    Metrics come back as arrays ``(num_steps,)``.

    Args:
        step: see :func:`make_step`.
        mesh: the devices.
        placed: how the state lies, see :func:`~jaxgen.training.sharding.shardings`; on every
            device whole if None.
        streamed: for data that do not stay: ``data`` are the batches themselves then, arrays
            ``(num_steps, batch_size, ...)`` that lie as ``PartitionSpec(None, "data")`` says, and
            ``indices`` None.
    """
    replicated = NamedSharding(mesh, PartitionSpec())
    placed = replicated if placed is None else placed
    split = NamedSharding(mesh, PartitionSpec("data"))
    batches = NamedSharding(mesh, PartitionSpec(None, "data"))

    def run(state: TrainState, data: Batch, indices: Array | None) -> tuple[TrainState, Metrics]:
        def body(state: TrainState, rows: Any) -> tuple[TrainState, Metrics]:
            batch = rows if streamed else jax.tree.map(lambda array: array[rows], data)
            return step(state, jax.lax.with_sharding_constraint(batch, split))

        return jax.lax.scan(body, state, data if streamed else indices)

    return jax.jit(
        run,
        donate_argnums=0,
        in_shardings=(placed, batches if streamed else replicated, replicated),
        out_shardings=(placed, replicated),
    )


def make_pmap_step(
    objective: Objective, optimizer: optax.GradientTransformation, ema_decay: float = 0.99
) -> Callable[[TrainState, Batch], tuple[TrainState, Metrics]]:
    """A step under ``jax.pmap``: state and batch carry a leading axis of devices.

    Every device keeps an equal copy of the state, sees its own part of the batch and draws its own
    noise; gradients and losses are averaged over the devices, so the copies stay equal. The state
    is donated. (``pmap`` is in maintenance upstream; :func:`make_steps` is what
    :func:`~jaxgen.training.fit` uses.)

    Args:
        objective: ``(model, batch, key) -> loss``.
        optimizer: an optax optimizer of the model's ``nnx.Param`` leaves.
        ema_decay: decay of the moving average of the parameters.

    Returns:
        The step, compiled when it is first called. Every leaf of its state, batch and metrics has
        the shape ``(devices, ...)``.

    Sharding over the leading axis puts each copy, and each part of the batch, where it is used:

    >>> from jaxgen.models import DiagonalNormal
    >>> from jaxgen.training.objectives import negative_log_likelihood
    >>> devices = jax.local_devices()
    >>> sharding = NamedSharding(Mesh(devices, ("devices",)), PartitionSpec("devices"))
    >>> def replicate(leaf):
    ...     return jax.device_put(jnp.broadcast_to(leaf, (len(devices), *leaf.shape)), sharding)
    >>> def split(array):
    ...     return jax.device_put(array.reshape(len(devices), -1, *array.shape[1:]), sharding)
    >>> optimizer = optax.adam(1e-2)
    >>> state = TrainState.create(DiagonalNormal((2,)), optimizer, jax.random.key(0))
    >>> batch = Batch(jnp.ones((4 * len(devices), 2)))
    >>> step = make_pmap_step(negative_log_likelihood, optimizer)
    >>> replicas, metrics = step(jax.tree.map(replicate, state), jax.tree.map(split, batch))

    The copies are equal, so the first of each is the result:

    >>> state, metrics = jax.tree.map(lambda leaf: leaf[0], (replicas, metrics))
    >>> int(state.step), round(float(metrics["loss"]), 4)  # log 2 pi + 1
    (1, 2.8379)
    """
    step = make_step(objective, optimizer, ema_decay, axis_name="devices")
    return jax.pmap(step, axis_name="devices", donate_argnums=0)
