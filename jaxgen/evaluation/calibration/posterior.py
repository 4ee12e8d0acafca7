r"""Whether a conditional model is a posterior: ranks (Talts et al. 2018), and random regions.

Of parameters :math:`\theta_i` and data :math:`x_i` simulated from them, an exact posterior
:math:`q(\theta \mid x_i)` draws :math:`\theta_{i1}, \dots, \theta_{iS}` that cannot be told from
:math:`\theta_i`.

*Simulation-based calibration* ranks every coordinate: :math:`r_{id} = \#\{s: \theta_{isd} <
\theta_{id}\}` is uniform on :math:`0, \dots, S`. It sees each coordinate by itself.

*TARP* (Lemos et al. 2023) sees all together: with a random reference :math:`r_i`,

.. math:: u_i = P_{\theta' \sim q(\cdot \mid x_i)}\left(\lVert \theta' - r_i \rVert <
          \lVert \theta_i - r_i \rVert\right)

is uniform; the share of :math:`u_i` below :math:`\alpha` is the expected coverage probability of
balls around the references. A posterior that passes for every distribution of references is exact.

Here the context of the model is what that literature calls ``x``, and its events :math:`\theta`.
Both are blind to a model that ignores its context, the prior, where references do so as well: give
TARP references that depend on the contexts to tell it, or compare likelihoods.
"""

import jax
import numpy as np
from jax import Array

from jaxgen.core import ShapeError, check_array
from jaxgen.evaluation.calibration.draws import (
    check_numbers,
    checked_examples,
    conditional_draws,
    ranked,
)
from jaxgen.evaluation.calibration.result import Calibration, of_ranks, of_uniforms
from jaxgen.models import Model


def simulation_based_calibration(
    model: Model,
    x: np.ndarray | Array,
    context: np.ndarray | Array,
    *,
    key: Array,
    num_samples: int = 99,
    batch_size: int = 2000,
) -> Calibration:
    """Ranks every coordinate of the examples among draws given their contexts.

    Ranks are tested by chi-square, over 20 bins or fewer; the p-value of all coordinates is
    Bonferroni's, as coordinates of a posterior depend on each other.

    Args:
        model: a conditional model, with samples; it needs no density.
        x: the true parameters ``(n, *event_shape)``.
        context: the data simulated from them, ``(n, *context_shape)``.
        key: of draws and ties.
        num_samples: draws for each example; one less than a multiple of 20 fills bins evenly.
        batch_size: draws at a time.

    Returns:
        A :class:`Calibration`, of ``u`` and ``ranks`` ``(n, D)``.

    Raises:
        TypeError: if the model is none, or is not conditional.
        ShapeError: if shapes do not fit, or the context is missing.
        ValueError: if there is no example or draw, or draws are NaN.

    >>> from jaxgen.models import ClassConditionalNormal
    >>> x = 2.0 * jax.random.normal(jax.random.key(0), (400, 1))
    >>> model, labels = ClassConditionalNormal((1,), 3), np.zeros(400, int)
    >>> result = simulation_based_calibration(model, x, labels, key=jax.random.key(1))
    >>> result.ranks.shape, result.p_value < 1e-9  # the posterior is too narrow
    ((400, 1), True)
    """
    where = "simulation_based_calibration"
    x, given = _checked(model, x, context, key, where)
    draw_key, rank_key = jax.random.split(key)
    flat = x.reshape(len(x), -1)
    ranks, u = np.empty(flat.shape, np.int64), np.empty(flat.shape)
    chunks = conditional_draws(model, given, draw_key, num_samples, batch_size, where)
    for index, (rows, drawn) in enumerate(chunks):
        values = check_numbers(drawn.reshape(*drawn.shape[:2], -1), "draws", where)
        own = jax.random.fold_in(rank_key, index)
        ranks[rows], u[rows] = ranked(values, flat[rows].astype(values.dtype), own)
    return of_ranks("simulation-based calibration", ranks, u, num_samples)


def tarp(
    model: Model,
    x: np.ndarray | Array,
    context: np.ndarray | Array,
    *,
    key: Array,
    references: np.ndarray | Array | None = None,
    num_samples: int = 100,
    batch_size: int = 2000,
) -> Calibration:
    """Tests of accuracy with random points: how far examples and draws are from a reference.

    Distances are Euclidean, with every coordinate in the standard deviation of the references.

    Args:
        model: a conditional model, with samples; it needs no density.
        x: the true parameters ``(n, *event_shape)``, two at least.
        context: the data simulated from them, ``(n, *context_shape)``.
        key: of draws, references and ties.
        references: a point for each example, ``(n, *event_shape)``. They must not know the truth:
            each is a function of its context and of noise. If None, they are draws of the model
            given the context of another example, which are as wide as the prior.
        num_samples: draws for each example.
        batch_size: draws at a time.

    Returns:
        A :class:`Calibration`, of ``u`` ``(n,)``; ``coverage(u, levels)`` is the expected coverage
        probability.

    Raises:
        TypeError: if the model is none, or is not conditional.
        ShapeError: if shapes do not fit, or the context is missing.
        ValueError: if there is no draw, fewer than two examples, or draws or references are NaN.

    >>> from jaxgen.models import ClassConditionalNormal
    >>> x = jax.random.normal(jax.random.key(0), (400, 2))
    >>> model, labels = ClassConditionalNormal((2,), 3), np.zeros(400, int)
    >>> tarp(model, x, labels, key=jax.random.key(1)).p_value > 0.01
    True
    """
    x, given = _checked(model, x, context, key, "tarp")
    if len(x) < 2:
        raise ValueError("tarp: expected two examples or more, got 1")
    draw_key, rank_key, reference_key = jax.random.split(key, 3)
    if references is None:
        # Of the next example, in an order that has nothing to do with what they are.
        order = np.asarray(jax.random.permutation(reference_key, len(x)))
        others = np.empty_like(order)
        others[order] = np.roll(order, 1)
        points = np.empty((len(x), *model.event_shape))
        chunks = conditional_draws(model, given[others], reference_key, 1, batch_size, "tarp")
        for rows, drawn in chunks:
            points[rows] = drawn[:, 0]
    else:
        points = np.asarray(check_array(references, "tarp", "references"))
        if points.shape != x.shape:
            raise ShapeError(f"tarp: expected references of shape {x.shape}, got {points.shape}")
    points = check_numbers(points.reshape(len(x), -1).astype(np.float64), "references", "tarp")
    scale = points.std(axis=0)
    scale = np.where(scale > 0, scale, 1.0)

    def distance(values: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Squared, of values ``(b, *, *event_shape)``."""
        away = values.reshape(*values.shape[:2], -1) - points[rows, None]
        return np.sum((away / scale) ** 2, axis=-1)

    u = np.empty(len(x))
    chunks = conditional_draws(model, given, draw_key, num_samples, batch_size, "tarp")
    for index, (rows, drawn) in enumerate(chunks):
        check_numbers(drawn, "draws", "tarp")
        own = jax.random.fold_in(rank_key, index)
        truth = distance(x[rows, None].astype(drawn.dtype), rows)[:, 0]
        u[rows] = ranked(distance(drawn, rows), truth, own)[1]
    return of_uniforms("TARP", u, num_samples=num_samples)


def _checked(
    model: Model,
    x: np.ndarray | Array,
    context: np.ndarray | Array | None,
    key: Array,
    where: str,
) -> tuple[np.ndarray, np.ndarray]:
    """Examples and contexts of a model that has some."""
    if isinstance(model, Model) and model.context_shape is None:
        raise TypeError(
            f"{where}: only conditional models are posteriors, got an unconditional "
            f"{type(model).__name__}; see highest_density_regions and integral_transform"
        )
    x, given = checked_examples(model, x, context, key, where)
    assert given is not None  # refused without
    return x, given
