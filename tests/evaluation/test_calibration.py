"""Calibration: uniform where the model is the source of the data, rejected where it is not."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from scipy import stats

from jaxgen import ShapeError, zoo
from jaxgen.bijectors import Standardize
from jaxgen.conditionals import MADE
from jaxgen.core import Buffer, replace
from jaxgen.evaluation import (
    Calibration,
    calibration_plot,
    coverage,
    highest_density_regions,
    integral_transform,
    simulation_based_calibration,
    tarp,
)
from jaxgen.evaluation.calibration.draws import ranked
from jaxgen.likelihoods import Bernoulli, Categorical, GaussianMixture, Normal
from jaxgen.models import (
    Autoregressive,
    ClassConditionalNormal,
    Dequantized,
    Flow,
    Logistic,
    Mixture,
    Model,
    StandardNormal,
)
from jaxgen.testing import perturb, to_float64

KEY = jax.random.key(0)
LEVELS = np.linspace(0.05, 0.95, 19)


class Posterior(Model):
    """A model of one's own: of a standard normal parameter seen in unit noise, at any width."""

    event_shape = (1,)
    context_shape = (1,)

    def __init__(self, width=1.0):
        self.width = Buffer(jnp.asarray(width))

    def _scale(self):
        return self.width[...] * math.sqrt(0.5)

    def log_prob(self, x, context=None, *, key=None):
        return jnp.sum(jax.scipy.stats.norm.logpdf(x, context / 2, self._scale()), -1)

    def sample(self, key, num_samples, context=None, *, method="auto", temperature=1.0):
        noise = jax.random.normal(key, (num_samples, *context.shape))
        return context / 2 + self._scale() * noise


def simulated(key, n, entries=1):
    """Parameters, and what is seen of them."""
    first, second = jax.random.split(key)
    theta = jax.random.normal(first, (n, entries))
    return np.asarray(theta), np.asarray(theta + jax.random.normal(second, (n, entries)))


def flow(rngs=0, **options):
    model = zoo.maf((2,), layers=1, hidden=(4,), rngs=nnx.Rngs(rngs), **options)
    return perturb(model, jax.random.key(1), 0.3)


def made(levels=2):
    likelihood = Bernoulli() if levels == 2 else Categorical(levels)
    network = MADE((3,), likelihood.num_params(()), hidden=(4,), rngs=nnx.Rngs(0))
    return perturb(Autoregressive(network, likelihood), jax.random.key(1), 0.5)


@functools.cache
def sampler():
    return jax.jit(lambda model, key, context: model.sample(key, 1, context)[0])


def of_contexts(model, key, n):
    """Contexts, and events drawn given them."""
    context = np.asarray(jax.random.normal(jax.random.fold_in(key, 1), (n, 1)))
    return np.asarray(sampler()(model, key, context)), context


@functools.cache
def many():
    return jax.jit(lambda model, key, n: model.sample(key, n), static_argnums=2)


def own(check, model, n=120, conditional=False, **options):
    """A seed to the p-value of a check of data that the model itself has drawn."""

    def p_value(seed):
        data_key, key = jax.random.split(jax.random.key(seed))
        x, context = np.asarray(many()(model, data_key, n)) if not conditional else None, None
        if conditional:
            x, context = of_contexts(model, data_key, n)
        return check(model, x, context, key=key, **options).p_values[0]

    return p_value


UNIFORM = {
    "regions of a flow": lambda: own(highest_density_regions, flow(), num_samples=307),
    "regions of bits": lambda: own(highest_density_regions, made(), num_samples=307),
    "regions given contexts": lambda: own(
        highest_density_regions, flow(context_features=1), conditional=True, num_samples=9
    ),
    "transform of a flow": lambda: own(integral_transform, flow()),
    "transform of bits": lambda: own(integral_transform, made()),
    "transform of levels": lambda: own(integral_transform, made(4)),
    "ranks": lambda: own(
        simulation_based_calibration, flow(context_features=1), conditional=True, num_samples=19
    ),
    "random regions": lambda: own(tarp, flow(context_features=1), conditional=True, num_samples=9),
    "regions of one's own": lambda: own(
        highest_density_regions, Posterior(), conditional=True, num_samples=9
    ),
}


@pytest.mark.parametrize("name", UNIFORM)
def test_p_values_of_the_source_itself_are_uniform(name):
    p_value = UNIFORM[name]()
    values = [p_value(seed) for seed in range(100)]
    assert stats.kstest(values, "uniform").pvalue > 1e-3
    assert 0.02 < np.mean(np.array(values) < 0.1) < 0.25


@pytest.mark.parametrize("check", [simulation_based_calibration, integral_transform])
def test_p_values_of_all_coordinates_together_are_no_smaller_than_uniform(check):
    """Of independent coordinates Šidák's is uniform; Bonferroni's is nearly so."""
    values = []
    for seed in range(100):
        key, data_key = jax.random.split(jax.random.key(seed))
        x = np.asarray(jax.random.normal(data_key, (100, 5)))
        labels = np.zeros(100, int)
        model = ClassConditionalNormal((5,), 1)
        options = {"num_samples": 19} if check is simulation_based_calibration else {}
        values.append(check(model, x, labels, key=key, **options).p_value)
    assert stats.kstest(values, "uniform", alternative="greater").pvalue > 1e-3
    if check is integral_transform:
        assert stats.kstest(values, "uniform").pvalue > 1e-3


def test_the_ranks_of_a_normal_are_those_of_chi_square():
    x = np.asarray(jax.random.normal(KEY, (300, 3)))
    result = highest_density_regions(
        StandardNormal((3,)), x, key=jax.random.key(1), num_samples=20000
    )
    expected = stats.chi2.cdf(np.sum(x.astype(float) ** 2, axis=1), 3)
    # By the inequality of Dvoretzky, Kiefer and Wolfowitz, but for one seed in a million.
    np.testing.assert_allclose(result.u, expected, atol=math.sqrt(math.log(2e6) / 40000))


def test_the_region_of_a_posterior_is_that_of_its_normal():
    theta, context = simulated(KEY, 50)
    options = {"key": jax.random.key(1), "num_samples": 5000}
    u = highest_density_regions(Posterior(2.0), theta, context, **options).u
    away = (theta - context / 2) / (2.0 * math.sqrt(0.5))
    expected = stats.chi2.cdf(away[:, 0].astype(float) ** 2, 1)
    np.testing.assert_allclose(u, expected, atol=math.sqrt(math.log(2e7) / 10000))
    ranks = simulation_based_calibration(Posterior(2.0), theta, context, **options)
    bound = math.sqrt(math.log(2e7) / 10000)
    np.testing.assert_allclose(ranks.u, stats.norm.cdf(away), atol=bound)


def test_random_regions_are_those_of_the_references():
    """On a line, around a reference far below, a ball is a half line."""
    theta, context = simulated(KEY, 50)
    options = {"key": jax.random.key(1), "num_samples": 5000}
    below = np.full_like(theta, -100.0) + context
    u = tarp(Posterior(), theta, context, references=below, **options).u
    expected = stats.norm.cdf((theta - context / 2) / math.sqrt(0.5))[:, 0]
    np.testing.assert_allclose(u, expected, atol=math.sqrt(math.log(2e7) / 10000))


def test_the_transform_of_a_known_mixture(x64):
    weights, means, scales = np.array([0.2, 0.8]), np.array([-1.0, 2.0]), np.array([0.5, 1.5])
    network = MADE((2,), 6, hidden=(4,), rngs=nnx.Rngs(0))
    model = Autoregressive(network, GaussianMixture(2))
    # The head spreads its means over -1 and 1 by itself.
    start = np.concatenate([np.log(weights), means - [-1.0, 1.0], np.log(scales)])
    border = replace(model.border, start=Buffer(jnp.broadcast_to(jnp.asarray(start), (2, 6))))
    x = np.random.default_rng(0).normal(size=(40, 2))
    u = integral_transform(replace(model, border=border), x, key=KEY, batch_size=7).u
    expected = stats.norm.cdf((x[..., None] - means) / scales) @ weights
    np.testing.assert_allclose(u, expected, rtol=1e-12)


def test_the_transform_of_a_mixture_weighs_its_components_by_what_came_before(x64):
    model = to_float64(Mixture((2,), Normal(), 2, rngs=nnx.Rngs(0)))
    x = np.random.default_rng(0).normal(size=(30, 2))
    means, scales = np.asarray(model.params[..., 0]), np.exp(np.asarray(model.params[..., 1]))
    density = stats.norm.pdf(x[:, None], means, scales)  # (30, component, entry)
    below = stats.norm.cdf(x[:, None], means, scales)
    weights = density[..., 0] / density[..., 0].sum(1, keepdims=True)
    expected = np.stack([below[..., 0].mean(1), np.sum(weights * below[..., 1], 1)], axis=1)
    np.testing.assert_allclose(integral_transform(model, x, key=KEY).u, expected, rtol=1e-12)


@pytest.mark.parametrize(
    ("base", "theirs"), [(StandardNormal, stats.norm), (Logistic, stats.logistic)]
)
def test_the_transform_of_a_flow_is_at_its_base(base, theirs, x64):
    model = Flow(Standardize((2,), mean=1.0, scale=2.0), base((2,)))
    x = np.random.default_rng(0).normal(size=(30, 2))
    result = integral_transform(model, x, key=KEY)
    np.testing.assert_allclose(result.u, theirs.cdf((x - 1.0) / 2.0), rtol=1e-12)
    each = [stats.kstest(column, "uniform").pvalue for column in result.u.T]
    np.testing.assert_allclose(result.p_values, each)
    assert result.p_value == pytest.approx(1 - (1 - min(each)) ** 2, rel=1e-9)


def test_levels_are_drawn_between_the_ends_of_their_jumps():
    model = made()
    x = np.asarray(many()(model, KEY, 200))
    below, up_to = map(np.asarray, model.conditional_cdf(x))
    u = integral_transform(model, x, key=KEY).u
    assert np.all((u >= below) & (u <= up_to))
    other = integral_transform(model, x, key=jax.random.key(1)).u
    assert not np.any(u == other)


def wrong_coordinate(x):
    return x * np.array([1.0, 1.6], x.dtype)


REJECTED = {
    "regions, one wrong scale": (highest_density_regions, wrong_coordinate),
    "transform, one wrong scale": (integral_transform, wrong_coordinate),
    "regions, shifted": (highest_density_regions, lambda x: x + x.std(0)),
    "transform, shifted": (integral_transform, lambda x: x + 0.5 * x.std(0)),
}


@pytest.mark.parametrize("name", REJECTED)
def test_a_flow_that_is_wrong_is_rejected(name):
    check, change = REJECTED[name]
    x = change(np.asarray(many()(flow(), KEY, 1000)))
    result = check(flow(), x, key=jax.random.key(1))
    assert result.p_value < 1e-4
    if name == "transform, one wrong scale":
        assert result.p_values.max() > 1e-3


@pytest.mark.parametrize("levels", [2, 4])
def test_an_autoregressive_model_with_one_wrong_weight_is_rejected(levels):
    model = made(levels)
    start = model.border.start[...].at[2, 0].add(1.5)
    wrong = replace(model, border=replace(model.border, start=Buffer(start)))
    x = np.asarray(many()(model, KEY, 1000))
    result = integral_transform(wrong, x, key=jax.random.key(1))
    assert result.p_value < 1e-4
    assert np.argmin(result.p_values) == 2
    assert result.p_values[:2].min() > 1e-3


@pytest.mark.parametrize("check", [highest_density_regions, simulation_based_calibration, tarp])
def test_a_posterior_of_another_width_is_rejected(check):
    theta, context = simulated(KEY, 1000)
    results = {
        width: check(Posterior(width), theta, context, key=jax.random.key(1))
        for width in (0.6, 1.0, 1.6)
    }
    assert results[1.0].p_value > 1e-3
    assert results[0.6].p_value < 1e-4
    assert results[1.6].p_value < 1e-4
    if check is highest_density_regions:
        inside = {width: coverage(result.u, [0.5])[0] for width, result in results.items()}
        for width, share in inside.items():
            expected = 2 * stats.norm.cdf(width * stats.norm.ppf(0.75)) - 1
            assert abs(share - expected) < 5 * math.sqrt(0.25 / 1000) + 0.02
        assert inside[0.6] < 0.5 < inside[1.6]


def test_a_dependence_that_is_missed_shows_in_regions_and_not_in_coordinates():
    """What the docstring of the transform says."""
    x = np.asarray(jax.random.normal(KEY, (1000, 1))) * np.ones((1, 2), np.float32)
    model = StandardNormal((2,))
    assert integral_transform(model, x, key=KEY).p_value > 1e-3
    assert highest_density_regions(model, x, key=KEY).p_value < 1e-4


def test_a_prior_is_no_posterior_by_references_that_know_the_context():
    theta, context = simulated(KEY, 1000)
    options = {"key": jax.random.key(1), "num_samples": 50}

    class Prior(Posterior):
        def sample(self, key, num_samples, context=None, *, method="auto", temperature=1.0):
            return jax.random.normal(key, (num_samples, *context.shape))

    assert tarp(Prior(), theta, context, **options).p_value > 1e-3
    assert simulation_based_calibration(Prior(), theta, context, **options).p_value > 1e-3
    assert tarp(Prior(), theta, context, references=context, **options).p_value < 1e-4


def test_models_with_a_bound_are_ranked_by_it():
    model = perturb(zoo.vae((3,), latents=1, hidden=(4,), rngs=nnx.Rngs(0)), KEY, 0.5)
    x = np.asarray(many()(model, KEY, 300))
    options = {"key": jax.random.key(1), "num_samples": 600}
    for weights in (1, 5):
        result = highest_density_regions(model, x, num_weights=weights, **options)
        assert result.p_value > 1e-3
    assert highest_density_regions(model, 1 - x, num_weights=5, **options).p_value < 1e-4


def test_chunks_change_draws_and_nothing_else():
    """Also where the last is not full, and where there is one for every context."""
    theta, context = simulated(KEY, 17)
    for size in (1, 60, 10_000):
        options = {"key": jax.random.key(1), "batch_size": size}
        sbc = simulation_based_calibration(Posterior(), theta, context, num_samples=20, **options)
        assert sbc.ranks.shape == (17, 1)
        # 17 ranks are close to those of the exact posterior.
        exact = stats.norm.cdf((theta - context / 2) / math.sqrt(0.5))
        assert np.abs(sbc.u - exact).max() < 0.55
        for check in (highest_density_regions, tarp):
            u = check(Posterior(), theta, context, num_samples=20, **options).u
            assert np.all((u > 0) & (u < 1))


def test_ties_are_broken_at_random():
    values, truth = np.zeros((20000, 4)), np.zeros(20000)
    ranks, u = ranked(values, truth, KEY)
    assert stats.chisquare(np.bincount(ranks, minlength=5)).pvalue > 1e-3
    assert stats.kstest(u, "uniform").pvalue > 1e-3
    # All events of fair coins are as likely as each other.
    coins = Autoregressive(MADE((3,), 1, hidden=(4,), rngs=nnx.Rngs(0)), Bernoulli())
    x = np.asarray(many()(coins, KEY, 500))
    assert highest_density_regions(coins, x, key=KEY).p_value > 1e-3


def test_coverage_counts():
    np.testing.assert_array_equal(coverage([0.1, 0.5, 0.9], [0.1, 0.2, 0.95]), [1 / 3, 1 / 3, 1.0])
    u = np.random.default_rng(0).uniform(size=(50, 3))
    expected = (u[None] <= LEVELS[:, None, None]).mean(axis=1)
    np.testing.assert_array_equal(coverage(u, LEVELS), expected)


def test_a_result_says_what_it_is():
    x = np.asarray(many()(flow(), KEY, 100))
    result = integral_transform(flow(), x, key=KEY)
    worst = int(np.argmin(result.p_values))
    assert str(result).startswith(f"integral transform: p = {result.p_value:.3g} (Kolmogorov-Smirn")
    assert str(result).endswith(f", the worst of 2 coordinates {worst}; 100 examples)")
    regions = highest_density_regions(flow(), x, key=KEY, num_samples=300)
    assert str(regions).endswith("; 100 examples, 300 draws)")
    assert regions.effective_size == 75.0
    assert len(repr(regions)) < 300


def test_no_p_value_is_zero():
    result = Calibration("ranks", np.zeros(3), "chi-square", 1e9, 0.0, np.zeros(1), 3.0)
    assert "ranks: p < 2e-308 (chi-square" in str(result)


def test_pictures_show_the_numbers_and_their_bands():
    theta, context = simulated(KEY, 1000)
    results = [
        highest_density_regions(Posterior(width), theta, context, key=KEY) for width in (1.0, 0.4)
    ]
    figure = calibration_plot(results, bins=10)
    assert len(figure.axes) == 4
    for result, (bars, curve) in zip(results, (figure.axes[:2], figure.axes[2:]), strict=True):
        heights = bars.patches[-1].get_data().values
        np.testing.assert_allclose(heights, np.histogram(result.u, 10, (0, 1))[0] / 100)
        (low, high) = bars.patches[0].get_bbox().intervaly
        inside = np.all((heights >= low) & (heights <= high))
        levels, covered = curve.lines[-1].get_data()
        np.testing.assert_allclose(covered[1:-1], np.arange(1, 1001) / 1000)
        band = curve.collections[0].get_paths()[0].get_extents()
        margin = -band.y0
        assert margin == pytest.approx(stats.kstwo.ppf(0.99, 1000))
        assert (np.abs(covered - levels).max() < margin) == inside == (result is results[0])
    wide = integral_transform(StandardNormal((12,)), np.zeros((5, 12), np.float32), key=KEY)
    assert len(calibration_plot(wide).axes[1].lines) == 1 + 8


NO_CDF = {
    "a VAE": lambda: zoo.vae((3,), latents=1, hidden=(4,), rngs=nnx.Rngs(0)),
    "a dequantized flow": lambda: Dequantized(Flow(Standardize((3,))), 4),
    "one's own": Posterior,
}


@pytest.mark.parametrize("name", NO_CDF)
def test_a_model_without_a_distribution_function_is_refused_in_one_line(name):
    model = NO_CDF[name]()
    x = np.zeros((4, *model.event_shape), int if model.levels else np.float32)
    context = None if model.context_shape is None else np.zeros((4, 1))
    with pytest.raises(TypeError, match="only models that take data to independent") as caught:
        integral_transform(model, x, context, key=KEY)
    assert "\n" not in str(caught.value)
    assert "Autoregressive" in str(caught.value)


X, THETA = np.zeros((5, 2), np.float32), np.zeros((5, 1), np.float32)
NORMAL = StandardNormal((2,))
MISTAKES = {
    "levels": (lambda: coverage([0.5], [0.0]), ValueError, "levels between 0 and 1, got 0"),
    "level of NaN": (lambda: coverage([0.5], [np.nan]), ValueError, "between 0 and 1, got nan"),
    "shape of levels": (lambda: coverage([0.5], 0.5), ShapeError, r"shape \(k,\), got \(\)"),
    "u": (lambda: coverage([1.5], [0.5]), ValueError, "u from 0 to 1, got 1.5"),
    "u of NaN": (lambda: coverage([np.nan], [0.5]), ValueError, "u from 0 to 1, got nan"),
    "no u": (lambda: coverage([], [0.5]), ShapeError, "one example at least"),
    "no draws": (
        lambda: highest_density_regions(NORMAL, X, key=KEY, num_samples=0),
        ValueError,
        "highest_density_regions: expected num_samples >= 1, got 0",
    ),
    "no draws of each": (
        lambda: simulation_based_calibration(Posterior(), THETA, THETA, key=KEY, num_samples=0),
        ValueError,
        "expected num_samples >= 1, got 0",
    ),
    "half a draw": (
        lambda: tarp(Posterior(), THETA, THETA, key=KEY, num_samples=1.5),
        ValueError,
        "expected an integer num_samples",
    ),
    "no weights": (
        lambda: highest_density_regions(NORMAL, X, key=KEY, num_weights=0),
        ValueError,
        "expected num_weights >= 1",
    ),
    "no batch": (
        lambda: integral_transform(NORMAL, X, key=KEY, batch_size=0),
        ValueError,
        "expected batch_size >= 1",
    ),
    "no example": (lambda: integral_transform(NORMAL, X[:0], key=KEY), ValueError, "got none"),
    "one example": (
        lambda: tarp(Posterior(), THETA[:1], THETA[:1], key=KEY),
        ValueError,
        "two examples or more",
    ),
    "another shape": (
        lambda: highest_density_regions(NORMAL, X[:, :1], key=KEY),
        ShapeError,
        r"expected x of shape \(n, 2\), got \(5, 1\)",
    ),
    "no model": (lambda: integral_transform("flow", X, key=KEY), TypeError, "expected a model"),
    "no key": (lambda: integral_transform(NORMAL, X, key=None), ValueError, "a key is needed"),
    "a number as key": (lambda: integral_transform(NORMAL, X, key=3), TypeError, "key"),
    "no context": (
        lambda: highest_density_regions(Posterior(), THETA, key=KEY),
        ShapeError,
        "this Posterior is conditional; pass the contexts",
    ),
    "a context too many": (
        lambda: highest_density_regions(NORMAL, X, THETA, key=KEY),
        ShapeError,
        "unconditional, but a context was given",
    ),
    "contexts of fewer": (
        lambda: tarp(Posterior(), THETA, THETA[:3], key=KEY),
        ShapeError,
        r"expected context for each of 5 examples, got shape \(3, 1\)",
    ),
    "an unconditional posterior": (
        lambda: simulation_based_calibration(NORMAL, X, None, key=KEY),
        TypeError,
        "only conditional models are posteriors, got an unconditional StandardNormal",
    ),
    "NaN": (lambda: integral_transform(NORMAL, X * np.nan, key=KEY), ValueError, "10 NaN or inf"),
    "a context of NaN": (
        lambda: tarp(Posterior(), THETA, THETA * np.nan, key=KEY),
        ValueError,
        "the contexts hold NaN",
    ),
    "draws of NaN": (
        lambda: tarp(Posterior(np.nan), THETA, THETA, key=KEY),
        ValueError,
        "are NaN, the first of row 0",
    ),
    "densities of NaN": (
        lambda: highest_density_regions(Posterior(0.0), THETA, THETA, key=KEY),
        ValueError,
        "log-densities are NaN",
    ),
    "references": (
        lambda: tarp(Posterior(), THETA, THETA, key=KEY, references=X),
        ShapeError,
        r"expected references of shape \(5, 1\)",
    ),
    "no results": (lambda: calibration_plot([]), ValueError, "a result or more, got none"),
    "confidence": (
        lambda: calibration_plot(integral_transform(NORMAL, X, key=KEY), confidence=1.0),
        ValueError,
        "a confidence between 0 and 1",
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes(name):
    act, error, said = MISTAKES[name]
    with pytest.raises(error, match=said):
        act()
