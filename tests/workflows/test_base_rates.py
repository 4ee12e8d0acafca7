"""Heads start at the data's own marginals, in every autoregressive member of the zoo."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import jaxgen
from jaxgen import likelihoods, zoo
from jaxgen.models import Autoregressive
from jaxgen.testing import perturb, to_float64
from jaxgen.training import TrainSettings, fit

KEY = jax.random.key(0)
D = 12
IMAGE = (3, 4, 1)
PIXELS = {"levels": 2, "width": 4, "depth": 1}

MEMBERS = {
    "made": ((D,), {"hidden": [8]}),
    "nade": ((D,), {"width": 8}),
    "fvsbn": ((D,), {}),
    "growing": ((D,), {"width": 4}),
    "eonade": ((D,), {"hidden": [8], "num_orders": 2}),
    "markov": ((D,), {}),
    "recurrent": ((D,), {"width": 8}),
    "attention": ((D,), {"levels": 2, "width": 8, "heads": 2, "depth": 1}),
    "wavenet": ((D,), {"levels": 2, "width": 4, "dilations": [1, 2]}),
    "pixelcnn": (IMAGE, PIXELS),
    "gated_pixelcnn": (IMAGE, PIXELS),
    "pixelcnnpp": (
        IMAGE,
        {"levels": 2, "width": 4, "blocks": 1, "resolutions": 1, "components": None},
    ),
    "lmconv": (IMAGE, {**PIXELS, "num_orders": 2}),
    "pixelrnn": (IMAGE, PIXELS),
}


# A mixture has no positions. A multi-scale model is two of these members. Where there are latents,
# it is decoders that have positions.
LATENT = {
    "vae",
    "iwae",
    "vae_iaf",
    "sylvester",
    "vampprior",
    "pixelvae",
    "helmholtz",
    "fvae",
    "vqvae",
    "vdvae",
}
NOT_HERE = {"mixture", "multiscale_pixelrnn", "glow", "nsf", *LATENT}


def test_every_autoregressive_member_has_a_row():
    of_levels = {name for name, _ in zoo.names() if "levels" in zoo.hyperparameters(name)}
    assert of_levels - NOT_HERE == set(MEMBERS)


@cache
def sparse() -> np.ndarray:
    """Rows of which each column is 1 in one to five per cent."""
    rng = np.random.default_rng(0)
    return (rng.random((4000, D)) < np.linspace(0.01, 0.05, D)).astype(np.int32)


def independent(x: np.ndarray) -> float:
    """The mean log-likelihood of independent columns with the rates of these rows, in nats."""
    return entropy(x.reshape(len(x), -1).mean(0))


def entropy(rates: np.ndarray) -> float:
    return float(np.sum(rates * np.log(rates) + (1 - rates) * np.log(1 - rates)))


@pytest.mark.parametrize("name", MEMBERS)
def test_a_member_starts_at_independent_marginals(name):
    event, arguments = MEMBERS[name]
    x = sparse().reshape(-1, *event)
    model = zoo.build(name, event, arguments, rngs=nnx.Rngs(0))
    log_prob = jax.jit(type(model).log_prob)
    assert float(log_prob(model, x[:1])[0]) == pytest.approx(-D * np.log(2), rel=1e-5)
    initialize = jax.jit(type(model).initialize)
    adapted = initialize(model.standardize(x, None), x[:8], KEY)
    # All steps of a signal are alike.
    expected = entropy(np.full(D, x.mean())) if name == "wavenet" else independent(x)
    assert float(log_prob(adapted, x).mean()) == pytest.approx(expected, abs=1e-3 * D)
    again = initialize(adapted, 1 - x[:8], KEY)  # once, to the bit
    buffers = [jax.tree.leaves(nnx.state(each, jaxgen.Buffer)) for each in (adapted, again)]
    for one, other in zip(*buffers, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("name", ["made", "recurrent", "pixelcnn", "gated_pixelcnn"])
def test_samples_and_completions_start_there_too(name, x64):
    event, arguments = MEMBERS[name]
    x = sparse().reshape(-1, *event)
    model = zoo.build(name, event, arguments, rngs=nnx.Rngs(0)).standardize(x, None)
    rates = jax.jit(Autoregressive.sample, static_argnums=2)(model, KEY, 4000).mean()
    assert float(rates) == pytest.approx(x.mean(), abs=0.004)
    model = to_float64(perturb(model, KEY))
    sample = jax.jit(Autoregressive.sample, static_argnums=2, static_argnames="method")
    drawn = [sample(model, KEY, 50, method=how) for how in ("incremental", "naive")]
    np.testing.assert_array_equal(*drawn)
    observed = np.arange(D).reshape(model.grid_shape) < 5
    score = jax.jit(lambda model, x: model.conditional_log_prob(x, observed))
    filled = jax.jit(lambda model, x: model.complete(KEY, x, observed, 1)[0])(model, x[:64])
    np.testing.assert_array_equal(filled.reshape(64, D)[:, :5], x[:64].reshape(64, D)[:, :5])
    # The chain rule: the rest given the beginning, and the beginning.
    lengths = np.full(64, 5)
    beginning = jax.jit(lambda model, x: model.log_prob(x, lengths=lengths))(model, filled)
    whole = jax.jit(Autoregressive.log_prob)(model, filled)
    np.testing.assert_allclose(score(model, filled), whole - beginning, rtol=1e-9)


def test_a_network_that_says_something_keeps_to_it():
    x = sparse()
    fresh = zoo.made((D,), hidden=(8,), rngs=nnx.Rngs(0))
    log_prob = jax.jit(Autoregressive.log_prob)
    for model in (perturb(fresh, KEY), jaxgen.freeze(fresh)):
        adapted = model.standardize(x, None)
        np.testing.assert_array_equal(log_prob(adapted, x[:50]), log_prob(model, x[:50]))
    counted = zoo.markov((D,), rngs=nnx.Rngs(0))
    counted = Autoregressive(counted.conditional.estimate(x), counted.likelihood)
    adapted = counted.standardize(x, None)
    np.testing.assert_array_equal(log_prob(adapted, x[:50]), log_prob(counted, x[:50]))


def test_training_starts_from_them_and_does_not_end_below():
    x = sparse()
    model = zoo.recurrent((D,), width=16, rngs=nnx.Rngs(0))
    settings = TrainSettings(steps=200, batch_size=64, learning_rate=1e-3)
    result = fit(model, x, settings=settings, progress=False)
    trained = float(jax.jit(Autoregressive.log_prob)(result.model, x).mean())
    assert trained > independent(x) - 0.01


HEADS = {
    "bernoulli": likelihoods.Bernoulli(),
    "categorical": likelihoods.Categorical(5),
    "logistics": likelihoods.DiscretizedLogisticMixture(16, 3),
    "one logistic": likelihoods.DiscretizedLogisticMixture(16, 1),
    "normal": likelihoods.Normal(),
    "normals": likelihoods.GaussianMixture(3),
}


@pytest.mark.parametrize("position", [(), (2,)])
@pytest.mark.parametrize("name", HEADS)
def test_a_marginal_has_the_moments_of_the_data(name, position):
    head, rng = HEADS[name], np.random.default_rng(1)
    shape = (3000, 2, 3, *position)
    spread = rng.normal(size=shape) * np.array([[0.5], [1.0]]).reshape(2, 1, *(1 for _ in position))
    x = spread.astype(np.float32)
    if head.levels is not None:
        x = np.clip(np.round(x + head.levels / 2.5), 0, head.levels - 1).astype(int)
    params = head.marginal(x, position, 2)
    assert params.shape == (2, 3, head.num_params(position))
    np.testing.assert_allclose(head.marginal(jnp.asarray(x), position, 2), params, atol=2e-4)
    drawn = jax.jit(
        jax.vmap(lambda key: head.sample(params, head.noise(key, shape[1:], jnp.float32), position))
    )
    drawn = np.asarray(drawn(jax.random.split(KEY, 3000)), float)
    np.testing.assert_allclose(drawn.mean(0), x.mean(0), atol=0.12)
    np.testing.assert_allclose(drawn.std(0), x.std(0), atol=0.12)
    every = jnp.broadcast_to(params, (len(x), *params.shape))
    gradient = jax.grad(lambda params: head.log_prob(jnp.asarray(x), params).sum())(every)
    assert np.all(np.isfinite(gradient))


@pytest.mark.parametrize("name", HEADS)
def test_a_marginal_of_constant_data_is_finite(name):
    head = HEADS[name]
    x = np.zeros((5, 4), np.float32 if head.levels is None else int)
    params = jnp.broadcast_to(head.marginal(x, (), 1), (5, 4, head.num_params(())))
    assert np.all(np.isfinite(params))
    assert np.all(np.isfinite(head.log_prob(x, params)))
    if head.levels is not None:  # what was never seen stays possible
        assert np.all(np.isfinite(head.log_prob(x + 1, params)))


@pytest.mark.parametrize("name", ["normals", "logistics"])
def test_a_mixture_has_different_components(name):
    head = HEADS[name]
    x = np.zeros((5, 4), np.float32 if head.levels is None else int)
    params = jnp.broadcast_to(head.marginal(x, (), 1), (5, 4, head.num_params(())))
    slopes = jax.grad(lambda params: head.log_prob(jnp.asarray(x), params).sum())(params)
    rows = slopes[0, 0].reshape(3, 3)[1]
    assert len(np.unique(np.asarray(rows).round(6))) == 3


def test_what_is_rare_is_estimated_from_all_positions():
    """A level that occurs a few times in all says nothing of where it occurs."""
    rng = np.random.default_rng(0)
    x = rng.choice(4, (300, 40), p=[0.6, 0.3, 0.099, 0.001])
    logits = likelihoods.Categorical(4).marginal(x, (), 1)
    rates = jax.nn.softmax(logits)
    np.testing.assert_allclose(rates.mean(0), [0.6, 0.3, 0.099, 0.001], atol=0.02)
    assert float(rates[:, 3].min()) > 2e-4
    assert float(rates[:, 2].std()) < 0.015  # of counting alone it is 0.017
