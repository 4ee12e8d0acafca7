"""Pictures of calibration: histograms of what should be uniform, and curves of coverage."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from jaxgen.core import checked_arguments, described
from jaxgen.evaluation.calibration.result import Calibration, checked_uniforms
from jaxgen.evaluation.plots import new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_CURVES = 8  # coordinates that are shown, the worst


@checked_arguments
def calibration_plot(
    results: Calibration | Sequence[Calibration], *, bins: int = 20, confidence: float = 0.99
) -> "Figure":
    """For each result a histogram of ``u``, and its coverage over the level, each with its band.

    Of a model that is calibrated a bar of the histogram is inside the grey band, which is
    binomial, with the probability ``confidence``, and so is a curve of coverage as a whole, by the
    statistic of Kolmogorov and Smirnov. Of several coordinates up to 8 are shown, those that fit
    worst; the curve's band holds for all coordinates together (Bonferroni), the histogram's for
    each bar.

    Args:
        results: one, or several, in a row each.
        bins: bars of a histogram.
        confidence: of the bands, between 0 and 1.

    Raises:
        ValueError: for no results, less than 2 bins, or a confidence out of range.

    >>> from jaxgen.evaluation import integral_transform
    >>> from jaxgen.models import StandardNormal
    >>> import jax
    >>> x = jax.random.normal(jax.random.key(0), (200, 2))
    >>> result = integral_transform(StandardNormal((2,)), x, key=jax.random.key(1))
    >>> figure = calibration_plot(result)
    >>> figure.savefig("calibration.png")  # doctest: +SKIP
    """
    from scipy import stats

    results = [results] if isinstance(results, Calibration) else list(results)
    if not results:
        raise ValueError("calibration_plot: expected a result or more, got none")
    for result in results:
        if not isinstance(result, Calibration):
            raise TypeError(f"calibration_plot: expected results, got {described(result)}")
    if bins < 2 or not 0 < confidence < 1:
        raise ValueError(
            f"calibration_plot: expected 2 bins or more and a confidence between 0 and 1, got "
            f"{bins} and {confidence:g}"
        )
    figure = new_figure(8, 3.2 * len(results))
    for row, result in enumerate(results):
        u = checked_uniforms(result.u, "calibration_plot")
        u = u.reshape(len(u), -1)
        worst = np.argsort(result.p_values, kind="stable")[:_CURVES]
        size = max(1, round(result.effective_size))
        left = figure.add_subplot(len(results), 2, 2 * row + 1)
        right = figure.add_subplot(len(results), 2, 2 * row + 2)

        tails = np.array([(1 - confidence) / 2, (1 + confidence) / 2])
        low, high = stats.binom.ppf(tails, size, 1 / bins) * bins / size
        left.axhspan(low, high, color="0.85")
        right.axline((0, 0), slope=1, color="0.5", linewidth=0.8)
        margin = stats.kstwo.ppf(1 - (1 - confidence) / u.shape[1], size)
        diagonal = np.array([0.0, 1.0])
        right.fill_between(diagonal, diagonal - margin, diagonal + margin, color="0.85")
        for column in worst:
            label = None if u.shape[1] == 1 else str(column)
            shares, edges = np.histogram(u[:, column], bins, (0.0, 1.0))
            left.stairs(shares * bins / len(u), edges)
            ordered = np.concatenate([[0.0], np.sort(u[:, column]), [1.0]])
            covered = np.concatenate([np.arange(len(u) + 1) / len(u), [1.0]])
            right.step(ordered, covered, where="post", label=label)
        if u.shape[1] > 1:  # where curves are not
            right.legend(title="coordinate", fontsize="x-small", ncols=2, loc="lower right")
        left.set_title(f"{result.name}, {result.significance()}", fontsize="small")
        left.set_xlabel("u")
        left.set_ylabel("density")
        left.set_xlim(0, 1)
        left.set_ylim(bottom=0)
        right.set_xlabel("level")
        right.set_ylabel("coverage")
        right.set_xlim(0, 1)
        right.set_ylim(0, 1)
    return figure
