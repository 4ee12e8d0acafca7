"""Run directories: train an experiment into one, and read it back.

A run directory holds ``config.json``, ``metrics.jsonl``, ``record.json``, ``checkpoints/`` and
pictures. Reading one rebuilds the model from names and numbers and fills in arrays; no code from
it is executed.
"""

import json
import math
from pathlib import Path
from typing import Any

import jax

from jaxgen import data as datasets
from jaxgen.core import Shape
from jaxgen.data import Dataset
from jaxgen.evaluation import Record, density_2d, evaluate, loss_curve, sample_grid
from jaxgen.models import Model
from jaxgen.training.checkpoints import CheckpointError, Checkpoints
from jaxgen.training.experiment import Experiment
from jaxgen.training.loop import FitResult, check_inputs, fit
from jaxgen.training.metrics import read_metrics
from jaxgen.training.objectives import Batch


class RunError(ValueError):
    """A run directory is missing, damaged, in the way, or of another configuration."""


def train(
    experiment: Experiment, out: Path | str, *, name: str | None = None, progress: bool = True
) -> FitResult:
    """Trains an experiment into a run directory, or goes on with the one that is there.

    A finished training is followed by the record of ``experiment.eval_split``, a grid of samples
    and a loss curve.

    Raises:
        RunError: if the directory cannot be written, or holds a run of another configuration.
        ValueError: if the data do not fit the model.
    """
    out = Path(out)
    training, validation = (datasets.load(experiment.data, s) for s in ("train", "valid"))
    model = experiment.build(training.event_shape, training.levels)
    check_inputs(model, Batch(training.x), Batch(validation.x), experiment.train)
    config = {
        "name": name if name is not None else experiment.model,
        "experiment": experiment.to_dict(),
        "event_shape": list(training.event_shape),
        "levels": training.levels,
    }
    _claim(out, config)
    result = fit(model, training.x, validation.x, experiment.train, out=out, progress=progress)
    if result.interrupted:
        return result
    rows = read_metrics(out / "metrics.jsonl")
    in_bits = training.levels is not None and training.levels > 2
    per_unit = math.prod(training.event_shape) * math.log(2.0) if in_bits else 1.0
    curve = loss_curve(rows, per_unit, "bits/dim" if in_bits else "nats")
    curve.savefig(out / "loss.png", dpi=120)
    sample(out, out / "samples.png", num=64)
    print(evaluate_run(out))
    return result


def load(run: Path | str) -> Model:
    """The trained model of a run directory: the averaged parameters that were best in validation.

    Raises:
        RunError: if there is no run, or it is damaged.
    """
    run = Path(run)
    config = read_config(run)
    experiment = Experiment.from_dict(config["experiment"])
    shape: Shape = tuple(config["event_shape"])
    model = experiment.build(shape, config["levels"])
    if not (run / "checkpoints").is_dir():
        raise RunError(f"{run}: no checkpoint has been written yet; train it first")
    with Checkpoints(run / "checkpoints") as checkpoints:
        step = checkpoints.latest()
        if step is None:
            raise RunError(f"{run}: no checkpoint has been written yet; train it first")
        try:
            return checkpoints.restore_model(step, model)
        except CheckpointError as error:
            raise RunError(str(error)) from error


def evaluate_run(
    run: Path | str,
    *,
    split: str | None = None,
    num_samples: int | None = None,
) -> Record:
    """Scores a run's model; the record of its own split and estimator becomes ``record.json``.

    Args:
        run: the run directory.
        split: ``"train"``, ``"valid"`` or ``"test"``; the experiment's if None.
        num_samples: importance samples; the experiment's if None.
    """
    run = Path(run)
    config = read_config(run)
    experiment = Experiment.from_dict(config["experiment"])
    data: Dataset = datasets.load(experiment.data, split or experiment.eval_split)
    record = evaluate(
        load(run),
        data,
        name=config["name"],
        num_samples=num_samples or experiment.eval_samples,
        train_seed=experiment.train.seed,
    )
    if split in (None, experiment.eval_split) and num_samples in (None, experiment.eval_samples):
        record.save(run / "record.json")
    return record


def sample(run: Path | str, out: Path | str, *, num: int = 64, seed: int = 0) -> None:
    """Draws samples from a run's model and writes them as a picture.

    For points in the plane the model's density is shown beside them.
    """
    if num < 1:
        raise ValueError(f"sample: expected at least 1 sample, got {num}")
    model = load(run)
    planar = model.event_shape == (2,) and model.exactness == "exact"
    num = max(num, 2000) if planar else num  # fewer points show no density
    samples = jax.jit(type(model).sample, static_argnums=2)(model, jax.random.key(seed), num)
    figure = density_2d(model, samples) if planar else sample_grid(samples, model.levels)
    try:
        figure.savefig(out, dpi=120)
    except OSError as error:
        raise RunError(f"cannot write {out}: {error}") from error


def read_config(run: Path | str) -> dict[str, Any]:
    """The ``config.json`` of a run.

    Raises:
        RunError: if it is missing or damaged.
    """
    path = Path(run) / "config.json"
    if not path.is_file():
        raise RunError(f"{run} is not a run directory: it has no config.json")
    try:
        config = json.loads(path.read_text())
        shape, levels = config["event_shape"], config["levels"]
        if not (isinstance(shape, list) and all(isinstance(side, int) for side in shape)):
            raise TypeError(f"event_shape: expected a list of int, got {shape!r}")
        if not (levels is None or isinstance(levels, int)):
            raise TypeError(f"levels: expected int or None, got {levels!r}")
        config["name"]
        Experiment.from_dict(config["experiment"])
    except (KeyError, TypeError, ValueError) as error:
        raise RunError(f"{path} is damaged: {type(error).__name__}: {error}") from error
    return config


def _claim(out: Path, config: dict[str, Any]) -> None:
    """Writes the configuration into a new run directory, or checks that the old one is equal.

    Before the first checkpoint there is nothing to lose, so a corrected configuration may come.
    """
    if (out / "config.json").exists() and any((out / "checkpoints").glob("[0-9]*")):
        differences = _differences(read_config(out), config)
        if differences:
            raise RunError(
                f"{out} holds a run of another configuration ({'; '.join(differences)}); choose "
                f"another --out, or remove it"
            )
        return
    try:
        out.mkdir(parents=True, exist_ok=True)
        # Written aside and renamed, so that a kill leaves no half of it.
        draft = out / "config.json.tmp"
        draft.write_text(json.dumps(config, indent=2) + "\n")
        draft.rename(out / "config.json")
    except OSError as error:
        raise RunError(f"cannot write to {out}: {error}") from error


def _differences(old: Any, new: Any, path: str = "") -> list[str]:
    if isinstance(old, dict) and isinstance(new, dict):
        keys = sorted(old.keys() | new.keys())
        return [
            text
            for key in keys
            for text in _differences(old.get(key), new.get(key), f"{path}.{key}" if path else key)
        ]
    return [] if old == new else [f"{path}: {old} there, {new} now"]
