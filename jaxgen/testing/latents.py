"""Does a weight of latents have the mass as its expectation, and the bound what it should?

Latents are put in by hand: :meth:`Model.log_weight <jaxgen.models.Model.log_weight>` takes the
function that draws them. So whatever is random in a weight, the mass is a sum or an integral over
it, exact to rounding, and no Monte Carlo error hides a mistake.
"""

import functools
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxgen.core import Context, Shape
from jaxgen.models import Model
from jaxgen.models.posterior import Draw, direct
from jaxgen.testing import compare
from jaxgen.testing.compare import PASSED, Report, attempt

# Values of all latents together, points of the quadrature of a real one, keys of a random bound.
_MAX_VALUES, _POINTS, _KEYS = 4096, 301, 256


class Latents(NamedTuple):
    """The values of a model's latents, and how much each counts in an integral over them.

    ``values`` has an array ``(n, *event_shape)`` for every posterior, in the order of the draws;
    ``weights``, ``(n,)``, are None where they would be too many, or no grid is fine enough.
    """

    values: list[np.ndarray]
    weights: np.ndarray | None


def latents_of(model: Model, x: Array, context: Context) -> Latents | None:
    """All values of the latents that one weight draws, or a grid of them.

    None where there are no latents on the whole line, or of levels, as of noise in an interval; and
    where there is more that is random, as uniform noise.

    Args:
        model: a model without an exact likelihood.
        x: data ``(n, *event_shape)``, around whose posteriors the grid lies.
        context: contexts ``(n, *context_shape)``, or None.
    """
    seen: list[tuple[Shape, float | None]] = []

    def spying(posterior: Any, key: Array, batch: Shape, given: Context) -> tuple[Array, Array]:
        seen.append((posterior.event_shape, posterior.levels))
        z, log_q = direct(posterior, key, batch, given)
        everywhere = jnp.ones((), bool)
        if posterior.levels is None:
            everywhere = jnp.all(posterior.log_prob(z + 1e3, given) > -jnp.inf)
        drawn.append((z, everywhere))
        return z, log_q

    def draws(key: Array) -> list[tuple[Array, Array]]:
        model.log_weight(x, key, context, draw=spying)
        found = list(drawn)
        drawn.clear()
        return found

    drawn: list[tuple[Array, Array]] = []
    keys = jax.random.split(jax.random.key(5), 200)
    found = jax.jit(lambda keys: jax.lax.map(draws, keys))(keys)
    around = [z for z, _ in found]
    if not all(bool(everywhere.all()) for _, everywhere in found):
        return None
    axes: list[tuple[np.ndarray, np.ndarray]] = []
    for (_, levels), z in zip(seen, around, strict=False):
        columns = np.asarray(z, np.float64).reshape(-1, math.prod(z.shape[2:]))
        axes += [_axis(column, levels) for column in columns.T]
    once, again = (
        model.log_weight(x, each, context, draw=_given([z[0, 0] for z in around]))
        for each in keys[:2]
    )
    if not axes or not np.array_equal(np.asarray(once), np.asarray(again)):
        return None
    if math.prod(len(points) for points, _ in axes) > max(_MAX_VALUES, _POINTS**2):
        return Latents([], None)
    grid = np.stack(np.meshgrid(*(points for points, _ in axes), indexing="ij"), -1)
    weights = _product([weight for _, weight in axes])
    flat, values = grid.reshape(-1, len(axes)), []
    for (shape, _), z in zip(seen, around, strict=False):
        own, flat = np.split(flat, [math.prod(shape)], axis=1)
        values.append(own.reshape(-1, *shape).astype(z.dtype))
    latents = Latents(values, weights)
    # Every second point of a real axis does nearly as well, where the grid is fine enough.
    half = _product([_every_second(*each) for each in axes])
    run = jax.jit(log_mass)
    all_points, fewer = (run(model, x, context, Latents(values, each)) for each in (weights, half))
    fine = np.allclose(np.asarray(all_points), np.asarray(fewer), rtol=0.0, atol=1e-5)
    return latents if fine else Latents([], None)


def _product(weights: list[np.ndarray]) -> np.ndarray:
    """The weights of all combinations, ``(n,)``."""
    return functools.reduce(np.multiply.outer, weights).ravel()


def _every_second(points: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Weights of an axis of which every second point counts twice; levels all count."""
    if points.dtype.kind == "i":
        return weights
    return weights * np.where(np.arange(len(weights)) % 2, 0.0, 2.0)


def _axis(column: np.ndarray, levels: float | None) -> tuple[np.ndarray, np.ndarray]:
    """Points and weights for one entry of the latents, which has draws as these."""
    if levels is not None:
        return np.arange(int(levels)), np.ones(int(levels))
    # The trapezoid rule after a substitution by which a normal's tails vanish at both ends.
    u, step = np.linspace(-5.0, 5.0, _POINTS, retstep=True)
    scale = float(np.std(column)) + 0.5
    return float(np.mean(column)) + scale * np.sinh(u), scale * np.cosh(u) * step


def _given(values: list[Array], kept: list[Array] | None = None) -> Draw:
    """Draws that are these values, whose ``log q`` are kept; without a place for them it is 0."""
    left = list(values)

    def draw(posterior: Any, key: Array, batch: Shape, context: Context) -> tuple[Array, Array]:
        value = left.pop(0)
        z = jnp.broadcast_to(value, (*batch, *value.shape))
        if kept is None:
            return z, jnp.zeros(batch)
        log_q = posterior.log_prob(z, context)
        kept.append(log_q)
        return z, jnp.where(log_q == -jnp.inf, 0.0, log_q)  # of what is never drawn, any number

    return draw


def log_mass(model: Model, x: Array, context: Context, latents: Latents) -> Array:
    """``log p(x)`` of examples ``(n, *event_shape)``, with the latents summed or integrated out."""
    total, _ = _integrals(model, x, context, latents)
    return total


def _integrals(model: Model, x: Array, context: Context, latents: Latents) -> tuple[Array, Array]:
    """``log p(x)`` and the bound ``E_q[log w]``, each ``(n,)``."""
    key = jax.random.key(0)

    def at(values: list[Array], weight: Array) -> tuple[Array, Array]:
        # Far away both parts of log w are so large that q would not cancel out of it.
        joint = model.log_weight(x, key, context, draw=_given(values))
        kept: list[Array] = []
        log_w = model.log_weight(x, key, context, draw=_given(values, kept))
        log_q = sum(kept, jnp.zeros(()))
        some = log_q > -700.0  # elsewhere q is 0
        bound = jnp.where(some, weight * jnp.exp(log_q) * jnp.where(some, log_w, 0.0), 0.0)
        return joint + jnp.log(weight), bound

    values = [jnp.asarray(value) for value in latents.values]
    joint, bound = jax.lax.map(
        lambda each: at(*each), (values, jnp.asarray(latents.weights)), batch_size=512
    )
    return jax.nn.logsumexp(joint, axis=0), jnp.sum(bound, axis=0)


def check_latents(
    model: Model, x: Array, context: Context, deviations: float, tolerance: float, name: str
) -> Report:
    """That weight, bound and importance-weighted bound are what they say they are."""
    drawn = {
        name: np.asarray(values, np.float64)
        for name, values in jax.jit(_bounds)(model, x, context).items()
    }
    latents = latents_of(model, x, context)
    if latents is None or latents.weights is None:
        # At least the two that have one mean do.
        difference = drawn["log_weight"].mean(0) - drawn["elbo"].mean(0)
        error = np.hypot(drawn["log_weight"].std(0), drawn["elbo"].std(0)) / math.sqrt(_KEYS)
        error += 1e-6 * (1.0 + np.abs(drawn["elbo"].mean(0)))
        if np.any(np.abs(difference) > deviations * error):
            raise AssertionError(
                f"{name}.elbo: on average {drawn['elbo'].mean(0)}, {difference} ± {error} below "
                f"log_weight, expected the same mean"
            )
        return {"latents": "skipped: they cannot be summed or integrated out"}
    report = jax.jit(_report)(model, x, context, latents)
    exact, bound = (np.asarray(report[each], np.float64) for each in ("mass", "bound"))
    with attempt(f"{name}.log_weight of examples one by one"):
        compare.close(
            f"{name}.log_weight of a batch against examples one by one, with the same latents",
            report["one by one"],
            report["together"],
            tolerance,
        )
    for what in ("log_weight", "elbo"):
        values = drawn[what]
        error = values.std(0) / math.sqrt(_KEYS) + 1e-6 * (1.0 + np.abs(bound))
        if np.any(np.abs(values.mean(0) - bound) > deviations * error):
            raise AssertionError(
                f"{name}.{what}: on average {values.mean(0)} ± {error}, expected "
                f"E_q[log w] = {bound}, integrated over the latents"
            )
    few, many = (np.asarray(report[each], np.float64) for each in ("1 weight", "16 weights"))
    error = np.hypot(few.std(0), many.std(0)) / math.sqrt(len(few)) + 1e-6
    if np.any(many.mean(0) < few.mean(0) - deviations * error):
        raise AssertionError(
            f"{name}.importance_log_prob: on average {many.mean(0)} of 16 weights, less than "
            f"{few.mean(0)} of one"
        )
    if np.any(many.mean(0) > exact + deviations * error):
        raise AssertionError(
            f"{name}.importance_log_prob: on average {many.mean(0)}, above log p = {exact}, "
            f"integrated over the latents"
        )
    return {"latents": PASSED}


def _bounds(model: Model, x: Array, context: Context) -> dict[str, Array]:
    """Draws of the two that have the same mean, ``(keys, n)``."""
    keys = jax.random.split(jax.random.key(7), _KEYS)
    return {
        "log_weight": jax.lax.map(lambda key: model.log_weight(x, key, context), keys),
        "elbo": jax.lax.map(lambda key: model.elbo(x, key, context), keys),
    }


def _report(model: Model, x: Array, context: Context, latents: Latents) -> dict[str, Array]:
    keys = jax.random.split(jax.random.key(7), _KEYS)
    mass, bound = _integrals(model, x, context, latents)
    some = [jnp.asarray(value[len(value) // 3]) for value in latents.values]

    def weight(x: Array, c: Context) -> Array:
        return model.log_weight(x, keys[0], c, draw=_given(some, []))

    return {
        "mass": mass,
        "bound": bound,
        "together": weight(x, context),
        "one by one": jax.lax.map(lambda each: weight(*each), (x, context)),
        "1 weight": jax.lax.map(lambda key: model.importance_log_prob(x, key, 1, context), keys),
        "16 weights": jax.lax.map(lambda key: model.importance_log_prob(x, key, 16, context), keys),
    }
