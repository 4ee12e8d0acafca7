"""A linear-Gaussian VAE, of which likelihood, bound and gradients are known in closed form.

With a decoder ``N(W z + b, S)`` the data are normal, and so is the latent given the data; and
``log p(x, z)`` is quadratic in ``z``, of which a normal posterior's expectation is exact.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from linear import linear
from scipy.stats import multivariate_normal

from jaxgen.core import replace
from jaxgen.models import VAE, StandardNormal
from jaxgen.training import Batch
from jaxgen.training.objectives import elbo, importance_weighted

KEY = jax.random.key(0)
X = np.random.default_rng(0).normal(size=(4, 3))
KEYS = 20_000
slow = functools.partial(pytest.param, marks=pytest.mark.slow)


def random_linear(rng, inputs, outputs):
    weight = 0.7 * rng.normal(size=(inputs, outputs))
    return linear(weight, 0.3 * rng.normal(size=outputs), 0.4 * rng.normal(size=outputs) - 0.3)


def near(rng, prior, decoder):
    """A posterior that is off, of independent entries where those of the exact one are not."""
    mean, covariance = moments(prior)
    weight, bias, log_scale = (np.asarray(each) for each in numbers(decoder))
    back = (weight * np.exp(-2 * log_scale)).T
    precision = np.linalg.inv(covariance) + weight @ back
    back = np.linalg.solve(precision, back.T).T
    at_zero = np.linalg.solve(precision, np.linalg.solve(covariance, mean)) - bias @ back
    off = [0.2 * rng.normal(size=each) for each in (back.shape, len(mean), len(mean))]
    spread = 0.2 - 0.5 * np.log(np.diag(precision))
    return linear(back + off[0], at_zero + off[1], spread + 0.5 * off[2])


def vae():
    """With a posterior that is not exact."""
    rng = np.random.default_rng(1)
    prior, decoder = StandardNormal((2,)), random_linear(rng, 2, 3)
    return VAE(prior, decoder, near(rng, prior, decoder))


def nested():
    """Two layers: the prior of the latents is a VAE, too."""
    rng = np.random.default_rng(3)
    first, between = StandardNormal((1,)), random_linear(rng, 1, 2)
    prior, decoder = VAE(first, between, near(rng, first, between)), random_linear(rng, 2, 3)
    return VAE(prior, decoder, near(rng, prior, decoder))


def exact_vae(off=0.0):
    """With the exact posterior, which is made of independent entries; or one that is off."""
    rng = np.random.default_rng(2)
    orthogonal, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    size, scale, bias = np.array([1.3, 0.6]), np.array([0.5, 0.8, 1.1]), np.array([0.2, -0.4, 0.1])
    weight = size[:, None] * orthogonal[:2] * scale
    variance = 1.0 / (1.0 + size**2)
    back = (weight / scale**2).T * variance
    posterior = linear(back + off, -bias @ back - off, 0.5 * np.log(variance) + off)
    return VAE(StandardNormal((2,)), linear(weight, bias, np.log(scale)), posterior)


def exact_log_prob(model, x=X):
    """The covariance is that of the noise, and of what a normal latent adds to it."""
    mean, covariance = moments(model)
    return multivariate_normal.logpdf(x, mean, covariance)


def moments(model):
    """Mean and covariance of a linear-Gaussian model of any depth."""
    if isinstance(model, StandardNormal):
        return np.zeros(model.event_shape), np.eye(*model.event_shape)
    mean, covariance = moments(model.prior)
    weight, bias, log_scale = numbers(model.decoder)
    noise = np.diag(np.exp(2 * np.asarray(log_scale)))
    return mean @ weight + bias, weight.T @ covariance @ weight + noise


def numbers(part):
    network = part.conditional.network
    return network.weight[...], network.bias[...], network.log_scale[...]


def log_normal(value, part, given):
    weight, bias, log_scale = numbers(part)
    error = (value - given @ weight - bias) / jnp.exp(log_scale)
    return jnp.sum(-0.5 * error**2 - log_scale - 0.5 * jnp.log(2 * jnp.pi))


def exact_bound(model, x):
    """``E_q[log p(x, z)] + H(q)`` of one example: the first is of a quadratic function."""
    if isinstance(model, StandardNormal):
        return jnp.sum(-0.5 * x**2 - 0.5 * jnp.log(2 * jnp.pi))
    weight, bias, log_scale = numbers(model.posterior)

    def joint(z):
        return log_normal(x, model.decoder, z) + exact_bound(model.prior, z)

    mean = x @ weight + bias
    spread = 0.5 * jnp.sum(jnp.diag(jax.hessian(joint)(mean)) * jnp.exp(2 * log_scale))
    return joint(mean) + spread + jnp.sum(log_scale + 0.5 * jnp.log(2 * jnp.pi * jnp.e))


@jax.jit
def exact_bounds(model):
    return jax.vmap(lambda x: exact_bound(model, x))(X)


@jax.jit
def exact_gradients(model):
    return jax.value_and_grad(lambda model: -jnp.mean(exact_bounds(model)))(model)


def draws(function, model, count=KEYS):
    """What a function of a model and a key gives, for many keys."""
    drawn = many(function)(model, jax.random.split(KEY, count))
    return jax.tree.map(np.asarray, drawn)


@functools.cache
def many(function):
    return jax.jit(jax.vmap(function, (None, 0)))


@functools.cache
def gradient_of(objective, **options):
    def gradient(model, key):
        return jax.value_and_grad(objective)(model, Batch(X), key, **options)

    return gradient


def gradients(objective, model, **options):
    """Of every parameter, one for each key, by its path; and the values."""
    return by_path(draws(gradient_of(objective, **options), model))


def weighted(model, gradient):
    """Those of the bound of four weights."""
    return gradients(importance_weighted, model, num_samples=4, gradient=gradient)


def by_path(values_and_grads):
    values, grads = values_and_grads
    states = nnx.to_flat_state(nnx.state(grads, nnx.Param))
    found = {".".join(map(str, path)): np.asarray(value[...]) for path, value in states}
    return found | {"value": values}


def assert_mean(drawn, expected, least=None):
    """The mean is what is expected, to five standard errors, which are ``least`` at most."""
    error = drawn.std(0) / np.sqrt(len(drawn))
    assert np.all(np.abs(drawn.mean(0) - expected) <= 5 * error + 1e-9)
    assert least is None or np.all(error <= least)


def of(grads, part):
    """Those of a part, in one row for each key."""
    found = [each.reshape(len(each), -1) for path, each in grads.items() if path.startswith(part)]
    assert found
    return np.concatenate(found, axis=1)


@pytest.mark.parametrize("make", [vae, nested])
def test_the_bound_has_its_expectation(make, x64):
    def bounds(model, key):
        return model.elbo(X, key), model.log_weight(X, key)

    model = make()
    expected = exact_bounds(model)
    assert np.all(expected < exact_log_prob(model) - 0.1)
    for drawn in draws(bounds, model):
        assert_mean(drawn, expected, 0.05)


def test_the_divergence_is_in_closed_form(x64):
    """So it does not depend on the key, there is one for each latent, and their sum is the KL."""
    model = vae()
    weight, bias, log_scale = numbers(model.posterior)
    mean = X @ weight + bias
    expected = 0.5 * (mean**2 + np.exp(2 * log_scale) - 1.0) - log_scale
    for seed in range(2):
        _, divergence = model.elbo_terms(X, jax.random.key(seed))
        np.testing.assert_allclose(divergence, expected, rtol=1e-12)
    # That of a prior with a bound has none: it is drawn, and one number.
    deep = nested()
    assert jax.eval_shape(lambda: deep.elbo_terms(X, KEY)[1]).shape == (4, 1)


@pytest.mark.parametrize(("make", "counts"), [(vae, (2, 8)), slow(nested, (4,))])
def test_more_weights_come_nearer_from_below(make, counts, x64):
    def bounds(model, key):
        return [model.importance_log_prob(X, key, count) for count in counts]

    model = make()
    exact, below = exact_log_prob(model), exact_bounds(model)
    for drawn in draws(bounds, model):
        error = drawn.std(0) / np.sqrt(KEYS)
        assert np.all(drawn.mean(0) > below + 5 * error)
        assert np.all(drawn.mean(0) < exact - 5 * error)
        below = drawn.mean(0)
    loss = many(lambda m, key: importance_weighted(m, Batch(X), key, num_samples=counts[-1]))
    drawn = np.asarray(loss(model, jax.random.split(jax.random.key(1), KEYS)))
    assert_mean(drawn, -np.mean(below), 0.005)


@pytest.mark.parametrize("make", [vae, slow(nested)])
def test_many_weights_have_the_likelihood_as_their_mean(make, x64):
    model, exact = make(), exact_log_prob(make())
    weights = np.exp(draws(lambda model, key: model.log_weight(X, key), model))
    assert_mean(weights, np.exp(exact))
    got = model.importance_log_prob(X, KEY, KEYS)
    error = weights.std(0) / weights.mean(0) / np.sqrt(KEYS)
    assert np.all(np.abs(got - exact) < 5 * error)
    assert np.all(error < 0.05)


@pytest.mark.parametrize(
    ("make", "how"),
    [
        (vae, "elbo"),
        (vae, "iwae"),
        slow(vae, "stl"),
        (vae, "dreg"),
        slow(nested, "elbo"),
        (nested, "dreg"),
    ],
)
def test_the_gradient_of_one_weight_is_that_of_the_bound(make, how, x64):
    model = make()
    objective, options = elbo, {}
    if how != "elbo":
        objective, options = importance_weighted, {"num_samples": 1, "gradient": how}
    expected = by_path(exact_gradients(model))
    got = gradients(objective, model, **options)
    assert got.keys() == expected.keys()
    assert len(expected) == (7 if make is vae else 13)
    for path, drawn in got.items():
        assert_mean(drawn, expected[path], 0.05)
        assert np.any(np.abs(expected[path]) > 0.1), path


@pytest.mark.parametrize("make", [vae, nested])
def test_of_many_weights_two_gradients_have_one_mean(make, x64):
    """The doubly reparametrised one draws the same, so the two are compared key by key."""
    model = make()
    iwae, stl, dreg = (weighted(model, gradient) for gradient in ("iwae", "stl", "dreg"))
    assert len(iwae) == (7 if make is vae else 13)
    for path, drawn in iwae.items():
        if "posterior" in path:
            assert_mean(dreg[path] - drawn, 0.0, 0.02)
            # That of the path alone has another: there are keys enough to tell.
            bias, error = (stl[path] - drawn).mean(0), (stl[path] - drawn).std(0) / np.sqrt(KEYS)
            assert np.any(np.abs(bias) > 10 * error), path
        else:  # the bound is one, and so is the gradient of the model's own parameters
            for other in (stl, dreg):
                np.testing.assert_allclose(other[path], drawn, rtol=1e-7, atol=1e-9)


def test_near_the_exact_posterior_the_path_varies_less(x64):
    model = exact_vae(0.02)
    iwae, stl, dreg = (
        of(weighted(model, gradient), "posterior").std(0) for gradient in ("iwae", "stl", "dreg")
    )
    assert np.all(stl < 0.2 * iwae)
    assert np.all(dreg < 0.2 * iwae)


def test_the_exact_posterior_has_weights_without_variance(x64):
    model, exact = exact_vae(), exact_log_prob(exact_vae())
    weights, bounds = draws(lambda m, key: (m.log_weight(X, key), m.elbo(X, key)), model)
    np.testing.assert_allclose(weights, np.broadcast_to(exact, weights.shape), rtol=0, atol=1e-9)
    assert bounds.std(0).min() > 0.1  # in closed form the divergence is right on average alone
    assert_mean(bounds, exact)


def test_the_exact_posterior_has_a_path_gradient_of_zero(x64):
    model = exact_vae()
    one = of(
        gradients(importance_weighted, model, num_samples=1, gradient="stl"),
        "posterior",
    )
    np.testing.assert_allclose(one, 0.0, atol=1e-9)
    for gradient in ("stl", "dreg"):
        np.testing.assert_allclose(of(weighted(model, gradient), "posterior"), 0.0, atol=1e-9)
    assert np.all(of(weighted(model, "iwae"), "posterior").std(0) > 0.01)


def test_units_are_a_part_of_the_closed_form(x64):
    """Standardised data have the likelihood of the data as they are, less the log of the unit."""
    model = exact_vae()
    shift, scale = np.array([3.0, -1.0, 40.0]), np.array([2.0, 1e-3, 5.0])
    border = model.decoder.border
    units = replace(
        border.units,
        mean=type(border.units.mean)(jnp.asarray(shift)),
        log_scale=type(border.units.log_scale)(jnp.log(scale)),
    )
    moved = replace(
        model,
        decoder=replace(model.decoder, border=replace(border, units=units)),
        units=replace(units),
    )
    got = moved.log_weight(X * scale + shift, KEY)
    np.testing.assert_allclose(got, exact_log_prob(model) - np.log(scale).sum(), rtol=1e-9)
