"""Sequences of vectors whose entries are modelled one given another, frame by frame."""

import itertools
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from scipy.special import expit

import jaxgen
from jaxgen import zoo
from jaxgen.conditionals import NADE
from jaxgen.core import METHODS, replace
from jaxgen.likelihoods import Bernoulli, Poisson
from jaxgen.models import Autoregressive, Ensemble, Frame
from jaxgen.testing import perturb, to_float64
from jaxgen.training import TrainSettings, fit

KEY = jax.random.key(0)
LENGTH, CHANNELS = 2, 3
# Every event of two frames.
EVENTS = np.array(list(itertools.product((0, 1), repeat=LENGTH * CHANNELS)))
EVENTS = EVENTS.reshape(-1, LENGTH, CHANNELS)

SMALL = {
    "recurrent": {"width": 3},
    "attention": {"width": 8, "depth": 1, "heads": 2},
    "wavenet": {"width": 3, "skip_width": 8, "dilations": (1,)},
}
log_prob = jax.jit(Autoregressive.log_prob)
draw = jax.jit(
    Autoregressive.sample, static_argnums=2, static_argnames=("method", "temperature", "top_p")
)


def build(name="recurrent", frame="nade", event=(LENGTH, CHANNELS), **options):
    options = {"levels": 2, "frame": frame, **SMALL[name], **options}
    if options["frame"] is not None:
        options = {"frame_width": 5, **options}
    return zoo.build(name, event, options, rngs=nnx.Rngs(0))


def trained(*args, **options):
    """As it might be after training: nothing is zero any more."""
    return perturb(build(*args, **options), KEY, 1.0)


@pytest.mark.parametrize(
    ("name", "frame"),
    [
        ("recurrent", "nade"),
        ("attention", "made"),
        pytest.param("wavenet", "nade", marks=pytest.mark.slow),
    ],
)
def test_the_probabilities_of_all_events_sum_to_one(name, frame, x64):
    total = jnp.sum(jnp.exp(log_prob(to_float64(trained(name, frame)), jnp.asarray(EVENTS))))
    assert float(total) == pytest.approx(1.0, abs=1e-12)


def test_the_chain_rule_by_hand(x64):
    """The outer network sees frames before, RNN-NADE's formula the entries before."""
    model = to_float64(trained())
    inside = model.likelihood.conditional
    kernel, bias, out, out_bias, into_hidden, into_logits = (
        np.asarray(each[...])
        for each in (
            *(inside.kernel, inside.bias, inside.out_kernel, inside.out_bias),
            *(inside.context_kernel, inside.context_out_kernel),
        )
    )
    x = EVENTS[37]
    expected = 0.0
    for t in range(LENGTH):
        before = np.where(np.arange(LENGTH)[:, None] < t, x, 0).astype(float)
        params = np.asarray(model.conditional(jnp.asarray(before)))[t]
        logits, features = params[:CHANNELS], params[CHANNELS:]
        hidden = bias + features @ into_hidden
        for i in range(CHANNELS):
            logit = logits[i] + out_bias[i, 0] + features @ into_logits[:, i, 0]
            logit += expit(hidden) @ out[i, :, 0]
            expected += np.log(expit(logit if x[t, i] else -logit))
            hidden = hidden + kernel[i] * x[t, i]
    assert float(log_prob(model, jnp.asarray(x))) == pytest.approx(expected, rel=1e-12)


def frequencies(x):
    codes = x.reshape(len(x), -1) @ (2 ** np.arange(LENGTH * CHANNELS)[::-1])
    return np.bincount(codes, minlength=len(EVENTS)) / len(x)


def test_samples_are_as_frequent_as_they_are_likely():
    model, count = trained(), 40_000
    expected = np.exp(log_prob(model, jnp.asarray(EVENTS)))
    got = frequencies(np.asarray(draw(model, KEY, count)))
    # Six standard errors.
    slack = 6 * np.sqrt(expected * (1 - expected) / count) + 1e-4
    assert np.all(np.abs(got - expected) < slack)


def test_a_temperature_is_that_of_every_entry_given_those_before():
    """Of one frame: at temperature T each conditional is p^(1/T), normalised by itself."""
    model, count = trained(event=(1, CHANNELS)), 40_000
    events = EVENTS[: 2**CHANNELS, 1]
    p = np.exp(log_prob(model, jnp.asarray(events[:, None]))).reshape((2,) * CHANNELS)
    expected = np.ones_like(p)
    for i in range(CHANNELS):
        part = p.sum(tuple(range(i + 1, CHANNELS)))  # of the first entries
        given = (part / part.sum(-1, keepdims=True)) ** 2
        given = given / given.sum(-1, keepdims=True)
        expected *= given.reshape(*given.shape, *(1 for _ in range(i + 1, CHANNELS)))
    x = np.asarray(draw(model, KEY, count, temperature=0.5))[:, 0]
    got = np.bincount(x @ [4, 2, 1], minlength=8) / count
    np.testing.assert_allclose(got, expected.reshape(-1), atol=0.015)
    np.testing.assert_array_equal(
        draw(model, KEY, 100, temperature=1e-6), draw(model, KEY, 100, top_p=1e-6)
    )
    with pytest.raises(TypeError, match="tempered one by one"):
        model.likelihood.temper(jnp.zeros(8), jnp.zeros(3), (3,), 0.5, 1.0)


HEADS = {
    "binary": {"levels": 2},
    "levels": {"levels": 4, "frame": "made"},
    "numbers": {"levels": None, "components": 2},
}
ONE_QUICK = [
    pytest.param(head, marks=() if head == "binary" else pytest.mark.slow) for head in HEADS
]


@pytest.mark.parametrize("head", ONE_QUICK)
def test_every_method_returns_the_same_samples(head, x64):
    model = to_float64(trained(**HEADS[head]))
    for temperature in (1.0, 0.5):
        first = draw(model, KEY, 20, temperature=temperature)
        for method in METHODS[1:]:
            other = draw(model, KEY, 20, method=method, temperature=temperature)
            np.testing.assert_allclose(other, first, atol=1e-12)


@pytest.mark.parametrize("head", ONE_QUICK)
def test_frames_are_completed_and_scored_given_those_before(head, x64):
    model = to_float64(trained(event=(4, 3), **HEADS[head]))
    x = draw(model, KEY, 6)
    observed = np.arange(4) < 2
    filled = jax.jit(lambda model, x: model.complete(KEY, x, observed, 3))(model, x)
    assert filled.shape == (3, 6, 4, 3)
    np.testing.assert_array_equal(filled[:, :, :2], jnp.broadcast_to(x[:, :2], (3, 6, 2, 3)))
    assert np.unique(filled[:, 0, 2:], axis=0).shape[0] > 1
    given = jax.jit(lambda model, x: model.conditional_log_prob(x, observed))(model, x)
    beginning = log_prob(model, x, lengths=jnp.full(6, 2))
    np.testing.assert_allclose(given, log_prob(model, x) - beginning, rtol=1e-9)
    alone = jax.jit(lambda model, x: model.observed_log_prob(x, observed))(model, x)
    np.testing.assert_allclose(alone, beginning, rtol=1e-9)


def test_padding_does_not_count_and_may_be_anything(x64):
    model = to_float64(trained(event=(5, 3), stationary=True))
    x = np.asarray(draw(model, KEY, 2)).copy()
    lengths = np.array([3, 5])
    x[0, 3:] = -7
    got = log_prob(model, x, lengths=lengths)
    pairs = zip(x, lengths, strict=True)
    expected = [log_prob(model.with_length(int(n)), each[:n]) for each, n in pairs]
    np.testing.assert_allclose(got, expected, rtol=1e-12)


@cache
def sparse():
    """Frames whose entries are 1 in one to five per cent, at every step others."""
    rng = np.random.default_rng(0)
    rates = np.linspace(0.01, 0.05, 12).reshape(4, 3)
    return (rng.random((4000, 4, 3)) < rates).astype(np.int32)


@pytest.mark.parametrize("stationary", [False, True])
def test_frames_start_at_base_rates(stationary):
    x = sparse()
    model = build(event=(4, 3), stationary=stationary).standardize(x, None)
    rates = x.mean((0, 1)) * np.ones((4, 1)) if stationary else x.mean(0)
    expected = np.sum(rates * np.log(rates) + (1 - rates) * np.log1p(-rates))
    assert float(log_prob(model, x).mean()) == pytest.approx(expected, abs=0.01)
    assert float(draw(model, KEY, 4000).mean()) == pytest.approx(x.mean(), abs=0.004)


@pytest.mark.parametrize("components", [None, 2])
def test_frames_of_numbers_start_at_the_data_s_moments(components):
    rng = np.random.default_rng(0)
    x = rng.normal([1e4, -3.0, 0.0], [10.0, 1e-3, 1.0], (500, 4, 3)).astype(np.float32)
    model = build(event=(4, 3), levels=None, components=components).standardize(x, None)
    drawn = np.asarray(draw(model, KEY, 2000))
    scale = x.std(0)
    np.testing.assert_allclose(drawn.mean(0) / scale, x.mean(0) / scale, rtol=1e-6, atol=0.15)
    np.testing.assert_allclose(drawn.std(0) / scale, 1.0, atol=0.1)


def test_what_either_network_says_stays_said():
    """Rates are no start for one that has been trained."""
    x, fresh, other = sparse(), build(event=(4, 3)), perturb(build(event=(4, 3)), KEY)
    for model in (other, replace(fresh, likelihood=other.likelihood)):
        adapted = model.standardize(x, None)
        np.testing.assert_array_equal(log_prob(adapted, x[:50]), log_prob(model, x[:50]))


def test_orders_of_frames_are_averaged_and_completed():
    model = trained("attention")
    ensemble = Ensemble(model, jnp.array([[0, 1], [1, 0]]))
    scores = jax.jit(Ensemble.log_prob)(ensemble, jnp.asarray(EVENTS))
    assert float(jnp.sum(jnp.exp(scores))) == pytest.approx(1.0, abs=1e-5)
    x, observed = jnp.asarray(EVENTS[[5, 50]]), np.array([False, True])
    filled = jax.jit(lambda m, x: m.complete(KEY, x, observed, 4))(ensemble, x)
    np.testing.assert_array_equal(filled[:, :, 1], jnp.broadcast_to(x[:, 1], (4, 2, CHANNELS)))


def test_any_network_goes_inside_and_any_head():
    """Counts, and a grid of entries."""
    inside = zoo.made((2, 2), levels=2, context_features=3, rngs=nnx.Rngs(0)).conditional
    head = perturb(Frame(inside, Poisson()), KEY)
    params = jax.random.normal(KEY, (500, head.num_params((2, 2))))
    noise = head.noise(KEY, (500, 2, 2), jnp.float32)
    x = jax.jit(head.sample, static_argnums=2)(params, noise, (2, 2))
    assert (x.shape, x.dtype) == ((500, 2, 2), jnp.int32)
    score = jax.jit(head.log_prob)
    assert score(x, params).shape == (500,)
    # One set of parameters for many values.
    np.testing.assert_allclose(score(x, params[:1])[3], score(x[3], params[0]), rtol=1e-5)
    with pytest.raises(ValueError, match="distrax has no such distribution"):
        head.distribution(params, (2, 2))


def test_it_computes_in_bfloat16():
    model = trained()
    half = jaxgen.compute_in(model, jnp.bfloat16)
    assert half.likelihood.conditional.dtype == jnp.bfloat16
    x = jnp.asarray(EVENTS)
    got, expected = log_prob(half, x), log_prob(model, x)
    assert got.dtype == jnp.float32
    assert not np.array_equal(got, expected)
    np.testing.assert_allclose(got, expected, atol=0.1)
    assert draw(half, KEY, 4).dtype == jnp.int32


def test_frames_are_trained_saved_and_loaded(tmp_path):
    rng = np.random.default_rng(0)
    x = rng.integers(0, 2, (64, 4, 3))
    lengths = rng.integers(1, 5, 64)
    settings = TrainSettings(steps=4, batch_size=16)
    model = fit(
        build(event=(4, 3)), {"x": x, "lengths": lengths}, settings=settings, progress=False
    ).model
    inside = model.likelihood.conditional
    assert np.any(inside.out_kernel[...])  # it has learnt
    assert "likelihood.conditional.out_kernel" in jaxgen.summary(model)
    jaxgen.save(model, tmp_path / "model")
    loaded = jaxgen.load(tmp_path / "model")
    np.testing.assert_array_equal(log_prob(loaded, x), log_prob(model, x))
    np.testing.assert_array_equal(draw(loaded, KEY, 5), draw(model, KEY, 5))


@pytest.mark.slow
@pytest.mark.parametrize("frame", [None, "nade", "made"])
@pytest.mark.parametrize("name", ["recurrent", "attention"])
def test_entries_that_are_always_equal_are_learnt_as_such(name, frame):
    """Of three coins in a frame two are always equal, and the third is that of the first frame.

    So four frames have five bits. To independent entries the second coin is new every time.
    """
    rng = np.random.default_rng(0)
    coins = rng.integers(0, 2, (8000, 4, 2))
    third = np.repeat(coins[:, :1, 1], 4, axis=1)
    x = np.stack([coins[..., 0], coins[..., 0], third], axis=-1)
    train, test = x[:7000], x[7000:]
    options = {"width": 32} | ({} if frame is None else {"frame_width": 32})
    model = build(name, frame, (4, 3), **options)
    settings = TrainSettings(steps=1500, batch_size=128, learning_rate=3e-3)
    model = fit(model, train, settings=settings, progress=False).model
    bits = -float(log_prob(model, test).mean()) / np.log(2)
    assert bits == pytest.approx(9.0 if frame is None else 5.0, abs=0.05)


def test_a_frame_of_one_entry_is_its_likelihood():
    nade = NADE((1,), 1, width=3, context_features=2, rngs=nnx.Rngs(0))
    head = Frame(nade, Bernoulli())
    params = jax.random.normal(KEY, (5, 3))
    x = jnp.array([0, 1, 1, 0, 1])[:, None]
    expected = Bernoulli().log_prob(x, params[:, :1])
    np.testing.assert_allclose(jax.jit(head.log_prob)(x, params), expected, rtol=1e-6)
