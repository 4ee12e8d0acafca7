"""Pictures of scores: histograms with a threshold, ROC curves, the strangest examples."""

from typing import TYPE_CHECKING

import numpy as np
from jax import Array

from jaxgen.core import described
from jaxgen.evaluation.ood.conformal import Threshold
from jaxgen.evaluation.ood.detection import detection, roc
from jaxgen.evaluation.plots import new_figure, sample_grid

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_BINS = 60
_RESAMPLES = 200


def score_histogram(
    scores: dict[str, np.ndarray], threshold: Threshold | None = None, *, label: str = "score"
) -> "Figure":
    """How scores are distributed, of each set of examples, and where an alarm is raised.

    The axis ends where a hundredth of all scores are beyond it; these count in the last bins.

    Args:
        scores: arrays ``(n,)`` by the name of the set.
        threshold: of :func:`~jaxgen.evaluation.ood.calibrate`.
        label: what the score is.

    Raises:
        ValueError: if there is no set, or one without a finite score.

    >>> figure = score_histogram({"a": np.arange(9.0), "b": np.arange(5.0)})
    >>> [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    ['a', 'b']
    """
    if not isinstance(scores, dict):
        raise TypeError(
            f"score_histogram: expected scores by the name of their set, got {described(scores)}"
        )
    finite = {name: np.asarray(each)[np.isfinite(each)] for name, each in scores.items()}
    if not finite or not all(len(each) for each in finite.values()):
        raise ValueError("score_histogram: expected sets of scores, each with a finite one")
    low, high = np.quantile(np.concatenate(list(finite.values())), [0.005, 0.995])
    if threshold is not None and np.isfinite(threshold.value):
        low, high = min(low, threshold.value), max(high, threshold.value)
    bins = np.linspace(low, high if high > low else low + 1.0, _BINS + 1)
    figure = new_figure(6, 3.5)
    axes = figure.add_subplot()
    for name, each in finite.items():
        shown = np.clip(each, bins[0], bins[-1])
        weights = np.full(len(shown), 1.0 / len(shown))
        axes.hist(shown, bins=bins.tolist(), weights=weights, alpha=0.5, label=name)
    if threshold is not None and np.isfinite(threshold.value):
        text = f"alarm (at most {threshold.alpha:g} false)"
        axes.axvline(threshold.value, color="black", linestyle="--", label=text)
    axes.set_xlabel(label)
    axes.set_ylabel("share of examples")
    axes.legend()
    return figure


def roc_curves(
    inside: dict[str, np.ndarray], outside: dict[str, np.ndarray], *, seed: int = 0
) -> "Figure":
    """The share of strange examples found over that of false alarms, of one score or several.

    The bands are of 95 per cent at each share of false alarms, from 200 bootstrap samples; the
    legend has the area under the curve.

    Args:
        inside: scores ``(n,)`` of examples that are not strange, by the name of the score.
        outside: scores ``(m,)`` of strange ones, by the same names.
        seed: of the bootstrap.

    Raises:
        ValueError: if the names are not the same, or there is none.

    >>> scores = {"any": np.random.default_rng(0).normal(size=50)}
    >>> len(roc_curves(scores, scores).axes[0].lines)  # the diagonal, too
    2
    """
    for scores in (inside, outside):
        if not isinstance(scores, dict):
            raise TypeError(
                f"roc_curves: expected scores by the name of the score, got {described(scores)}"
            )
    if not inside or inside.keys() != outside.keys():
        raise ValueError(
            f"roc_curves: expected the same scores of both kinds, got {list(inside)} and "
            f"{list(outside)}"
        )
    figure = new_figure(4.5, 4.5)
    axes = figure.add_subplot()
    axes.plot([0, 1], [0, 1], color="grey", linewidth=0.8)
    grid = np.linspace(0.0, 1.0, 201)
    for name, usual in inside.items():
        strange, rng = outside[name], np.random.default_rng(seed)
        measured = detection(usual, strange, resamples=1).auroc.value
        (line,) = axes.plot(*roc(usual, strange), label=f"{name}, {measured:.3f}", linewidth=1.2)
        curves = []
        for _ in range(_RESAMPLES):
            drawn = (each[rng.integers(0, len(each), len(each))] for each in (usual, strange))
            curves.append(np.interp(grid, *roc(*drawn)))
        low, high = np.quantile(curves, [0.025, 0.975], axis=0)
        axes.fill_between(grid, low, high, color=line.get_color(), alpha=0.2, linewidth=0)
    axes.set_xlabel("share of false alarms")
    axes.set_ylabel("share of strange examples found")
    axes.legend(fontsize="small", loc="lower right")
    return figure


def extremes(
    x: np.ndarray | Array, scores: np.ndarray, levels: float | None = None, *, num: int = 10
) -> "Figure":
    """The examples that are the least strange, in the upper half, and the strangest.

    Args:
        x: array ``(n, *event_shape)``.
        scores: array ``(n,)``.
        levels: see :func:`~jaxgen.evaluation.sample_grid`.
        num: of each.

    Raises:
        ValueError: if there are fewer examples than ``2 num``, or not a score for each.

    >>> x = np.arange(12 * 16).reshape(12, 4, 4, 1)
    >>> len(extremes(x, np.arange(12), num=3).axes)
    1
    """
    scores = np.asarray(scores)
    if num < 1 or scores.shape != (len(x),) or len(x) < 2 * num:
        raise ValueError(
            f"extremes: expected a score for each of 2 x {num} examples or more, got scores of "
            f"shape {scores.shape} and {len(x)} examples"
        )
    if np.isnan(scores).any():
        raise ValueError(f"extremes: {int(np.isnan(scores).sum())} scores are NaN")
    order = np.argsort(scores, kind="stable")
    chosen = np.concatenate([order[:num], order[-num:]])
    return sample_grid(np.asarray(x)[chosen], levels, columns=num)
