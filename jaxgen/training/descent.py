"""The loop of training: steps, validation, checkpoints, and when it ends."""

import dataclasses
import math
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from tqdm import tqdm

from jaxgen.models import Model
from jaxgen.training.augment import as_seen
from jaxgen.training.checkpoints import Checkpoints
from jaxgen.training.claims import kept_in
from jaxgen.training.compiled import steps_for
from jaxgen.training.digests import digest_of
from jaxgen.training.feeding import Feed, is_streamed
from jaxgen.training.lock import is_held
from jaxgen.training.metrics import MetricsLog, memory_in_use
from jaxgen.training.objectives import Batch, Objective
from jaxgen.training.optimizers import Optimizer, as_transformation
from jaxgen.training.processes import is_first, most_of_all
from jaxgen.training.round_trip import warn_unless_invertible
from jaxgen.training.rows import mean_size, num_examples
from jaxgen.training.saved import SavedModel
from jaxgen.training.settings import TrainSettings
from jaxgen.training.start import started
from jaxgen.training.state import TrainState, with_params
from jaxgen.training.stopping import Best, Callback, Interrupt, told_to_stop
from jaxgen.training.utilisation import Utilisation
from jaxgen.training.validation import Validation


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
    signal: int = 0

    @property
    def interrupted(self) -> bool:
        """Whether a signal ended the training before its last step."""
        return self.signal != 0

    def __repr__(self) -> str:
        last = self.history[-1] if self.history else None
        return (
            f"FitResult(best_step={self.best_step}, interrupted={self.interrupted}, "
            f"model={self.model!r}, last of {len(self.history)} rows of history={last})"
        )


def descend(
    model: Model,
    train: Batch,
    valid: Batch | None,
    settings: TrainSettings,
    *,
    out: Path | None,
    objective: Objective,
    optimizer: Optimizer | None,
    callbacks: Sequence[Callback],
    mesh: Mesh,
    progress: bool,
) -> FitResult:
    """:func:`~jaxgen.training.fit`, with arguments that were checked."""
    count = num_examples(train, settings)
    transformation = as_transformation(optimizer, settings)
    init_key, train_key, valid_key = jax.random.split(jax.random.key(settings.seed), 3)
    # A recipe's start is that of its seed, whatever digits a device gives it.
    given = None if out is None or is_held(out) else digest_of(model)
    state, placed, calibrate, context = started(
        model, train, count, objective, transformation, settings, mesh, init_key, train_key
    )
    best = Best(params=jax.tree.map(jnp.copy, state.ema))
    validation = None if valid is None else Validation(valid, valid_key, mesh)

    def about() -> SavedModel:
        kept = dataclasses.asdict(settings)
        return SavedModel.of(model, settings=kept, objective=objective, optimizer=optimizer)

    keep = (settings.keep_last, settings.keep_best)
    with kept_in(out, about, {"training": train, "validation": valid}, keep) as checkpoints:
        start = 0
        if checkpoints is not None:
            names = ("value", "step", "misses")
            if found := checkpoints.restore_state((state, best.params), names):
                start, (state, best.params), saved = found
                best.value, best.step, best.misses = (saved[name] for name in names)
                best.last = saved.get("last")  # this and the next not before November 2026
                if saved.get("given") not in (None, given):
                    warnings.warn(
                        f"fit: {out} holds a training that began with other parameters than those "
                        f"of the model given, and goes on with them; choose another directory to "
                        f"start from these",
                        stacklevel=3,
                    )
        rows = None if out is None else out / "metrics.jsonl"
        log = MetricsLog(rows, start, writes=is_first())

        how = (objective, optimizer, settings, mesh, placed)
        run_steps = steps_for(*how, state, train, is_streamed(train))

        def check(x: Any) -> None:
            model.check_data(as_seen(objective, Batch(x)).x)  # type: ignore[arg-type]

        utilisation = Utilisation(model, train, objective, settings, mesh)
        feed = Feed(run_steps, check, train, count, settings, mesh, start)
        bits = 1.0 / (mean_size(model, train) * math.log(2.0)) if model.levels else None

        def save(at: int) -> None:
            if checkpoints is not None:
                chosen = best.params if valid is not None and best.step else state.ema
                counts: dict[str, Any] = {"value": best.value, "step": best.step}
                counts |= {"misses": best.misses, "last": best.last, "given": given}
                checkpoints.save(
                    at,
                    model=calibrate(with_params(state.model, chosen)),
                    state=(state, best.params),
                    progress=counts,
                    valid_loss=best.last,
                )

        if checkpoints is not None and start > 0:
            checkpoints.repair(start, state.model, save)
        spent = log.rows[-1].get("seconds", 0.0) if log.rows else 0.0
        done, began = start, time.perf_counter() - spent
        signal, told = 0, False
        bar = tqdm(
            total=settings.steps, initial=start, disable=not (progress and is_first()), unit="step"
        )
        with bar, Interrupt() as interrupt:
            while done < settings.steps and not (signal or told or best.stop(settings)):
                begun = time.perf_counter()
                stop, state, metrics = feed.next(state)
                losses, norms = np.asarray(metrics["loss"]), np.asarray(metrics["grad_norm"])
                rate = (stop - done) * settings.batch_size / (time.perf_counter() - begun)
                _require_finite(losses, norms, done, checkpoints)
                validate = _crosses(done, stop, settings.eval_every, settings)
                checkpoint = _crosses(done, stop, settings.checkpoint_every, settings)
                done = stop
                row = {
                    "step": done,
                    "loss": float(losses.mean()),
                    "grad_norm": float(norms.mean()),
                    "seconds": round(time.perf_counter() - began, 3),
                    "examples_per_second": float(f"{rate:.4g}"),
                    **utilisation.of(rate),
                    **memory_in_use(),
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
                told = bool(most_of_all(told_to_stop(callbacks, row)))
                signal = most_of_all(interrupt.signal)
            if checkpoints is not None:
                if checkpoints.latest() != done:
                    save(done)
                checkpoints.wait()
    chosen = best.params if best.step else state.ema
    model = calibrate(with_params(state.model, chosen))
    warn_unless_invertible(model, context, valid_key)
    return FitResult(model, state, log.rows, best.step or done, signal)


def _crosses(done: int, stop: int, interval: int, settings: TrainSettings) -> bool:
    """Whether a multiple of the interval lies in ``(done, stop]``, or training ends there."""
    return done // interval != stop // interval or stop == settings.steps


_USUALLY = "A lower learning rate, warm-up or a smaller clip_norm usually helps."
_UNTRAINED = (
    "No step has been taken yet, so a part of the model is not finite at these data: the checks of "
    "jaxgen.testing name it."
)


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
        f"{_UNTRAINED if done + index == 0 else _USUALLY}"
    )


def _summary(row: dict[str, Any], best: Best, bits: float | None) -> str:
    text = f"loss {row['loss']:.3f} nats"
    if bits is not None:
        text += f" = {row['loss'] * bits:.3f} bits/dim"
    return text if best.value is None else f"{text}, best valid {best.value:.3f}"
