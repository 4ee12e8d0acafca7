"""Run directories: train an experiment into one, and read it back.

A run directory holds ``config.json``, ``metrics.jsonl``, ``record.json``, ``checkpoints/`` and
pictures. Reading one rebuilds the model from names and numbers and fills in arrays; no code from
it is executed.
"""

import contextlib
import dataclasses
import functools
import json
import math
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxgen import data as datasets
from jaxgen.core import Shape
from jaxgen.data import Dataset
from jaxgen.evaluation import (
    HOLES,
    Record,
    completion_grid,
    density_2d,
    evaluate,
    in_logit_space,
    interpolate,
    interpolation_grid,
    loss_curve,
    observed_around,
    sample_grid,
    waveforms,
    write_wav,
)
from jaxgen.evaluation.completion import on_grid
from jaxgen.models import Model
from jaxgen.models.autoregressive import ApproximateCompletion
from jaxgen.training.checkpoints import CheckpointError, Checkpoints
from jaxgen.training.counting import count
from jaxgen.training.experiment import Experiment
from jaxgen.training.loop import FitResult, check_inputs, fit, mean_size
from jaxgen.training.metrics import read_metrics
from jaxgen.training.objectives import Batch

if TYPE_CHECKING:
    from matplotlib.figure import Figure


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
    training, validation = (_data(experiment, s) for s in ("train", "valid"))
    if experiment.window is not None:
        training, validation = (part.windows(experiment.window) for part in (training, validation))
    model = experiment.build(training.event_shape, training.levels, training.num_classes)
    batch, valid = (
        Batch(part.x, _labels(experiment, part), part.lengths) for part in (training, validation)
    )
    settings = experiment.train
    if experiment.pseudo_counts is not None:
        settings = dataclasses.replace(settings, batch_size=1)  # counting draws no batches
    check_inputs(model, batch, valid, settings)
    config = {
        "name": name if name is not None else experiment.model,
        "experiment": experiment.to_dict(),
        "event_shape": list(training.event_shape),
        "levels": training.levels,
        "num_classes": training.num_classes,
        "rate": training.rate,
    }
    _claim(out, config)
    if experiment.pseudo_counts is not None:
        result = count(model, batch, valid, experiment.pseudo_counts, out=out)
    else:
        result = fit(model, batch, valid, experiment.train, out=out, progress=progress)
        if result.interrupted:
            return result
        rows = read_metrics(out / "metrics.jsonl")
        in_bits = training.levels is not None and training.levels > 2
        per_unit = mean_size(model, batch) * math.log(2.0) if in_bits else 1.0
        curve = loss_curve(rows, per_unit, "bits/dim" if in_bits else "nats")
        curve.savefig(out / "loss.png", dpi=120)
    sample(out, out / "samples.png", num=64)
    print(evaluate_run(out))
    return result


def _data(experiment: Experiment, split: str) -> Dataset:
    data = datasets.load(experiment.data, split)
    shape = experiment.event_shape
    return data if shape is None else data.reshaped(tuple(shape))


def load(run: Path | str, *, event_shape: Shape | None = None) -> Model:
    """The trained model of a run directory: the averaged parameters that were best in validation.

    Args:
        run: the run directory.
        event_shape: for a model whose parameters fit events of any length (WaveNet, a homogeneous
            Markov chain, a recurrent network), another shape than that of training.

    Raises:
        RunError: if there is no run, it is damaged, or its parameters do not fit the event shape.
    """
    run = Path(run)
    config = read_config(run)
    experiment = Experiment.from_dict(config["experiment"])
    shape = tuple(config["event_shape"]) if event_shape is None else tuple(event_shape)
    model = experiment.build(shape, config["levels"], config.get("num_classes"))
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
    """Scores a run's model. On its own split, the record becomes ``record.json``, or, with another
    number of samples ``K`` than the experiment's, ``record.kK.json``.

    Args:
        run: the run directory.
        split: ``"train"``, ``"valid"`` or ``"test"``; the experiment's if None.
        num_samples: importance samples; the experiment's if None.
    """
    run = Path(run)
    config = read_config(run)
    experiment = Experiment.from_dict(config["experiment"])
    data = _data(experiment, split or experiment.eval_split)
    # Whole signals are of another length than the windows that the model was trained on.
    model = load(run, event_shape=None if experiment.window is None else data.event_shape)
    if experiment.eval_space == "logit":
        model, data = in_logit_space(model, data)
    record = evaluate(
        model,
        data,
        context=_labels(experiment, data),
        name=config["name"],
        num_samples=num_samples or experiment.eval_samples,
        train_seed=experiment.train.seed,
    )
    if split in (None, experiment.eval_split):
        own = num_samples in (None, experiment.eval_samples)
        record.save(run / ("record.json" if own else f"record.k{num_samples}.json"))
    return record


def sample(
    run: Path | str,
    out: Path | str,
    *,
    num: int = 64,
    seed: int = 0,
    temperature: float = 1.0,
    top_p: float = 1.0,
    length: int | None = None,
) -> None:
    """Draws samples from a run's model and writes them as a picture, or as sound.

    For points in the plane the model's density is shown beside them; of a class-conditional model
    of images or sound, every column is a class. Sound is drawn as waveforms, or, if ``out`` ends in
    ``.wav``, written one sample after the other.

    Args:
        run: the run directory.
        out: the picture, or the WAV file.
        num: how many samples.
        seed: of the samples.
        temperature, top_p: as in :meth:`jaxgen.models.Autoregressive.sample`.
        length: values of a signal, for a model whose parameters fit any; None for the length that
            it was trained on.

    Raises:
        RunError: if there is no run, it is damaged, or its parameters do not fit the length.
        ValueError: for less than one sample, a temperature or a ``top_p`` out of range, a ``top_p``
            of a model that does not choose among levels one position at a time, a length of a model
            of no signals, or a WAV file of a model of no sound.
    """
    if num < 1:
        raise ValueError(f"sample: expected at least 1 sample, got {num}")
    config = read_config(run)
    shape: Shape = tuple(config["event_shape"])
    if length is not None and (len(shape) != 1 or length < 1):
        raise ValueError(
            f"sample: expected a length of at least 1, for a model of signals (length,), got "
            f"{length} for {shape}"
        )
    rate, as_sound = config.get("rate"), Path(out).suffix.lower() == ".wav"
    if as_sound and rate is None:
        raise ValueError(f"sample: expected a run of sound for a .wav file, got {run}")
    model = load(run, event_shape=None if length is None else (length,))
    options = {"temperature": temperature}
    if top_p != 1.0:
        if model.grid_shape is None:
            raise ValueError(
                f"sample: top_p is for autoregressive models, got {type(model).__name__}; use a "
                f"temperature"
            )
        options["top_p"] = top_p
    draw = functools.partial(
        jax.jit(type(model).sample, static_argnums=2, static_argnames=tuple(options)), **options
    )
    key, columns = jax.random.key(seed), None
    if model.context_shape is not None:
        columns = config["num_classes"]
        rows = math.ceil(num / columns)
        samples = draw(model, key, rows, jnp.arange(columns)).reshape(-1, *model.event_shape)
    if rate is not None:
        sound = np.asarray(draw(model, key, num) if columns is None else samples)
        if as_sound:
            with _writing(out):
                write_wav(out, sound, rate)
            return
        figure = waveforms(sound, rate, columns=columns)
    elif columns is not None:
        figure = sample_grid(samples, model.levels, columns=columns)
    elif model.event_shape == (2,) and model.exactness == "exact":
        # Fewer points than 2000 show no density.
        figure = density_2d(model, draw(model, key, max(num, 2000)))
    else:
        figure = sample_grid(draw(model, key, num), model.levels)
    _save(figure, out)


def interpolate_run(
    run: Path | str, out: Path | str, *, num: int = 8, pairs: int = 6, seed: int = 0
) -> None:
    """Draws paths between pairs of test examples through the latent space of a run's model.

    Args:
        run: the run directory.
        out: the picture; a pair in each row.
        num: points of a path, both ends included.
        pairs: how many pairs; of a class-conditional model both examples are of one class.
        seed: chooses the pairs.

    Raises:
        RunError: if there is no run, it is damaged, or the picture cannot be written.
        ValueError: if the model has no latents, or the test split too few examples.
    """
    model = load(run)
    experiment = Experiment.from_dict(read_config(run)["experiment"])
    data = _data(experiment, "test")
    rng = np.random.default_rng(seed)
    if not 1 <= 2 * pairs <= len(data.x):
        raise ValueError(
            f"interpolate: expected from 1 pair to half of the {len(data.x)} test examples, got "
            f"{pairs}"
        )
    first, second = rng.permutation(len(data.x))[: 2 * pairs].reshape(2, pairs)
    labels = None
    if experiment.class_features is not None and data.y is not None:
        alike = [np.flatnonzero(data.y == label) for label in data.y[first]]
        second = np.array([rng.choice(rows) for rows in alike])
        labels = jnp.asarray(data.y[first])
    path = interpolate(model, data.x[first], data.x[second], num, labels)
    _save(interpolation_grid(path, model.levels), out)


def complete_run(
    run: Path | str,
    out: Path | str,
    *,
    holes: Sequence[str] | None = None,
    num: int = 6,
    examples: int = 3,
    seed: int = 0,
) -> list[Record]:
    """Scores and draws what a run's model puts into holes of the test images.

    Every example of the split is scored, the record of a hole becoming ``record.HOLE.json`` in the
    run directory; of a few the picture shows the image, the hole, and completions.

    Args:
        run: the run directory.
        out: the picture.
        holes: names, see :func:`jaxgen.evaluation.observed_around`; None for all.
        num: completions of each image.
        examples: how many images the picture shows for each hole.
        seed: of the completions.

    Returns:
        The records, in the order of the holes.

    Raises:
        RunError: if there is no run, it is damaged, or the picture cannot be written.
        ValueError: if the model is not autoregressive over integer levels of images, for an unknown
            hole, or if nothing is to be drawn.
    """
    if num < 1 or examples < 1:
        raise ValueError(
            f"complete: expected at least 1 completion of 1 example, got {num} of {examples}"
        )
    config = read_config(run)
    experiment = Experiment.from_dict(config["experiment"])
    model, data = load(run), _data(experiment, experiment.eval_split)
    shape = data.event_shape
    if model.grid_shape is None or model.levels is None or len(shape) < 3:
        raise ValueError(
            f"complete: expected an autoregressive model of images (height, width, channels) of "
            f"integer levels, got {type(model).__name__} of {shape}"
        )
    holes = tuple(HOLES) if holes is None else holes
    masks = np.stack([observed_around(hole, shape[:2]) for hole in holes])
    labels, records = _labels(experiment, data), []
    for hole, mask in zip(holes, masks, strict=True):
        record = evaluate(
            model,
            data,
            context=labels,
            name=config["name"],
            train_seed=experiment.train.seed,
            observed=on_grid(mask, model),
            missing=HOLES[hole],
        )
        record.save(Path(run) / f"record.{hole}.json")
        records.append(record)
    # Splits are often sorted by class: the images shown come from all over it.
    shown = np.linspace(0, len(data.x) - 1, examples).round().astype(int)
    with warnings.catch_warnings():
        # The records say which completions are approximate.
        warnings.simplefilter("ignore", ApproximateCompletion)
        given = None if labels is None else jnp.asarray(labels[shown])
        key = jax.random.key(seed)
        figure = completion_grid(model, data.x[shown], masks, num, given, key=key)
    _save(figure, out)
    return records


def _save(figure: "Figure", out: Path | str) -> None:
    with _writing(out):
        figure.savefig(out, dpi=120)


@contextlib.contextmanager
def _writing(out: Path | str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise RunError(f"cannot write {out}: {error}") from error


def _labels(experiment: Experiment, data: Dataset) -> np.ndarray | None:
    """The labels of the examples, if the model is conditional on them."""
    return None if experiment.class_features is None else data.y


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
        shape = config["event_shape"]
        config["levels"]
        if not (isinstance(shape, list) and all(isinstance(side, int) for side in shape)):
            raise TypeError(f"event_shape: expected a list of int, got {shape!r}")
        for name in ("levels", "num_classes", "rate"):
            if not isinstance(config.get(name), int | None):
                raise TypeError(f"{name}: expected int or None, got {config[name]!r}")
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
        old = read_config(out)
        # Through Experiment, so that a field that came later counts with its default.
        old["experiment"] = Experiment.from_dict(old["experiment"]).to_dict()
        differences = _differences({"num_classes": config["num_classes"], **old}, config)
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
