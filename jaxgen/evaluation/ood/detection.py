r"""How well a score tells strange examples from others, with intervals.

Strange examples are the positive class. With scores :math:`s` of examples that are not strange and
:math:`s'` of strange ones,

.. math:: \mathrm{AUROC} = P(s' > s) + \tfrac12 P(s' = s),

the area under precision over recall (AUPR, as the mean precision over the steps of recall), and the
share of false alarms where 95 per cent of the strange ones are found (FPR95). The intervals are
percentiles of bootstrap samples (Efron, 1979) of both sets of scores, each drawn again by itself:
they say what other examples of the same two kinds would give, for this model and score.
"""

import dataclasses
from numbers import Integral
from typing import NamedTuple

import numpy as np

from jaxgen.core import check_array

_FOUND = 0.95


class Interval(NamedTuple):
    """A measured value and the ends of its interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


@dataclasses.dataclass(frozen=True)
class Detection:
    """What :func:`detection` measures; ``false_positive_rate`` is that at 95 per cent found."""

    auroc: Interval
    aupr: Interval
    false_positive_rate: Interval
    num_inside: int
    num_outside: int

    def __str__(self) -> str:
        return (
            f"AUROC {self.auroc}, AUPR {self.aupr}, FPR95 {self.false_positive_rate} "
            f"({self.num_inside} against {self.num_outside})"
        )


def detection(
    inside: np.ndarray,
    outside: np.ndarray,
    *,
    resamples: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Detection:
    """Measures a score by what it gives to examples of both kinds.

    Args:
        inside: scores ``(n,)`` of examples that are not strange; infinite ones count.
        outside: scores ``(m,)`` of strange ones.
        resamples: bootstrap samples.
        confidence: of the intervals, in (0, 1).
        seed: of the bootstrap.

    Returns:
        A :class:`Detection`.

    Raises:
        ValueError: for no score, one that is NaN, no resample, or another confidence.

    >>> result = detection(np.arange(100.0), np.arange(50.0, 150.0), resamples=100)
    >>> round(result.auroc.value, 3)  # a seventh of the pairs is in the other order
    0.875
    """
    for name, scores in (("inside", inside), ("outside", outside)):
        scores = np.asarray(check_array(scores, "detection", name))
        if scores.ndim != 1 or not len(scores):
            raise ValueError(
                f"detection: expected scores (n,) of examples {name}, one at least, got shape "
                f"{scores.shape}"
            )
        if bad := int(np.isnan(scores).sum()):
            raise ValueError(f"detection: {bad} scores of examples {name} are NaN")
    whole = isinstance(resamples, Integral) and isinstance(seed, Integral)
    if not whole or not 0.0 < confidence < 1.0 or resamples < 1 or seed < 0:
        raise ValueError(
            f"detection: expected 0 < confidence < 1, a resample at least and a seed from 0 on, "
            f"got confidence={confidence!r}, resamples={resamples!r} and seed={seed!r}"
        )
    sets = [np.asarray(scores, np.float64) for scores in (inside, outside)]
    # Sorted once: a bootstrap sample is how often each score is drawn.
    values = np.unique(np.concatenate(sets))[::-1]
    places = [len(values) - 1 - np.searchsorted(values[::-1], scores) for scores in sets]
    measured = _measures(*(np.bincount(place, minlength=len(values)) for place in places))
    rng = np.random.default_rng(seed)
    drawn = np.array([_measures(*_counts(places, len(values), rng)) for _ in range(resamples)])
    tail = (1.0 - confidence) / 2.0
    ends = np.quantile(drawn, [tail, 1.0 - tail], axis=0)
    auroc, aupr, false = (Interval(*map(float, each)) for each in zip(measured, *ends, strict=True))
    return Detection(auroc, aupr, false, len(sets[0]), len(sets[1]))


def roc(inside: np.ndarray, outside: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The shares of false alarms and of strange examples found, as the threshold falls.

    Args:
        inside, outside: scores ``(n,)`` and ``(m,)``.

    Returns:
        Two arrays that rise from 0 to 1.

    >>> false, found = roc(np.array([0.0, 1.0]), np.array([1.0, 2.0]))
    >>> false.tolist(), found.tolist()
    ([0.0, 0.0, 0.5, 1.0], [0.0, 0.5, 1.0, 1.0])
    """
    values = np.unique(np.concatenate([inside, outside]))[::-1]
    curves = []
    for scores in (inside, outside):
        place = len(values) - 1 - np.searchsorted(values[::-1], scores)
        counts = np.bincount(place, minlength=len(values))
        curves.append(np.concatenate([[0.0], np.cumsum(counts) / len(scores)]))
    return curves[0], curves[1]


def _counts(
    places: list[np.ndarray], size: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """How often each value is drawn, of both sets."""
    first, second = (
        np.bincount(place[rng.integers(0, len(place), len(place))], minlength=size)
        for place in places
    )
    return first, second


def _measures(inside: np.ndarray, outside: np.ndarray) -> tuple[float, float, float]:
    """AUROC, AUPR and FPR95 by how many examples have each score, from the highest on."""
    false, found = np.cumsum(inside), np.cumsum(outside)
    # Each strange example is above those inside that come later, and ties with those beside it.
    auroc = np.sum(outside * (false[-1] - false + 0.5 * inside)) / (false[-1] * found[-1])
    precision = found / np.maximum(false + found, 1)
    aupr = np.sum(precision * outside) / found[-1]
    enough = np.searchsorted(found, _FOUND * found[-1], side="left")
    return float(auroc), float(aupr), float(false[enough] / false[-1])
