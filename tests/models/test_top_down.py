"""A hierarchy of latents: its weight by hand, its mass, its gradients, latents, and what fits."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from scipy import stats

from jaxgen import ShapeError, zoo
from jaxgen.likelihoods import Bernoulli, Normal
from jaxgen.models import VAE, Embedded, Factorized, StandardNormal, TopDown
from jaxgen.models.latent_use import latent_use
from jaxgen.models.posterior import direct, path
from jaxgen.networks import MLP, Embedding, FeaturePyramid, FirstState, Readout, Update
from jaxgen.testing import check_model, perturb, to_float64

KEY = jax.random.key(0)
SHAPE = (4, 3, 1)
X = np.random.default_rng(0).integers(0, 2, (3, *SHAPE))


def vdvae(shape=SHAPE, blocks=(0, 1, 2), width=8, latent_width=2, **options):
    sizes = {"blocks": blocks, "width": width, "latent_width": latent_width}
    return zoo.vdvae(shape, **sizes, **options, rngs=nnx.Rngs(0))


def noisy(**options):
    return perturb(vdvae(**options), KEY, 0.3)


def given(latents):
    """Draws that are these."""
    left = list(latents)

    def draw(posterior, key, batch, context):
        z = jnp.broadcast_to(left.pop(0), (*batch, *posterior.event_shape))
        return z, posterior.log_prob(z, context)

    return draw


def leaves(tree):
    return [np.asarray(leaf) for leaf in jax.tree.leaves(nnx.state(tree, nnx.Param))]


# --- the weight ---


def test_the_weight_by_hand(x64):
    model = to_float64(noisy())
    rng = np.random.default_rng(1)
    latents = [rng.normal(size=(3, *prior.event_shape)) for prior in model.priors]
    assert [each.shape for each in latents] == [(3, 1, 1, 2), (3, 1, 1, 2), (3, 2, 2, 2)]
    told = model.encoder(2.0 * X - 1.0)
    h = jnp.broadcast_to(model.start(), (3, 1, 1, 8))
    total = 0.0
    parts = zip(model.priors, model.posteriors, model.updates, latents, told, strict=True)
    for prior, posterior, update, z, features in parts:
        for sign, part, seen in (
            (1, prior, h),
            (-1, posterior, jnp.concatenate([h, features], -1)),
        ):
            mean, log_scale = part.as_normal(seen)
            entries = stats.norm.logpdf(z, mean, np.exp(log_scale))
            total += sign * entries.sum((1, 2, 3))
        h = update(h, z)
    rates = jax.nn.sigmoid(model.decoder.conditional.network(h))
    total += stats.bernoulli.logpmf(X, rates).sum((1, 2, 3))
    got = model.log_weight(X, KEY, draw=given(latents))
    np.testing.assert_allclose(got, total, rtol=1e-10)


def small():
    """Two layers of one latent each, of two bits."""
    options = {"blocks": (2,), "width": 4, "latent_width": 1}
    return perturb(vdvae((1, 1, 2), **options), jax.random.key(1), 0.7)


def test_the_mass_of_two_layers(x64):
    """Both latents integrated out by the trapezoid rule, against many weights of two bits."""
    model = to_float64(small())
    events = np.array(list(itertools.product([0, 1], repeat=2))).reshape(4, 1, 1, 2)
    points, step = np.linspace(-12.0, 12.0, 121, retstep=True)
    first, second = (each.reshape(-1, 1, 1, 1) for each in np.meshgrid(points, points))

    def joint(x):
        """``p(x, z)``: the draws' ``log q`` taken out again."""
        kept = []

        def draw(posterior, key, batch, context):
            z = (first, second)[len(kept)]
            kept.append(posterior.log_prob(z, context))
            return z, kept[-1]

        log_w = model.log_weight(jnp.broadcast_to(x, (len(first), 1, 1, 2)), KEY, draw=draw)
        return jnp.exp(log_w + sum(kept))

    mass = step**2 * np.asarray(jax.jit(lambda x: jax.lax.map(joint, x))(events)).sum(1)
    assert mass.sum() == pytest.approx(1.0, abs=1e-6)
    assert np.ptp(mass) > 0.01
    run = jax.jit(TopDown.importance_log_prob, static_argnums=3)
    np.testing.assert_allclose(np.exp(run(model, events, KEY, 20_000)), mass, rtol=0.05)


@pytest.mark.slow
def test_two_layers_keep_the_contract(x64):
    x = np.array(list(itertools.product([0, 1], repeat=2))).reshape(4, 1, 1, 2)
    report = check_model(small(), x, num_samples=2000, eager=False)
    assert report["normalisation"] == report["latents"] == "passed"


# --- the bound ---


def test_the_closed_form_has_the_mean_of_the_weights_and_varies_less():
    model, keys = noisy(), jax.random.split(KEY, 4000)

    @jax.jit
    def draws(model):
        def both(key):
            return model.log_weight(X, key), model.elbo(X, key), model.elbo_terms(X, key)[1]

        return jax.lax.map(both, keys, batch_size=500)

    weights, bounds, divergences = map(np.asarray, draws(model))
    error = np.hypot(weights.std(0), bounds.std(0)) / np.sqrt(4000)
    assert np.all(np.abs(weights.mean(0) - bounds.mean(0)) < 4 * error)
    assert np.all(bounds.std(0) < 0.9 * weights.std(0))
    assert divergences.shape == (4000, 3, 3)
    assert np.all(divergences > 0.0)
    # The top's is the same for all draws, the others' follow what was drawn before.
    spread = np.ptp(divergences, axis=0) / divergences.mean(0)
    assert np.all(spread[:, 0] < 1e-5)
    assert np.all(spread[:, 1:] > 1e-2)


def test_a_new_posterior_is_the_prior():
    fit, divergence = jax.jit(TopDown.elbo_terms)(vdvae(), X, KEY)
    np.testing.assert_allclose(fit, -12 * np.log(2), rtol=1e-6)
    np.testing.assert_array_equal(divergence, np.zeros((3, 3)))


def test_gradients_reach_every_parameter():
    slopes = jax.jit(jax.grad(lambda model: model.elbo(X, KEY).sum()))(noisy())
    assert all(np.all(np.isfinite(each)) and np.any(each != 0) for each in leaves(slopes))


@pytest.mark.parametrize("draw", [direct, path(0.0)])
def test_what_the_encoder_says_is_a_parameter_of_the_posteriors(draw):
    """A path of no size leaves nothing for them: neither through the draws nor through log q."""
    slopes = jax.jit(jax.grad(lambda model: model.log_weight(X, KEY, draw=draw).sum()))(noisy())
    own = leaves(slopes.encoder) + leaves(slopes.posteriors)
    assert all(np.any(each != 0) == (draw is direct) for each in own)
    others = leaves(slopes.priors) + leaves(slopes.updates) + leaves(slopes.decoder)
    assert all(np.any(each != 0) for each in others)


def test_dreams_teach_the_posteriors_alone():
    @jax.jit
    def dreamt(model):
        return jax.grad(lambda model: model.dream(KEY, 5)[1].sum())(model)

    slopes = dreamt(noisy())
    for part in (slopes.encoder, slopes.posteriors):
        assert all(np.any(each != 0) for each in leaves(part))
    for part in (slopes.start, slopes.priors, slopes.updates, slopes.decoder):
        assert not any(np.any(each != 0) for each in leaves(part))


# --- latents and samples ---


@pytest.mark.parametrize("batch", [(), (2, 3)])
def test_any_batch(batch):
    model, x = noisy(), np.broadcast_to(X[0], (*batch, *SHAPE))
    z = jax.eval_shape(TopDown.infer, model, x)
    assert z.shape == (*batch, 12) == (*batch, *model.latent_shape)
    assert jax.eval_shape(TopDown.decode, model, z).shape == x.shape
    fit, divergence = jax.eval_shape(TopDown.elbo_terms, model, x, KEY)
    assert fit.shape == jax.eval_shape(TopDown.log_weight, model, x, KEY).shape == batch
    assert divergence.shape == (*batch, 3)


def test_the_way_to_latents_and_back():
    """By hand: each centre is given the state of those before."""
    model = noisy()
    told = model.encoder(2.0 * X - 1.0)
    h, centres = jnp.broadcast_to(model.start(), (3, 1, 1, 8)), []
    for posterior, update, features in zip(model.posteriors, model.updates, told, strict=True):
        mean, _ = posterior.as_normal(jnp.concatenate([h, features], -1))
        centres.append(mean.reshape(3, -1))
        h = update(h, mean)
    infer, decode = jax.jit(TopDown.infer), jax.jit(TopDown.decode)
    z = infer(model, X)
    np.testing.assert_allclose(z, jnp.concatenate(centres, -1), atol=1e-5)
    rates = jax.nn.sigmoid(model.decoder.conditional.network(h))
    np.testing.assert_allclose(decode(model, z), rates.reshape(X.shape), atol=1e-5)
    drawn = infer(model, X, key=KEY)
    assert np.all(drawn != z)
    with pytest.raises(ShapeError, match=r"TopDown\.decode: expected shape \(\*batch, 12\)"):
        model.decode(np.zeros(11))
    np.testing.assert_array_equal(model.decode(np.zeros(12, int)), model.decode(np.zeros(12)))


def test_samples_and_their_temperature():
    model = noisy(levels=None)
    sample = jax.jit(lambda model, t: model.sample(KEY, 500, temperature=t))
    one, cold = sample(model, 1.0), sample(model, 1e-3)
    assert one.shape == cold.shape == (500, *SHAPE)
    assert np.all(cold.std(0) < 0.01 * one.std(0))


def test_a_decoder_starts_from_the_rates_of_the_data():
    rates = np.linspace(0.1, 0.8, 12).reshape(SHAPE)
    x = (np.random.default_rng(0).random((1000, *SHAPE)) < rates).astype(int)
    model = jax.jit(TopDown.initialize)(vdvae(), x, KEY)
    np.testing.assert_allclose(model.decode(jnp.zeros(12)), x.mean(0), atol=0.01)


def test_what_is_used_of_the_latents():
    x = np.random.default_rng(0).integers(0, 2, (50, *SHAPE))
    use = latent_use(noisy(), x, key=KEY, batch_size=25)
    assert use.divergence.shape == (3,)
    assert np.all(use.divergence > 0)
    assert use.variance.shape == (12,)
    assert 0 < use.active_units <= 12


def test_labels_come_through_an_embedding():
    embedding = Embedding(5, 2, rngs=nnx.Rngs(0))
    model = perturb(Embedded(vdvae(context_features=2), embedding), KEY, 0.5)
    x, labels = np.repeat(X[:1], 2, axis=0), np.array([1, 4])
    values = jax.jit(Embedded.importance_log_prob, static_argnums=3)(model, x, KEY, 200, labels)
    assert abs(values[0] - values[1]) > 0.01
    assert jax.eval_shape(lambda: model.sample(KEY, 4, labels)).shape == (4, 2, *SHAPE)
    assert jax.eval_shape(lambda: model.reconstruct(x, labels)).shape == (2, *SHAPE)
    assert jax.eval_shape(lambda: model.dream(KEY, 4, labels)[1]).shape == (4, 2)
    with pytest.raises(ShapeError, match=r"TopDown\.elbo.*unconditional"):
        vdvae().elbo(x, KEY, np.zeros((2, 2)))


# --- what fits together ---


def normal(features=8, latents=1, likelihood=None):
    """Of a pixel."""
    head = Normal() if likelihood is None else likelihood
    network = nnx.Linear(features, head.num_params((latents,)), rngs=nnx.Rngs(0))
    return Factorized(network, head, (1, 1), (latents,), context_shape=(1, 1, features))


def decoder(width=4):
    readout = Readout((1, 1, width), 2, rngs=nnx.Rngs(0))
    return Factorized(readout, Bernoulli(), (1, 1), (2,), context_shape=(1, 1, width))


def bound():
    """A model of a latent without an exact likelihood."""
    networks = (MLP(1, 2, rngs=nnx.Rngs(0)) for _ in range(2))
    back, forth = (Factorized(each, Normal(), (1,), context_shape=(1,)) for each in networks)
    return VAE(StandardNormal((1,)), back, forth)


def build(**parts):
    """A layer of one pixel, of which some parts are others."""
    rngs = nnx.Rngs(0)
    fit = {
        "start": FirstState((1, 1, 4), rngs=rngs),
        "encoder": FeaturePyramid((1, 1, 2), (1,), width=4, rngs=rngs),
        "priors": [normal(4)],
        "posteriors": [normal(8)],
        "updates": [Update([(1, 1)], 1, width=4, num_layers=1, rngs=rngs)],
        "decoder": decoder(),
    }
    return TopDown(**fit | parts)


def used(**parts):
    return build(**parts).elbo(np.zeros((3, 1, 1, 2), int), KEY)


MISTAKES = {
    "no layers": (
        lambda: build(priors=[], posteriors=[], updates=[]),
        ValueError,
        "a prior, a posterior and an update for each of one layer or more, got 0, 0 and 0",
    ),
    "a posterior too many": (
        lambda: build(posteriors=[normal(), normal()]),
        ValueError,
        "got 1, 2 and 1",
    ),
    "a posterior of other latents": (
        lambda: build(posteriors=[normal(latents=2)]),
        ShapeError,
        r"layer 0 from the top: expected .* same latents, got \(1, 1, 1\) of the prior and "
        r"\(1, 1, 2\)",
    ),
    "a posterior that is told nothing": (
        lambda: build(posteriors=[normal(4)]),
        ShapeError,
        r"on the last axis, more, got contexts of shape \(1, 1, 4\) and \(1, 1, 4\)",
    ),
    "a prior without a state": (
        lambda: build(priors=[StandardNormal((1, 1, 1))]),
        ShapeError,
        r"a prior whose context is the state.*shape None and \(1, 1, 8\)",
    ),
    "a prior of bits": (
        lambda: build(priors=[normal(4, likelihood=Bernoulli())]),
        TypeError,
        "layer 0 from the top: expected a prior of real latents, got a Factorized of whole",
    ),
    "a prior with a bound": (
        lambda: build(priors=[bound()]),
        TypeError,
        "a prior with an exact likelihood, got a VAE, which has a lower_bound",
    ),
    "a decoder without a context": (
        lambda: build(decoder=StandardNormal((2,))),
        ShapeError,
        "a decoder whose context is the last state, got a StandardNormal without",
    ),
    "another context of the encoder": (
        lambda: build(
            encoder=FeaturePyramid((1, 1, 2), (1,), context_features=3, rngs=nnx.Rngs(0))
        ),
        ShapeError,
        r"a start and an encoder of the same context, got .*None and \(3,\)",
    ),
    "no model": (lambda: build(decoder=object()), TypeError, "expected a Model for decoder"),
    "another first state": (
        lambda: used(start=FirstState((1, 1, 5), rngs=nnx.Rngs(0))),
        ShapeError,
        r"a first state of shape \(1, 1, 4\), got \(1, 1, 5\)",
    ),
    "an encoder of more layers": (
        lambda: used(encoder=FeaturePyramid((1, 1, 2), (2,), width=4, rngs=nnx.Rngs(0))),
        ShapeError,
        "an encoder that gives an array for each of 1 layers, got 2",
    ),
    "an encoder that says more": (
        lambda: used(encoder=FeaturePyramid((1, 1, 2), (1,), width=5, rngs=nnx.Rngs(0))),
        ShapeError,
        r"to give, for layer 0 .* an array of shape \(3, 1, 1, 4\), got \(3, 1, 1, 5\)",
    ),
    "an update to another state": (
        lambda: used(decoder=decoder(5)),
        ShapeError,
        r"update 0 from the top to give a state of shape \(3, 1, 1, 5\), got \(3, 1, 1, 4\)",
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_what_does_not_fit_is_refused(name):
    make, error, said = MISTAKES[name]
    with pytest.raises(error, match=said):
        make()


def test_it_has_no_exact_likelihood():
    with pytest.raises(TypeError, match=r"TopDown has no exact log_prob.*Use elbo\(x, key\)"):
        vdvae().log_prob(X)


def test_levels_outside_the_support():
    model, x = vdvae(), np.concatenate([X[:1], 1 + X[1:2]])
    assert x.max() == 2
    for method in (TopDown.log_weight, TopDown.elbo):
        got = np.asarray(jax.jit(method)(model, x, KEY))
        assert np.isfinite(got[0])
        assert got[1] == -np.inf
        with pytest.raises(ValueError, match="expected values 0 and 1, got 2"):
            method(model, x, KEY)
