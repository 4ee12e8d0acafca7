"""Pictures of what a run's model knows of test examples by their latents."""

from pathlib import Path

import jax.numpy as jnp
import numpy as np

from jaxgen.core import Context
from jaxgen.evaluation import (
    interpolate,
    interpolation_grid,
    reconstruction_grid,
    traversal_grid,
)
from jaxgen.models import Model
from jaxgen.runs.draw import check_seed, random_key
from jaxgen.runs.files import ExperimentFile
from jaxgen.runs.outputs import PICTURES, opened_for, save_figure

_LONGEST_PATH = 1000  # points beside each other in a picture
_EXAMPLES = 1000  # by which the latent dimensions are ranked


def interpolate_run(
    run: Path | str,
    out: Path | str,
    *,
    num: int = 8,
    pairs: int = 6,
    seed: int = 0,
    file: ExperimentFile | Path | str | None = None,
) -> None:
    """Draws paths between pairs of test examples through the latent space of a run's model.

    Args:
        run: the run directory.
        out: the picture; a pair in each row.
        num: points of a path, both ends included.
        pairs: how many pairs; of a class-conditional model both examples are of one class.
        seed: chooses the pairs.
        file: the experiment file, for a model that is defined there; a path is executed.

    Raises:
        RunError: if there is no run, it is damaged, or the picture cannot be written.
        ValueError: if the model has no latents, or the test split too few examples.
    """
    model, x, labels = _examples(run, out, file, "interpolate")
    if num > _LONGEST_PATH:
        raise ValueError(f"interpolate: expected at most {_LONGEST_PATH} points, got {num}")
    rng = np.random.default_rng(check_seed(seed))
    if not 1 <= 2 * pairs <= len(x):
        raise ValueError(
            f"interpolate: expected from 1 pair to half of the {len(x)} test examples, got {pairs}"
        )
    first, second = rng.permutation(len(x))[: 2 * pairs].reshape(2, pairs)
    chosen = None
    if labels is not None:
        classes = np.asarray(labels)
        alike = [np.flatnonzero(classes == label) for label in classes[first]]
        second = np.array([rng.choice(rows) for rows in alike])
        chosen = labels[first]
    path = interpolate(model, x[first], x[second], num, chosen)
    save_figure(interpolation_grid(path, model.levels), out)


def reconstruct_run(
    run: Path | str,
    out: Path | str,
    *,
    num: int = 10,
    seed: int = 0,
    draw: bool = False,
    file: ExperimentFile | Path | str | None = None,
) -> None:
    """Draws test examples, and below them what comes back from their latents.

    Args:
        run: the run directory.
        out: the picture.
        num: how many examples.
        seed: chooses the examples, and the latents.
        draw: draws the latents from the posterior; otherwise they are its centre.
        file: the experiment file, for a model that is defined there; a path is executed.

    Raises:
        RunError: if there is no run, it is damaged, or the picture cannot be written.
        ValueError: if the model has no latents, or the test split too few examples.
    """
    model, x, context = _examples(run, out, file, "reconstruct")
    rows = np.random.default_rng(check_seed(seed)).permutation(len(x))
    if not 1 <= num <= min(len(x), _LONGEST_PATH):
        raise ValueError(
            f"reconstruct: expected from 1 to {min(len(x), _LONGEST_PATH)} examples, got {num}"
        )
    given = None if context is None else context[rows[:num]]
    key = random_key(seed) if draw else None
    save_figure(reconstruction_grid(model, x[rows[:num]], given, key=key), out)


def traverse_run(
    run: Path | str,
    out: Path | str,
    *,
    example: int = 0,
    num: int = 9,
    span: float = 3.0,
    dimensions: int = 8,
    file: ExperimentFile | Path | str | None = None,
) -> None:
    """Draws a test example with single latent dimensions moved, a dimension in each row.

    Shown are the dimensions that vary most over test examples, the most first.

    Args:
        run: the run directory.
        out: the picture.
        example: which of the test examples.
        num: values of a dimension, from ``-span`` to ``span``; of discrete latents, means from the
            first level to the last.
        span: see there; 3 standard deviations of a standard normal prior.
        dimensions: how many.
        file: the experiment file, for a model that is defined there; a path is executed.

    Raises:
        RunError: if there is no run, it is damaged, or the picture cannot be written.
        ValueError: if the model has no latents, or for an example, a number or a span that is none.
    """
    model, x, context = _examples(run, out, file, "traverse")
    if not 0 <= example < len(x):
        raise ValueError(f"traverse: expected an example from 0 to {len(x) - 1}, got {example}")
    if not (2 <= num <= _LONGEST_PATH and dimensions >= 1 and 0 < span < np.inf):
        raise ValueError(
            f"traverse: expected from 2 to {_LONGEST_PATH} values, a dimension or more and a "
            f"positive span, got num={num}, dimensions={dimensions} and span={span}"
        )
    some = None if context is None else context[:_EXAMPLES]
    z = np.asarray(model.infer(jnp.asarray(x[:_EXAMPLES]), some))
    ranked = np.argsort(-z.reshape(len(z), -1).var(axis=0, dtype=np.float64))[:dimensions]
    given = None if context is None else context[example]
    levels = model.latent_levels
    values = np.linspace(-span, span, num) if levels is None else np.linspace(0, levels - 1, num)
    if z.dtype.kind in "iu":  # codes, of which there are no means
        values = np.unique(np.round(values).astype(z.dtype))
    save_figure(traversal_grid(model, x[example], list(ranked), values, given), out)


def _examples(
    run: Path | str, out: Path | str, file: ExperimentFile | Path | str | None, command: str
) -> tuple[Model, np.ndarray, Context]:
    """A run's model with latents, the test examples, and their labels if it takes them."""
    opened = opened_for(run, out, *PICTURES)
    model, data = opened.load(file), opened.load_data("test")
    if model.latent_shape is None:
        raise ValueError(f"{command}: a {type(model).__name__} of {run} has no latents")
    labels = opened.labels(model, data)
    return model, data.x, None if labels is None else jnp.asarray(labels)
