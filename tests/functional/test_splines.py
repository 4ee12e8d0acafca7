"""The rational-quadratic spline: knots, derivatives, edges, both kinds of ends."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.functional import splines
from jaxgen.transforms import RationalQuadraticSpline

BINS, BOUND = 5, 2.0
TAILS = splines.Options(BOUND, False, 0.01, 0.02, 0.05)
CIRCLE = splines.Options(BOUND, True, 0.01, 0.02, 0.05)

forward = jax.jit(splines.rational_quadratic, static_argnums=2)
inverse = jax.jit(splines.rational_quadratic_inverse, static_argnums=2)
DIRECTIONS = {"forward": forward, "inverse": inverse}

# Rounding is what these are about, so they run as users do.
optimized = pytest.mark.usefixtures("optimized")
each_end = pytest.mark.parametrize("options", [TAILS, CIRCLE], ids=["tails", "circle"])
each_direction = pytest.mark.parametrize("name", DIRECTIONS)
crossed = pytest.mark.parametrize(("name", "options"), [("forward", CIRCLE), ("inverse", TAILS)])


def draw(options, number, scale=1.5, seed=0):
    """Points all over the interval, and parameters of their own for each."""
    rng = np.random.default_rng(seed)
    x = np.linspace(-0.999 * BOUND, 0.999 * BOUND, number)
    params = scale * rng.normal(size=(number, splines.num_params(BINS, options.circular)))
    return jnp.asarray(x), jnp.asarray(params)


@each_end
def test_the_knots_are_on_the_graph_with_their_slopes(options, x64):
    _, params = draw(options, 7)
    x, y, slopes = jax.jit(splines.knots, static_argnums=1)(params, options)
    assert x.shape == y.shape == slopes.shape == (7, BINS + 1)
    for ends in (x, y):
        np.testing.assert_array_equal(ends[:, 0], np.full(7, -BOUND))
        np.testing.assert_array_equal(ends[:, -1], np.full(7, BOUND))
    assert np.all(np.diff(x) >= 2 * BOUND * options.min_bin_width)
    assert np.all(np.diff(y) >= 2 * BOUND * options.min_bin_height)
    assert np.all(slopes >= options.min_derivative)
    repeated = jnp.repeat(params[:, None], BINS + 1, axis=1)
    for function, source, target, sign in ((forward, x, y, 1), (inverse, y, x, -1)):
        value, log_derivative = function(source, repeated, options)
        np.testing.assert_allclose(value, target, atol=1e-13)
        np.testing.assert_allclose(log_derivative, sign * np.log(slopes), atol=1e-12)
        # from within the bin on either side, too
        for step in (-1e-9, 1e-9):
            near = np.clip(source + step, -BOUND, BOUND)
            value, log_derivative = function(near, repeated, options)
            np.testing.assert_allclose(value, target, atol=1e-6)
            np.testing.assert_allclose(log_derivative, sign * np.log(slopes), atol=1e-5)


def test_sizes_and_slopes_of_the_knots_are_the_softmax_and_the_softplus(x64):
    _, params = draw(TAILS, 4)
    x, y, slopes = splines.knots(params, TAILS)
    for knots, raw, floor in ((x, params[:, :5], 0.01), (y, params[:, 5:10], 0.02)):
        expected = 2 * BOUND * (floor + (1 - BINS * floor) * jax.nn.softmax(raw, -1))
        np.testing.assert_allclose(np.diff(knots), expected, rtol=1e-12)
    offset = np.log(np.expm1(1 - 0.05))
    np.testing.assert_allclose(
        slopes[:, 1:-1], 0.05 + np.logaddexp(0, params[:, 10:] + offset), rtol=1e-12
    )
    np.testing.assert_array_equal(slopes[:, [0, -1]], np.ones((4, 2)))


@crossed
def test_derivatives_are_those_of_finite_differences(name, options, x64):
    """The rule is written by hand: both outputs by the value and by every parameter."""
    function = DIRECTIONS[name]
    value, params = draw(options, 60)
    step = 1e-6

    def both(value, params):
        return jnp.stack(function(value, params, options))

    by_value, by_params = jax.jit(jax.vmap(jax.jacrev(both, (0, 1))))(value, params)
    np.testing.assert_allclose(np.exp(both(value, params)[1]), by_value[:, 0], rtol=1e-12)

    def numeric(up, down):
        return (both(*up) - both(*down)) / (2 * step)

    got = numeric((value + step, params), (value - step, params))
    # A second derivative jumps at a knot; none of the points is that close to one.
    np.testing.assert_allclose(by_value.T, got, rtol=1e-6, atol=1e-6)
    for index in range(params.shape[1]):
        up, down = (params.at[:, index].add(s) for s in (step, -step))
        got = numeric((value, up), (value, down))
        np.testing.assert_allclose(by_params[..., index].T, got, rtol=1e-6, atol=1e-6)
    by_forward_mode = jax.jit(jax.vmap(jax.jacfwd(both, (0, 1))))(value, params)
    for ahead, back in zip(by_forward_mode, (by_value, by_params), strict=True):
        np.testing.assert_allclose(ahead, back, rtol=1e-12, atol=1e-12)


@each_direction
def test_second_derivatives(name, x64):
    value, params = draw(TAILS, 12)
    arguments = jnp.concatenate([value[:, None], params], axis=1)

    def total(arguments):
        moved, log_derivative = DIRECTIONS[name](arguments[0], arguments[1:], TAILS)
        return jnp.sin(moved) + log_derivative

    gradient = jax.jit(jax.vmap(jax.grad(total)))
    hessian = jax.jit(jax.vmap(jax.hessian(total)))(arguments)
    np.testing.assert_allclose(hessian, np.swapaxes(hessian, 1, 2), rtol=1e-11, atol=1e-11)
    for index in range(arguments.shape[1]):
        up, down = (gradient(arguments.at[:, index].add(s)) for s in (1e-6, -1e-6))
        np.testing.assert_allclose(hessian[:, index], (up - down) / 2e-6, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "options", "dtype"),
    [
        ("forward", TAILS, "float32"),
        ("inverse", TAILS, "float32"),
        ("inverse", TAILS, "float64"),
        ("forward", CIRCLE, "float32"),
        ("inverse", CIRCLE, "float64"),
    ],
)
def test_values_and_gradients_at_the_edges(name, options, dtype, x64):
    bound = np.asarray(BOUND, dtype)
    inner = np.nextafter(bound, np.asarray(0, dtype))
    outer = np.nextafter(bound, np.asarray(9, dtype))
    half = [0.0, 1e-30, inner, bound, outer, 1e3, 1e30, np.finfo(dtype).max, np.inf]
    value = jnp.asarray([sign * v for v in half for sign in (-1, 1)], dtype)

    def both(value, params):
        return jnp.stack(DIRECTIONS[name](value, params, options))

    slopes = jax.jit(jax.vmap(jax.jacrev(both, (0, 1))))
    for scale in (0.0, 1.0, 1e3):  # 1e3: bins and slopes at their floors
        params = scale * draw(options, len(value))[1].astype(dtype)
        moved, log_derivative = DIRECTIONS[name](value, params, options)
        by_value, by_params = slopes(value, params)
        assert moved.dtype == log_derivative.dtype == dtype
        finite = np.isfinite(value)
        assert np.all(np.isfinite(moved[finite]))
        np.testing.assert_array_equal(moved[~finite], value[~finite])
        for array in (log_derivative, by_value, by_params):
            assert np.all(np.isfinite(array))
        if not options.circular:
            out = np.abs(value) >= bound
            np.testing.assert_array_equal(moved[out], value[out])
            np.testing.assert_array_equal(by_value[out], np.tile([1.0, 0.0], (out.sum(), 1)))
            np.testing.assert_array_equal(by_params[out], np.zeros_like(by_params[out]))
            if scale == 1.0:  # just inside, the slope has not gone far from 1
                within = np.abs(value) == inner
                np.testing.assert_allclose(by_value[within, 0], [1.0, 1.0], rtol=1e-4)


def test_a_missing_value_stays_missing():
    moved, _ = forward(jnp.array([jnp.nan]), jnp.zeros((1, 14)), TAILS)
    assert np.isnan(moved[0])


def test_a_gradient_passes_the_clipping_of_extreme_parameters():
    slopes = jax.grad(lambda params: forward(jnp.array(0.3), params, TAILS)[0])(
        jnp.full(14, 1e3).at[2].set(0.5)
    )
    assert slopes[2] != 0.0
    assert np.all(np.isfinite(slopes))


@pytest.mark.parametrize(
    ("options", "dtype", "tolerance"), [(TAILS, "float32", 1e-6), (CIRCLE, "float64", 1e-14)]
)
def test_round_trip(options, dtype, tolerance, x64):
    x, params = (a.astype(dtype) for a in draw(options, 4000, scale=3.0))
    y, log_derivative = forward(x, params, options)
    assert np.all(np.abs(y) <= BOUND * (1 + tolerance))
    back, inverse_log = inverse(y, params, options)
    # y is rounded, and the inverse magnifies that by its slope; so does the logarithm by its own.
    slope = np.maximum(1.0, np.exp(-log_derivative))
    assert np.all(np.abs(back - x) <= 4 * BOUND * tolerance * slope)
    steep = jax.jit(jax.vmap(jax.grad(lambda y, p: inverse(y, p, options)[1])))(y, params)
    error = np.abs(inverse_log + log_derivative)
    assert np.all(error <= 20 * tolerance * (1 + np.abs(steep)))


@optimized
def test_a_root_without_cancellation(x64):
    """In flat bins before steep knots the textbook's root loses all digits of float32."""
    options = splines.Options(1.0, False, 1e-3, 1e-3, 1e-3)
    raw = np.zeros((50, 5))
    raw[:, 2], raw[:, 4] = -6.0, 40.0  # low first bin, steep knot after it
    y = -1.0 + np.linspace(0.0, 4e-3, 52)[1:-1]
    exact = inverse(jnp.asarray(y), jnp.asarray(raw), options)
    got = inverse(jnp.asarray(y, jnp.float32), jnp.asarray(raw, jnp.float32), options)
    # y itself is off by 6e-8, times the inverse's slope
    slope = np.maximum(1.0, np.exp(exact[1]))
    assert np.max(np.abs(got[0] - exact[0]) / slope) < 3e-7


@optimized
@pytest.mark.parametrize("scale", [1.0, 10.0, 1e3])
@each_end
def test_increasing_for_any_parameters(options, scale):
    x = jnp.linspace(-1.5 * BOUND, 1.5 * BOUND, 3001)
    for seed in range(4):
        params = draw(options, 1, scale, seed)[1].astype(jnp.float32)
        y, log_derivative = forward(x, jnp.repeat(params, len(x), 0), options)
        # float32: two neighbours may round to values one unit apart in the wrong order
        assert np.all(np.diff(y) > -1e-6)
        assert np.all(np.isfinite(log_derivative))


def test_a_circle_closes(x64):
    _, params = draw(CIRCLE, 9)
    for function in (forward, inverse):
        ends = [function(jnp.full(9, sign * BOUND), params, CIRCLE) for sign in (-1, 1)]
        np.testing.assert_array_equal(ends[0][0], np.full(9, -BOUND))
        np.testing.assert_array_equal(ends[1][0], np.full(9, BOUND))
        np.testing.assert_allclose(ends[0][1], ends[1][1], rtol=1e-12)
        assert np.all(np.abs(ends[0][1]) > 1e-3)  # unlike the tails', its slope is free
        value, _ = draw(CIRCLE, 9)
        moved, log_derivative = function(value, params, CIRCLE)
        assert np.all(np.abs(moved) <= BOUND)
        for turns in (-3, 1, 250):
            further, same = function(value + 2 * BOUND * turns, params, CIRCLE)
            np.testing.assert_allclose(further, moved + 2 * BOUND * turns, atol=1e-11)
            np.testing.assert_allclose(same, log_derivative, atol=1e-9)


@optimized
@pytest.mark.parametrize(("bins", "dtype"), [(7, "float64"), (8, "float32")])
def test_zero_parameters_are_the_identity_to_the_last_bit(bins, dtype, x64):
    x = jnp.asarray(np.random.default_rng(0).uniform(-4.0, 4.0, 1000), dtype)
    for circular in (False, True):
        options = splines.Options(2.9, circular, 0.05, 0.01, 0.3)
        params = jnp.zeros((1000, splines.num_params(bins, circular)), dtype)
        near = np.abs(x) <= 2.9 if circular else slice(None)
        for function in (forward, inverse):
            y, log_derivative = function(x, params, options)
            np.testing.assert_array_equal(y[near], x[near])
            np.testing.assert_array_equal(log_derivative, np.zeros(1000))


def test_half_precision_is_computed_in_single():
    x, params = (a.astype(jnp.bfloat16) for a in draw(TAILS, 20))
    y, log_derivative = forward(x, params, TAILS)
    expected = forward(x.astype(jnp.float32), params.astype(jnp.float32), TAILS)
    assert y.dtype == log_derivative.dtype == jnp.float32
    np.testing.assert_array_equal(y, expected[0])


def test_each_value_of_a_position_has_its_own_spline(x64):
    spline = RationalQuadraticSpline(BINS)
    count = spline.num_params((3,))
    params = jnp.asarray(np.random.default_rng(0).normal(size=(4, 2, count)))
    z = jnp.asarray(np.random.default_rng(1).normal(size=(4, 2, 3)))
    run = jax.jit(spline.forward)
    x, log_derivative = run(z, params)
    for index in range(3):
        own = params[..., index * count // 3 : (index + 1) * count // 3]
        expected = run(z[..., index], own)
        np.testing.assert_allclose(x[..., index], expected[0], rtol=1e-13)
        np.testing.assert_allclose(log_derivative[..., index], expected[1], rtol=1e-12)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"bins": 1}, "at least 2 bins, got 1"),
        ({"bound": 0.0}, "a positive, finite number for bound, got 0.0"),
        ({"bound": float("inf")}, "a positive, finite number for bound, got inf"),
        ({"bins": 20, "min_bin_width": 0.05}, r"min_bin_width .* less than 1 / bins = 0.05"),
        ({"min_bin_height": 0.0}, "min_bin_height from 1e-5"),
        ({"min_derivative": 1.0}, "min_derivative between 0 and 1, got 1.0"),
        ({"min_derivative": 0.0}, "min_derivative between 0 and 1, got 0.0"),
    ],
)
def test_mistakes_are_refused(arguments, said):
    with pytest.raises(ValueError, match=said):
        RationalQuadraticSpline(**arguments)
