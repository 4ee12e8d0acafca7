"""Codes as latents: which are chosen, what the bound is, and where gradients go."""

import itertools
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jaxgen import ShapeError, zoo
from jaxgen.core import replace
from jaxgen.data import Dataset
from jaxgen.evaluation import evaluate
from jaxgen.likelihoods import Bernoulli, Categorical, Normal
from jaxgen.models import VAE, Embedded, Factorized, Mixture, Nearest, StandardNormal
from jaxgen.networks import MLP, Embedding
from jaxgen.testing import perturb
from jaxgen.training import Batch
from jaxgen.training.objectives import (
    elbo,
    reweighted_wake_sleep,
    vector_quantized,
    wake_sleep,
)

KEY = jax.random.key(0)
X = np.random.default_rng(0).integers(0, 2, (7, 5))


def nearest(**options):
    network = MLP(5, 6, hidden=(4,), rngs=nnx.Rngs(0))
    arguments = {"event_shape": (3,), "codes": 4, "width": 2, "context_shape": (5,)} | options
    return Nearest(network, **arguments, rngs=nnx.Rngs(1))


def model():
    """Three codes of four vectors of two entries each, for five bits."""
    decoder = MLP(6, 5, hidden=(4,), rngs=nnx.Rngs(2))
    vae = VAE(
        Mixture((3,), Categorical(4), 2, rngs=nnx.Rngs(3)),
        Factorized(decoder, Bernoulli(), (5,), context_shape=(6,)),
        nearest(),
    )
    return perturb(vae, KEY, 1.0)


def scaled(x):
    return 2.0 * x - 1.0


def test_the_codes_are_those_of_the_nearest_vectors():
    posterior = perturb(nearest(), KEY, 1.0)
    c = np.random.default_rng(1).normal(size=(6, 5))
    h = np.asarray(posterior.features(c)).reshape(6, 3, 1, 2)
    expected = np.argmin(np.linalg.norm(h - np.asarray(posterior.codebook[...]), axis=-1), axis=-1)
    np.testing.assert_array_equal(posterior.sample(KEY, 2, c), [expected, expected])
    np.testing.assert_array_equal(
        posterior.vectors(expected),
        np.asarray(posterior.codebook[...])[expected].reshape(6, 6),
    )
    every = np.array(list(itertools.product(range(4), repeat=3)))
    mass = np.exp(posterior.log_prob(every, c[0]))
    assert mass.sum() == 1.0
    np.testing.assert_array_equal(every[mass.argmax()], expected[0])


def test_every_weight_is_that_of_the_chosen_codes(x64):
    vae = model()
    z = vae.infer(X)
    expected = vae.prior.log_prob(z) + vae.decoder.log_prob(X, vae.posterior.vectors(z))
    for seed in range(3):
        key = jax.random.key(seed)
        np.testing.assert_allclose(vae.log_weight(X, key), expected, rtol=1e-12)
        np.testing.assert_allclose(vae.elbo(X, key), expected, rtol=1e-12)
        np.testing.assert_allclose(vae.importance_log_prob(X, key, 5), expected, rtol=1e-12)
    # A bound: the others have a share too.
    every = np.array(list(itertools.product(range(4), repeat=3)))
    x = np.broadcast_to(X[:, None], (7, 64, 5))
    each = vae.prior.log_prob(every) + vae.decoder.log_prob(x, vae.posterior.vectors(every))
    assert np.all(expected < jax.nn.logsumexp(each, axis=1))


def test_the_gradient_of_the_decoder_goes_straight_to_the_features(x64):
    vae = model()

    def bound(network):
        changed = replace(vae, posterior=replace(vae.posterior, network=network))
        return jnp.sum(changed.elbo(X, KEY))

    got = jax.grad(bound)(vae.posterior.network)
    e = vae.posterior.vectors(vae.infer(X))
    wanted = jax.grad(lambda e: jnp.sum(vae.decoder.log_prob(X, e)))(e)

    def features(network):
        return jnp.sum(replace(vae.posterior, network=network).features(scaled(X)) * wanted)

    expected = jax.grad(features)(vae.posterior.network)
    for one, other in zip(jax.tree.leaves(got), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("commitment", [0.0, 0.25, 2.0])
def test_vectors_follow_features_and_features_stay_near_them(commitment, x64):
    vae = model()
    slopes = jax.grad(vector_quantized)(vae, Batch(X), KEY, commitment=commitment)
    z = np.asarray(vae.infer(X))
    h = np.asarray(vae.posterior.features(scaled(X))).reshape(7, 3, 2)
    e = np.asarray(vae.posterior.codebook[...])
    expected = np.zeros_like(e)
    np.add.at(expected, z, 2.0 * (e[z] - h) / 7)
    np.testing.assert_allclose(slopes.posterior.codebook[...], expected, rtol=1e-9)

    def rest(network):
        changed = replace(vae, posterior=replace(vae.posterior, network=network))
        h = changed.posterior.features(scaled(X)).reshape(7, 3, 2)
        return commitment * jnp.sum((h - e[z]) ** 2) / 7 - jnp.mean(changed.elbo(X, KEY))

    by_hand = jax.grad(rest)(vae.posterior.network)
    for one, other in zip(
        jax.tree.leaves(slopes.posterior.network), jax.tree.leaves(by_hand), strict=True
    ):
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-12)
    alone = jax.grad(lambda prior: -jnp.mean(prior.log_prob(z)))(vae.prior)
    np.testing.assert_allclose(slopes.prior.params[...], alone.params[...], rtol=1e-9)


def test_the_value_is_the_bound_and_the_distance(x64):
    vae = model()
    z = vae.infer(X)
    h = vae.posterior.features(scaled(X))
    distance = np.sum((h - vae.posterior.vectors(z)) ** 2, axis=-1)
    np.testing.assert_allclose(vae.quantization_error(X, 0.5), 1.5 * distance, rtol=1e-12)
    loss = vector_quantized(vae, Batch(X), KEY, commitment=0.5)
    np.testing.assert_allclose(loss, np.mean(1.5 * distance - vae.elbo(X, KEY)), rtol=1e-12)


def test_labels_choose_among_priors_of_codes():
    """In a bound that is trained as any other, and recorded as what it is."""
    linear = nnx.Linear(2, 12, rngs=nnx.Rngs(0))
    prior = Factorized(linear, Categorical(4), (3,), context_shape=(2,))
    vae = VAE(prior, model().decoder, nearest(), context_features=2)
    given = perturb(Embedded(vae, Embedding(6, 2, rngs=nnx.Rngs(4))), KEY, 1.0)
    labels = np.arange(7) % 6
    c = given.embed(labels)
    distance = given.quantization_error(X, 0.25, labels)
    np.testing.assert_allclose(distance, given.model.quantization_error(X, 0.25, c), rtol=1e-6)
    value = vector_quantized(given, Batch(X, labels), KEY)
    bound = given.elbo(X, KEY, labels)
    np.testing.assert_allclose(value, np.mean(distance - bound), rtol=1e-5)
    assert np.all(np.abs(bound - given.elbo(X, KEY, (labels + 1) % 6)) > 1e-3)
    record = evaluate(given, Dataset("bits", "test", X, levels=2), context=labels, num_samples=9)
    assert record.estimator == "ELBO, one sample"
    np.testing.assert_allclose(record.value, np.mean(bound), rtol=1e-5)


def test_codes_go_to_data_and_back():
    vae = model()
    z = vae.infer(X)
    assert jnp.issubdtype(z.dtype, jnp.integer)
    assert vae.decode(z).shape == X.shape
    assert vae.reconstruct(X[0]).shape == (5,)
    assert vae.sample(KEY, 3).shape == (3, 5)
    with pytest.raises(ValueError, match="expected integer codes z, got float32"):
        vae.decode(z.astype(jnp.float32))
    with pytest.raises(ValueError, match="levels from 0 to 3"):
        vae.decode(z + 4)


@dataclass
class Short:
    """Fewer features than codes have entries."""

    def __call__(self, c):
        return c[..., :3]


@pytest.mark.parametrize(
    ("make", "error", "said"),
    [
        (
            lambda: elbo(model(), Batch(X), KEY),
            ValueError,
            "of its Nearest, .* train the model by vector_quantized",
        ),
        (
            lambda: vector_quantized(zoo.vae((5,), hidden=(4,), rngs=nnx.Rngs(0)), Batch(X), KEY),
            TypeError,
            "vector_quantized: expected a VAE of codes, .* got a VAE; elbo is for",
        ),
        (
            lambda: zoo.vae((5,), hidden=(4,), rngs=nnx.Rngs(0)).quantization_error(X, 0.25),
            TypeError,
            "VAE.quantization_error: only a VAE of which the posterior is Nearest",
        ),
        (
            lambda: wake_sleep(model(), Batch(X), KEY),
            ValueError,
            "wake_sleep: expected a posterior that draws, .*vector_quantized",
        ),
        (
            lambda: reweighted_wake_sleep(model(), Batch(X), KEY, num_samples=2),
            ValueError,
            "reweighted_wake_sleep: expected a posterior that draws",
        ),
        (
            lambda: zoo.vqvae((4, 4, 1), prior="maf", widths=(3,), rngs=nnx.Rngs(0)),
            ValueError,
            "vqvae: expected a prior that takes levels, got 'maf'",
        ),
        (
            lambda: zoo.vqvae(
                (4, 4, 1), prior="mixture", widths=(3,), context_features=2, rngs=nnx.Rngs(0)
            ),
            ValueError,
            "vqvae: expected a prior that takes context_features, got 'mixture'",
        ),
        (
            lambda: vector_quantized(model(), Batch(X), KEY, commitment=-1.0),
            ValueError,
            "expected commitment >= 0, got -1.0",
        ),
        (lambda: nearest(codes=0), ValueError, "for codes, got 0"),
        (
            lambda: Nearest(Short(), (3,), 4, 2, context_shape=(5,), rngs=nnx.Rngs(0)).sample(
                KEY, 1, jnp.zeros(5)
            ),
            ShapeError,
            r"expected Short to map contexts of shape \(1, 5\) to features \(1, 6\), got \(1, 3\)",
        ),
        (
            lambda: VAE(
                Mixture((3,), Categorical(4), 2, rngs=nnx.Rngs(0)),
                Factorized(MLP(3, 5, rngs=nnx.Rngs(0)), Bernoulli(), (5,), context_shape=(3,)),
                nearest(),
            ),
            ShapeError,
            r"a decoder whose context is the latent, of shape \(6,\)",
        ),
        (
            lambda: VAE(
                StandardNormal((3,)),
                Factorized(MLP(6, 10, rngs=nnx.Rngs(0)), Normal(), (5,), context_shape=(6,)),
                nearest(),
            ),
            ShapeError,
            "of the same latents, got levels None and 4",
        ),
        (
            lambda: zoo.vqvae((5, 4, 1), widths=(4,), rngs=nnx.Rngs(0)),
            ShapeError,
            "a height and a width that can be halved",
        ),
    ],
)
def test_mistakes_are_refused(make, error, said):
    with pytest.raises(error, match=said):
        make()
