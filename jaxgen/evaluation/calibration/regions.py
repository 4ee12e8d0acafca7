r"""Coverage of the regions of highest density (Hyndman, The American Statistician 50(2), 1996).

The smallest region that holds the probability :math:`\alpha` is where the density exceeds some
level. An example lies in it if less than :math:`\alpha` of the model's draws :math:`x'` have a
higher density than the example,

.. math:: u = P_{x' \sim p(\cdot \mid c)}\left(p(x' \mid c) \ge p(x \mid c)\right) \le \alpha,

so ``u`` is uniform if examples come from the model, and their share below :math:`\alpha` is the
expected coverage of the region (Hermans et al. 2022). It works in any number of dimensions and
needs no order of coordinates. What has an estimate in place of the density is ranked by the
estimate, as its draws are: then ``u`` is still uniform for a model that is right, of regions that
are nearly those of highest density.

Deviation: ``u`` is random between two ranks, and so are ties, by which it is uniform exactly, of
discrete models and of few draws, too. Values that differ by no more than rounding count as ties.
"""

import jax
import numpy as np
from jax import Array

from jaxgen.evaluation.calibration.draws import (
    check_numbers,
    checked_examples,
    conditional_draws,
    ranked,
    shared_draws,
    uniforms,
)
from jaxgen.evaluation.calibration.result import Calibration, of_uniforms
from jaxgen.models import Model
from jaxgen.models.checks import count
from jaxgen.models.scoring import score

_NAME = "highest_density_regions"
_TITLE = "regions of highest density"
# Draws of each context, and of a model without: a prime, for which the statistic has more values.
_OWN, _SHARED = 100, 1999
_ROUNDING = 1e-5  # of log-densities, relative; many times that of float32


def highest_density_regions(
    model: Model,
    x: np.ndarray | Array,
    context: np.ndarray | Array | None = None,
    *,
    key: Array,
    num_samples: int | None = None,
    num_weights: int = 1,
    batch_size: int = 2000,
) -> Calibration:
    """Ranks the density of examples among the densities of the model's own draws.

    A conditional model draws for every example, given its context, and ``u`` is tested by
    Kolmogorov and Smirnov. The draws of any other model are the same for all examples, so their
    numbers ``u`` are not independent; the densities of examples and of draws are then compared by
    the test of Kolmogorov and Smirnov for two samples, which takes that into account.

    Args:
        model: any model with samples and a log-density, a bound or an estimate.
        x: examples ``(n, *event_shape)``.
        context: array ``(n, *context_shape)`` for a conditional model.
        key: of draws, ties, and weights.
        num_samples: draws for each context, 100 if None; for a model without contexts of all
            together, 1999 if None.
        num_weights: of a model without an exact likelihood: 1 for its ELBO, more for the
            importance-weighted estimate.
        batch_size: draws, and densities, that are computed at a time.

    Returns:
        A :class:`Calibration`, of ``u`` near 0 where the density is high. See :func:`coverage`.

    Raises:
        TypeError: if the model is none.
        ShapeError: if shapes do not fit, or a context is missing.
        ValueError: if there is no example, draw or weight, an example is outside of the model's
            support, or a density is NaN.

    >>> from jaxgen.models import StandardNormal
    >>> x = 0.5 * jax.random.normal(jax.random.key(0), (500, 2))
    >>> result = highest_density_regions(StandardNormal((2,)), x, key=jax.random.key(1))
    >>> result.p_value < 1e-9  # the model is too wide, by which half of its region holds them all
    True
    """
    x, context = checked_examples(model, x, context, key, _NAME)
    count(num_weights, _NAME, "num_weights", least=1)
    draw_key, score_key, tie_key, rank_key = jax.random.split(key, 4)

    def surprise(
        rows: np.ndarray, given: np.ndarray | None, size: int, chunk: int = 0
    ) -> np.ndarray:
        """Minus the log-densities, which no two rows share, computed so many at a time."""
        own = jax.random.fold_in(score_key, chunk)
        value = -check_numbers(
            score(model, rows, given, key=own, num_samples=num_weights, batch_size=size),
            "log-densities",
            _NAME,
        )
        noise = 2.0 * uniforms(jax.random.fold_in(tie_key, chunk), value.shape) - 1.0
        finite = np.isfinite(value)
        unit = _ROUNDING * np.maximum(1.0, np.abs(np.where(finite, value, 0.0)))
        return np.where(finite, value + unit * noise, value)

    # Examples and draws are scored together: by one program, in chunks of one size.
    if context is None:
        size = _SHARED if num_samples is None else num_samples
        drawn = shared_draws(model, draw_key, size, batch_size, _NAME)
        both = surprise(np.concatenate([x.astype(drawn.dtype), drawn]), None, batch_size)
        truth, values = both[: len(x)], both[len(x) :]
        return _shared(truth, values, rank_key)
    size = _OWN if num_samples is None else num_samples
    u = np.empty(len(x))
    chunks = conditional_draws(model, context, draw_key, size, batch_size, _NAME)
    for index, (rows, drawn) in enumerate(chunks):
        every = np.concatenate([x[rows, None].astype(drawn.dtype), drawn], axis=1)
        given = np.repeat(context[rows], size + 1, axis=0)
        flat = every.reshape(-1, *model.event_shape)
        both = surprise(flat, given, len(flat), index)
        both = both.reshape(len(every), size + 1)
        own = jax.random.fold_in(rank_key, index)
        u[rows] = ranked(both[:, 1:], both[:, 0], own)[1]
    return of_uniforms(_TITLE, u, num_samples=size)


def _shared(truth: np.ndarray, values: np.ndarray, key: Array) -> Calibration:
    """The result of examples that are all ranked among the same draws."""
    from scipy import stats

    n, size = len(truth), len(values)
    # As a sum of comparisons would take memory for every pair.
    ordered = np.sort(values)
    below, up_to = (np.searchsorted(ordered, truth, side) for side in ("left", "right"))
    first, second = uniforms(key, (2, n))
    ranks = below + np.floor(first * (up_to - below + 1)).astype(below.dtype)
    test = stats.ks_2samp(truth, values)
    return Calibration(
        name=_TITLE,
        u=(np.minimum(ranks, size) + second) / (size + 1),
        test="two-sample Kolmogorov-Smirnov",
        statistic=float(test.statistic),
        p_value=float(test.pvalue),
        p_values=np.array([float(test.pvalue)]),
        effective_size=n * size / (n + size),
        num_samples=size,
    )
