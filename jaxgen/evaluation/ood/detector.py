r"""One score from several statistics, by how they lie in data that are not strange.

A detector sees a reference, examples of what is not strange, and nothing else: no outlier decides
about it. An example's statistics :math:`t(x)` are then compared with the reference's, by

- ``"typicality"``: the squared Mahalanobis distance from their mean,
  :math:`(t - \bar t)^\top \Sigma^{-1} (t - \bar t)`. Of the negative log-likelihood alone it is the
  distance of an example from the typical set (Nalisnick et al. 2019b), of gradients' norms the
  score of Dauncey et al. (2024).
- ``"copod"``: the copula-based score of Li et al. (2020). With the empirical tails of the reference
  in each statistic, :math:`l_j = \hat P(T_j \le t_j)` and :math:`r_j = \hat P(T_j \ge t_j)`,

  .. math:: s = \max\left(-\sum_j \log l_j,\; -\sum_j \log r_j,\; -\sum_j \log c_j\right),

  where :math:`c_j` is the tail on the longer side, to which the reference is skewed.
- any estimator of scikit-learn that has ``fit`` and ``score_samples``, such as a
  ``GaussianMixture`` or a ``KernelDensity`` (a density of states, Morningstar et al. 2021), an
  ``IsolationForest`` or a ``OneClassSVM``: it sees standardised statistics.

Deviation from COPOD: the tails are the reference's alone, with the example itself counted in, so
that a score does not depend on what else is scored, and no tail is empty.
"""

import copy
import dataclasses
import inspect
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
from jax import Array

from jaxgen.core import Context, Key, ShapeError, check_array, described, unknown
from jaxgen.evaluation.ood.statistics import Statistic, negative_log_likelihood
from jaxgen.models import Model

# A standard deviation of normal numbers, in medians of their distance from the median; and how many
# of them the statistics of a reference may spread.
_NORMAL, _DOMINATED = 1.4826, 100


class Comparison(Protocol):
    """How strange statistics are beside those of a reference."""

    def __call__(self, statistics: np.ndarray) -> np.ndarray: ...


@dataclasses.dataclass(frozen=True)
class Detector:
    """A score of examples, of which the higher is the stranger.

    It is made by :func:`detector`, and is called with examples ``(n, *event_shape)``, and contexts
    for a conditional model; it returns float64 ``(n,)``. ``reference`` are the scores of the
    examples it was made from.
    """

    model: Model
    statistics: tuple[Statistic, ...]
    compare: Comparison
    key: Key
    reference: np.ndarray

    def __call__(self, x: np.ndarray | Array, context: Context = None) -> np.ndarray:
        return self.compare(_table(self.model, self.statistics, x, context, self.key))


def detector(
    model: Model,
    reference: np.ndarray | Array,
    statistics: Statistic | Sequence[Statistic] = (negative_log_likelihood,),
    *,
    compare: Any = "typicality",
    context: Context = None,
    key: Key = None,
) -> Detector:
    """Makes a score of statistics, by those of a reference.

    Args:
        model: any model that the statistics can use.
        reference: examples ``(m, *event_shape)`` that are not strange, two at least; better not
            those that the model was trained on, which it knows too well.
        statistics: functions ``(model, x, context, key=key)`` to ``(n,)`` or ``(n, k)``, of
            :mod:`jaxgen.evaluation.ood.statistics` or a user's own; or one of them.
        compare: ``"typicality"``, ``"copod"``, or an estimator with ``fit`` and ``score_samples``,
            of which a copy is fitted.
        context: array ``(m, *context_shape)`` for a conditional model.
        key: for statistics that draw.

    Returns:
        A :class:`Detector`.

    Raises:
        ValueError: for no statistic, an unknown comparison, less than two examples, a reference to
            which the model gives no finite statistics, or one that has the same ones everywhere,
            or, for ``"typicality"``, few that spread a hundred times as far as most.
        TypeError: if a statistic is no such function, or for a comparison of another kind.
        ShapeError: if a statistic has not a row for each example.

    >>> from jaxgen.models import StandardNormal
    >>> x = np.random.default_rng(0).normal(size=(200, 2)).astype(np.float32)
    >>> strange = detector(StandardNormal((2,)), x)
    >>> usual, centre, far = strange(np.array([[1.0, -1.0], [0.0, 0.0], [4.0, 4.0]]))
    >>> bool(usual < centre < far)  # the likeliest point is not a typical one
    True
    """
    statistics = (statistics,) if callable(statistics) else tuple(statistics)
    if not statistics:
        raise ValueError("detector: expected a statistic at least, got none")
    for statistic in statistics:
        _check_statistic(statistic)
    table = _table(model, statistics, reference, context, key)
    if len(table) < 2:
        raise ValueError(f"detector: expected a reference of 2 examples or more, got {len(table)}")
    if not np.isfinite(table).all():
        bad = np.flatnonzero(~np.isfinite(table).all(axis=1))
        raise ValueError(
            f"detector: {len(bad)} of {len(table)} examples of the reference, the first of them "
            f"{bad[0]}, have statistics that are not finite"
        )
    varied = table.std(axis=0) > 0
    if not varied.any():
        raise ValueError("detector: all statistics are the same everywhere in the reference")
    if compare == "typicality":
        _refuse_dominated(table)
    compare = _comparison(compare, table[:, varied], varied)
    return Detector(model, statistics, compare, key, compare(table))


def _table(
    model: Model,
    statistics: tuple[Statistic, ...],
    x: np.ndarray | Array,
    context: Context,
    key: Key,
) -> np.ndarray:
    """The statistics of examples side by side, ``(n, k)``."""
    columns = []
    for statistic in statistics:
        name = getattr(statistic, "__name__", type(statistic).__name__)
        given = check_array(statistic(model, x, context, key=key), "detector", f"what {name} gives")
        values = np.asarray(given, np.float64)
        if values.ndim not in (1, 2) or len(values) != len(x):
            raise ShapeError(
                f"detector: expected {name} to give ({len(x)},) or ({len(x)}, k), got shape "
                f"{values.shape}"
            )
        if np.isnan(values).any():
            row = int(np.isnan(values).reshape(len(x), -1).any(axis=1).argmax())
            raise ValueError(f"detector: {name} is NaN for example {row}")
        columns.append(values.reshape(len(x), -1))
    return np.concatenate(columns, axis=1)


def _refuse_dominated(table: np.ndarray) -> None:
    """Refuses a reference of which a few rows are so far off that all others look alike.

    A mean and a covariance are theirs then, and what is strange is nearer to it than what is not.
    """
    middle = np.median(table, axis=0)
    away = np.abs(table - middle)
    spread = _NORMAL * np.median(away, axis=0)
    dominated = (spread > 0) & (table.std(axis=0) > _DOMINATED * spread)
    if dominated.any():
        row = int(away[:, np.flatnonzero(dominated)[0]].argmax())
        raise ValueError(
            f"detector: the reference's statistics spread over {_DOMINATED} times what most of "
            f"them do, the farthest of example {row}: by their mean and covariance nothing could "
            f"be told from anything else; leave such examples out, or take compare='copod', or a "
            f"score without a reference, such as negative_log_likelihood"
        )


def _check_statistic(statistic: Any) -> None:
    """Refuses what cannot be called as a statistic is."""
    if not callable(statistic):
        raise TypeError(
            f"detector: expected functions for statistics, got {described(statistic)}; of a score "
            f"by its name see named_score"
        )
    try:
        inspect.signature(statistic).bind(None, None, None, key=None)
    except TypeError as error:
        name = getattr(statistic, "__name__", type(statistic).__name__)
        raise TypeError(
            f"detector: expected statistics to be called as (model, x, context, key=key), but "
            f"{name} has {error}"
        ) from error


def _comparison(compare: Any, table: np.ndarray, varied: np.ndarray) -> Comparison:
    if isinstance(compare, str):
        if compare not in _COMPARISONS:
            others = "an estimator with fit and score_samples"
            raise unknown("comparison", compare, [*_COMPARISONS, others])
        return _COMPARISONS[compare](table, varied)
    fits = hasattr(compare, "fit") and hasattr(compare, "score_samples")
    if not fits or isinstance(compare, type):
        raise TypeError(
            f"detector: expected 'typicality', 'copod' or an estimator with fit and "
            f"score_samples, got {described(compare)}"
        )
    return _Estimated(table, varied, compare)


class _Standardized:
    """Statistics that vary in the reference, with mean 0 and deviation 1 there."""

    def __init__(self, table: np.ndarray, varied: np.ndarray):
        self.varied = varied
        self.mean, self.deviation = table.mean(axis=0), table.std(axis=0)

    def __call__(self, statistics: np.ndarray) -> np.ndarray:
        return (statistics[:, self.varied] - self.mean) / self.deviation


class _Typicality:
    def __init__(self, table: np.ndarray, varied: np.ndarray):
        self.standardized = _Standardized(table, varied)
        # Statistics may depend on each other, as those of two models: then there is no inverse.
        correlation = np.atleast_2d(np.corrcoef(table, rowvar=False))
        self.precision = np.linalg.pinv(correlation, hermitian=True)

    def __call__(self, statistics: np.ndarray) -> np.ndarray:
        t = self.standardized(statistics)
        with np.errstate(invalid="ignore"):  # infinity in one statistic against minus it in another
            distance = np.einsum("ni,ij,nj->n", t, self.precision, t)
        return np.where(np.isfinite(t).all(axis=1), distance, np.inf)


class _Copod:
    def __init__(self, table: np.ndarray, varied: np.ndarray):
        from scipy.stats import skew

        self.varied = varied
        self.ordered = np.sort(table, axis=0)
        self.to_the_left = skew(table, axis=0) < 0

    def __call__(self, statistics: np.ndarray) -> np.ndarray:
        t, size = statistics[:, self.varied], len(self.ordered)
        columns = list(zip(self.ordered.T, t.T, strict=True))
        below = np.stack([np.searchsorted(o, c, side="right") for o, c in columns], axis=1)
        above = size - np.stack([np.searchsorted(o, c, side="left") for o, c in columns], axis=1)
        left, right = -np.log((below + 1) / (size + 1)), -np.log((above + 1) / (size + 1))
        skewed = np.where(self.to_the_left, left, right)
        return np.max([each.sum(axis=1) for each in (left, right, skewed)], axis=0)


class _Estimated:
    def __init__(self, table: np.ndarray, varied: np.ndarray, estimator: Any):
        self.standardized = _Standardized(table, varied)
        self.estimator = copy.deepcopy(estimator)
        self.estimator.fit((table - self.standardized.mean) / self.standardized.deviation)

    def __call__(self, statistics: np.ndarray) -> np.ndarray:
        t = self.standardized(statistics)
        finite = np.isfinite(t).all(axis=1)
        scores = np.full(len(t), np.inf)
        if finite.any():
            scores[finite] = -self.estimator.score_samples(t[finite])
        return scores


_COMPARISONS: dict[str, Callable[[np.ndarray, np.ndarray], Comparison]]
_COMPARISONS = {"typicality": _Typicality, "copod": _Copod}
