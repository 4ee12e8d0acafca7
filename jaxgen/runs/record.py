"""Records of a run's model: of whole examples, and of missing parts."""

import dataclasses
import math
import warnings
from collections.abc import Sequence
from pathlib import Path

import jax.numpy as jnp
import numpy as np

from jaxgen.evaluation import (
    HOLES,
    Record,
    completion_grid,
    evaluate,
    in_logit_space,
    observed_around,
)
from jaxgen.evaluation.completion import on_grid
from jaxgen.models.completion import ApproximateCompletion
from jaxgen.runs.directory import Run
from jaxgen.runs.draw import random_key
from jaxgen.runs.files import ExperimentFile
from jaxgen.runs.outputs import PICTURES, opened_for, save_figure
from jaxgen.training.metrics import read_metrics
from jaxgen.training.saved import ARRAYS


def evaluate_run(
    run: Path | str,
    *,
    split: str | None = None,
    num_samples: int | None = None,
    file: ExperimentFile | Path | str | None = None,
) -> Record:
    """Scores a run's model.

    On its own split, the record becomes ``record.json``, or, with another number of samples ``K``
    than the recipe's, ``record.kK.json``.

    Args:
        run: the run directory.
        split: ``"train"``, ``"valid"`` or ``"test"``; the recipe's if None.
        num_samples: importance samples; the recipe's if None.
        file: the experiment file, for a model that is defined there; a path is executed.

    The data may be others than at the time of training; the record has their ``sha256``.

    Raises:
        RunError: if there is no run, it is damaged, or its text has another vocabulary by now.
        ValueError: if the data do not fit the model, or for a number of samples out of range.
    """
    if num_samples is not None and not 1 <= num_samples < 2**31:
        raise ValueError(f"evaluate: expected from 1 to 2**31 - 1 samples, got {num_samples}")
    opened = Run.read(run)
    recipe = opened.recipe
    model = opened.load(file) if recipe.crop is None else None
    data = given = opened.load_data(split or recipe.eval_split)
    if model is None:  # whole signals are of another length than the pieces that it was trained on
        model = opened.load(file, data.event_shape)
    if recipe.eval_space == "logit":
        model, data = in_logit_space(model, data)
    record = evaluate(
        model,
        data,
        context=opened.labels(model, data),
        name=opened.name,
        num_samples=num_samples or recipe.eval_samples,
        train_seed=recipe.train.seed,
    )
    uniform = math.log2(data.levels) if data.levels is not None else math.inf
    # A short training may be a little worse than nothing.
    if record.unit == "bits/dim" and record.value > 2 * uniform:
        warnings.warn(
            f"{opened.path}: {record.value:.4g} bits/dim are far more than the {uniform:.4g} of "
            f"all levels alike: training has diverged, or these data are unlike those of training",
            stacklevel=2,
        )
    rows = read_metrics(opened.path / "metrics.jsonl")
    if rows:
        record = dataclasses.replace(record, training_seconds=rows[-1].get("seconds"))
    if split in (None, recipe.eval_split) and not opened.has_changed(given):
        own = num_samples in (None, recipe.eval_samples)
        _keep(record, opened.path / ("record.json" if own else f"record.k{num_samples}.json"))
    return record


def complete_run(
    run: Path | str,
    out: Path | str,
    *,
    holes: Sequence[str] | None = None,
    num: int = 6,
    examples: int = 3,
    seed: int = 0,
    file: ExperimentFile | Path | str | None = None,
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
        file: the experiment file, for a model that is defined there; a path is executed.

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
    opened = opened_for(run, out, *PICTURES)
    recipe = opened.recipe
    model, data = opened.load(file), opened.load_data(recipe.eval_split)
    shape = data.event_shape
    if model.grid_shape is None or model.levels is None or len(shape) < 3:
        raise ValueError(
            f"complete: expected an autoregressive model of images (height, width, channels) of "
            f"integer levels, or --data, a file of rows, got {type(model).__name__} of {shape}"
        )
    holes = tuple(HOLES) if holes is None else holes
    masks = np.stack([observed_around(hole, shape[:2]) for hole in holes])
    labels, records = opened.labels(model, data), []
    for hole, mask in zip(holes, masks, strict=True):
        record = evaluate(
            model,
            data,
            context=labels,
            name=opened.name,
            train_seed=recipe.train.seed,
            observed=on_grid(mask, model),
            missing=HOLES[hole],
        )
        if not opened.has_changed(data):  # of others it would be no record of this training
            _keep(record, opened.path / f"record.{hole}.json")
        records.append(record)
    # Splits are often sorted by class: the images shown come from all over it.
    shown = np.linspace(0, len(data.x) - 1, examples).round().astype(int)
    with warnings.catch_warnings():
        # The records say which completions are approximate.
        warnings.simplefilter("ignore", ApproximateCompletion)
        given = None if labels is None else jnp.asarray(labels[shown])
        key = random_key(seed)
        figure = completion_grid(model, data.x[shown], masks, num, given, key=key)
    save_figure(figure, out)
    return records


def _keep(record: Record, path: Path) -> None:
    """Writes a record; where that cannot be, a warning says so: its number is worth the same.

    That of an exported run stays what it was exported with.
    """
    if (path.parent / ARRAYS).exists():
        return
    try:
        record.save(path)
    except OSError as error:
        warnings.warn(f"cannot write {path}, so the record is not kept: {error}", stacklevel=3)
