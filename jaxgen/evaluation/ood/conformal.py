r"""A threshold with a guaranteed rate of false alarms: split conformal prediction.

Scores :math:`s_1, \dots, s_n` of examples that are not strange, and were not used for anything
else, give a new example the p-value

.. math:: p(x) = \frac{1 + \#\{i : s_i \ge s(x)\}}{n + 1}.

If it is exchangeable with them, :math:`P(p(x) \le \alpha) \le \alpha`, whatever the model and the
score are (Vovk et al. 2005; Bates et al. 2023). Of a score that draws, the draws have to be
exchangeable too: one example at a time needs a new key for each.

An alarm at :math:`p \le \alpha` is one above the :math:`k`-th smallest score,
:math:`k = \lceil (n + 1) (1 - \alpha) \rceil`. Of scores without ties the share of alarms, for one
set of calibration scores, is :math:`\mathrm{Beta}(n + 1 - k, k)`, and the number among :math:`m`
new examples beta-binomial.
"""

import dataclasses
import math
import warnings
from numbers import Integral, Real

import numpy as np

from jaxgen.core import check_array

_NAME = "calibrate"


@dataclasses.dataclass(frozen=True)
class Threshold:
    """A score above which an example raises an alarm.

    ``scores`` are those it was calibrated by, sorted; ``value`` is infinite where they are too few
    for ``alpha``: then nothing raises an alarm.
    """

    value: float
    alpha: float
    scores: np.ndarray

    def __str__(self) -> str:
        return (
            f"alarm above {self.value:.6g}: at most {self.alpha:.4g} of what is not strange, by "
            f"{len(self.scores)} scores"
        )

    def p_values(self, scores: np.ndarray) -> np.ndarray:
        """Of scores ``(n,)``, float64 ``(n,)`` from ``1 / (n + 1)`` to 1; small ones are strange.

        Raises:
            ValueError: for a score that is NaN.
        """
        scores = _scores(scores, "p_values")
        above = len(self.scores) - np.searchsorted(self.scores, scores, side="left")
        return (1 + above) / (len(self.scores) + 1)

    def alarms(self, scores: np.ndarray) -> np.ndarray:
        """Which scores ``(n,)`` are above the threshold: booleans ``(n,)``."""
        return _scores(scores, "alarms") > self.value

    def false_alarms(self, num: int, confidence: float = 0.95) -> tuple[int, int]:
        """From how many to how many of so many new examples raise an alarm, if none is strange.

        Args:
            num: new examples.
            confidence: the probability that their number is in the interval, at least.

        Returns:
            The beta-binomial interval, both ends included.

        Raises:
            ValueError: for a confidence outside of (0, 1), or less than one example.
        """
        from scipy.stats import betabinom

        if not isinstance(confidence, Real) or not 0.0 < confidence < 1.0:
            raise ValueError(f"false_alarms: expected 0 < confidence < 1, got {confidence!r}")
        if not isinstance(num, Integral) or num < 1:
            raise ValueError(f"false_alarms: expected a number of examples from 1, got {num!r}")
        k = _rank(len(self.scores), self.alpha)
        if k > len(self.scores):
            return 0, 0
        law = betabinom(num, len(self.scores) + 1 - k, k)
        tail = (1.0 - confidence) / 2.0
        return int(law.ppf(tail)), int(law.ppf(1.0 - tail))


def calibrate(scores: np.ndarray, alpha: float = 0.05) -> Threshold:
    r"""A threshold above which at most a share ``alpha`` of what is not strange lies.

    Args:
        scores: ``(n,)``, the higher the stranger, of examples that are not strange, and that
            neither the model nor the score has seen.
        alpha: the share of false alarms, in (0, 1). Below :math:`1 / (n + 1)` there are none.

    Returns:
        A :class:`Threshold`.

    Raises:
        ValueError: for no score, one that is NaN, or another share.

    Warns:
        UserWarning: if there are too few scores for any alarm.

    >>> threshold = calibrate(np.arange(99.0), 0.1)
    >>> threshold.value, threshold.p_values(np.array([0.0, 98.5, 200.0])).tolist()
    (89.0, [1.0, 0.01, 0.01])
    """
    scores_needed(alpha)  # which checks it
    scores = np.sort(_scores(scores, _NAME))
    if not len(scores):
        raise ValueError(f"{_NAME}: expected a score at least, got none")
    k = _rank(len(scores), alpha)
    if k > len(scores):
        warnings.warn(
            f"{_NAME}: no alarm is ever raised: {len(scores)} scores are too few for "
            f"alpha={alpha}, it takes {scores_needed(alpha)}",
            stacklevel=2,
        )
    return Threshold(float(scores[k - 1]) if k <= len(scores) else math.inf, float(alpha), scores)


def scores_needed(alpha: float) -> int:
    """How many scores a threshold of so many false alarms takes.

    Raises:
        ValueError: for another share.

    >>> scores_needed(0.05)
    19
    """
    if not isinstance(alpha, Real) or not 0.0 < alpha < 1.0:
        raise ValueError(f"{_NAME}: expected 0 < alpha < 1, got {alpha!r}")
    # As in :func:`_rank`, 1 / alpha may be a whole number that floats miss.
    return math.ceil(1.0 / alpha / (1 + 1e-12)) - 1


def _rank(num: int, alpha: float) -> int:
    """Which of so many scores is the threshold, in order."""
    # (n + 1) alpha may be a whole number that floats miss by a rounding.
    return num + 1 - math.floor((num + 1) * alpha * (1 + 1e-12))


def _scores(scores: np.ndarray, where: str) -> np.ndarray:
    scores = np.asarray(scores)
    if scores.dtype.kind == "f":
        scores = scores.astype(np.float64)  # of which one may be beyond the largest float32
    else:
        scores = np.asarray(check_array(scores, where, "scores"), np.float64)
    if scores.ndim != 1:
        raise ValueError(f"{where}: expected scores (n,), got shape {scores.shape}")
    if np.isnan(scores).any():
        raise ValueError(f"{where}: {int(np.isnan(scores).sum())} scores are NaN")
    return scores
