"""The rational-quadratic spline beside those of distrax, TFP and FlowJAX, on the same knots."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.functional import splines
from jaxgen.transforms import RationalQuadraticSpline

BINS, BOUND, FLOOR = 6, 2.5, 1e-2
OPTIONS = splines.Options(BOUND, False, FLOOR, FLOOR, FLOOR)

TOLERANCES = {"float32": 1e-6, "float64": 1e-12}


def points_and_params():
    """Points inside, outside and next to the interval, each with its own spline."""
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.uniform(-1.3 * BOUND, 1.3 * BOUND, 200), [-BOUND, BOUND, 0.0]])
    params = rng.normal(size=(len(x), 3 * BINS - 1))
    # Numbers that float32 holds exactly, so that both precisions mean the same splines.
    return x.astype(np.float32), params.astype(np.float32)


def distrax_maps(params):
    import distrax

    zeros = jnp.zeros_like(params[:, :1])  # slopes at the ends, which "identity" replaces
    raw = jnp.concatenate([params[:, : 2 * BINS], zeros, params[:, 2 * BINS :], zeros], axis=-1)

    def spline():
        return distrax.RationalQuadraticSpline(
            raw, -BOUND, BOUND, "identity", min_bin_size=2 * BOUND * FLOOR, min_knot_slope=FLOOR
        )

    return (
        jax.jit(lambda x: spline().forward_and_log_det(x)),
        jax.jit(lambda y: spline().inverse_and_log_det(y)),
    )


def tfp_maps(params):
    from tensorflow_probability.substrates import jax as tfp

    x, y, slopes = jax.jit(lambda params: splines.knots(params, OPTIONS))(params)

    def spline():
        return tfp.bijectors.RationalQuadraticSpline(
            jnp.diff(x), jnp.diff(y), slopes[:, 1:-1], range_min=-BOUND
        )

    # TFP remembers what it mapped and would give the input back: a new object for each direction.
    return (
        lambda x: (spline().forward(x), spline().forward_log_det_jacobian(x)),
        lambda y: (spline().inverse(y), spline().inverse_log_det_jacobian(y)),
    )


def flowjax_maps(params):
    import equinox
    from flowjax.bijections import RationalQuadraticSpline as Theirs

    def build(x, y, slopes):
        spline = Theirs(knots=BINS - 1, interval=BOUND)
        return equinox.tree_at(
            lambda spline: (spline.x_pos, spline.y_pos, spline.derivatives), spline, (x, y, slopes)
        )

    knots = jax.jit(lambda params: splines.knots(params, OPTIONS))(params)
    return (
        lambda x: jax.vmap(lambda x, *k: build(*k).transform_and_log_det(x))(x, *knots),
        lambda y: jax.vmap(lambda y, *k: build(*k).inverse_and_log_det(y))(y, *knots),
    )


@pytest.mark.parametrize(
    ("library", "maps"),
    [
        ("distrax", distrax_maps),
        ("tensorflow_probability", tfp_maps),
        ("flowjax", flowjax_maps),
    ],
)
def test_spline(library, maps, x64):
    """Theirs in float64, ours in either precision: in float32 their knots alone are off by 3e-6."""
    pytest.importorskip(library)
    x, params = points_and_params()
    exact = jnp.asarray(x, jnp.float64), jnp.asarray(params, jnp.float64)
    expected = [theirs(exact[0]) for theirs in maps(exact[1])]
    ours = RationalQuadraticSpline(BINS, BOUND, False, FLOOR, FLOOR, FLOOR)
    for dtype, tolerance in TOLERANCES.items():
        arguments = jnp.asarray(x, dtype), jnp.asarray(params, dtype)
        for direction, (value, log_derivative) in zip(
            (ours.forward, ours.inverse), expected, strict=True
        ):
            found, found_log = jax.jit(direction)(*arguments)
            assert found.dtype == dtype
            # Where a curve is steep it magnifies the rounding of the knots; and the logarithm is
            # one of a ratio of differences of knots, which takes a few roundings more.
            steepness = np.maximum(1.0, np.exp(log_derivative))
            np.testing.assert_array_less(abs(found - value), tolerance * BOUND * steepness)
            slope = jax.jit(jax.vmap(jax.grad(lambda *a, f=direction: f(*a)[1])))
            steepness = np.abs(slope(*exact))
            error = abs(found_log - log_derivative)
            np.testing.assert_array_less(error, tolerance * (10 + BOUND * steepness))
