"""Entries that are independent given a context."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from scipy.stats import norm

from jaxgen import ShapeError, likelihoods
from jaxgen.models import Factorized
from jaxgen.networks import MLP
from jaxgen.testing import perturb

KEY = jax.random.key(0)
CONTEXT = np.random.default_rng(0).normal(size=(5, 2))


def factorized(likelihood=None, outputs=6, **options):
    likelihood = likelihoods.Normal() if likelihood is None else likelihood
    network = MLP(2, outputs, hidden=(8,), rngs=nnx.Rngs(0))
    return Factorized(network, likelihood, (3,), context_shape=(2,), **options)


def test_it_is_the_product_of_its_entries(x64):
    model = perturb(factorized(), KEY)
    x = np.random.default_rng(1).normal(size=(5, 3))
    params = model.network(x, CONTEXT)
    entries = [model.likelihood.distribution(params[:, i]).log_prob(x[:, i]) for i in range(3)]
    np.testing.assert_allclose(model.log_prob(x, CONTEXT), sum(entries), rtol=1e-9)


def test_all_entries_are_drawn_by_one_pass():
    calls = []

    class Counted(MLP):
        def __call__(self, x, context=None, *, key=None):
            calls.append(x.shape)
            return super().__call__(x, context, key=key)

    network = Counted(2, 784, hidden=(8,), rngs=nnx.Rngs(0))
    model = Factorized(network, likelihoods.Bernoulli(), (28, 28, 1), context_shape=(2,))
    program = str(jax.make_jaxpr(lambda m, key, c: m.sample(key, 4, c))(model, KEY, CONTEXT))
    assert len(calls) == 1
    assert "while" not in program
    assert "scan" not in program


def test_real_values_start_in_their_own_units():
    x = np.random.default_rng(0).normal([1e3, 0.0, -1e-3], [10.0, 1.0, 1e-4], (1000, 3))
    context = np.random.default_rng(1).normal(2000.0, 10.0, (1000, 2))
    model = factorized().standardize(x, context)
    expected = norm.logpdf(x, x.mean(0), x.std(0)).sum(-1)
    got = model.log_prob(x.astype(np.float32), context.astype(np.float32))
    np.testing.assert_allclose(np.mean(got), expected.mean(), atol=0.01)


def test_parts_are_completed_from_the_context_alone():
    model = perturb(factorized(likelihoods.Bernoulli(), 3), KEY)
    observed = np.array([True, False, True])
    x = np.array([1, 0, 0])
    assert model.conditions_exactly(observed)
    drawn = model.complete(KEY, x, observed, 2000, CONTEXT[0])
    assert np.all(np.asarray(drawn)[:, [0, 2]] == [1, 0])
    rate = jax.nn.sigmoid(model.network(x, CONTEXT[0])[1, 0])
    assert abs(float(drawn[:, 1].mean() - rate)) < 5 * np.sqrt(0.25 / 2000)
    parts = model.conditional_log_prob(x, observed, CONTEXT[0])
    whole = model.log_prob(x, CONTEXT[0])
    np.testing.assert_allclose(
        parts + model.observed_log_prob(x, observed, CONTEXT[0]), whole, rtol=1e-5
    )


@pytest.mark.parametrize("outputs", [5, 7, 12])
def test_a_network_of_another_size_is_refused(outputs):
    model = factorized(outputs=outputs)
    said = rf"MLP to map contexts of shape \(5, 2\) to 6 numbers each .*got \(5, {outputs}\)"
    with pytest.raises(ShapeError, match=said):
        model.log_prob(jnp.zeros((5, 3)), CONTEXT)


def test_a_context_is_needed():
    with pytest.raises(ShapeError, match="expected a context"):
        factorized().log_prob(jnp.zeros((5, 3)))
