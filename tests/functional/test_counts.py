"""Counts and ordered levels beside SciPy, large and small, and under a model."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from scipy import special, stats

from jaxgen.conditionals import MADE
from jaxgen.functional import counts, ordinal
from jaxgen.likelihoods import NegativeBinomial, Ordinal, Poisson
from jaxgen.models import Autoregressive, Ensemble
from jaxgen.testing import perturb, to_float64
from jaxgen.training import reverse_kl

KEY = jax.random.key(0)
RATES = [1e-3, 0.5, 3.0, 50.0, 1e4, 1e6]
SIZES = [1e-3, 0.5, 7.0, 1e3, 1e7]


def likely(scipys):
    """Counts from the middle of a distribution and its tails, and the small ones."""
    tails = scipys.ppf([1e-9, 0.01, 0.2, 0.5, 0.9, 0.999])
    return np.unique(np.concatenate([[0, 1, 2, 14, 15, 16], tails])).astype(np.int32)


@pytest.mark.parametrize("rate", RATES)
def test_poisson_is_scipys(rate, x64):
    scipys = stats.poisson(rate)
    value = likely(scipys)
    expected = scipys.logpmf(value)
    got = counts.poisson_log_prob(value, np.log(rate))
    np.testing.assert_allclose(got, expected, rtol=1e-9, atol=1e-9)  # where SciPy cancels itself
    single = counts.poisson_log_prob(value, np.float32(np.log(rate)))
    # One rounding of the log-rate moves the nats of a count by its derivative, count - rate.
    moved = np.abs(value - rate) * np.abs(np.log(rate)) * 2.0**-23
    assert np.all(np.abs(single - expected) < 1e-5 * (1.0 + np.abs(expected)) + moved)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("mean", [0.01, 3.0, 200.0, 1e5])
def test_negative_binomial_is_scipys(mean, size, x64):
    scipys = stats.nbinom(size, size / (size + mean))
    value = likely(scipys)
    value = value[value < 2**30]
    expected = scipys.logpmf(value)
    got = counts.negative_binomial_log_prob(value, np.log(mean), np.log(size))
    # SciPy's differences of gamma functions lose digits to a large size.
    np.testing.assert_allclose(got, expected, rtol=1e-9, atol=1e-9 + 1e-13 * size)


@pytest.mark.parametrize(
    ("log_mean", "log_size"), [(0.0, 0.0), (3.0, -2.0), (5.0, 1.0), (-4.0, 3.0)]
)
@pytest.mark.parametrize("count", [1e4, 1e6, 1e8, 1e9])
def test_a_negative_binomial_of_large_counts_in_single_precision(count, log_mean, log_size):
    """Far above the mean, where what a difference of shares leaves is rounding."""
    got, slope = jax.value_and_grad(counts.negative_binomial_log_prob, 1)(
        jnp.float32(count), jnp.float32(log_mean), jnp.float32(log_size)
    )
    size, share = np.exp(log_size), 1.0 / (1.0 + np.exp(log_mean - log_size))
    np.testing.assert_allclose(got, stats.nbinom.logpmf(count, size, share), rtol=1e-5)
    mean = np.exp(log_mean)
    np.testing.assert_allclose(slope, (count - mean) * size / (mean + size), rtol=1e-4)


def test_a_negative_binomial_of_a_large_size_is_poissons(x64):
    value = np.arange(20)
    np.testing.assert_allclose(
        counts.negative_binomial_log_prob(value, 1.5, 30.0),
        counts.poisson_log_prob(value, 1.5),
        atol=1e-9,
    )


HEADS = {"poisson": Poisson(), "negative binomial": NegativeBinomial(), "ordinal": Ordinal(4)}


@pytest.mark.parametrize("name", HEADS)
def test_what_is_none_is_impossible_and_flat(name):
    head = HEADS[name]
    params = jnp.full((4, head.params_per_value), 0.3)
    value = jnp.array([-1.0, 0.5, jnp.nan, jnp.inf])
    total, slopes = jax.value_and_grad(lambda p: head.log_prob(value, p).sum())(params)
    assert total == -np.inf
    np.testing.assert_array_equal(slopes, np.zeros_like(slopes))


@pytest.mark.parametrize(
    ("name", "params", "scipys"),
    [
        ("poisson", [np.log(0.2)], stats.poisson(0.2)),
        ("poisson", [np.log(50.0)], stats.poisson(50.0)),
        ("negative binomial", [np.log(3.0), np.log(0.5)], stats.nbinom(0.5, 0.5 / 3.5)),
        ("negative binomial", [np.log(40.0), np.log(7.0)], stats.nbinom(7.0, 7.0 / 47.0)),
    ],
)
def test_draws_have_scipys_frequencies(name, params, scipys):
    head, size = HEADS[name], 8000
    noise = head.noise(KEY, (size,), jnp.float32)
    many = jnp.broadcast_to(jnp.asarray(params, jnp.float32), (size, len(params)))
    drawn = np.asarray(head.sample(many, noise, ()))
    assert drawn.dtype == np.int32
    ends = np.unique(np.concatenate([[-1], scipys.ppf(np.linspace(0.05, 0.95, 10)), [np.inf]]))
    expected = size * np.diff(scipys.cdf(ends))
    observed = np.histogram(drawn, ends + 0.5)[0]
    assert stats.chisquare(observed, expected).pvalue > 1e-4
    # At a temperature a deviation from the mean is multiplied, and the result is a count.
    tempered = head.temper(many, noise, (), 0.5, 1.0)
    cold = np.asarray(head.sample(*tempered, ()))
    exact = scipys.mean() + 0.5 * (drawn - scipys.mean())
    assert np.abs(cold - exact).max() < 0.501
    with pytest.raises(ValueError, match="top_p is for Bernoulli and Categorical heads"):
        head.temper(many, noise, (), 1.0, 0.5)


def test_ordinal_probabilities_are_differences_of_cumulative_ones(x64):
    params = jnp.asarray(np.random.default_rng(0).normal(size=(7, 4)))
    places, _ = ordinal.thresholds(params)
    assert np.all(np.diff(places) > 0)
    cumulative = np.concatenate([np.zeros((7, 1)), special.expit(places), np.ones((7, 1))], 1)
    each = jnp.stack([ordinal.ordinal_log_prob(jnp.full(7, k), params) for k in range(5)], 1)
    np.testing.assert_allclose(np.exp(each), np.diff(cumulative), rtol=1e-9)
    np.testing.assert_allclose(ordinal.parameters(places), params, rtol=1e-9)


def test_ordinal_is_exact_where_a_difference_would_cancel():
    """Thresholds far out, and some so near each other that they are one number."""
    log_prob = ordinal.ordinal_log_prob(jnp.arange(4), jnp.array([60.0, -40.0, 3.0]))
    assert np.isfinite(log_prob).all()
    with jax.enable_x64(True):
        expected = ordinal.ordinal_log_prob(jnp.arange(4), jnp.array([60.0, -40.0, 3.0]))
    np.testing.assert_allclose(log_prob, expected, rtol=1e-5)


@pytest.mark.parametrize("name", HEADS)
def test_parameters_that_start_from_data_are_their_marginals(name):
    head, rng = HEADS[name], np.random.default_rng(0)
    rates = np.array([0.5, 4.0])
    value = rng.poisson(rng.gamma(2.0, rates / 2.0, (4000, 2)))
    value = np.minimum(value, head.levels - 1).astype(int)
    params = head.marginal(value, (), 1)
    assert params.shape == (2, head.num_params(()))
    for column, own in zip(value.T, params, strict=True):
        freely = np.bincount(column) / len(column)
        entropy = -np.sum(freely * np.log(np.maximum(freely, 1e-9)))
        nats = -np.mean(head.log_prob(column, jnp.broadcast_to(own, (4000, len(own)))))
        assert nats < entropy + {"poisson": 0.5, "negative binomial": 0.02, "ordinal": 1e-3}[name]
    nothing = head.marginal(np.zeros((10, 2), int), (), 1)
    assert np.isfinite(nothing).all()


def model(likelihood, event=(3,), **options):
    network = MADE(event, likelihood.num_params(()), hidden=(8,), rngs=nnx.Rngs(0), **options)
    return Autoregressive(network, likelihood)


def test_counts_are_completed_as_any_levels(x64):
    made = to_float64(perturb(model(Poisson(), (2,)), KEY))
    ensemble = Ensemble(made, jnp.array([[0, 1], [1, 0]]))
    assert ensemble.levels == np.inf
    observed = np.array([False, True])
    x = jnp.array([0, 3])
    drawn = np.asarray(ensemble.complete(KEY, x, observed, 4000))
    assert drawn.dtype == np.int32
    np.testing.assert_array_equal(drawn[:, 1], 3)
    events = jnp.stack([jnp.arange(30), jnp.full(30, 3)], -1)
    probabilities = np.exp(ensemble.conditional_log_prob(events, observed))
    np.testing.assert_allclose(probabilities.sum(), 1.0, atol=1e-9)
    mean = probabilities @ np.arange(30)
    assert drawn[:, 0].mean() == pytest.approx(mean, abs=5 * drawn[:, 0].std() / np.sqrt(4000))
    marginal = np.exp(ensemble.observed_log_prob(x, observed))
    summed = np.exp(ensemble.model.log_prob(events, order=jnp.array([1, 0]))).sum()
    np.testing.assert_allclose(marginal, summed, rtol=1e-9)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: model(Poisson()).log_prob(np.zeros((1, 3))), "Poisson: expected integer counts"),
        (lambda: model(NegativeBinomial()).log_prob(np.array([1, -2, 0])), "from 0 on, got -2"),
        (lambda: model(Ordinal(3)).log_prob(np.array([1, 3, 0])), "levels from 0 to 2"),
        (lambda: Ordinal(1), "Ordinal: expected at least 2 levels, got 1"),
        (
            lambda: reverse_kl(lambda x: x, 4)(model(Poisson()), None, KEY),
            "expected a model of real values",
        ),
        (lambda: Poisson().distribution(jnp.zeros(1)), "Poisson: distrax has no such distribution"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()
