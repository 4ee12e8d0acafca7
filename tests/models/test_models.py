"""Models against closed forms and hand computations."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import registry
from flax import nnx
from jax.scipy.special import logsumexp
from jax.scipy.stats import norm

from jaxgen import zoo
from jaxgen.bijectors import ActNorm, Standardize
from jaxgen.core import ShapeError, replace
from jaxgen.models import Dequantized, Ensemble, Flow, StandardNormal
from jaxgen.testing import perturb, to_float64

KEY = jax.random.key(0)
BITS = np.array(list(itertools.product([0, 1], repeat=4)))


def ensemble(num_orders=3):
    model = zoo.made((4,), hidden=(9,), num_orders=num_orders, rngs=nnx.Rngs(0))
    return perturb(to_float64(model), KEY, 1.0)


def members(model, x):
    run = jax.jit(lambda m, x, o: m.log_prob(x, order=o))
    orders = np.asarray(model.orders[...]).astype(int)
    return np.stack([run(model.model, x, order) for order in orders])


def test_ensemble_averages_probabilities_not_logits(x64):
    model = ensemble()
    each = members(model, BITS)
    got = jax.jit(Ensemble.log_prob)(model, BITS)
    np.testing.assert_allclose(got, logsumexp(each, axis=0) - np.log(3), rtol=1e-9)
    assert np.abs(got - each.mean(0)).max() > 1e-3  # the mean of logarithms is something else


def test_ensemble_elbo_gives_each_group_an_order_of_its_own(x64):
    model = ensemble()
    each = members(model, BITS[:6])
    elbo = np.asarray(jax.jit(Ensemble.elbo)(model, BITS[:6], KEY))
    used = [int(np.argmin(np.abs(each[:, i] - elbo[i]))) for i in range(6)]
    np.testing.assert_allclose(elbo, each[used, np.arange(6)], rtol=1e-9)
    assert [len(set(used[i : i + 2])) for i in (0, 2, 4)] == [1, 1, 1]  # three groups of two
    assert len(set(used)) == 3


def test_an_ensemble_of_masks_averages_over_orders_and_connectivities(x64):
    model = ensemble()
    masks = replace(model, connectivity_agnostic=True)
    orders = jnp.asarray(model.orders[...]).astype(int)
    run = jax.jit(lambda m, x, o: m.log_prob(x, order=o))
    each = []
    for k, order in enumerate(orders):
        key = jax.random.fold_in(jax.random.key(0), k)
        rewired = model.model.conditional.rewired(key)
        each.append(run(replace(model.model, conditional=rewired), BITS, order))
    got = jax.jit(Ensemble.log_prob)(masks, BITS)
    np.testing.assert_allclose(got, logsumexp(np.stack(each), axis=0) - np.log(3), rtol=1e-9)
    assert np.abs(got - jax.jit(Ensemble.log_prob)(model, BITS)).max() > 1e-3


def test_ensemble_refuses_networks_of_one_connectivity():
    model = zoo.fvsbn((4,), rngs=nnx.Rngs(0))
    with pytest.raises(TypeError, match="FVSBN has one connectivity only"):
        Ensemble(model, jnp.arange(4)[None], connectivity_agnostic=True)


def test_ensemble_refuses_wrong_orders():
    model = registry.binary(nnx.Rngs(0))
    with pytest.raises(ValueError, match=r"orders of shape \(K, 4\), got \(4,\)"):
        Ensemble(model, jnp.arange(4))
    with pytest.raises(ShapeError, match="not a permutation"):
        Ensemble(model, jnp.zeros((2, 4), int))


def test_importance_is_logsumexp_over_samples_not_over_the_batch(x64):
    flow = Flow(Standardize((2,), mean=2.0, scale=1.3))
    model = Dequantized(flow, 4)
    x = jnp.array([[0, 3], [2, 1], [1, 1]])
    got = jax.jit(Dequantized.importance_log_prob, static_argnums=3)(model, x, KEY, 7)
    each = np.stack([model.elbo(x, key) for key in jax.random.split(KEY, 7)])
    assert each.shape == (7, 3)
    np.testing.assert_allclose(got, logsumexp(each, axis=0) - np.log(7), rtol=1e-9)
    one = model.importance_log_prob(x, KEY, 1)
    np.testing.assert_allclose(one, model.elbo(x, jax.random.split(KEY, 1)[0]), rtol=1e-9)


def test_importance_approaches_the_integral_and_elbo_stays_below(x64):
    model = Dequantized(Flow(Standardize((1,), mean=2.0, scale=0.7)), 4)
    x = jnp.arange(4)[:, None]
    exact = np.log(np.diff(norm.cdf((np.arange(5.0) - 2.0) / 0.7)))
    got = jax.jit(Dequantized.importance_log_prob, static_argnums=3)(model, x, KEY, 20000)
    np.testing.assert_allclose(got, exact, atol=0.03)
    keys = jax.random.split(KEY, 2000)
    elbo = np.asarray(jax.jit(jax.vmap(lambda key: model.elbo(x, key)))(keys)).mean(0)
    assert np.all(elbo < exact - 0.02)


def test_dequantized_says_what_it_has_instead():
    model = Dequantized(Flow(ActNorm((2,))), 4)
    x = jnp.zeros((3, 2), int)
    for call in (
        lambda: model.log_prob(x),
        lambda: model.sample_and_log_prob(KEY, 1),
    ):
        with pytest.raises(TypeError, match=r"elbo.*importance_log_prob"):
            call()
    with pytest.raises(TypeError, match="density of real values for flow, got a model of 4 levels"):
        Dequantized(model, 4)
    with pytest.raises(ValueError, match="num_samples >= 1, got 0"):
        model.importance_log_prob(x, KEY, 0)
    with pytest.raises(ValueError, match="levels from 0 to 3, got values from 0 to 4"):
        model.elbo(x.at[0, 0].set(4), KEY)
    with pytest.raises(ValueError, match=r"expected integer levels 0\.\.3, got float32"):
        model.elbo(x + 0.5, KEY)


def test_dequantized_start_sees_the_noisy_levels(x64):
    model = Dequantized(Flow(ActNorm((2,))), 256)
    x = np.random.default_rng(0).integers(0, 256, (50, 2))
    new = model.initialize(jnp.asarray(x), KEY)
    np.testing.assert_allclose(new.flow.bijector.shift[...], x.mean(0) + 0.5, atol=0.3)
    assert np.all(np.asarray(model.flow.bijector.shift[...]) == 0)


def test_flow_is_the_closed_form_of_a_linear_map(x64):
    flow = Flow(Standardize((2,), mean=jnp.array([1.0, -1.0]), scale=jnp.array([2.0, 0.5])))
    x = np.random.default_rng(0).normal(size=(4, 2))
    expected = norm.logpdf(x, np.array([1.0, -1.0]), np.array([2.0, 0.5])).sum(-1)
    np.testing.assert_allclose(flow.log_prob(x), expected, rtol=1e-9)


def test_context_of_a_flow_has_one_sample_shape(x64):
    flow = perturb(to_float64(registry.MODELS["maf context"].make(nnx.Rngs(0))), KEY)
    context = np.random.default_rng(0).normal(size=(3, 2))
    x, score = jax.jit(Flow.sample_and_log_prob, static_argnums=2)(flow, KEY, 5, context)
    assert (x.shape, score.shape) == ((5, 3, 2), (5, 3))
    log_prob = jax.jit(Flow.log_prob)
    np.testing.assert_allclose(log_prob(flow, x, context), score, rtol=1e-9)
    shuffled = log_prob(flow, x, context[::-1])
    assert np.abs(shuffled - score).max() > 1e-3  # the context matters


@pytest.mark.parametrize("count", [-1, 2.5, None])
def test_wrong_numbers_of_samples_are_refused(count):
    with pytest.raises(ValueError, match="num_samples >= 0"):
        StandardNormal((2,)).sample(KEY, count)
    made = zoo.made((3,), hidden=(4,), num_orders=2, rngs=nnx.Rngs(0))
    for model in (made, made.model):
        with pytest.raises(ValueError, match="num_samples >= 0"):
            model.complete(KEY, jnp.zeros(3, int), np.array([True, False, False]), count)


def test_numbers_of_samples_may_be_numpys():
    assert StandardNormal((2,)).sample(KEY, np.int64(3)).shape == (3, 2)


def test_no_samples_are_an_empty_array():
    assert zoo.made((3,), hidden=(4,), rngs=nnx.Rngs(0)).sample(KEY, 0).shape == (0, 3)


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("flow", np.array([[np.nan, 1.0], [np.inf, 0.0]]), "hold 2 NaN or infinite values"),
        ("flow", np.zeros((2, 2), int), "jaxgen.models.Dequantized"),
        ("flow", np.zeros((2, 3)), r"expected shape \(\*batch, 2\), got \(2, 3\)"),
        ("dequantized", np.full((2, 2), 4), "levels from 0 to 3"),
        ("made binary", np.full((2, 6), 2), "values 0 and 1"),
        ("made ensemble", np.full((2, 4), 2), "values 0 and 1"),
    ],
)
def test_unusable_data_are_refused(name, data, message):
    model = registry.MODELS[name].make(nnx.Rngs(0))
    with pytest.raises(ValueError, match=message):
        model.check_data(data)


@pytest.mark.parametrize("name", ["lmconv", "made", "recurrent"])
def test_samplers_agree_for_parameters_of_float32_beside_values_of_float64(name, x64):
    """One pass and many steps may then give parameters of other dtypes."""
    options = {"lmconv": {"width": 4, "depth": 1}, "made": {"hidden": (9,)}}.get(name, {})
    model = getattr(zoo, name)((3, 3, 1), levels=4, **options, rngs=nnx.Rngs(0))
    model = jax.tree.map(lambda leaf: leaf.astype(jnp.float32), perturb(model, KEY))
    naive, incremental = jax.jit(
        lambda model: [model.sample(KEY, 5, method=m) for m in ("naive", "incremental")]
    )(model)
    np.testing.assert_array_equal(naive, incremental)


@pytest.mark.parametrize("levels", [2, 5])
def test_noise_of_all_steps_at_once_is_the_noise_of_each(levels, monkeypatch, x64):
    """Too much of it is drawn step by step; the samples and the completions are the same."""
    model = perturb(zoo.made((6,), levels=levels, hidden=(8,), rngs=nnx.Rngs(0)), jax.random.key(1))
    key, x = jax.random.key(2), jnp.zeros((3, 6), int)
    masks = np.arange(6) < np.array([[1], [2], [4]])  # each a beginning
    drawn = []
    for most in (2**24, 0):
        monkeypatch.setattr("jaxgen.models.drawing._NOISE_AT_ONCE", most)
        both = jax.jit(lambda model: (model.sample(key, 20), model.complete(key, x, masks, 7)))
        drawn.append(both(model))
    for at_once, by_steps in zip(*drawn, strict=True):
        np.testing.assert_array_equal(at_once, by_steps)
        assert len(np.unique(at_once)) == levels
