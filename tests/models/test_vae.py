"""A model of three: what fits together, units, contexts, latents and edges."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from scipy.special import logit
from scipy.stats import norm

import jaxgen
from jaxgen import ShapeError, zoo
from jaxgen.bijectors import ActNorm, Logit
from jaxgen.evaluation import interpolate
from jaxgen.likelihoods import Bernoulli, Categorical, Normal
from jaxgen.models import (
    VAE,
    ClassConditionalNormal,
    Dequantized,
    Embedded,
    Factorized,
    Flow,
    StandardNormal,
    VampPrior,
)
from jaxgen.networks import MLP, ConvDecoder, Embedding, Flatten
from jaxgen.testing import perturb
from jaxgen.training import Batch, TrainSettings, fit
from jaxgen.training.objectives import elbo

KEY = jax.random.key(0)
BITS = np.array([[0, 1, 1], [1, 0, 0]])
log_weight, importance = (
    jax.jit(VAE.log_weight),
    jax.jit(VAE.importance_log_prob, static_argnums=3),
)


def factorized(inputs, outputs, likelihood, **options):
    network = MLP(
        inputs, outputs * likelihood.num_params(()), hidden=(4,), **options, rngs=nnx.Rngs(0)
    )
    return Factorized(network, likelihood, (outputs,), context_shape=(inputs,))


def vae(likelihood=None, context=0, entries=3, **options):
    likelihood = Bernoulli() if likelihood is None else likelihood
    return VAE(
        StandardNormal((2,)),
        factorized(2 + context, entries, likelihood, **options),
        factorized(entries + context, 2, Normal(), **options),
        context_features=context or None,
    )


def bits(**options):
    return perturb(vae(**options), KEY, 1.0)


def bounded():
    """Two numbers between 0 and 1, by a conditional flow as decoder."""
    base = factorized(2, 2, Normal())
    decoder = Flow(Logit(alpha=0.0, event_ndims=1), base)
    return perturb(VAE(StandardNormal((2,)), decoder, factorized(2, 2, Normal())), KEY)


# --- what fits together ---


def normal(latents=2, context=3):
    return factorized(context, latents, Normal())


def decoder(latents=2, entries=3):
    return factorized(latents, entries, Bernoulli())


def of_matrices():
    """Two latents given a matrix."""
    network = Flatten((2, 2), MLP(4, 4, rngs=nnx.Rngs(0)))
    return Factorized(network, Normal(), (2,), context_shape=(2, 2))


def vamp(event_shape):
    return VampPrior((2,), event_shape, 5, rngs=nnx.Rngs(0))


MISTAKES = {
    "a decoder of another context": (
        lambda: VAE(StandardNormal((4,)), decoder(2), normal(4)),
        ShapeError,
        r"a decoder whose context is the latent, of shape \(4,\),.*a Factorized with context_shape "
        r"\(2,\)",
    ),
    "a decoder without a context": (
        lambda: VAE(StandardNormal((2,)), zoo.made((3,), hidden=(4,), rngs=nnx.Rngs(0)), normal()),
        ShapeError,
        r"a decoder whose context is the latent, of shape \(2,\).*got a Autoregressive with "
        r"context_shape None",
    ),
    "a posterior of other data": (
        lambda: VAE(StandardNormal((2,)), decoder(), normal(context=2)),
        ShapeError,
        r"a posterior whose context is the event, of shape \(3,\).*context_shape \(2,\)",
    ),
    "a posterior without a context": (
        lambda: VAE(StandardNormal((2,)), decoder(), StandardNormal((2,))),
        ShapeError,
        "a posterior whose context is the event.*got a StandardNormal with context_shape None",
    ),
    "a posterior of other latents": (
        lambda: VAE(StandardNormal((2,)), decoder(), normal(3)),
        ShapeError,
        r"of the same latents, got \(2,\) of the prior and \(3,\) of the posterior",
    ),
    "real latents of bits": (
        lambda: VAE(zoo.made((2,), hidden=(4,), rngs=nnx.Rngs(0)), decoder(), normal()),
        ShapeError,
        "of the same latents, got levels 2 and None",
    ),
    "other levels": (
        lambda: VAE(
            zoo.made((2,), hidden=(4,), rngs=nnx.Rngs(0)),
            decoder(),
            factorized(3, 2, Categorical(3)),
        ),
        ShapeError,
        "of the same latents, got levels 2 and 3",
    ),
    "a posterior with a bound": (
        lambda: VAE(StandardNormal((3,)), decoder(3), vae(Normal(), context=3)),
        TypeError,
        "a posterior with an exact likelihood, got a VAE, which has a lower_bound",
    ),
    "a decoder of more than the latent": (
        lambda: VAE(StandardNormal((2,)), decoder(2 + 1), normal()),
        ShapeError,
        r"a decoder whose context is the latent, of shape \(2,\), or \(2 \+ k,\) with "
        r"context_features=k, got a Factorized with context_shape \(3,\)",
    ),
    "a posterior of more than the event": (
        lambda: VAE(StandardNormal((2,)), decoder(), normal(context=3 + 1)),
        ShapeError,
        "a posterior whose context is the event.*with context_features=k",
    ),
    "two sizes of a further context": (
        lambda: VAE(
            StandardNormal((2,)), decoder(2 + 1), normal(context=3 + 2), context_features=1
        ),
        ShapeError,
        r"a posterior .*, or \(4,\) with context_features=1, got .*context_shape \(5,\)",
    ),
    "another size of the prior's context": (
        lambda: VAE(normal(context=4), decoder(2 + 1), normal(), context_features=1),
        ShapeError,
        r"a prior without a context, or, with context_features=1, of contexts \(1,\), got a "
        r"Factorized with context_shape \(4,\)",
    ),
    "a prior's context unsaid": (
        lambda: VAE(normal(context=4), decoder(), normal()),
        ShapeError,
        "a prior without a context, or, with context_features=k",
    ),
    "a further context that nothing reads": (
        lambda: VAE(StandardNormal((2,)), decoder(), normal(), context_features=3),
        ShapeError,
        "a part that reads context_features=3",
    ),
    "a prior given labels": (
        lambda: VAE(ClassConditionalNormal((2,), 3), decoder(), normal()),
        ShapeError,
        r"a prior without a context.*context_shape \(\); labels come through Embedded",
    ),
    "a prior given matrices": (
        lambda: VAE(of_matrices(), decoder(2 + 4), normal(context=3 + 4), context_features=4),
        ShapeError,
        r"a prior without a context.*context_shape \(2, 2\)",
    ),
    "pseudo-inputs of other data": (
        lambda: VAE(vamp((4,)), decoder(), normal()),
        ShapeError,
        r"VampPrior: expected a posterior of contexts \(4,\), as pseudo-inputs are, got one of "
        r"\(3,\)",
    ),
    "pseudo-inputs without the posterior's further context": (
        lambda: VAE(vamp((3,)), decoder(2 + 1), normal(context=3 + 1), context_features=1),
        ShapeError,
        r"VampPrior: expected a posterior of contexts \(3,\).*got one of \(4,\)",
    ),
    "no model": (
        lambda: VAE(StandardNormal((2,)), MLP(2, 3, rngs=nnx.Rngs(0)), normal()),
        TypeError,
        "VAE: expected a Model for decoder, got a MLP",
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_what_does_not_fit_is_refused(name):
    make, error, said = MISTAKES[name]
    with pytest.raises(error, match=said):
        make()


def test_it_has_no_exact_likelihood():
    with pytest.raises(TypeError, match=r"Use elbo\(x, key\), a lower bound, or importance_log_pr"):
        bits().log_prob(BITS)


# --- units ---


def metres(size=200):
    rng = np.random.default_rng(0)
    return rng.normal([3.0, -1.0, 0.5], [2.0, 0.1, 1.0], (size, 3)).astype(np.float32)


UNITS = np.array([1e9, 1e-3, 1e3], np.float32)
settings = functools.partial(
    TrainSettings, steps=1, batch_size=200, learning_rate=0.01, steps_per_dispatch=1
)


@pytest.mark.parametrize("real_context", [pytest.param(False, marks=pytest.mark.slow), True])
def test_metres_and_nanometres(real_context):
    """The same data, and contexts, in another unit have the same bound, but for the unit's log."""
    x, c = metres(), metres()[:, :2] ** 2
    drawn = []
    for x_, c_ in ((x, c), (x * UNITS, c * UNITS[1:] + 5.0)):
        model = perturb(vae(Normal(), 2 if real_context else 0), KEY)
        data = (x_, c_) if real_context else (x_,)
        result = fit(model, Batch(*data), objective=elbo, settings=settings(), progress=False)
        standard = model.standardize(x_, c_ if real_context else None)
        before = log_weight(standard, x_, KEY, *data[1:])
        after = log_weight(result.model, x_, KEY, *data[1:])
        drawn.append([before, after, jnp.full(200, result.history[0]["loss"])])
    one, other = np.asarray(drawn, np.float64)
    unit = np.log(UNITS.astype(np.float64)).sum()
    np.testing.assert_allclose(other[:2], one[:2] - unit, rtol=1e-4)
    np.testing.assert_allclose(other[2], one[2] + unit, rtol=1e-4)
    assert np.abs(one[1] - one[0]).max() > 1e-3  # it learnt


seen = []


class Watched(MLP):
    """Keeps what it is given."""

    def __call__(self, x, context=None, *, key=None):
        seen.append(x)
        return super().__call__(x, context, key=key)


def test_a_context_is_standardised_once_and_a_latent_never():
    x, c = metres(), 1e4 + 50.0 * metres()[:, :2]
    model = vae(Normal(), 2).standardize(x, c)
    np.testing.assert_allclose(model.context_units.mean[...], c.mean(0), rtol=1e-5)
    np.testing.assert_allclose(np.exp(model.context_units.log_scale[...]), c.std(0), rtol=1e-3)
    np.testing.assert_allclose(model.units.mean[...], x.mean(0), rtol=1e-3)
    model = jax.jit(VAE.initialize)(model, x, KEY, c)
    again = jax.jit(VAE.initialize)(model, 7 * x + 1, KEY, 2 * c)
    for new, old in zip(*map(jax.tree.leaves, (again, model)), strict=True):
        np.testing.assert_array_equal(new, old)
    for part in (model.decoder, model.posterior):
        part.conditional.network.__class__ = Watched
    seen.clear()
    with jax.disable_jit():
        model.log_weight(x[:50], KEY, c[:50])
    encoder, decoded = (np.asarray(each) for each in (seen[0], seen[-1]))
    expected = np.concatenate([(x - x.mean(0)) / x.std(0), (c - c.mean(0)) / c.std(0)], -1)[:50]
    np.testing.assert_allclose(encoder, expected, atol=0.02)
    np.testing.assert_allclose(decoded[:, 2:], encoder[:, 3:], atol=1e-6)
    assert model.posterior.border.units.mean[...].tolist() == [0.0, 0.0]


def test_levels_are_read_from_minus_one_to_one():
    seen.clear()
    network = Watched(3, 4, hidden=(), rngs=nnx.Rngs(0))
    posterior = Factorized(network, Normal(), (2,), context_shape=(3,))
    model = VAE(StandardNormal((2,)), factorized(2, 3, Categorical(5)), posterior)
    with jax.disable_jit():
        model.elbo(np.array([0, 2, 4]), KEY)
    np.testing.assert_array_equal(seen[0], [-1.0, 0.0, 1.0])
    assert model.units is None


def test_a_decoder_starts_from_the_rates_of_the_data():
    x = np.random.default_rng(0).random((1000, 3)) < np.array([0.1, 0.5, 0.8])
    model = jax.jit(VAE.initialize)(vae(), x.astype(int), KEY)
    for z in (jnp.zeros(2), jnp.ones(2)):
        np.testing.assert_allclose(model.decode(z), x.mean(0), atol=0.01)
    real = vae(Normal()).standardize(metres(), None)
    np.testing.assert_allclose(real.decode(jnp.ones(2)), metres().mean(0), rtol=1e-3)


# --- contexts ---


def test_labels_come_through_an_embedding():
    model = perturb(Embedded(vae(context=2), Embedding(5, 2, rngs=nnx.Rngs(0))), KEY, 1.0)
    x, labels = np.repeat(BITS[:1], 2, axis=0), np.array([1, 4])
    assert model.exactness == "lower_bound"
    assert model.latent_shape == (2,)
    values = jax.jit(Embedded.importance_log_prob, static_argnums=3)(model, x, KEY, 500, labels)
    assert abs(values[0] - values[1]) > 0.05
    assert model.sample(KEY, 4, labels).shape == (4, 2, 3)
    assert model.reconstruct(x, labels).shape == (2, 3)
    with pytest.raises(ValueError, match="labels"):
        model.elbo(x, KEY, np.array([1, 5]))
    with pytest.raises(ShapeError, match="expected a context"):
        model.elbo(x, KEY)


def test_a_context_reaches_what_reads_it():
    """The prior alone here: decoder and posterior read none."""
    model = perturb(VAE(normal(context=4), decoder(), normal(), context_features=4), KEY, 1.0)
    assert model.context_shape == (4,)
    c = np.random.default_rng(0).normal(size=(2, 4)).astype(np.float32)
    x = np.repeat(BITS[:1], 2, axis=0)
    values = importance(model, x, KEY, 500, c)
    assert abs(values[0] - values[1]) > 0.02
    assert model.sample(KEY, 3, c).shape == (3, 2, 3)
    with pytest.raises(ShapeError, match="unconditional"):
        bits().elbo(x, KEY, c)


# --- latents and samples ---


def test_the_way_to_latents_and_back():
    model = bits()
    mean, log_scale = model.posterior.as_normal(2.0 * BITS - 1.0)
    np.testing.assert_allclose(model.infer(BITS), mean, rtol=1e-6)
    drawn = jax.jit(jax.vmap(lambda key: model.infer(BITS, key=key)))(jax.random.split(KEY, 4000))
    assert np.all(np.abs(drawn.mean(0) - mean) < 5 * np.exp(log_scale) / np.sqrt(4000))
    np.testing.assert_allclose(drawn.std(0), np.exp(log_scale), rtol=0.1)
    rates = jax.nn.sigmoid(model.decoder.network(BITS, mean)[..., 0])
    np.testing.assert_allclose(model.decode(mean), rates, rtol=1e-5)
    np.testing.assert_allclose(model.reconstruct(BITS), rates, rtol=1e-5)
    with pytest.raises(ValueError, match=r"VAE.decode: expected finite numbers for z"):
        model.decode(np.array([np.nan, 0.0]))
    with pytest.raises(ShapeError):
        model.decode(np.zeros(3))


def test_interpolation_is_a_path_of_latents():
    model = bits()
    way = interpolate(model, BITS[0], BITS[1], 5, spherical=False)
    assert way.shape == (5, 3)
    first, last = model.infer(BITS)
    z = np.linspace(0, 1, 5)[:, None] * (last - first) + first
    np.testing.assert_allclose(way, model.decode(z), rtol=1e-4)


def test_samples_and_their_temperature():
    model = perturb(vae(Normal()), KEY)
    x = jax.jit(lambda m, t: m.sample(KEY, 4000, temperature=t))
    one, cold = x(model, 1.0), x(model, 1e-3)
    assert one.shape == (4000, 3)
    assert np.all(cold.std(0) < 0.01 * one.std(0))
    np.testing.assert_allclose(cold.mean(0), model.decode(jnp.zeros(2)), atol=0.01)
    assert bits().sample(KEY, 0).shape == (0, 3)
    model, c = bits(context=2), np.zeros((4, 5, 2), np.float32)
    given = jax.eval_shape(lambda: model.sample(KEY, 3, c))
    assert given.shape == (3, 4, 5, 3)
    assert given.dtype == jnp.int32
    dreamt, log_q = jax.eval_shape(lambda: model.dream(KEY, 3, c))
    assert dreamt.shape == (3, 4, 5, 3)
    assert log_q.shape == (3, 4, 5)


def test_samples_have_the_law_of_the_weights():
    """Of bits: frequencies against what many weights say of every event."""
    model = VAE(StandardNormal((2,)), perturb(decoder(), KEY, 1.0), normal())
    events = np.array(np.meshgrid(*[[0, 1]] * 3, indexing="ij")).reshape(3, -1).T
    expected = np.exp(importance(model, events, KEY, 20_000))
    np.testing.assert_allclose(expected.sum(), 1.0, atol=0.02)
    samples = np.asarray(jax.jit(lambda m: m.sample(KEY, 20_000))(model))
    counts = np.bincount(samples @ [4, 2, 1], minlength=8) / 20_000
    np.testing.assert_allclose(counts, expected, atol=0.02)
    assert np.ptp(expected) > 0.1


# --- edges ---


def test_data_outside_the_support():
    model, x = bounded(), np.array([[0.2, 0.7], [0.2, 1.5]], np.float32)
    for method in (VAE.log_weight, VAE.elbo):
        got = np.asarray(jax.jit(method)(model, x, KEY))
        assert np.isfinite(got[0])
        assert got[1] == -np.inf
        with pytest.raises(ValueError, match=r"1\.5|outside"):
            method(model, x, KEY)
    got = np.asarray(jax.jit(VAE.importance_log_prob, static_argnums=3)(model, x, KEY, 8))
    assert np.isfinite(got[0])
    assert got[1] == -np.inf


def test_levels_outside_the_support():
    model, x = bits(), np.array([[0, 1, 1], [0, 1, 2]])
    for method in (VAE.log_weight, VAE.elbo):
        got = np.asarray(jax.jit(method)(model, x, KEY))
        assert np.isfinite(got[0])
        assert got[1] == -np.inf
        with pytest.raises(ValueError, match="expected values 0 and 1, got 2"):
            method(model, x, KEY)


def test_nan_is_refused():
    x = np.array([[0.0, np.nan, 1.0]], np.float32)
    model = perturb(vae(Normal()), KEY)
    for call in (
        lambda: model.log_weight(x, KEY),
        lambda: model.elbo(x, KEY),
        lambda: model.importance_log_prob(x, KEY, 2),
        lambda: model.infer(x),
    ):
        with pytest.raises(ValueError, match=r"1 (of 3 )?NaN or infinite"):
            call()
    assert np.isnan(jax.jit(VAE.elbo)(model, x, KEY)).all()


@pytest.mark.parametrize("batch", [(), (0,), (2, 3), (2, 0)])
def test_any_batch(batch):
    model = bits()
    x = np.broadcast_to(BITS[0], (*batch, 3))
    for method in (VAE.log_weight, VAE.elbo):
        assert jax.jit(method)(model, x, KEY).shape == batch
    assert importance(model, x, KEY, 3).shape == batch
    assert jax.jit(VAE.infer)(model, x).shape == (*batch, 2)
    assert jax.jit(VAE.reconstruct)(model, x).shape == (*batch, 3)


def test_examples_have_noise_of_their_own_and_see_no_other():
    model, x = bits(), np.repeat(BITS[:1], 5, axis=0)
    values = log_weight(model, x, KEY)
    assert len(set(np.asarray(values).tolist())) == 5
    x[2] = BITS[1]
    same = np.asarray(values == log_weight(model, x, KEY))
    assert same.tolist() == [True, True, False, True, True]


def test_outside_of_a_program_and_under_vmap():
    model = bits()
    for method in (VAE.log_weight, VAE.elbo):
        np.testing.assert_allclose(
            method(model, BITS, KEY), jax.jit(method)(model, BITS, KEY), rtol=1e-5
        )
    keys = jax.random.split(KEY, 2)
    each = jax.jit(jax.vmap(VAE.log_weight, (None, 0, 0)))(model, BITS, keys)
    expected = [log_weight(model, x, key) for x, key in zip(BITS, keys, strict=True)]
    np.testing.assert_allclose(each, expected, rtol=1e-5)


def test_weights_of_images_are_streamed():
    """Those of 5000 samples of four images of 784 pixels at once would take 63 MB."""
    model = zoo.vae((28, 28, 1), latents=4, hidden=(8,), rngs=nnx.Rngs(0))
    x = jnp.zeros((4, 28, 28, 1), int)

    def temporary(num_samples):
        program = importance.lower(model, x, KEY, num_samples).compile()
        return program.memory_analysis().temp_size_in_bytes

    many = temporary(5000)
    assert many < 1e7
    assert many < temporary(1000) + 1e5  # their keys
    assert np.isfinite(importance(model, x, KEY, 5000)).all()


def test_dropout_is_of_its_key_alone():
    model = bits(dropout=0.5)

    @jax.jit
    def draws(key, dropout_key):
        parts = model.log_weight(BITS, key, dropout_key=dropout_key)
        return jnp.stack([parts, model.elbo(BITS, key, dropout_key=dropout_key)])

    none, first, other = (draws(KEY, key) for key in (None, *jax.random.split(KEY)))
    assert np.all(np.any(first != other, axis=-1))
    assert np.all(np.any(first != none, axis=-1))
    np.testing.assert_array_equal(first, draws(KEY, jax.random.split(KEY)[0]))


@pytest.mark.parametrize(
    "prior", [lambda: StandardNormal((2,)), lambda: Flow(ActNorm((2,)))], ids=["normal", "flow"]
)
def test_the_dropout_of_a_normal_posterior_is_in_both_terms(prior):
    posterior = factorized(3, 2, Normal(), dropout=0.5)
    model = perturb(VAE(prior(), decoder(), posterior), KEY, 1.0)
    x = np.tile(BITS, (8, 1))
    terms = jax.jit(lambda key: model.elbo_terms(x, KEY, dropout_key=key))
    none, first, other = (terms(key) for key in (None, *jax.random.split(KEY)))
    for term in (0, 1):
        assert np.any(first[term] != none[term])
        assert np.any(first[term] != other[term])


def test_saved_and_loaded(tmp_path):
    x = metres(64)
    model = perturb(vae(Normal(), 2).standardize(x, x[:, :2]), KEY)
    jaxgen.save(model, tmp_path / "own")
    loaded = jaxgen.load(tmp_path / "own", like=vae(Normal(), 2))
    from_zoo = perturb(zoo.vae((3,), latents=2, hidden=(4,), rngs=nnx.Rngs(0)), KEY)
    jaxgen.save(from_zoo, tmp_path / "zoo")
    again = jaxgen.load(tmp_path / "zoo")
    for one, other in ((model, loaded), (from_zoo, again)):
        assert jax.tree.structure(one) == jax.tree.structure(other)
        for new, old in zip(*map(jax.tree.leaves, (other, one)), strict=True):
            np.testing.assert_array_equal(new, old)
    values = [log_weight(each, x, KEY, x[:, :2]) for each in (model, loaded)]
    np.testing.assert_array_equal(*values)
    np.testing.assert_array_equal(log_weight(from_zoo, BITS, KEY), log_weight(again, BITS, KEY))


def wider():
    """A posterior beside the prior and wider than it, so that weights have a variance."""
    posterior = normal()
    posterior.conditional.network.last.bias = nnx.Param(jnp.array([0.2, 0.4, -0.2, 0.3]))
    return posterior


def of_levels(place, normals):
    """Three of four levels: integers below a VAE of real numbers, or at its decoder."""
    prior, posterior = StandardNormal((2,)), wider()
    to_levels = Logit(0.0, 4.0, event_ndims=1)
    if place == "decoder":
        return VAE(prior, Dequantized(Flow(to_levels, normals), 4), posterior)
    return Dequantized(Flow(to_levels, VAE(prior, normals, posterior)), 4)


@pytest.mark.parametrize("place", ["decoder", "base"])
def test_a_dequantized_model_is_a_decoder_and_a_vae_a_base(place):
    """Either has the mass of its cells between logits, integrated over the latents."""
    normals = perturb(factorized(2, 3, Normal()), KEY, 0.4)
    points, weights = np.polynomial.hermite_e.hermegauss(40)
    z = np.stack(np.meshgrid(points, points), -1).reshape(-1, 2).astype(np.float32)
    mean, log_scale = (np.asarray(each, np.float64) for each in normals.as_normal(z))
    edges = logit(0.05 + 0.9 * np.arange(5) / 4)
    cells = np.diff(norm.cdf((edges - mean[..., None]) / np.exp(log_scale)[..., None]))
    x = np.random.default_rng(0).integers(0, 4, (6, 3))
    given = cells[:, np.arange(3), x].prod(-1)
    expected = np.outer(weights, weights).ravel() @ given / weights.sum() ** 2

    model = of_levels(place, normals)
    assert model.levels == 4
    draws = jax.vmap(type(model).log_weight, (None, None, 0))
    log_w = np.asarray(jax.jit(draws)(model, x, jax.random.split(KEY, 50_000)), np.float64)
    mass = np.exp(log_w)
    error = mass.std(0) / np.sqrt(len(mass))
    assert np.all(np.abs(mass.mean(0) - expected) < 5 * error)
    assert np.all(error < 0.03 * expected)
    assert np.all(log_w.mean(0) < np.log(expected))


def test_a_convolutional_pair():
    decoder = Factorized(
        ConvDecoder(2, (4, 4, 1), widths=(3,), rngs=nnx.Rngs(0)),
        Bernoulli(),
        (4, 4, 1),
        context_shape=(2,),
    )
    encoder = Flatten((4, 4, 1), MLP(16, 4, hidden=(4,), rngs=nnx.Rngs(0)))
    posterior = Factorized(encoder, Normal(), (2,), context_shape=(4, 4, 1))
    model = perturb(VAE(StandardNormal((2,)), decoder, posterior), KEY)
    x = np.random.default_rng(0).integers(0, 2, (3, 4, 4, 1))
    assert log_weight(model, x, KEY).shape == (3,)
    assert model.reconstruct(x).shape == (3, 4, 4, 1)


def test_latents_in_an_interval():
    """Of a posterior that is a flow into it; against the mean over latents of the prior."""
    unit = Logit(alpha=0.0, event_ndims=1)
    prior = Flow(unit, StandardNormal((2,)))
    model = VAE(prior, perturb(decoder(), KEY, 1.0), Flow(unit, wider()))
    z = model.infer(BITS, key=KEY)
    assert np.all((z > 0) & (z < 1))
    drawn = prior.sample(KEY, 20_000)
    x = np.broadcast_to(BITS[0], (20_000, 3))
    expected = np.mean(np.exp(np.asarray(model.decoder.log_prob(x, drawn), np.float64)))
    assert np.exp(importance(model, BITS[0], KEY, 20_000)) == pytest.approx(expected, rel=0.03)
