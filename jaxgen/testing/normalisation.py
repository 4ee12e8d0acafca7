"""Does a model's mass sum to one, and do its samples follow it?"""

import itertools
import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxgen.core import Context
from jaxgen.models import Model
from jaxgen.testing.compare import PASSED, Report, attempt
from jaxgen.testing.latents import Latents, latents_of, log_mass

# Events that are enumerated, points of the quadrature on each axis, draws of a random bound.
_MAX_EVENTS, _MAX_ESTIMATED, _POINTS, _DRAWS = 4096, 64, 301, 4096

# The support of all entries of an event, or of each of them: (low, high).
Support = tuple[float, float] | Sequence[tuple[float, float]]


def check_normalisation(
    model: Model,
    x: Array,
    context: Context,
    drawn: dict[str, Any],
    bounds: Support,
    deviations: float,
    name: str,
) -> Report:
    """The parts of :func:`~jaxgen.testing.check_model` that need the whole distribution.

    A conditional model is examined at its first context. A model that is not exact is enumerated
    with its latents summed or integrated out, or else with its importance-weighted estimate, whose
    expectation is the mass itself, unless its latents are too many.
    """
    exact = model.exactness == "exact"
    size = math.prod(model.event_shape)
    samples, slopes = np.asarray(drawn["samples"]), drawn.get("slopes")
    if context is not None:
        context, samples = context[0], samples[:, 0]
        slopes = None if slopes is None else slopes[:, 0]
    latents = None
    if not exact:
        latents = latents_of(model, x, None if context is None else jnp.stack([context] * len(x)))
    if latents is not None and latents.weights is None:
        why = "skipped: too many latents to be summed or integrated out"
        return {"normalisation": why, "law of the samples": why}
    if model.levels is not None:
        limit = _MAX_EVENTS if exact else _MAX_ESTIMATED
        levels = model.levels
        if math.isinf(levels) and 3 * samples.max() < limit ** (1 / size):
            # Of counts as many as there is room for, if that is far beyond what was drawn.
            levels = int(limit ** (1 / size) + 1e-9)
        if levels**size > limit:
            why = f"skipped: {levels}^{size} events, more than {limit}"
            return {"normalisation": why, "law of the samples": why}
        return _enumerate(model, int(levels), context, latents, samples, x.dtype, deviations, name)
    most = 2 if exact else 1  # beside which there are the latents
    report = {"normalisation": f"skipped: {size} real dimensions, more than {most}"}
    if size <= most and (exact or latents is not None):
        _integrate(model, context, latents, samples, bounds, x.dtype, name)
        report["normalisation"] = PASSED
    if not exact:
        return report | {"law of the samples": "skipped: no exact density"}
    _check_stein(samples, np.asarray(slopes, np.float64), bounds, deviations, name)
    return report | {"law of the samples": PASSED}


def _enumerate(
    model: Model,
    levels: int,
    context: Context,
    latents: Latents | None,
    samples: np.ndarray,
    dtype: Any,
    deviations: float,
    name: str,
) -> Report:
    exact = model.exactness == "exact" or latents is not None
    size = math.prod(model.event_shape)
    events = np.array(list(itertools.product(range(levels), repeat=size)), dtype)

    @jax.jit
    def score(model: Model, events: Array) -> Array:
        if latents is not None:
            every = None if context is None else jnp.stack([context] * len(events))
            return log_mass(model, events, every, latents)
        if exact:
            return model.log_prob(events, context)
        estimate = model.importance_log_prob
        return estimate(events, jax.random.key(3), _DRAWS, context)

    with attempt(f"{name}: the mass of all {len(events)} events"):
        mass = score(model, jnp.asarray(events.reshape(-1, *model.event_shape)))
    tolerance = (1e-10 if mass.dtype == jnp.float64 else 1e-5) if exact else 0.1
    mass = np.exp(np.asarray(mass, np.float64))
    total = mass.sum()
    if not abs(total - 1.0) <= tolerance:
        raise AssertionError(
            f"{name}: the probabilities of all {len(events)} events sum to {total:.12g}, expected 1"
        )
    index = samples.reshape(len(samples), size).astype(int) @ (levels ** np.arange(size)[::-1])
    observed = np.bincount(index, minlength=len(events)).astype(float)
    expected = mass / total * len(samples)
    rare = expected < 5.0
    observed = np.append(observed[~rare], observed[rare].sum())
    expected = np.append(expected[~rare], expected[rare].sum() + 1e-9)
    statistic = float(np.sum((observed - expected) ** 2 / np.maximum(expected, 1.0)))
    limit = len(expected) + deviations * math.sqrt(2.0 * len(expected))
    if statistic > limit:
        worst = int(np.argmax(np.abs(observed - expected)))
        raise AssertionError(
            f"{name}: samples do not follow the probabilities: chi-square {statistic:.4g} with "
            f"{len(expected)} cells, more than {limit:.4g}; a cell expected {expected[worst]:.1f} "
            f"times came {observed[worst]:.0f} times"
        )
    return {"normalisation": PASSED, "law of the samples": PASSED}


def _integrate(
    model: Model,
    context: Context,
    latents: Latents | None,
    samples: np.ndarray,
    bounds: Support,
    dtype: Any,
    name: str,
) -> None:
    """The trapezoid rule after a substitution that makes the integrand vanish at both ends."""
    size = math.prod(model.event_shape)
    axes, weights = [], []
    for ends, column in zip(
        _ends(bounds, size), samples.reshape(len(samples), size).T, strict=True
    ):
        points, weight = _axis(ends, column)
        axes.append(points)
        weights.append(weight)
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, *model.event_shape)
    weight = np.array(weights[0])
    for other in weights[1:]:
        weight = weight[:, None] * other

    @jax.jit
    def log_prob(model: Model, grid: Array) -> Array:
        if latents is not None:
            every = None if context is None else jnp.stack([context] * len(grid))
            return log_mass(model, grid, every, latents)
        return model.log_prob(grid, context)

    with attempt(f"{name}: its density on a grid"):
        density = np.exp(np.asarray(log_prob(model, jnp.asarray(grid, dtype)), np.float64))
    bad = int(np.sum(~np.isfinite(density)))
    if bad:
        raise AssertionError(
            f"{name}: the density is not finite at {bad} of {len(grid)} points inside {bounds}"
        )
    total = float(np.sum(density * weight.ravel()))
    if abs(total - 1.0) > 5e-3:
        raise AssertionError(
            f"{name}: the density integrates to {total:.6g} over {bounds}, expected 1; a density "
            f"of bounded support needs its `bounds`"
        )


def _ends(bounds: Support, size: int) -> np.ndarray:
    """The support of each entry of an event, ``(size, 2)``."""
    return np.broadcast_to(np.asarray(bounds, np.float64), (size, 2))


def _axis(ends: np.ndarray, column: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Points and weights of one axis, where samples are: sinh for the line, tanh for an interval,
    and what is on one side of an end as the line of its logarithm."""
    low, high = ends
    if math.isfinite(low) and math.isfinite(high):
        u, step = np.linspace(-6.0, 6.0, _POINTS, retstep=True)
        half = (high - low) / 2.0
        return (low + high) / 2.0 + half * np.tanh(u), half * step / np.cosh(u) ** 2
    if math.isfinite(low):
        y, weight = _axis(np.array([-np.inf, np.inf]), np.log(column - low))
        return low + np.exp(y), weight * np.exp(y)
    if math.isfinite(high):
        points, weight = _axis(np.array([-high, np.inf]), -column)
        return -points, weight
    u, step = np.linspace(-5.0, 5.0, _POINTS, retstep=True)
    centre, scale = float(np.median(column)), float(np.std(column))
    return centre + scale * np.sinh(u), scale * np.cosh(u) * step


def _check_stein(
    samples: np.ndarray,
    slopes: np.ndarray,
    bounds: Support,
    deviations: float,
    name: str,
) -> None:
    """Stein's identities: integration by parts, with the samples as the expectation.

    ``E[(w f)' + w f d log p / dx] = 0`` for ``f = 1`` and ``f = x`` and a weight ``w`` that is 1 on
    the line and vanishes at the ends of its support, where a density need not.
    """
    rows = len(samples)
    slopes = slopes.reshape(rows, -1)
    x = samples.reshape(rows, -1).astype(np.float64)
    low, high = _ends(bounds, x.shape[1]).T
    below, above = np.isfinite(low), np.isfinite(high)
    # A factor for each end, and the derivative of the two together.
    first = np.where(below, x - np.where(below, low, 0.0), 1.0)
    second = np.where(above, np.where(above, high, 0.0) - x, 1.0)
    weight, rise = first * second, below * second - above * first
    centred = x - np.median(x, axis=0)
    for what, terms in (
        ("w' + w d log p / dx_i, expected mean 0", rise + weight * slopes),
        (
            "(w x_i)' + w x_i d log p / dx_i, expected mean 0",
            weight + centred * (rise + weight * slopes),
        ),
    ):
        mean, error = terms.mean(axis=0), terms.std(axis=0) / math.sqrt(rows)
        ratio = np.abs(mean) / np.maximum(error, 1e-12)
        worst = int(np.argmax(ratio))
        if not ratio[worst] <= deviations:
            raise AssertionError(
                f"{name}: samples do not follow the density: {what}, got {mean[worst]:.4g} ± "
                f"{error[worst]:.2g} in entry {worst} of {rows} samples"
            )
