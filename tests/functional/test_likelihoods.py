"""Likelihoods against distrax, and where their parameters are extreme."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import registry

from jaxgen.functional import dequantization, likelihoods
from jaxgen.likelihoods import Bernoulli, Categorical, GaussianMixture, Normal

POSITION = (2,)


def example(likelihood, grid=(3,), seed=0):
    rng = np.random.default_rng(seed)
    params = jnp.asarray(rng.normal(size=(*grid, likelihood.num_params(POSITION))))
    shape = (*grid, *POSITION)
    if likelihood.levels is None:
        return jnp.asarray(rng.normal(size=shape)), params
    return jnp.asarray(rng.integers(0, likelihood.levels, shape)), params


@pytest.mark.parametrize("name", registry.LIKELIHOODS)
def test_log_prob_is_distrax_summed_over_the_position(name, x64):
    likelihood = registry.LIKELIHOODS[name]()
    value, params = example(likelihood)
    expected = likelihood.distribution(params, POSITION).log_prob(value).sum(-1)
    np.testing.assert_allclose(likelihood.log_prob(value, params), expected, rtol=1e-9)


@pytest.mark.parametrize("name", registry.LIKELIHOODS)
def test_samples_have_distrax_means(name):
    likelihood = registry.LIKELIHOODS[name]()
    _, params = example(likelihood)
    many = jnp.broadcast_to(params, (20000, *params.shape))
    noise = likelihood.noise(jax.random.key(0), (20000, 3, *POSITION), params.dtype)
    samples = np.asarray(likelihood.sample(many, noise, POSITION), np.float64)
    distribution = likelihood.distribution(params, POSITION)
    if name == "categorical":
        probs = np.asarray(distribution.probs)
        mean = probs @ np.arange(5)
    else:
        mean = np.asarray(distribution.mean())
    error = samples.std(0) / np.sqrt(len(samples))
    assert np.all(np.abs(samples.mean(0) - mean) < 5 * error + 1e-6)


@pytest.mark.parametrize("logit", [-1e3, 1e3])
@pytest.mark.parametrize("value", [0.0, 1.0])
def test_bernoulli_with_extreme_logits(logit, value):
    score, slope = jax.value_and_grad(likelihoods.bernoulli_log_prob, argnums=1)(value, logit)
    agrees = (logit > 0) == (value == 1.0)
    assert score == (0.0 if agrees else -1e3)
    assert slope == (0.0 if agrees else value - (logit > 0))
    assert likelihoods.bernoulli_sample(jnp.array(logit), jnp.array(0.5)) == (logit > 0)


def test_categorical_with_extreme_logits():
    logits = jnp.array([1e3, 0.0, -1e3])
    run = jax.value_and_grad(likelihoods.categorical_log_prob, argnums=1)
    for level, expected in enumerate([0.0, -1e3, -2e3]):
        score, slope = run(jnp.array(level), logits)
        assert score == expected
        np.testing.assert_array_equal(slope, np.eye(3)[level] - np.eye(3)[0])


def test_categorical_shift_of_logits_changes_nothing():
    logits = jnp.array([0.3, -0.2, 1.0])
    scores = [
        float(likelihoods.categorical_log_prob(jnp.array(1), logits + c)) for c in (0.0, 50.0)
    ]
    assert scores[0] == pytest.approx(scores[1], abs=1e-5)


def test_normal_far_out():
    score, slope = jax.value_and_grad(likelihoods.normal_log_prob)(1e3, 0.0, 0.0)
    assert score == pytest.approx(-0.5e6, rel=1e-5)
    assert slope == -1e3


def test_mixture_components_part_at_the_first_step():
    slopes = jax.grad(lambda params: GaussianMixture(3).log_prob(jnp.array(0.7), params))
    logits, means, log_scales = jnp.split(slopes(jnp.zeros(9)), 3)
    for slope in (logits, means, log_scales):
        assert len(set(np.asarray(slope).round(4).tolist())) == 3


def test_mixture_of_one_component_is_a_normal():
    value, params = jnp.array([0.3, -2.0]), jnp.array([[5.0, 0.5, -0.3], [1.0, 2.0, 0.1]])
    np.testing.assert_allclose(
        GaussianMixture(1).log_prob(value, params), Normal().log_prob(value, params[:, 1:]), 1e-6
    )


def test_mixture_far_out():
    params = jnp.array([1e3, -1e3, 0.0, 0.0, 0.0, 0.0])
    run = jax.value_and_grad(lambda value, params: GaussianMixture(2).log_prob(value, params), 1)
    for value in (1e3, -1e3):
        score, slope = run(jnp.array(value), params)
        # The first component has all the weight, and its mean is at -1.
        assert score == pytest.approx(-0.5 * (value + 1) ** 2, rel=1e-5)
        assert np.isfinite(slope).all()


def test_quantize_clips_to_the_nearest_level():
    values = jnp.array([-7.0, -1e-6, 0.0, 0.999, 1.0, 3.999, 4.0, 1e6])
    levels = dequantization.quantize(values, 4)
    assert levels.tolist() == [0, 0, 0, 0, 1, 3, 3, 3]
    assert levels.dtype == jnp.int32


def test_dequantizing_and_quantizing_again_changes_nothing():
    x = jnp.arange(256)
    noise = dequantization.uniform_noise(jax.random.key(0), x.shape)
    assert dequantization.quantize(x + noise, 256).tolist() == x.tolist()


@pytest.mark.parametrize(
    ("likelihood", "value", "message"),
    [
        (Bernoulli(), jnp.array([0, 2]), "values 0 and 1, got 2"),
        (Categorical(3), jnp.array([0, 3]), "levels from 0 to 2, got values from 0 to 3"),
        (Categorical(3), jnp.array([0.0]), "expected integer levels 0..2, got float32"),
        (Normal(), jnp.array([1]), "expected real values, got int32"),
        (GaussianMixture(2), jnp.array([1]), "GaussianMixture: expected real values, got int32"),
    ],
)
def test_values_outside_the_support_are_refused(likelihood, value, message):
    with pytest.raises(ValueError, match=message):
        likelihood.check(value)


def test_no_components_are_refused():
    with pytest.raises(ValueError, match="at least one component, got 0"):
        GaussianMixture(0)


def test_one_level_is_refused():
    with pytest.raises(ValueError, match="at least 2 levels, got 1"):
        Categorical(1)
