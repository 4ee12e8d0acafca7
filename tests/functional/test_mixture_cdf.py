"""The mixture CDF against closed forms, quadrature and finite differences; its inverse."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy import integrate, optimize, stats

from jaxgen.functional import mixture_cdf
from jaxgen.transforms import MixtureCDF

# Far narrow components, a component of hardly any weight, and equal ones.
MIXTURES = {
    "near": ([0.3, -0.2, 0.0], [-1.0, 0.5, 2.0], [0.2, -0.5, 0.0]),
    "far": ([0.0, 0.0, 0.0], [-1000.0, 0.0, 1000.0], [0.0, 1.0, 2.0]),
    "light": ([0.0, -40.0, 1.0], [0.0, 30.0, 1.0], [0.0, -4.0, 0.5]),
    "equal": ([0.0, 0.0, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]),
}
Y = np.array([-1e3, -40.0, -3.0, -1e-3, 0.0, 0.7, 5.0, 40.0, 1e3])


def mixture(name, shape=(), dtype=None):
    parts = [jnp.asarray(part, dtype) for part in MIXTURES[name]]
    return [jnp.broadcast_to(part.reshape(-1, *(1,) * len(shape)), (3, *shape)) for part in parts]


cdf = jax.jit(mixture_cdf.logistic_mixture_logit_cdf)
quantile = jax.jit(mixture_cdf.logistic_mixture_quantile)


def test_it_is_the_logit_of_the_cdf_and_its_derivative(x64):
    x = np.linspace(-8.0, 8.0, 33)
    logits, means, log_scales = (np.array(part) for part in MIXTURES["near"])
    weights = np.exp(logits) / np.exp(logits).sum()
    parts = stats.logistic(means[:, None], np.exp(log_scales)[:, None])
    below, above, density = (weights @ f(x) for f in (parts.cdf, parts.sf, parts.pdf))
    y, log_derivative = cdf(x, *mixture("near", x.shape))
    np.testing.assert_allclose(y, np.log(below) - np.log(above), rtol=1e-12, atol=1e-12)
    expected = np.log(density) - np.log(below) - np.log(above)
    np.testing.assert_allclose(log_derivative, expected, rtol=1e-12, atol=1e-12)


TAILS = np.array([-1e3, -50.0, 0.3, 50.0, 1e3])


@jax.jit
def value_and_slopes(params):
    """At every tail: the pair, the derivative of its first entry, and the gradient of their sum."""

    def one(x):
        def total(x, params):
            pair = mixture_cdf.logistic_mixture_logit_cdf(x, *params)
            return sum(pair), pair

        gradient, pair = jax.grad(total, argnums=(0, 1), has_aux=True)(x, params)
        return pair, jax.grad(lambda x: total(x, params)[1][0])(x), gradient

    return jax.vmap(one)(TAILS)


@pytest.mark.parametrize("name", MIXTURES)
def test_values_and_gradients_are_right_in_both_tails(name, x64):
    """Far out the least steep component rules: y is a straight line of slope exp(-s)."""
    params = mixture(name)
    (y, log_derivative), slope, gradient = value_and_slopes(params)
    for array in jax.tree.leaves((y, log_derivative, slope, gradient)):
        assert np.all(np.isfinite(array))
    np.testing.assert_allclose(np.log(slope), log_derivative, rtol=1e-9, atol=1e-9)
    if name in ("near", "light"):
        _, means, log_scales = MIXTURES[name]
        ruling = int(np.argmax(log_scales))
        weight = jax.nn.log_softmax(params[0])[ruling]
        for x, at in ((-1e3, 0), (1e3, -1)):
            line = (x - means[ruling]) * np.exp(-log_scales[ruling]) - np.sign(x) * weight
            np.testing.assert_allclose(y[at], line, rtol=1e-9)
            np.testing.assert_allclose(log_derivative[at], -log_scales[ruling], atol=1e-9)


@pytest.mark.parametrize("name", MIXTURES)
def test_the_numerical_inverse_is_one_to_1e_9(name, x64):
    params = mixture(name, Y.shape)
    x = quantile(Y, *params)
    y, _ = cdf(x, *params)
    np.testing.assert_allclose(y, Y, rtol=1e-12, atol=1e-12)
    if name != "far":  # between far components the density is too small to say where x is
        np.testing.assert_allclose(quantile(y, *params), x, rtol=1e-9, atol=1e-9)
    if name != "equal":
        root = optimize.brentq(
            lambda x: float(mixture_cdf.logistic_mixture_logit_cdf(x, *mixture(name))[0]) - 0.7,
            -2e3,
            2e3,
            xtol=1e-12,
        )
        np.testing.assert_allclose(x[5], root, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", MIXTURES)
def test_the_numerical_inverse_in_single_precision(name):
    params = mixture(name, Y.shape, jnp.float32)
    x = quantile(jnp.asarray(Y, jnp.float32), *params)
    assert x.dtype == jnp.float32
    np.testing.assert_allclose(cdf(x, *params)[0], Y, rtol=2e-5, atol=2e-5)


def test_random_mixtures_are_inverted_each_for_itself(x64):
    """No result depends on its neighbours, which may take more steps; and few steps suffice."""
    rng = np.random.default_rng(0)
    params = [jnp.asarray(rng.normal(size=(5, 400)) * scale) for scale in (3.0, 3.0, 2.0)]
    y = jnp.asarray(rng.normal(size=400) * 3)
    x = quantile(y, *params)
    np.testing.assert_allclose(cdf(x, *params)[0], y, rtol=1e-12, atol=1e-12)
    few = quantile(y[:3], *(part[:, :3] for part in params))
    np.testing.assert_array_equal(few, x[:3])
    mapped = jax.jit(jax.vmap(mixture_cdf.logistic_mixture_quantile, in_axes=(0, 1, 1, 1)))
    np.testing.assert_allclose(mapped(y, *params), x, rtol=1e-12)


def test_gradients_of_the_numerical_inverse(x64):
    """Against finite differences, forward and in reverse, and the second derivative as well."""
    arguments = [jnp.asarray(0.7), *mixture("near")]

    def f(arguments):
        return mixture_cdf.logistic_mixture_quantile(*arguments)

    reverse = jax.jit(jax.grad(f))(arguments)
    forward = jax.jit(jax.jacfwd(f))(arguments)
    flat, unravel = jax.flatten_util.ravel_pytree(arguments)
    step = 1e-5
    run = jax.jit(jax.vmap(lambda flat: f(unravel(flat))))
    shifts = step * jnp.eye(flat.size)
    expected = (run(flat + shifts) - run(flat - shifts)) / (2 * step)
    for got in (reverse, forward):
        got = jax.flatten_util.ravel_pytree(got)[0]
        np.testing.assert_allclose(got, expected, rtol=1e-7, atol=1e-9)
    assert np.abs(expected).min() > 1e-3  # none is silently zero
    second = jax.jit(jax.grad(jax.grad(lambda y: f([y, *arguments[1:]]))))(arguments[0])
    slope = jax.jit(jax.grad(lambda y: f([y, *arguments[1:]])))
    differences = (slope(0.7 + step) - slope(0.7 - step)) / (2 * step)
    np.testing.assert_allclose(second, differences, rtol=1e-6)


def test_gradients_pass_through_vmap_and_scan(x64):
    params = mixture("near")

    def total(params, y):
        def body(y, _):
            return mixture_cdf.logistic_mixture_quantile(y, *params), None

        return jax.lax.scan(body, y, None, length=3)[0]

    def unrolled(params, y):
        for _ in range(3):
            y = mixture_cdf.logistic_mixture_quantile(y, *params)
        return y

    y = jnp.array([-1.0, 0.2, 2.0])
    got, expected = (
        jax.jit(jax.vmap(jax.grad(f), in_axes=(None, 0)))(params, y) for f in (total, unrolled)
    )
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-9), got, expected)
    assert np.abs(got[1]).min() > 1e-6


def test_log_derivatives_of_both_directions_differ_in_sign(x64):
    rng = np.random.default_rng(1)
    params = [jnp.asarray(rng.normal(size=(20,))) for _ in range(2)]
    params += [jnp.asarray(rng.normal(size=(4, 20))) for _ in range(3)]
    z = jnp.asarray(rng.normal(size=20))
    x, forward = jax.jit(mixture_cdf.mixture_cdf_forward)(z, *params)
    back, inverse = jax.jit(mixture_cdf.mixture_cdf_inverse)(x, *params)
    np.testing.assert_allclose(back, z, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(forward, -inverse, rtol=1e-9, atol=1e-9)
    slope = jax.jit(jax.grad(lambda z: mixture_cdf.mixture_cdf_forward(z, *params)[0].sum()))(z)
    np.testing.assert_allclose(np.log(slope), forward, rtol=1e-9, atol=1e-9)


def test_a_density_that_it_makes_integrates_to_one(x64):
    params = (jnp.asarray(0.3), jnp.asarray(-0.4), *mixture("near"))

    @jax.jit
    def density(x):
        z, log_derivative = mixture_cdf.mixture_cdf_inverse(x, *params)
        return jnp.exp(jax.scipy.stats.norm.logpdf(z) + log_derivative)

    x = np.linspace(-40.0, 40.0, 40001)
    np.testing.assert_allclose(integrate.trapezoid(jax.vmap(density)(x), x), 1.0, atol=1e-9)


def test_it_is_monotone(x64):
    rng = np.random.default_rng(2)
    params = jnp.asarray(rng.normal(size=29) * 3)
    x = np.linspace(-20.0, 20.0, 1001)
    transform = MixtureCDF(9, bound=2.0)
    z, _ = transform.inverse(x, jnp.broadcast_to(params, (1001, 29)))
    assert np.all(np.diff(z) > 0)


def test_one_component_is_an_affine_map(x64):
    """z = exp(a) (x - mu) exp(-s) + b, with gain 1 for the only component."""
    transform = MixtureCDF(1, bound=None)
    shift, log_scale, _, mean, component = params = np.array([0.3, -0.7, 5.0, 1.1, 0.4])
    x = np.array([-1e3, -2.0, 1.1, 30.0, 1e3])
    tiled = jnp.broadcast_to(params, (5, 5))
    z, log_derivative = transform.inverse(x, tiled)
    expected = np.exp(log_scale) * (x - mean) * np.exp(-component) + shift
    np.testing.assert_allclose(z, expected, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(log_derivative, log_scale - component, rtol=1e-10)
    np.testing.assert_allclose(transform.forward(z, tiled)[0], x, rtol=1e-12)


@pytest.mark.parametrize("components", [2, 8])
def test_components_that_start_equal_part(components):
    """From all-zero parameters, the identity, to one hump for each of two clusters."""
    rng = np.random.default_rng(0)
    x = jnp.asarray(np.concatenate([rng.normal(m, 0.2, 100) for m in (-1.0, 1.0)]), jnp.float32)
    transform = MixtureCDF(components)
    optimizer = optax.adam(0.03)

    @jax.jit
    def loss(params):
        z, log_derivative = transform.inverse(x, jnp.broadcast_to(params, (200, params.size)))
        return -jnp.mean(jax.scipy.stats.norm.logpdf(z) + log_derivative)

    def step(state, _):
        params, moments = state
        updates, moments = optimizer.update(jax.grad(loss)(params), moments)
        return (optax.apply_updates(params, updates), moments), None

    start = jnp.zeros(transform.params_per_value)
    train = jax.jit(lambda state: jax.lax.scan(step, state, length=300)[0])
    params, _ = train((start, optimizer.init(start)))
    assert loss(start) > 1.35  # a normal density: what components that stay equal cannot leave
    assert loss(params) < 0.75  # that of the two clusters is 0.5


def test_a_mixture_of_nothing_is_refused():
    with pytest.raises(ValueError, match="for components, got 0"):
        MixtureCDF(0)
