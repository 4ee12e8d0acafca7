"""From a recipe to a run directory with a trained model, its record and its pictures."""

import contextlib
import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np

from jaxgen.core import naming_columns
from jaxgen.data import Dataset
from jaxgen.data.specs import place_of
from jaxgen.evaluation import divergence_plot, loss_curve
from jaxgen.models import Model
from jaxgen.runs.directory import Run
from jaxgen.runs.draw import sample
from jaxgen.runs.files import ExperimentFile
from jaxgen.runs.outputs import check_spared
from jaxgen.runs.recipe import Recipe
from jaxgen.runs.record import evaluate_run
from jaxgen.training.claims import writing
from jaxgen.training.descent import FitResult
from jaxgen.training.inputs import has_levels_beyond
from jaxgen.training.lock import locked
from jaxgen.training.metrics import read_metrics
from jaxgen.training.missing import fill_in
from jaxgen.training.objectives import Batch
from jaxgen.training.procedures import Task
from jaxgen.training.processes import by_the_first, is_first
from jaxgen.training.profile import Trace
from jaxgen.training.rows import mean_size, without_padding
from jaxgen.training.tensorboard import TensorBoard


def train(
    recipe: Recipe,
    out: Path | str,
    *,
    file: ExperimentFile | None = None,
    progress: bool = True,
    profile: int | None = None,
    tensorboard: bool = False,
) -> FitResult:
    """Trains a recipe into a run directory, or goes on with the one that is there.

    A finished training is followed by the record of ``recipe.eval_split``, a grid of samples and a
    loss curve.

    Args:
        recipe: what to train.
        out: the run directory.
        file: where the recipe is from, whose functions it may name; None for names of jaxgen's.
        progress: shows a progress bar.
        profile: how many steps a trace of JAX's profiler covers, which ``profile`` in the run
            directory gets; None for no trace.
        tensorboard: whether everything that is logged, and the samples, are written for TensorBoard
            too, into ``tensorboard`` in the run directory.

    Raises:
        RunError: if the directory cannot be written, or holds a run of another configuration.
        InUseError: if another process trains in it.
        PeerError: in other processes of this training, if one of those was raised in the first.
        ValueError: if the data do not fit the model.
    """
    out = Path(out)
    check_spared(out, place_of(recipe.data))
    own = None if file is None else file.functions
    procedure = recipe.resolve_procedure()  # which refuses what it does not know
    training, validation = recipe.load_examples("train"), recipe.load_data("valid")
    judged_by = validation
    if recipe.crop is not None:
        training, validation = (part.crops(recipe.crop) for part in (training, validation))
    # As it was loaded: it may have been edited by the time that training ends.
    source = None if recipe.own_model(own) is None else file
    run = Run.new(out, recipe, training, None if source is None else source.path.name)
    model = run.build(own)
    if has_levels_beyond(model, run.levels):
        raise ValueError(
            f"{recipe.model}: expected levels={run.levels} among model_args, as {recipe.data} has "
            f"no more, got a model of {model.levels}"
        )
    batch, valid = (_batch(part, model, run) for part in (training, validation))
    objective, optimizer = recipe.resolve_objective(own), recipe.own_optimizer(own)
    task = Task(model, batch, valid, recipe.train, objective, optimizer)
    procedure.check(task)
    _check_judged(model, recipe, run)
    with contextlib.ExitStack() as claimed:

        def enter() -> None:
            with writing(out):
                claimed.enter_context(locked(out))
            run.claim()
            run.keep_splits(judged_by)

        by_the_first(enter)
        own_callbacks: list[Any] = []
        if profile is not None and is_first():
            own_callbacks.append(claimed.enter_context(Trace(out / "profile", profile)))
        if tensorboard and is_first():
            own_callbacks.append(claimed.enter_context(TensorBoard(out / "tensorboard")))
        task = dataclasses.replace(task, callbacks=own_callbacks)
        result = procedure.run(task, out, progress=progress)
    if result.interrupted or not is_first():
        return result
    # Before the pictures, of which none is worth a record.
    record = evaluate_run(out, file=source)
    print(record)
    rows = read_metrics(out / "metrics.jsonl")
    if any("loss" in row for row in rows):
        in_bits = run.levels is not None and run.levels > 2
        per_unit = mean_size(model, batch) * math.log(2.0) if in_bits else 1.0
        curve = loss_curve(rows, per_unit, "bits/dim" if in_bits else "nats")
        curve.savefig(out / "loss.png", dpi=120)
    if record.divergence is not None and record.active_units is not None:
        bars = divergence_plot(record.divergence, record.active_units)
        bars.savefig(out / "divergence.png", dpi=120)
    samples = "samples.png" if run.vocabulary is None else "samples.txt"
    sample(out, out / samples, num=64, file=source)
    if tensorboard and samples.endswith(".png"):
        from matplotlib.image import imread

        with TensorBoard(out / "tensorboard") as board:
            image = (255.0 * imread(out / samples)[..., :3]).round().astype(np.uint8)
            board.picture("samples", image, result.history[-1]["step"] if result.history else 0)
    return result


def _check_judged(model: Model, recipe: Recipe, run: Run) -> None:
    """Refuses test data that could not be scored, before the training that they are to judge."""
    whole = recipe.crop is None and recipe.eval_space == "data"
    if recipe.eval_split != "test" or not whole:
        return
    data = recipe.load_data("test")
    x = without_padding(_batch(data, model, run)).x
    if not isinstance(x, np.ndarray):
        return  # stored, and checked when it is read
    try:
        with naming_columns(data.columns):
            model.check_data(x)
    except ValueError as error:
        raise ValueError(f"the test data: {error}") from None


def _batch(data: Dataset, model: Model, run: Run) -> Batch:
    """What a split trains a model on, or validates it by."""
    x = data.x
    if data.observed is not None:
        try:
            x = fill_in(x, data.observed, model, f"{data.name} ({data.split})")
        except TypeError as error:  # of a name in a file, and no mistake in a program
            raise ValueError(str(error)) from None
    return Batch(x, run.labels(model, data), data.lengths, observed=data.observed)
