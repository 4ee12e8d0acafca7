"""What a run's model says of other data: scores, p-values, and how well they tell them apart."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jaxgen.data.specs import place_of
from jaxgen.evaluation import ood
from jaxgen.evaluation.ood.conformal import scores_needed
from jaxgen.evaluation.records import device, git_commit, versions
from jaxgen.models import Model
from jaxgen.runs.directory import Run
from jaxgen.runs.draw import random_key
from jaxgen.runs.examples import Examples, examples_of, halves, scored_examples
from jaxgen.runs.files import ExperimentFile
from jaxgen.runs.outputs import check_spared, opened_for, save_figure, write_table
from jaxgen.training.claims import writing

_ROWS = 10  # of examples in the picture of extremes


def score_run(
    run: Path | str,
    out: Path | str,
    *,
    data: str | None = None,
    split: str | None = None,
    score: str = "typicality",
    num: int | None = None,
    seed: int = 0,
    background: Path | str | None = None,
    file: ExperimentFile | Path | str | None = None,
) -> tuple[int, int]:
    """Writes how strange every example is to a run's model, as a table.

    A row has the example's index, its score, and its p-value: the share of examples of the run's
    validation split that are as strange (:func:`jaxgen.evaluation.ood.calibrate`). One half of that
    split is the reference of a score that needs one, the other gives the p-values. Values that are
    missing of a row are drawn given the others; a column tells how many, for the fewer are there,
    the more usual a row looks.

    Args:
        run: the run directory.
        out: the table, comma-separated.
        data: an ``.npy``, ``.npz``, ``.csv`` or ``.parquet`` file, all of whose rows are scored in
            their order, a folder, all of whose pictures are, or the name of data, see
            :func:`jaxgen.data.load`; the run's own test split if None. Of a table the columns are
            found by the names that they had in training, and of pictures the files are told.
        split: of named data, ``"test"`` if None.
        score: a name, see :func:`jaxgen.evaluation.ood.named_score`.
        num: how many examples, the first ones; all if None.
        seed: of what the score draws.
        background: the run of another model of the same events, for ``likelihood_ratio``.
        file: the experiment file, for a model that is defined there; a path is executed.

    Returns:
        How many examples were scored, and by how many of the validation split they have p-values.

    Raises:
        RunError: if there is no run, it is damaged, or the table cannot be written.
        ValueError: if the data do not fit the model, or it has no such score.
    """
    opened = opened_for(run, out, ".csv", data=data)
    model = opened.load(file)
    reference, held_out = halves(opened, model, seed)
    if data is None and split not in (None, "test"):
        raise ValueError(
            f"score: expected the test split of the run's own data, got {split!r}, which the model "
            f"or the p-values come from; name the data to score them without a meaning of p-values"
        )
    examples = scored_examples(opened, model, data, split or "test", seed).first(num)
    judge = _named(model, score, reference, seed, _background(background, opened, file))
    names, rest = ["example", score, "p_value"], []
    if examples.missing is not None:
        names, rest = [*names, "missing"], [examples.missing.tolist()]
    if examples.files is not None:
        names, rest = [*names, "file"], [*rest, examples.files]
    usual, scores = (judge(each.x, each.context) for each in (held_out, examples))
    # Of the threshold only the p-values are wanted, which few scores have, too.
    p_values = ood.calibrate(usual, max(0.05, 1.0 / (1 + len(usual)))).p_values(scores)
    rows = zip(examples.numbers.tolist(), scores.tolist(), p_values.tolist(), *rest, strict=True)
    write_table(out, names, rows)
    return len(scores), len(usual)


def ood_run(
    run: Path | str,
    out: Path | str,
    *,
    against: str,
    scores: Sequence[str] | None = None,
    alpha: float = 0.05,
    num: int | None = None,
    seed: int = 0,
    background: Path | str | None = None,
    file: ExperimentFile | Path | str | None = None,
) -> list[str]:
    """Measures how well a run's model tells its own test data from others.

    The folder gets ``ood.json`` with every number, ``roc.png``, and for every score
    ``NAME.histogram.png``, with the threshold of a share ``alpha`` of false alarms, and
    ``NAME.extremes.png``, the least strange and the strangest of both data sets together. Half of
    the run's validation split is the reference of scores that need one, the other half gives the
    threshold: nothing is chosen by the other data.

    Args:
        run: the run directory.
        out: the folder.
        against: the other data, see :func:`jaxgen.data.load`; their test split, in the shape of the
            run's examples.
        scores: names, see :func:`jaxgen.evaluation.ood.named_score`; all that the model has if
            None.
        alpha: the share of false alarms.
        num: how many examples of each set, the first ones; all if None.
        seed: of what the scores draw, and of the bootstrap.
        background: the run of another model of the same events, for ``likelihood_ratio``.
        file: the experiment file, for a model that is defined there; a path is executed.

    Returns:
        A line for each score.

    Raises:
        RunError: if there is no run, it is damaged, or the folder cannot be written.
        ValueError: if the data do not fit the model, or it has no such score.
    """
    if num is not None and num < 4:
        raise ValueError(f"ood: expected 4 examples of each set or more, got {num}")
    opened = Run.read(run)
    check_spared(out, place_of(against), place_of(opened.recipe.data))
    model = opened.load(file)
    behind = _background(background, opened, file)
    reference, held_out = (half.first(num) for half in halves(opened, model, seed))
    if len(held_out.x) < (needed := scores_needed(alpha)):
        raise ValueError(
            f"ood: of {len(held_out.x)} validation examples no threshold has a share of false "
            f"alarms of {alpha:g}; it takes {needed}"
        )
    inside = examples_of(opened, model, None, "test", seed).first(num)
    outside = examples_of(opened, model, against, "test", seed).first(num)
    lines: list[str] = []
    measured: dict[str, Any] = {}
    found: dict[str, dict[str, np.ndarray]] = {"inside": {}, "outside": {}}
    folder = Path(out)
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    record = {
        "model": opened.name,
        "data": opened.recipe.data,
        "against": against,
        "background": None if background is None else Run.read(background).name,
        "num_inside": len(inside.x),
        "num_outside": len(outside.x),
        "alpha": alpha,
        "seed": seed,
        "scores": measured,
        "versions": versions(),
        "device": device(),
        "git_commit": git_commit(),
    }
    for name in ood.scores_of(model, behind) if scores is None else scores:
        judge = _named(model, name, reference, seed, behind)
        calibration, usual, strange = (
            judge(each.x, each.context) for each in (held_out, inside, outside)
        )
        threshold = ood.calibrate(calibration, alpha)
        result = ood.detection(usual, strange, seed=seed)
        false, caught = (float(threshold.alarms(each).mean()) for each in (usual, strange))
        low, high = (end / len(usual) for end in threshold.false_alarms(len(usual)))
        lines.append(
            f"{name}: {result}; alarms {false:.4f} of its own (expected {low:.4f} to {high:.4f}), "
            f"{caught:.4f} of {against}"
        )
        measured[name] = {
            **{measure: list(getattr(result, measure)) for measure in _MEASURES},
            "false_alarms": false,
            "false_alarms_expected": [low, high],
            "alarms": caught,
        }
        found["inside"][name], found["outside"][name] = usual, strange
        sets = {opened.recipe.data: usual, against: strange}
        save_figure(
            ood.score_histogram(sets, threshold, label=name), folder / f"{name}.histogram.png"
        )
        both = np.concatenate([inside.x, outside.x]), np.concatenate([usual, strange])
        rows = min(_ROWS, len(both[0]) // 2)
        picture = ood.extremes(*both, model.levels, num=rows)
        save_figure(picture, folder / f"{name}.extremes.png")
        with writing(folder / "ood.json"):  # a later score may take hours
            (folder / "ood.json").write_text(json.dumps(record, indent=2) + "\n")
    save_figure(ood.roc_curves(found["inside"], found["outside"], seed=seed), folder / "roc.png")
    return lines


_MEASURES = ("auroc", "aupr", "false_positive_rate")


def _background(
    run: Path | str | None, of: Run, file: ExperimentFile | Path | str | None
) -> Model | None:
    """The model of a second run; of the same file, if it is defined in one."""
    if run is None:
        return None
    opened = Run.read(run)
    if opened.event_shape != of.event_shape:
        raise ValueError(
            f"background: expected a model of the events {of.event_shape}, got {opened.path} of "
            f"{opened.event_shape}"
        )
    return opened.load(file)


def _named(
    model: Model, name: str, reference: Examples, seed: int, background: Model | None
) -> Any:
    options: dict[str, Any] = {
        "context": reference.context,
        "key": random_key(seed),
        "background": background,
    }
    try:
        return ood.named_score(model, name, reference.x, **options)
    except TypeError as error:  # of a name on the command line, and no mistake in a program
        raise ValueError(str(error)) from None
