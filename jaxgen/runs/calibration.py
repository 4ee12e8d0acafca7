"""Whether the density of a run's model is calibrated."""

from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxgen.evaluation import (
    Calibration,
    calibration_plot,
    highest_density_regions,
    integral_transform,
    simulation_based_calibration,
    tarp,
)
from jaxgen.runs.draw import check_seed, random_key
from jaxgen.runs.examples import whole_examples
from jaxgen.runs.files import ExperimentFile
from jaxgen.runs.outputs import PICTURES, opened_for, save_figure

_EXAMPLES = 1000  # unless there are fewer


def calibrate_run(
    run: Path | str,
    out: Path | str,
    *,
    split: str | None = None,
    num: int | None = None,
    samples: int | None = None,
    seed: int = 0,
    file: ExperimentFile | Path | str | None = None,
) -> list[Calibration]:
    """Tests whether held-out examples could come from a run's model, and draws how far they do.

    Every model's regions of highest density are tested; the integral transform of one with a
    distribution function; simulation-based calibration and TARP of a conditional one.

    Args:
        run: the run directory.
        out: the picture, a test in each row.
        split: ``"train"``, ``"valid"`` or ``"test"``; the recipe's if None.
        num: how many examples, chosen at random; 1000, or all of fewer, if None.
        samples: draws of a conditional model for each example, of another for all together; what
            the tests take if None.
        seed: chooses the examples, and draws.
        file: the experiment file, for a model that is defined there; a path is executed.

    Returns:
        The results, in the order of the picture.

    Raises:
        RunError: if there is no run, it is damaged, or the picture cannot be written.
        ValueError: for less than one example or draw, or more examples than there are, or data
            whose examples differ in length.
    """
    if samples is not None and not 1 <= samples < 2**31:
        raise ValueError(f"calibrate: expected from 1 to 2**31 - 1 samples, got {samples}")
    rng, key = np.random.default_rng(check_seed(seed)), random_key(seed)
    opened = opened_for(run, out, *PICTURES)
    recipe = opened.recipe
    data = opened.load_data(split or recipe.eval_split)
    # Whole signals are of another length than the pieces that the model was trained on.
    model = opened.load(file, None if recipe.crop is None else data.event_shape)
    if data.lengths is not None:
        raise ValueError(
            f"calibrate: expected examples of one length, got {data.name}, whose are padded"
        )
    num = min(_EXAMPLES, len(data.x)) if num is None else num
    least = 1 if model.context_shape is None else 2
    if not least <= num <= len(data.x):
        raise ValueError(f"calibrate: expected from {least} to {len(data.x)} examples, got {num}")
    rows = rng.permutation(len(data.x))[:num]
    labels = opened.labels(model, data)
    x = whole_examples(model, data, labels, seed)[rows]
    context = None if labels is None else np.asarray(labels)[rows]
    own: dict[str, Any] = {} if samples is None else {"num_samples": samples}
    keys = jax.random.split(key, 4)
    weights = recipe.eval_samples
    results = [highest_density_regions(model, x, context, key=keys[0], num_weights=weights, **own)]
    if model.has_cdf:
        results.append(integral_transform(model, x, context, key=keys[1]))
    if context is not None:
        results.append(simulation_based_calibration(model, x, context, key=keys[2], **own))
        results.append(tarp(model, x, context, key=keys[3], **own))
    save_figure(calibration_plot(results), out)
    return results
