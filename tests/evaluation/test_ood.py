"""Scores of strange examples against closed forms, and the guarantee of their thresholds."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from linear import linear
from scipy.stats import betabinom, kstest, norm
from sklearn.covariance import EmpiricalCovariance
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve
from sklearn.mixture import GaussianMixture

from jaxgen import ShapeError, zoo
from jaxgen.bijectors import ActNorm
from jaxgen.evaluation import ood
from jaxgen.models import (
    VAE,
    Dequantized,
    DiagonalNormal,
    Flow,
    Model,
    StandardNormal,
    StudentT,
    Uniform,
)
from jaxgen.models.scoring import score
from jaxgen.testing import perturb, to_float64
from jaxgen.training import TrainSettings, fit

KEY = jax.random.key(0)
RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 2)).astype(np.float32)
FAR = X + 4.0
BITS = (RNG.random((40, 6)) < 0.3).astype(np.int32)


class Own(Model):
    """A user's: a logistic density with a location."""

    def __init__(self):
        self.event_shape = (2,)
        self.location = nnx.Param(jnp.zeros(2))

    def log_prob(self, x, context=None, *, key=None):
        z = x - self.location[...]
        return jnp.sum(-z - 2.0 * jax.nn.softplus(-z), axis=-1)


class Overflowing(Own):
    """Whose density is an infinity less another where values are large."""

    def log_prob(self, x, context=None, *, key=None):
        return super().log_prob(x) + jnp.sum(x**2 * 1e30 - x**2 * 1e30, axis=-1)


class Broken(Own):
    """Of which some numbers have become none."""

    def log_prob(self, x, context=None, *, key=None):
        return super().log_prob(x) * jnp.nan


def linear_vae(off=0.0):
    """``x = w z + noise`` of one latent, with its exact posterior, or one that is off."""

    w, s = np.array([0.8, -1.5]), 0.6
    variance = 1.0 / (1.0 + w @ w / s**2)
    decoder = linear(w[None], np.zeros(2), np.full(2, np.log(s)))
    posterior = linear(
        (w / s**2 * variance)[:, None] + off, np.zeros(1) + off, np.full(1, 0.5 * np.log(variance))
    )
    model = VAE(StandardNormal((1,)), decoder, posterior)
    return model, np.outer(w, w) + s**2 * np.eye(2)


# --- statistics ---


def test_ratios_and_disagreement_are_those_of_the_densities():
    one, two, three = StandardNormal((2,)), StudentT((2,)), Own()
    scores = np.stack([score(each, X) for each in (one, two, three)])
    np.testing.assert_allclose(ood.negative_log_likelihood(one, X), -scores[0])
    ratio = ood.likelihood_ratio(one, X, background=two)
    np.testing.assert_allclose(ratio, scores[1] - scores[0])
    disagreement = ood.waic(one, X, others=[two, three])
    np.testing.assert_allclose(disagreement, scores.var(axis=0, ddof=1) - scores.mean(axis=0))


@pytest.mark.parametrize("codec", ["png", "webp", "zlib", "bz2", "lzma", bytes])
def test_complexity_is_bits_beyond_those_of_a_code(codec):
    levels = 256
    x = RNG.integers(0, levels, (3, 6, 6, 1))
    x[0] = 7
    model = Dequantized(Uniform((6, 6, 1), 0.0, levels), levels)
    lengths = ood.code_length(x.astype(np.uint8), codec)
    if codec is bytes:
        np.testing.assert_array_equal(lengths, 36 * 8)
    else:
        assert lengths[0] < lengths[1]  # of a constant
        assert lengths[1] > 36 * 8  # noise has no shorter code, and there is a header
    scores = ood.input_complexity(model, x.astype(np.uint8), codec=codec, key=KEY)
    # The 200 nats are a float32's.
    np.testing.assert_allclose(scores, 36 * 8 - lengths, atol=1e-3)


def test_colours_have_a_code():
    x = RNG.integers(0, 256, (2, 4, 4, 3))
    assert (ood.code_length(x) > 4 * 4 * 3 * 8).all()


def test_gradients_are_those_of_the_formula(x64):
    model = to_float64(perturb(DiagonalNormal((2,)), KEY, 0.3))
    x = X.astype(np.float64)
    norms = ood.gradient_norms(model, x, batch_size=7)

    def squares(x):
        gradient = jax.grad(lambda model: model.log_prob(x))(model)
        return jnp.stack(
            [jnp.sum(leaf**2) for leaf in jax.tree.leaves(nnx.state(gradient, nnx.Param))]
        )

    expected = np.stack([squares(each) for each in x])
    expected = np.log(np.maximum(expected, np.finfo(np.float32).tiny))
    np.testing.assert_allclose(norms, expected, rtol=1e-12)
    assert norms.shape == (60, 2)


def test_gradients_of_a_bound_and_with_contexts():
    model = zoo.vae((6,), latents=2, hidden=(3,), context_features=2, rngs=nnx.Rngs(0))
    context = RNG.normal(size=(40, 2)).astype(np.float32)
    model = perturb(model, KEY, 0.3)
    norms = ood.gradient_norms(model, BITS, context, key=KEY)
    assert norms.shape == (40, len(jax.tree.leaves(nnx.state(model, nnx.Param))))
    assert np.isfinite(norms).all()
    other = ood.gradient_norms(model, BITS, context + 1.0, key=KEY)
    assert (norms != other).any(axis=1).all()


def test_regret_reaches_the_best_posterior():
    """Of one normal latent the best one is exact, and its bound the log-likelihood."""
    model, covariance = linear_vae(off=0.3)
    regret = ood.likelihood_regret(model, X, key=KEY, steps=300, learning_rate=0.05)
    keys = jax.random.split(jax.random.key(1), 4000)
    bound = np.mean([jax.vmap(lambda key: model.elbo(X, key))(keys)], axis=(0, 1))
    inverse = np.linalg.inv(covariance)
    exact = -0.5 * np.einsum("ni,ij,nj->n", X, inverse, X)
    exact -= 0.5 * math.log(np.linalg.det(2 * math.pi * covariance))
    # The encoder's bound is a mean of 256 draws, of which one deviates by a nat or two.
    np.testing.assert_allclose(regret, exact - bound, atol=0.1, rtol=0.2)
    np.testing.assert_allclose(regret.mean(), (exact - bound).mean(), rtol=0.05)
    perfect, _ = linear_vae()
    assert np.abs(ood.likelihood_regret(perfect, X, key=KEY)).max() < 0.05  # of Adam


def moved_models():
    """Models whose weights draw from one posterior of latents, or from more."""
    small = {"latents": 2, "hidden": (3,), "rngs": nnx.Rngs(0)}
    return {
        "flow": zoo.vae_iaf((6,), layers=1, layer_hidden=(4,), features=2, **small),
        "two layers": zoo.iwae((6,), layer_sizes=(3, 2), hidden=((3,), (3,)), rngs=nnx.Rngs(0)),
        "context": zoo.vae((6,), context_features=1, **small),
    }


@pytest.mark.parametrize("name", ["flow", "two layers", "context"])
def test_regret_of_every_posterior(name):
    model = perturb(moved_models()[name], KEY, 0.5)
    context = np.ones((len(BITS), 1), np.float32) if name == "context" else None
    regret = ood.likelihood_regret(model, BITS, context, key=KEY, steps=40, batch_size=len(BITS))
    assert (regret > 0).all()


def test_regret_grows_with_the_steps():
    model, _ = linear_vae(off=0.3)
    short, longer = (ood.likelihood_regret(model, X, key=KEY, steps=steps) for steps in (5, 50))
    assert 0 < short.mean() < longer.mean()


def test_the_path_is_that_of_the_posterior_and_the_decoder():
    model = perturb(zoo.vae((6,), latents=2, hidden=(3,), rngs=nnx.Rngs(0)), KEY, 0.3)
    path = ood.latent_path(model, BITS, key=KEY, draws=4000)
    centre = np.asarray(model.infer(BITS))
    draws = np.asarray([model.infer(BITS, key=key) for key in jax.random.split(KEY, 300)])
    lost = BITS - np.asarray(model.decode(centre))
    np.testing.assert_allclose(path[:, 0], np.linalg.norm(centre, axis=-1), rtol=1e-5)
    deviation = np.linalg.norm(draws.std(axis=0), axis=-1)
    np.testing.assert_allclose(path[:, 1], deviation, rtol=0.15)  # of 300 draws
    np.testing.assert_allclose(path[:, 2], np.linalg.norm(lost, axis=-1), rtol=1e-5)


def test_the_path_of_real_values_ends_in_what_the_decoder_expects():
    model, _ = linear_vae(off=0.2)
    path = ood.latent_path(model, X, key=KEY, draws=4000)
    mean, log_scale = (np.asarray(each) for each in model.posterior.as_normal(jnp.asarray(X)))
    np.testing.assert_allclose(path[:, 0], np.abs(mean[:, 0]), rtol=1e-5)
    np.testing.assert_allclose(path[:, 1], np.exp(log_scale[:, 0]), rtol=0.05)
    w, s = np.array([0.8, -1.5]), 0.6
    square = np.sum((X - mean * w) ** 2, axis=-1) + w @ w * np.exp(2 * log_scale[:, 0])
    expected = square / (2 * s**2) + np.log(2 * np.pi * s**2)
    np.testing.assert_allclose(path[:, 2], expected, rtol=0.05)


def test_scores_do_not_depend_on_units():
    scale = np.array([1.0, 1e6, 1e-6], np.float32)
    x = np.random.default_rng(2).normal(size=(80, 3)).astype(np.float32)
    x[:, 1] += x[:, 0]
    settings = TrainSettings(steps=20, batch_size=40, learning_rate=1e-2)
    makes = (
        lambda: zoo.vae((3,), levels=None, latents=2, hidden=(4,), rngs=nnx.Rngs(0)),
        lambda: zoo.maf((3,), layers=1, hidden=(4,), rngs=nnx.Rngs(0)),
    )
    for make in makes:
        one, other = (
            fit(make(), each, settings=settings, progress=False).model for each in (x, x * scale)
        )
        for name in ood.scores_of(one):
            pairs = ((one, x), (other, x * scale))
            scores, again = (
                ood.named_score(model, name, values[:40], key=KEY)(values[40:])
                for model, values in pairs
            )
            if name == "negative_log_likelihood":
                scores, again = (each - each.mean() for each in (scores, again))
            np.testing.assert_allclose(again, scores, rtol=2e-3, atol=2e-3, err_msg=name)


@pytest.mark.parametrize("kind", ["flow", "dequantized", "bits"])
def test_goodness_of_fit_is_the_statistic_of_one_example(kind):
    base = StandardNormal((50,))
    if kind == "flow":
        model, x = Flow(ActNorm((50,)), base), RNG.normal(size=(7, 50)).astype(np.float32)
        expected = [kstest(row, norm.cdf).statistic for row in x]
        np.testing.assert_allclose(ood.goodness_of_fit(model, x), expected, atol=1e-6)
        return
    if kind == "dequantized":  # of a wide normal in a single level: uniform noise, and its density
        model, x = Dequantized(Uniform((500,), 0.0, 4.0), 4), RNG.integers(0, 4, (7, 500))
        strange = np.full((7, 500), 2)
    else:
        model, x = zoo.made((500,), hidden=(4,), rngs=nnx.Rngs(0)), RNG.integers(0, 2, (7, 500))
        strange = np.ones((7, 500), int)
    # A statistic above 1.95 / sqrt(500) has a probability of 0.001.
    assert ood.goodness_of_fit(model, x, key=KEY, batch_size=3).max() < 1.95 / math.sqrt(500)
    assert ood.goodness_of_fit(model, strange, key=KEY).min() > 0.4


# --- detectors ---


def test_typicality_is_a_mahalanobis_distance():
    model, statistics = StandardNormal((2,)), (ood.negative_log_likelihood, lambda m, x, c, key: x)
    judge = ood.detector(model, X, statistics)
    table = np.column_stack([ood.negative_log_likelihood(model, X), X])
    other = np.column_stack([ood.negative_log_likelihood(model, FAR), FAR])
    oracle = EmpiricalCovariance().fit(table)
    np.testing.assert_allclose(judge(X), oracle.mahalanobis(table), rtol=1e-6)
    np.testing.assert_allclose(judge(FAR), oracle.mahalanobis(other), rtol=1e-6)
    np.testing.assert_array_equal(judge.reference, judge(X))


def copod(table, value):
    """The formula, tail by tail."""
    tails = []
    for column, t in zip(table.T, value, strict=True):
        left = (1 + np.sum(column <= t)) / (len(column) + 1)
        right = (1 + np.sum(column >= t)) / (len(column) + 1)
        skewness = np.mean((column - column.mean()) ** 3)
        tails.append((left, right, left if skewness < 0 else right))
    return np.max(-np.log(tails).sum(axis=0))


def test_copod_is_that_of_its_tails():
    def statistics(model, x, context=None, *, key=None):
        return np.column_stack([x, np.exp(x[:, 0]), -np.exp(x[:, 1]), np.round(x[:, 0])])

    judge = ood.detector(StandardNormal((2,)), X, [statistics], compare="copod")
    expected = [copod(statistics(None, X), each) for each in statistics(None, FAR)]
    np.testing.assert_allclose(judge(FAR), expected, rtol=1e-12)
    np.testing.assert_array_equal(judge(FAR)[:5], judge(FAR[:5]))  # whatever else is scored


def test_any_estimator_of_densities_compares():
    mixture = GaussianMixture(2, random_state=0)
    judge = ood.detector(StandardNormal((2,)), X, [lambda m, x, c, key: x], compare=mixture)
    standardized = (X - X.mean(axis=0)) / X.std(axis=0)
    oracle = GaussianMixture(2, random_state=0).fit(standardized)
    np.testing.assert_allclose(judge(X), -oracle.score_samples(standardized), rtol=1e-5)
    assert not hasattr(mixture, "means_")  # a copy was fitted
    assert judge(FAR).min() > judge(X).max()


@pytest.mark.parametrize("compare", ["typicality", "copod", GaussianMixture(1)])
def test_what_has_no_density_is_the_strangest(compare):
    def statistic(model, x, context=None, *, key=None):
        return np.where(x[:, 0] > 3, np.inf, x[:, 0])

    judge = ood.detector(StandardNormal((2,)), X[X[:, 0] < 3], [statistic], compare=compare)
    assert judge(FAR[FAR[:, 0] > 3]).min() >= judge(X).max()


def test_statistics_that_are_always_the_same_are_left_out():
    def statistics(model, x, context=None, *, key=None):
        return np.column_stack([x, np.ones(len(x))])

    model = StandardNormal((2,))
    for compare in ("typicality", "copod"):
        judge = ood.detector(model, X, [statistics], compare=compare)
        without = ood.detector(model, X, [lambda m, x, c, key: x], compare=compare)
        np.testing.assert_allclose(judge(FAR), without(FAR), rtol=1e-9)


def test_what_overflows_is_as_strange_as_can_be():
    far = np.concatenate([X[:3], [[1e38, 1.0]]]).astype(np.float32)
    assert np.isnan(score(Overflowing(), far)[3])
    for name in ("negative_log_likelihood", "typicality"):
        judge = ood.named_score(Overflowing(), name, X)
        with pytest.warns(UserWarning, match="1 of 4 examples, the first of them 3, are"):
            scores = judge(far)
        assert scores[3] == np.inf
        np.testing.assert_allclose(scores[:3], judge(X[:3]), rtol=1e-5)


# --- names ---


def test_every_score_works_with_a_users_own_model():
    names = ood.scores_of(Own())
    assert names == ["negative_log_likelihood", "typicality", "gradient_norms"]
    assert ood.scores_of(StandardNormal((2,)))[2] == "goodness_of_fit"
    for name in names:
        judge = ood.named_score(Own(), name, X)
        assert judge(FAR).mean() > judge(X).mean()


def test_scores_of_a_vae():
    model = perturb(zoo.vae((6,), latents=2, hidden=(3,), rngs=nnx.Rngs(0)), KEY, 0.3)
    assert ood.scores_of(model) == [
        "negative_log_likelihood",
        "typicality",
        "input_complexity",
        "gradient_norms",
        "latent_path",
        "likelihood_regret",
    ]
    for name in ood.scores_of(model):
        scores = ood.named_score(model, name, BITS, key=KEY)(BITS)
        assert scores.shape == (40,)
        assert np.isfinite(scores).all()


def helmholtz():
    return zoo.helmholtz((6,), layer_sizes=(3, 2), rngs=nnx.Rngs(0))


def codes():
    return zoo.vqvae((2, 2, 1), levels=2, codes=3, widths=(3,), prior="mixture", rngs=nnx.Rngs(0))


def half_infinite(model, x, context=None, *, key=None):
    return np.where(x > 0, x, np.inf)


def of_reals():
    return ood.detector(StandardNormal((2,)), X)


REFUSED = {
    "no density of levels": (
        lambda: ood.input_complexity(StandardNormal((2,)), X),
        TypeError,
        "only data of levels have a code, .* got StandardNormal without",
    ),
    "no posterior": (
        lambda: ood.latent_path(Flow(ActNorm((2,))), X, key=KEY),
        TypeError,
        "latent_path: only latent-variable models with a posterior .*a VAE.* got Flow",
    ),
    "codes": (
        lambda: ood.latent_path(codes(), np.zeros((3, 2, 2, 1), int), key=KEY),
        TypeError,
        "posterior of numbers .* got VAE",
    ),
    "draws without a gradient": (
        lambda: ood.likelihood_regret(helmholtz(), BITS, key=KEY),
        TypeError,
        "expected a posterior whose draws have a gradient, got a",
    ),
    "no parameters": (
        lambda: ood.gradient_norms(StandardNormal((2,)), X),
        TypeError,
        "expected a model with parameters, got StandardNormal",
    ),
    "no model": (lambda: ood.gradient_norms("glow", X), TypeError, "expected a model, got"),
    "no key of a bound": (
        lambda: ood.gradient_norms(helmholtz(), BITS),
        ValueError,
        "VAE has a random bound, so a key is needed",
    ),
    "no distribution function": (
        lambda: ood.goodness_of_fit(Own(), X),
        TypeError,
        "goodness_of_fit: only models that take data to .*conditional_cdf.* got Own",
    ),
    "no key for levels": (
        lambda: ood.goodness_of_fit(zoo.made((6,), hidden=(3,), rngs=nnx.Rngs(0)), BITS),
        ValueError,
        "a key is needed",
    ),
    "no key of draws": (
        lambda: ood.latent_path(linear_vae()[0], X),
        ValueError,
        "latents are drawn, so a key is needed",
    ),
    "one draw": (
        lambda: ood.latent_path(linear_vae()[0], X, key=KEY, draws=1),
        ValueError,
        "expected 2 draws or more, got 1",
    ),
    "no step": (
        lambda: ood.likelihood_regret(linear_vae()[0], X, key=KEY, steps=0),
        ValueError,
        "expected steps above 0, got 0",
    ),
    "a background of other events": (
        lambda: ood.likelihood_ratio(StandardNormal((2,)), X, background=StandardNormal((3,))),
        ShapeError,
        "StandardNormal",
    ),
    "no others": (
        lambda: ood.waic(StandardNormal((2,)), X, others=[]),
        ValueError,
        "expected another model at least",
    ),
    "another codec": (lambda: ood.code_length(BITS, "pgn"), ValueError, "'pgn'.*png"),
    "an image of no image": (
        lambda: ood.code_length(BITS, "png"),
        ValueError,
        r"png is for images .*\(40, 6\); 'lzma', 'bz2' and 'zlib'",
    ),
    "levels beyond bytes": (
        lambda: ood.code_length(BITS + 300, "lzma"),
        ValueError,
        "expected integers from 0 to 255, got int32 from 300 to 301",
    ),
    "no statistic": (
        lambda: ood.detector(StandardNormal((2,)), X, []),
        ValueError,
        "expected a statistic at least",
    ),
    "one example": (
        lambda: ood.detector(StandardNormal((2,)), X[:1]),
        ValueError,
        "a reference of 2 examples or more, got 1",
    ),
    "another comparison": (
        lambda: ood.detector(StandardNormal((2,)), X, compare="typical"),
        ValueError,
        "'typical'.*typicality.*an estimator with fit",
    ),
    "no estimator": (
        lambda: ood.detector(StandardNormal((2,)), X, compare=3),
        TypeError,
        "an estimator with fit and score_samples, got",
    ),
    "a statistic of another shape": (
        lambda: ood.detector(StandardNormal((2,)), X, [lambda m, x, c, key: x[:4]]),
        ShapeError,
        r"expected <lambda> to give \(60,\) or \(60, k\), got shape \(4, 2\)",
    ),
    "a statistic that is none": (
        lambda: ood.detector(StandardNormal((2,)), X, ["typicality"]),
        TypeError,
        "expected functions for statistics, got .*see named_score",
    ),
    "a statistic of other arguments": (
        lambda: ood.detector(StandardNormal((2,)), X, lambda x: x),
        TypeError,
        r"called as \(model, x, context, key=key\), but <lambda> has",
    ),
    "a statistic of words": (
        lambda: ood.detector(StandardNormal((2,)), X, lambda m, x, c, key: ["a"] * len(x)),
        TypeError,
        "what <lambda> gives",
    ),
    "an estimator that is not made": (
        lambda: ood.detector(StandardNormal((2,)), X, compare=GaussianMixture),
        TypeError,
        "an estimator with fit and score_samples, got",
    ),
    "a code that is none": (
        lambda: ood.code_length(BITS, lambda x: 3),
        TypeError,
        "expected codec to give bytes, got",
    ),
    "a model of NaN": (
        lambda: ood.negative_log_likelihood(Broken(), X),
        ValueError,
        "NaN for all of 60 examples; is the model finite",
    ),
    "scores without names": (
        lambda: ood.score_histogram(X[:, 0]),
        TypeError,
        "score_histogram: expected scores by the name of their set",
    ),
    "curves without names": (
        lambda: ood.roc_curves(X[:, 0], X[:, 1]),
        TypeError,
        "roc_curves: expected scores by the name of the score",
    ),
    "extremes of NaN": (
        lambda: ood.extremes(X, np.full(60, np.nan)),
        ValueError,
        "60 scores are NaN",
    ),
    "a fraction of examples": (
        lambda: ood.calibrate(X[:, 0]).false_alarms(10.5),
        ValueError,
        "false_alarms: expected a number of examples from 1, got 10.5",
    ),
    "a share in words": (lambda: ood.calibrate(X[:, 0], "a"), ValueError, "0 < alpha < 1, got 'a'"),
    "a negative seed": (
        lambda: ood.detection(X[:, 0], X[:, 1], seed=-1),
        ValueError,
        "seed",
    ),
    "a score of NaN": (
        lambda: ood.detection(X[:, 0] * np.nan, X[:, 1]),
        ValueError,
        "60 scores of examples inside are NaN",
    ),
    "a statistic of NaN": (
        lambda: ood.detector(StandardNormal((2,)), X, [lambda m, x, c, key: x * np.nan]),
        ValueError,
        "<lambda> is NaN for example 0",
    ),
    "an infinite reference": (
        lambda: ood.detector(StandardNormal((2,)), X, [half_infinite]),
        ValueError,
        "of 60 examples of the reference, the first of them .* statistics that are not finite",
    ),
    "nothing varies": (
        lambda: ood.detector(StandardNormal((2,)), X, [lambda m, x, c, key: np.ones(len(x))]),
        ValueError,
        "the same everywhere",
    ),
    "another name": (
        lambda: ood.named_score(StandardNormal((2,)), "typical"),
        ValueError,
        "'typical'.*typicality",
    ),
    "a score that the model has not": (
        lambda: ood.named_score(StandardNormal((2,)), "latent_path", X),
        TypeError,
        "latent_path: needs a posterior .*, which this StandardNormal lacks",
    ),
    "no reference": (
        lambda: ood.named_score(StandardNormal((2,)), "typicality"),
        ValueError,
        "expected a reference",
    ),
    "events of another shape": (lambda: of_reals()(X[:, :1]), ShapeError, r"got \(60, 1\)"),
    "no share": (lambda: ood.calibrate(X[:, 0], 1.0), ValueError, "0 < alpha < 1, got 1.0"),
    "no scores": (lambda: ood.calibrate(X[:0, 0]), ValueError, "a score at least"),
    "scores of NaN": (
        lambda: ood.calibrate(np.array([1.0, np.nan])),
        ValueError,
        "1 scores are NaN",
    ),
    "a table of scores": (lambda: ood.calibrate(X), ValueError, r"expected scores \(n,\)"),
    "no confidence": (
        lambda: ood.calibrate(X[:, 0]).false_alarms(10, 1.0),
        ValueError,
        "0 < confidence < 1",
    ),
    "no resample": (
        lambda: ood.detection(X[:, 0], X[:, 1], resamples=0),
        ValueError,
        "a resample at least",
    ),
    "nothing outside": (
        lambda: ood.detection(X[:, 0], X[:0, 1]),
        ValueError,
        "examples outside, one at least",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_mistakes_are_refused(case):
    call, error, said = REFUSED[case]
    with pytest.raises(error, match=said):
        call()


# --- thresholds ---


def own_scores():
    """Scores of three models of what they draw themselves."""
    flow = perturb(zoo.maf((3,), layers=2, hidden=(8,), rngs=nnx.Rngs(0)), KEY, 0.3)
    made = perturb(zoo.made((6,), hidden=(8,), rngs=nnx.Rngs(1)), KEY, 0.3)
    vae = perturb(zoo.vae((6,), latents=2, hidden=(4,), rngs=nnx.Rngs(2)), KEY, 0.3)
    for model in (flow, made, vae):
        x = np.asarray(jax.jit(type(model).sample, static_argnums=2)(model, KEY, 3000))
        judge = ood.named_score(model, "typicality", x[:500], key=KEY)
        yield judge(x[500:])


def test_false_alarms_lie_in_their_interval():
    """For 3 models, 20 seeds and 3 levels: of 180 intervals of 99.9 % each."""
    shares = {0.01: [], 0.05: [], 0.2: []}
    for scores in own_scores():
        for seed in range(20):
            order = np.random.default_rng(seed).permutation(len(scores))
            for alpha, found in shares.items():
                threshold = ood.calibrate(scores[order[:500]], alpha)
                alarms = threshold.alarms(scores[order[500:]])
                low, high = threshold.false_alarms(len(alarms), 0.999)
                assert alarms.sum() <= high
                if len(np.unique(scores)) == len(scores):  # ties make it too careful
                    assert alarms.sum() >= low
                found.append(alarms.mean())
    for alpha, found in shares.items():
        # An order's share deviates by sqrt(alpha (1 - alpha) / 500), and more than 20 are drawn.
        assert np.mean(found) < alpha + 4 * math.sqrt(alpha * (1 - alpha) / (500 * 20))
        assert np.mean(found) > 0.5 * alpha


def test_p_values_are_ranks():
    threshold = ood.calibrate(np.array([3.0, 1.0, 2.0]), 0.5)
    assert threshold.p_values(np.array([0.0, 1.0, 2.5, 3.0, 9.0])).tolist() == [
        1.0,
        1.0,
        0.5,
        0.5,
        0.25,
    ]
    scores = np.arange(99.0)
    for alpha in (0.01, 0.05, 0.5, 0.9):
        at = ood.calibrate(scores, alpha)
        new = np.concatenate([scores, scores + 0.5])
        np.testing.assert_array_equal(at.alarms(new), at.p_values(new) <= alpha + 1e-12)


def test_too_few_scores_for_a_share_raise_no_alarm():
    with pytest.warns(UserWarning, match=r"9 scores are too few for alpha=0.05, it takes 19"):
        threshold = ood.calibrate(np.arange(9.0), 0.05)
    assert not threshold.alarms(np.array([1e9, np.inf])).any()
    assert threshold.false_alarms(100) == (0, 0)
    assert ood.calibrate(np.arange(19.0), 0.05).alarms(np.array([1e9])).all()


def test_a_reference_of_which_one_row_is_far_off_is_refused():
    """All others would look alike, and what is a little strange typical."""
    reference = RNG.normal(size=(100, 2)).astype(np.float32)
    reference[7] = 1e5
    with pytest.raises(ValueError, match=r"the farthest of example 7: .* compare='copod'"):
        ood.named_score(StandardNormal((2,)), "typicality", reference)
    ranks = ood.detector(StandardNormal((2,)), reference, compare="copod")
    assert ranks(np.full((1, 2), 8.0)) > np.quantile(ranks.reference, 0.9)


def test_the_interval_is_beta_binomial():
    threshold = ood.calibrate(RNG.normal(size=99), 0.1)
    low, high = threshold.false_alarms(50, 0.9)
    law = betabinom(50, 10, 90)
    assert law.cdf(low - 1) <= 0.05 <= law.cdf(low)
    assert law.sf(high) <= 0.05 <= law.sf(high - 1)


# --- detection ---


@pytest.mark.parametrize("ties", [False, True])
def test_measures_are_those_of_scikit_learn(ties):
    rng = np.random.default_rng(1)
    inside, outside = rng.normal(size=300), rng.normal(size=200) + 1.0
    if ties:
        inside, outside = np.round(inside, 1), np.round(outside, 1)
    labels, scores = np.repeat([0, 1], [300, 200]), np.concatenate([inside, outside])
    result = ood.detection(inside, outside, resamples=50)
    assert result.auroc.value == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)
    assert result.aupr.value == pytest.approx(average_precision_score(labels, scores), abs=1e-12)
    false, found, _ = roc_curve(labels, scores, drop_intermediate=False)
    expected = false[np.searchsorted(found, 0.95)]
    assert result.false_positive_rate.value == pytest.approx(expected, abs=1e-12)
    ours = ood.roc(inside, outside)
    np.testing.assert_allclose(ours, (false, found), atol=1e-12)


def test_scores_beyond_the_largest_float32_are_strange():
    threshold = ood.calibrate(np.arange(99.0))
    found = threshold.p_values(np.array([1e30, 1e45, np.inf]))
    np.testing.assert_allclose(found, 0.01)


def test_infinite_scores_count():
    inside, outside = np.array([0.0, 1.0, np.inf]), np.array([2.0, np.inf])
    assert ood.detection(inside, outside, resamples=1).auroc.value == pytest.approx(4.5 / 6)


def test_intervals_hold_the_truth():
    """Of normals a unit apart, in 60 trials of 95 %: fewer than 50 has probability 2e-4."""
    truth, held = norm.cdf(1 / math.sqrt(2)), 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        drawn = rng.normal(size=150), rng.normal(size=150) + 1.0
        interval = ood.detection(*drawn, resamples=200, seed=seed).auroc
        held += interval.low <= truth <= interval.high
    assert 50 <= held < 60


def test_a_seed_says_which_resamples():
    scores = X[:, 0], X[:, 1]
    one, again, other = (ood.detection(*scores, resamples=20, seed=seed) for seed in (1, 1, 2))
    assert one == again
    assert one.auroc.low != other.auroc.low


# --- pictures ---


def test_figures():
    threshold = ood.calibrate(X[:, 0], 0.1)
    histogram = ood.score_histogram({"in": X[:, 0], "out": FAR[:, 0]}, threshold, label="height")
    axes = histogram.axes[0]
    assert axes.get_xlabel() == "height"
    assert len(axes.get_legend().get_texts()) == 3
    curve = ood.roc_curves({"one": X[:, 0], "two": X[:, 1]}, {"one": FAR[:, 0], "two": X[:, 0]})
    assert len(curve.axes[0].lines) == 3
    images = np.arange(25 * 16).reshape(25, 4, 4, 1)
    picture = ood.extremes(images, -np.arange(25.0), 400, num=2).axes[0].images[0].get_array()
    assert picture[0, 0] * 399 == pytest.approx(24 * 16)  # the least strange one stands first
    for call, said in (
        (lambda: ood.score_histogram({}), "sets of scores"),
        (lambda: ood.score_histogram({"a": np.array([np.inf])}), "a finite one"),
        (lambda: ood.roc_curves({"a": X[:, 0]}, {"b": X[:, 0]}), "the same scores"),
        (lambda: ood.extremes(images, np.arange(25.0), num=13), "2 x 13 examples"),
    ):
        with pytest.raises(ValueError, match=said):
            call()


def test_a_partial_is_a_statistic():
    bounded = functools.partial(ood.likelihood_ratio, background=StudentT((2,)))
    judge = ood.detector(StandardNormal((2,)), X, [bounded, ood.negative_log_likelihood])
    assert judge(FAR).min() > np.median(judge(X))
