"""Importance sampling against closed forms."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jaxgen import zoo
from jaxgen.bijectors import ActNorm, Standardize
from jaxgen.core import ShapeError
from jaxgen.evaluation import importance_log_normalizer
from jaxgen.models import Dequantized, Flow, StandardNormal

KEY = jax.random.key(0)
SCALE = np.array([0.8, 0.5])
LOG_Z = np.log(7.0 * 2 * np.pi * SCALE.prod())


def target(x):
    return -0.5 * jnp.sum((x / SCALE) ** 2, -1) + np.log(7.0)


def test_a_gaussian_has_its_normaliser():
    """With q = N(0, 1), E[w^2] / E[w]^2 is the product of 1 / (s sqrt(2 - s^2))."""
    n = 40_000
    estimate = importance_log_normalizer(StandardNormal((2,)), target, KEY, n, batch_size=7_000)
    second = np.prod(1.0 / (SCALE * np.sqrt(2.0 - SCALE**2)))
    error = np.sqrt((second - 1.0) / n)
    assert estimate.standard_error == pytest.approx(error, rel=0.05)
    assert estimate.effective_sample_size == pytest.approx(n / second, rel=0.05)
    assert abs(estimate.log_normalizer - LOG_Z) < 4 * error
    divergence = np.sum(0.5 * (1.0 / SCALE**2 - 1.0) + np.log(SCALE))
    assert estimate.elbo == pytest.approx(LOG_Z - divergence, abs=0.05)


def test_the_standard_error_is_the_spread_of_repetitions():
    keys = jax.random.split(KEY, 200)
    estimates = [importance_log_normalizer(StandardNormal((2,)), target, k, 500) for k in keys[:40]]
    spread = np.std([e.log_normalizer for e in estimates], ddof=1)
    assert spread == pytest.approx(np.mean([e.standard_error for e in estimates]), rel=0.4)


def test_a_perfect_model_needs_one_sample():
    model = Flow(Standardize((2,), scale=jnp.asarray(SCALE)))
    estimate = importance_log_normalizer(model, target, KEY, 1000)
    assert estimate.log_normalizer == pytest.approx(LOG_Z, abs=1e-4)
    assert estimate.elbo == pytest.approx(LOG_Z, abs=1e-4)
    assert estimate.standard_error < 1e-5
    assert estimate.effective_sample_size == pytest.approx(1000, rel=1e-6)


def test_chunks_only_bound_the_memory():
    run = lambda size: importance_log_normalizer(  # noqa: E731
        StandardNormal((2,)), target, KEY, 1000, batch_size=size
    )
    small, large = run(300), run(10_000)
    assert small.num_samples == large.num_samples == 1000
    assert abs(small.log_normalizer - large.log_normalizer) < 5 * large.standard_error
    assert run(300) == small


def test_weights_beyond_the_range_of_floats():
    far = importance_log_normalizer(StandardNormal((2,)), lambda x: target(x) - 5000.0, KEY, 500)
    near = importance_log_normalizer(StandardNormal((2,)), target, KEY, 500)
    assert far.log_normalizer == pytest.approx(near.log_normalizer - 5000.0, abs=1e-2)
    assert far.effective_sample_size == pytest.approx(near.effective_sample_size, rel=1e-2)


def test_zero_density_somewhere_is_a_zero_weight():
    half = lambda x: jnp.where(x[:, 0] > 0, target(x), -jnp.inf)  # noqa: E731
    estimate = importance_log_normalizer(StandardNormal((2,)), half, KEY, 40_000)
    assert abs(estimate.log_normalizer - (LOG_Z - np.log(2))) < 4 * estimate.standard_error
    assert estimate.elbo == -np.inf


def test_a_conditional_model_at_one_context():
    flow = zoo.maf((2,), layers=1, hidden=(4,), context_features=1, rngs=nnx.Rngs(0))
    given = lambda x, context: target(x) + context[0]  # noqa: E731
    estimate = importance_log_normalizer(flow, given, KEY, 20_000, context=jnp.array([2.0]))
    assert abs(estimate.log_normalizer - (LOG_Z + 2.0)) < 4 * estimate.standard_error


def test_it_prints():
    text = str(importance_log_normalizer(StandardNormal((2,)), target, KEY, 500))
    assert text.startswith("log Z = ")
    assert text.endswith("of 500")


MISTAKES = {
    "one sample": (
        lambda: importance_log_normalizer(StandardNormal((2,)), target, KEY, 1),
        ValueError,
        "num_samples >= 2, got 1",
    ),
    "a bound": (
        lambda: importance_log_normalizer(Dequantized(Flow(ActNorm((2,))), 4), target, KEY, 10),
        TypeError,
        "exact likelihood, got Dequantized, which has a lower_bound",
    ),
    "another shape": (
        lambda: importance_log_normalizer(StandardNormal((2,)), jnp.sum, KEY, 10),
        ShapeError,
        r"samples of shape \(10, 2\) to \(10,\), got \(\)",
    ),
    "not a number": (
        lambda: importance_log_normalizer(
            StandardNormal((2,)), lambda x: jnp.log(x[:, 0]), KEY, 10
        ),
        ValueError,
        "NaN or infinite at some samples; expected a finite log-density, or -inf",
    ),
    "zero everywhere": (
        lambda: importance_log_normalizer(
            StandardNormal((2,)), lambda x: jnp.full(len(x), -jnp.inf), KEY, 10
        ),
        ValueError,
        "the density is zero at all 10 samples",
    ),
    "many contexts": (
        lambda: importance_log_normalizer(
            zoo.maf((2,), layers=1, hidden=(4,), context_features=1, rngs=nnx.Rngs(0)),
            lambda x, context: target(x),
            KEY,
            10,
            context=jnp.ones((3, 1)),
        ),
        ShapeError,
        r"expected one context of shape \(1,\), got \(3, 1\)",
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes(name):
    act, error, said = MISTAKES[name]
    with pytest.raises(error, match=said):
        act()
