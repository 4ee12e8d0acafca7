"""The training loop."""

import dataclasses
import math
import numbers
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from tqdm import tqdm

from jaxgen.core import needs_calibration
from jaxgen.data.batching import batch_indices
from jaxgen.models import Model
from jaxgen.training.checkpoints import Checkpoints
from jaxgen.training.checks import check_arguments, check_inputs
from jaxgen.training.claims import kept_in
from jaxgen.training.columns import warn_of_columns
from jaxgen.training.compiled import steps_for
from jaxgen.training.inputs import Given, as_given
from jaxgen.training.metrics import MetricsLog
from jaxgen.training.objectives import Batch, Objective, named_objective, negative_log_likelihood
from jaxgen.training.objectives.names import has_name
from jaxgen.training.optimizers import Optimizer, as_transformation
from jaxgen.training.round_trip import warn_unless_invertible
from jaxgen.training.rows import (
    hold_out,
    mean_size,
    num_examples,
    take_rows,
    typical_rows,
    without_padding,
)
from jaxgen.training.saved import SavedModel
from jaxgen.training.settings import TrainSettings
from jaxgen.training.state import TrainState, with_params
from jaxgen.training.steps import data_mesh
from jaxgen.training.stopping import Best, Callback, Interrupt, told_to_stop
from jaxgen.training.validation import Validation

# Data up to this size live on the device; larger sets are sent a dispatch at a time.
DEVICE_DATA_BYTES = 2 * 1024**3

# The statistics of layers such as batch normalisation are taken from this many training examples,
# or all there are: in one pass, which has to fit the device.
CALIBRATION_EXAMPLES = 10_000


class NonFiniteLossError(FloatingPointError):
    """The loss or its gradient became NaN or infinite."""


@dataclasses.dataclass(frozen=True, repr=False)
class FitResult:
    """What training gives back.

    ``model`` has the averaged parameters that were best in validation (the last ones without
    validation data), ``state`` is the final training state, ``history`` are the logged rows,
    ``best_step`` is where ``model`` comes from, and ``interrupted`` says that Ctrl-C ended it.
    ``model`` is calibrated (:meth:`Model.calibrate <jaxgen.models.Model.calibrate>`); the model in
    ``state`` is as training uses it.
    """

    model: Model
    state: TrainState
    history: list[dict[str, Any]]
    best_step: int
    interrupted: bool

    def __repr__(self) -> str:
        last = self.history[-1] if self.history else None
        return (
            f"FitResult(best_step={self.best_step}, interrupted={self.interrupted}, "
            f"model={self.model!r}, last of {len(self.history)} rows of history={last})"
        )


def fit(
    model: Model,
    train: Any = None,
    valid: Any = None,
    settings: TrainSettings | None = None,
    *,
    out: Path | str | None = None,
    objective: Objective | str = negative_log_likelihood,
    optimizer: Optimizer | None = None,
    callbacks: Sequence[Callback] = (),
    mesh: Mesh | None = None,
    progress: bool = True,
) -> FitResult:
    """Trains a model by stochastic gradient descent.

    With ``out``, checkpoints and metrics are written there, and calling it again with the same
    arguments goes on from the last checkpoint to exactly the parameters of an uninterrupted run:
    a batch is a function of the seed and the step, and so is the noise of a step. Other data or
    settings, be it the number of steps, would be another training, and are refused; to train a
    model further, train ``result.model``.

    A model with batch normalisation is calibrated before every validation, and before it is saved
    or returned, on ``CALIBRATION_EXAMPLES`` of the training data.

    A second training of the same kind (the same settings and shapes) takes the compiled steps of
    the first; with an objective or an optimizer of one's own they are compiled again.

    Args:
        model: what to train; it is left as it is.
        train: examples ``(n, *event_shape)``: an array, or a table with ``columns`` (a data frame);
            with more to each, a tuple ``(x, context)``, a dictionary of ``x``, ``context`` or
            ``labels``, ``lengths``, ``weights`` and ``observed``, a :class:`Batch`, or a
            :class:`~jaxgen.data.Dataset`. Integer labels ``(n,)`` become their one-hot where that
            is what the model takes. Weights, of any scale, say how much each example counts: in
            the likelihood, in validation, and in what layers are initialised from. Booleans
            ``observed``, such as ``~np.isnan(x)``, say what is known of rows with missing values,
            for a model that knows the density of any part of an event. An objective
            that looks at no data (:func:`reverse_kl`) takes None, or the contexts alone as
            ``Batch(context=contexts)``; nothing is initialised from data then.
        valid: the same for validation; a fraction between 0 and 1 of the training data, which
            is held out, chosen by the seed; or None.
        settings: see :class:`TrainSettings`.
        out: the run directory, from which :func:`jaxgen.load` gives the model back; or None to
            keep nothing. One that another training writes to, or has written, is refused.
        objective: ``(model, batch, key) -> loss``, or the name of one of
            :mod:`jaxgen.training.objectives`; with arguments of its own it is a
            ``functools.partial(elbo, beta=4.0, warmup_steps=1000)``.
        optimizer: any optax optimizer, complete with its learning rate, or an
            ``optax.MultiSteps`` of one, which accumulates gradients over batches. It takes the
            place of the one that the settings name: their ``learning_rate``, ``schedule``,
            ``clip_norm`` and ``weight_decay`` play no role then. None for theirs.
        callbacks: functions, each called with every row that is logged. If one returns True,
            training ends there, as it does when patience runs out.
        mesh: devices to use, with the axis ``"data"``; all that divide the batch if None.
        progress: shows a progress bar.

    Returns:
        A :class:`FitResult`.

    Raises:
        ValueError: if the data are missing, empty, not numbers, not finite, outside the model's
            support, fewer than a batch, or float64 whose content float32 would lose; or the
            optimizer asks for more than gradients (``optax.lbfgs``).
        NonFiniteLossError: if the loss stops being finite; the last good checkpoint stays.
        RunError: if ``out`` cannot be written, or holds a training of another model, of other
            settings, or on other data.
        InUseError: if another process trains in ``out``.
        CheckpointError: if the checkpoints there are of another model or optimizer, or all damaged.

    Warns:
        ColumnWarning: of columns of real values over which a density has no bound, because they
            are constant (in 2 rows or more) or repeat values, or which have outliers (in 16).
        UserWarning: once, of a validation loss that is not finite.

    >>> from flax import nnx
    >>> from jaxgen import zoo
    >>> flow = zoo.maf((2,), layers=1, hidden=(8,), rngs=nnx.Rngs(0))
    >>> x = np.random.default_rng(0).normal(size=(64, 2)).astype(np.float32)
    >>> result = fit(flow, x, settings=TrainSettings(steps=2, batch_size=32), progress=False)
    >>> result.history[-1]["step"]
    2
    """
    settings = settings if settings is not None else TrainSettings()
    objective = named_objective(objective, {}) if isinstance(objective, str) else objective
    check_arguments(model, settings, objective, mesh, callbacks)
    given = as_given(train, model, "training") or Given(Batch())
    train, valid = _splits(given.batch, valid, model, settings)
    if train.x is None and objective is negative_log_likelihood:
        raise ValueError(
            "fit: expected training data, got None; maximum likelihood needs them, an objective "
            "like reverse_kl does not"
        )
    # Before anything is written.
    check_inputs(model, train, valid, settings, optimizer, given.columns)
    # Rows with missing values are filled with those of others, which therefore are repeated.
    whole_rows = train.x is not None and train.observed is None
    if whole_rows and has_name(objective):  # one's own may add noise
        warn_of_columns(model, train.x, given.columns)
    count = num_examples(train, settings)
    seed = settings.seed
    transformation = as_transformation(optimizer, settings)
    mesh = mesh if mesh is not None else data_mesh(settings.batch_size)
    replicated = NamedSharding(mesh, PartitionSpec())
    # As the model of an earlier training is: what follows is compiled for where its arrays are.
    model = jax.device_put(model, replicated)
    key = jax.random.key(seed)
    init_key, train_key, valid_key = jax.random.split(key, 3)

    rows = typical_rows(train, count, seed)
    looked_at = without_padding(train)
    first = take_rows(looked_at, rows[: settings.init_batch_size])
    whole = looked_at if train.weights is None else take_rows(looked_at, rows)
    model = model.standardize(whole.x, whole.context)
    if first.x is not None:
        model = jax.jit(type(model).initialize)(model, first.x, init_key, first.context)
    calibrate = _calibration(model, take_rows(looked_at, rows[:CALIBRATION_EXAMPLES]), init_key)
    state = TrainState.create(model, transformation, train_key)
    best = Best(params=jax.tree.map(jnp.copy, state.ema))
    validation = None if valid is None else Validation(valid, valid_key)

    out = None if out is None else Path(out)

    def about() -> SavedModel:
        kept = dataclasses.asdict(settings)
        return SavedModel.of(model, settings=kept, objective=objective, optimizer=optimizer)

    with kept_in(out, about, {"training": train, "validation": valid}) as checkpoints:
        start = 0
        if checkpoints is not None:
            names = ("value", "step", "misses")
            if found := checkpoints.restore_state((state, best.params), names):
                start, (state, best.params), saved = found
                best.value, best.step, best.misses = (saved[name] for name in names)
        log = MetricsLog(None if out is None else out / "metrics.jsonl", start)

        run_steps = steps_for(objective, optimizer, settings, mesh, state, train)
        state = jax.device_put(state, replicated)
        on_device = sum(array.nbytes for array in jax.tree.leaves(train)) <= DEVICE_DATA_BYTES
        data = jax.device_put(train, replicated) if on_device else None
        bits = 1.0 / (mean_size(model, train) * math.log(2.0)) if model.levels else None

        def save(at: int) -> None:
            if checkpoints is not None:
                chosen = best.params if valid is not None and best.step else state.ema
                counts = {"value": best.value, "step": best.step, "misses": best.misses}
                checkpoints.save(
                    at,
                    model=calibrate(with_params(state.model, chosen)),
                    state=(state, best.params),
                    progress=counts,
                )

        spent = log.rows[-1].get("seconds", 0.0) if log.rows else 0.0
        done, began, told = start, time.perf_counter() - spent, False
        bar = tqdm(total=settings.steps, initial=start, disable=not progress, unit="step")
        with bar, Interrupt() as interrupt:
            while done < settings.steps and not (
                interrupt.requested or told or best.stop(settings)
            ):
                stop = min(_next_multiple(done, settings.steps_per_dispatch), settings.steps)
                indices = batch_indices(seed, done, stop, count, settings.batch_size)
                if data is not None:
                    state, metrics = run_steps(state, data, jnp.asarray(indices))
                else:
                    part = take_rows(train, indices.ravel())
                    state, metrics = run_steps(
                        state, part, jnp.arange(indices.size).reshape(indices.shape)
                    )
                losses, norms = np.asarray(metrics["loss"]), np.asarray(metrics["grad_norm"])
                _require_finite(losses, norms, done, checkpoints)
                validate = _crosses(done, stop, settings.eval_every, settings)
                checkpoint = _crosses(done, stop, settings.checkpoint_every, settings)
                done = stop
                row = {
                    "step": done,
                    "loss": float(losses.mean()),
                    "grad_norm": float(norms.mean()),
                    "seconds": round(time.perf_counter() - began, 3),
                }
                if validation is not None and validate:
                    averaged = calibrate(state.ema_model)
                    row["valid_loss"] = validation.loss(averaged)
                    row |= validation.latents(averaged)
                    best.update(row["valid_loss"], done, state.ema)
                log.write(row)
                bar.update(done - bar.n)
                bar.set_postfix_str(_summary(row, best, bits))
                if checkpoint:
                    save(done)
                told = told_to_stop(callbacks, row)
            if checkpoints is not None:
                if checkpoints.latest() != done:
                    save(done)
                checkpoints.wait()
    chosen = best.params if best.step else state.ema
    model = calibrate(with_params(state.model, chosen))
    warn_unless_invertible(model, first.context, valid_key)
    return FitResult(model, state, log.rows, best.step or done, interrupt.requested)


def _splits(
    train: Batch, valid: Any, model: Model, settings: TrainSettings
) -> tuple[Batch, Batch | None]:
    """The training and the validation data."""
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


def _calibration(model: Model, data: Batch, key: Array) -> Callable[[Model], Model]:
    """What makes a model of this structure fit for evaluation: nothing, for most models."""
    if not needs_calibration(model):
        return lambda model: model
    run = jax.jit(type(model).calibrate)
    start = jax.tree.leaves(nnx.state(model, nnx.Param))

    def calibrate(model: Model) -> Model:
        # Statistics are stale once a parameter has changed, and not before.
        now = jax.tree.leaves(nnx.state(model, nnx.Param))
        if all(np.array_equal(*pair) for pair in zip(start, now, strict=True)):
            return model
        return run(model, data.x, key, data.context)

    return calibrate


def _next_multiple(step: int, interval: int) -> int:
    return (step // interval + 1) * interval


def _crosses(done: int, stop: int, interval: int, settings: TrainSettings) -> bool:
    """Whether a multiple of the interval lies in ``(done, stop]``, or training ends there."""
    return done // interval != stop // interval or stop == settings.steps


def _require_finite(
    losses: np.ndarray, norms: np.ndarray, done: int, checkpoints: Checkpoints | None
) -> None:
    bad = ~(np.isfinite(losses) & np.isfinite(norms))
    if not bad.any():
        return
    index = int(np.argmax(bad))
    kept = ""
    if checkpoints is not None:
        checkpoints.wait()
        latest = checkpoints.latest()
        kept = "" if latest is None else f"; the checkpoint of step {latest} is kept"
    raise NonFiniteLossError(
        f"step {done + index + 1}: loss {losses[index]}, gradient norm {norms[index]}{kept}. "
        f"A lower learning rate, warm-up or a smaller clip_norm usually helps."
    )


def _summary(row: dict[str, Any], best: Best, bits: float | None) -> str:
    text = f"loss {row['loss']:.3f} nats"
    if bits is not None:
        text += f" = {row['loss'] * bits:.3f} bits/dim"
    return text if best.value is None else f"{text}, best valid {best.value:.3f}"
