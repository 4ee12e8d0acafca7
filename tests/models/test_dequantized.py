"""Variational dequantization against masses that are known exactly."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from scipy.stats import norm

from jaxgen.bijectors import ActNorm, Chain, Logit, MaskedAutoregressive, Standardize
from jaxgen.conditionals import MADE
from jaxgen.core import ShapeError
from jaxgen.models import Dequantized, Flow, Logistic, StandardNormal
from jaxgen.testing import perturb, to_float64

KEY = jax.random.key(0)
LEVELS = 4
X = np.arange(LEVELS)[:, None]
EXACT = np.log(np.diff(norm.cdf((np.arange(LEVELS + 1.0) - 2.0) / 0.7)))
importance = jax.jit(Dequantized.importance_log_prob, static_argnums=3)


def noise_model():
    """A conditional density on (0, 1), one affine map of a logistic for every level."""
    made = MADE((1,), 2, hidden=(5,), activation="tanh", context_features=1, rngs=nnx.Rngs(0))
    bijector = Chain([MaskedAutoregressive(made), Logit(alpha=0.0)])
    return Flow(bijector, Logistic((1,)))


def variational(noise=None):
    noise = perturb(to_float64(noise_model()), KEY) if noise is None else noise
    return Dequantized(Flow(Standardize((1,), mean=2.0, scale=0.7)), LEVELS, noise)


def mean_elbo(model, num_draws=4000):
    keys = jax.random.split(KEY, num_draws)
    draws = jax.jit(lambda model: jax.vmap(lambda key: model.elbo(X, key))(keys))(model)
    return np.asarray(draws).mean(0), np.asarray(draws).std(0) / np.sqrt(num_draws)


def test_importance_approaches_the_exact_mass(x64):
    model = variational()
    np.testing.assert_allclose(importance(model, X, KEY, 100_000), EXACT, atol=0.04)
    one = importance(model, X, KEY, 1)
    elbo = jax.jit(Dequantized.elbo)(model, X, jax.random.split(KEY, 1)[0])
    np.testing.assert_allclose(one, elbo, rtol=1e-9)


@pytest.mark.parametrize("num_samples", [1, 7, 1000])
@pytest.mark.parametrize("batch", [(), (0,), (3,), (2, 3)])
def test_weights_are_averaged_some_at_a_time(batch, num_samples, x64):
    model, x = variational(), np.zeros((*batch, 1), int) + 2
    keys = jax.random.split(KEY, num_samples)
    weights = jax.jit(jax.vmap(Dequantized.log_weight, (None, None, 0)))(model, x, keys)
    expected = jax.nn.logsumexp(weights, axis=0) - np.log(num_samples)
    np.testing.assert_allclose(importance(model, x, KEY, num_samples), expected, rtol=1e-12)


def test_the_weight_is_unbiased_and_that_of_an_exact_model_its_density(x64):
    model = variational()
    keys = jax.random.split(KEY, 20_000)
    weights = np.exp(jax.jit(jax.vmap(Dequantized.log_weight, (None, None, 0)))(model, X, keys))
    error = weights.std(0) / np.sqrt(len(keys))
    assert np.all(np.abs(weights.mean(0) - np.exp(EXACT)) < 5 * error)
    x = np.ones((3, 1))
    np.testing.assert_array_equal(model.flow.log_weight(x, KEY), model.flow.log_prob(x))


def test_elbo_is_the_expectation_under_the_noise_and_below_the_mass(x64):
    """By quadrature over the noise: E_q[log p(x + u) - log q(u | x)] = log P(x) - KL."""
    model = variational()
    cells = 20000
    u = (np.arange(cells) + 0.5) / cells
    scaled = 2.0 * np.arange(LEVELS) / (LEVELS - 1) - 1.0

    @jax.jit
    def log_q(noise):
        points = jnp.broadcast_to(u[:, None, None], (cells, LEVELS, 1))
        return noise.log_prob(points, scaled[:, None])

    log_q = np.asarray(log_q(model.noise))
    np.testing.assert_allclose(np.exp(log_q).mean(0), 1.0, atol=2e-3)  # four densities on (0, 1)
    assert np.ptp(log_q, axis=1).max() > 0.1  # that differ from level to level
    log_p = norm.logpdf(np.arange(LEVELS) + u[:, None], 2.0, 0.7)
    expected = np.mean(np.exp(log_q) * (log_p - log_q), axis=0)
    got, error = mean_elbo(model)
    assert np.all(np.abs(got - expected) < 5 * error + 2e-3)
    assert np.all(got < EXACT - 5 * error)


def test_training_the_noise_tightens_the_bound(x64):
    model = variational(to_float64(noise_model()))
    before, _ = mean_elbo(model)
    graphdef, params, rest = nnx.split(model, nnx.Param, ...)
    optimizer = optax.adam(0.02)

    def loss(params, key):
        model = nnx.merge(graphdef, params, rest)
        return -jnp.mean(jax.vmap(lambda key: model.elbo(X, key))(jax.random.split(key, 64)))

    def step(state, key):
        params, moments = state
        updates, moments = optimizer.update(jax.grad(loss)(params, key), moments)
        return (optax.apply_updates(params, updates), moments), None

    train = jax.jit(lambda state, keys: jax.lax.scan(step, state, keys)[0])
    params, _ = train((params, optimizer.init(params)), jax.random.split(KEY, 200))
    after, _ = mean_elbo(nnx.merge(graphdef, params, rest))
    gap_before, gap_after = np.mean(EXACT - before), np.mean(EXACT - after)
    assert 0 < gap_after < gap_before / 3


def test_noise_that_ignores_the_levels(x64):
    noise = perturb(to_float64(Flow(Chain([ActNorm((1,)), Logit(alpha=0.0)]), Logistic((1,)))), KEY)
    model = variational(noise)
    np.testing.assert_allclose(importance(model, X, KEY, 100_000), EXACT, atol=0.04)
    assert importance(model, X[0], KEY, 2).shape == ()
    assert importance(model, np.stack([X, X]), KEY, 2).shape == (2, LEVELS)


def test_initialize_adapts_the_flow_and_leaves_fresh_noise_alone(x64):
    bijector = Chain([ActNorm((2,)), Logit(alpha=0.0)])
    model = Dequantized(Flow(ActNorm((2,))), 256, Flow(bijector, StandardNormal((2,))))
    x = np.random.default_rng(0).integers(0, 256, (500, 2))
    new = jax.jit(Dequantized.initialize)(model, x, KEY)
    np.testing.assert_allclose(new.flow.bijector.shift[...], x.mean(0) + 0.5, atol=0.1)
    norm = new.noise.bijector.layers[0]
    np.testing.assert_allclose(norm.shift[...], 0.0, atol=0.2)
    np.testing.assert_allclose(norm.log_scale[...], 0.0, atol=0.2)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((1,), ValueError, "at least two levels, got 1"),
        ((4, StandardNormal((3,))), ShapeError, r"events of shape \(2,\), got \(3,\)"),
        (
            (4, Flow(MaskedAutoregressive(MADE((2,), 2, context_features=3, rngs=nnx.Rngs(0))))),
            ShapeError,
            r"contexts of shape \(3,\)",
        ),
        ((4, Dequantized(StandardNormal((2,)), 4)), TypeError, "exact likelihood, got lower_bound"),
    ],
)
def test_noise_that_does_not_fit_is_refused(arguments, error, message):
    with pytest.raises(error, match=message):
        Dequantized(StandardNormal((2,)), *arguments)
