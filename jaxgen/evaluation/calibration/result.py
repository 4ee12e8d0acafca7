r"""What a check of calibration finds, and the tests behind it.

Every check makes of an example, and of what the model says about it, numbers ``u`` that are uniform
on ``[0, 1]`` if the example comes from the model. How far they are from uniform is measured by the
statistics of Kolmogorov and Smirnov or, of ranks, by chi-square, as SciPy has them.

With a p-value :math:`p_j` for each of ``D`` coordinates, the one of all together is

.. math:: 1 - (1 - \min_j p_j)^D \quad\text{(Šidák)} \qquad\text{or}\qquad
          \min(1, D \min_j p_j) \quad\text{(Bonferroni)},

the first where the coordinates of ``u`` are independent if the model is right, the second, which
holds whatever their dependence, where they need not be.
"""

import dataclasses
from typing import Any

import numpy as np
from jax import Array

from jaxgen.core import ShapeError, check_array

_PER_BIN = 5  # examples expected in a bin of ranks, at least


@dataclasses.dataclass(frozen=True, eq=False)
class Calibration:
    """Numbers that are uniform if a model is calibrated, and a test of whether they are.

    ``u`` is of shape ``(n,)`` or, of several coordinates, ``(n, D)``, and so are the integers
    ``ranks`` of what is ranked among ``num_samples`` draws, from 0 to their number. ``statistic``
    is that of the worst coordinate, ``p_value`` that of all together, ``p_values`` has one for
    each. A small ``p_value`` says that the data are not from the model; a large one only that so
    many examples do not show it. ``effective_size`` is the number of independent uniform numbers
    whose distribution would be known as well: ``n``, or fewer where examples share draws.
    """

    name: str
    u: np.ndarray = dataclasses.field(repr=False)
    test: str
    statistic: float
    p_value: float
    p_values: np.ndarray = dataclasses.field(repr=False)
    effective_size: float
    num_samples: int | None = None
    ranks: np.ndarray | None = dataclasses.field(default=None, repr=False)

    def significance(self) -> str:
        """The p-value as it is printed; one that is 0 is beyond what numbers can say."""
        if self.p_value > 0:
            return f"p = {self.p_value:.3g}"
        return f"p < {np.finfo(float).tiny:.1g}"

    def __str__(self) -> str:
        among = "" if self.num_samples is None else f", {self.num_samples} draws"
        count = len(self.p_values)
        of = "" if count == 1 else f", the worst of {count} coordinates {np.argmin(self.p_values)}"
        return (
            f"{self.name}: {self.significance()} ({self.test} {self.statistic:.4g}{of}; "
            f"{len(self.u)} examples{among})"
        )


def coverage(u: np.ndarray | Array, levels: np.ndarray | Array) -> np.ndarray:
    """The share of examples inside the regions of these probabilities: ``levels``, if calibrated.

    An example is inside where ``u`` is at most the level: of
    :func:`~jaxgen.evaluation.highest_density_regions`, in the region of highest density of this
    probability. More is a model that is too wide, less one that is too narrow or elsewhere.

    Args:
        u: numbers from 0 to 1, ``(n,)`` or ``(n, D)``.
        levels: probabilities between 0 and 1, ``(k,)``.

    Returns:
        float64 array ``(k,)`` or ``(k, D)``.

    Raises:
        ValueError: for levels or numbers out of range, or NaN.
        ShapeError: for other shapes, or no example.

    >>> coverage(np.array([0.05, 0.2, 0.3, 0.95]), [0.1, 0.5])
    array([0.25, 0.75])
    """
    u = checked_uniforms(u, "coverage")
    levels = np.asarray(check_array(levels, "coverage", "levels"), np.float64)
    if levels.ndim != 1 or not levels.size:
        raise ShapeError(f"coverage: expected levels of shape (k,), got {levels.shape}")
    bad = levels[~((levels > 0) & (levels < 1))]
    if bad.size:
        raise ValueError(f"coverage: expected levels between 0 and 1, got {bad[0]:g}")
    # Sorted once: counting at every level would be an array of all levels and examples.
    inside = [np.searchsorted(each, levels, "right") for each in np.sort(u.reshape(len(u), -1).T)]
    return (np.stack(inside, -1) / len(u)).reshape(len(levels), *u.shape[1:])


def checked_uniforms(u: np.ndarray | Array, where: str) -> np.ndarray:
    """Numbers from 0 to 1, ``(n,)`` or ``(n, D)``, in double precision."""
    u = np.asarray(check_array(u, where, "u"), np.float64)
    if u.ndim not in (1, 2) or not u.size:
        raise ShapeError(
            f"{where}: expected u of shape (n,) or (n, D), one example at least, got {u.shape}"
        )
    bad = u[~((u >= 0) & (u <= 1))]
    if bad.size:
        raise ValueError(f"{where}: expected u from 0 to 1, got {bad[0]:g}")
    return u


def of_uniforms(name: str, u: np.ndarray, **more: Any) -> Calibration:
    """The result of independent ``u``, ``(n,)`` or ``(n, D)``, by Kolmogorov and Smirnov."""
    from scipy import stats

    each = [stats.kstest(column, "uniform") for column in u.reshape(len(u), -1).T]
    p_values = np.array([float(one.pvalue) for one in each])
    with np.errstate(divide="ignore"):  # of a p-value of 1
        p_value = float(-np.expm1(len(each) * np.log1p(-p_values.min())))
    return Calibration(
        name=name,
        u=u,
        test="Kolmogorov-Smirnov",
        statistic=float(each[int(p_values.argmin())].statistic),
        p_value=p_value,
        p_values=p_values,
        effective_size=float(len(u)),
        **more,
    )


def of_ranks(name: str, ranks: np.ndarray, u: np.ndarray, num_samples: int) -> Calibration:
    """The result of ranks ``(n, D)`` among so many draws, by chi-square over bins of ranks.

    There are 20 bins, or fewer such that each is expected to hold 5 examples.
    """
    from scipy import stats

    if len(ranks) < 2 * _PER_BIN:
        raise ValueError(
            f"{name}: expected {2 * _PER_BIN} examples or more for a test of ranks, got "
            f"{len(ranks)}"
        )
    bins = max(2, min(num_samples + 1, 20, len(ranks) // _PER_BIN))
    edges = np.arange(bins + 1) * (num_samples + 1) // bins
    expected = len(ranks) * np.diff(edges) / (num_samples + 1)
    each = []
    for column in ranks.T:
        which = np.searchsorted(edges, column, "right") - 1
        each.append(stats.chisquare(np.bincount(which, minlength=bins), expected))
    p_values = np.array([float(one.pvalue) for one in each])
    return Calibration(
        name=name,
        u=u,
        test=f"chi-square of {bins} bins",
        statistic=float(each[int(p_values.argmin())].statistic),
        p_value=min(1.0, len(each) * float(p_values.min())),
        p_values=p_values,
        effective_size=float(len(ranks)),
        num_samples=num_samples,
        ranks=ranks,
    )
