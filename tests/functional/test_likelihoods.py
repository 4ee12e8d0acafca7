"""Likelihoods against distrax, and where their parameters are extreme."""

import distrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import registry
from jax.extend.core import jaxprs_in_params

from jaxgen.functional import dequantization, likelihoods
from jaxgen.likelihoods import (
    Bernoulli,
    Categorical,
    DiscretizedLogisticMixture,
    GaussianMixture,
    Normal,
)


def position_of(likelihood):
    """Two entries, or one where the entries depend on each other, as in no distrax distribution."""
    return (1,) if isinstance(likelihood, DiscretizedLogisticMixture) else (2,)


def example(likelihood, grid=(3,), seed=0):
    rng = np.random.default_rng(seed)
    position = position_of(likelihood)
    params = jnp.asarray(rng.normal(size=(*grid, likelihood.num_params(position))))
    shape = (*grid, *position)
    if likelihood.levels is None:
        return jnp.asarray(rng.normal(size=shape)), params
    return jnp.asarray(rng.integers(0, int(min(likelihood.levels, 8)), shape)), params


# Those that distrax has; counts are beside SciPy's in test_counts.py, columns in test_columns.py.
IN_DISTRAX = [
    name
    for name, make in registry.LIKELIHOODS.items()
    if make().levels != np.inf and name != "columns"
]


@pytest.mark.parametrize("name", IN_DISTRAX)
def test_log_prob_is_distrax_summed_over_the_position(name, x64):
    likelihood = registry.LIKELIHOODS[name]()
    value, params = example(likelihood)

    @jax.jit
    def theirs(value, params):
        return likelihood.distribution(params, position_of(likelihood)).log_prob(value).sum(-1)

    ours = jax.jit(likelihood.log_prob)(value, params)
    np.testing.assert_allclose(ours, theirs(value, params), rtol=1e-9)


@pytest.mark.parametrize("name", [name for name in registry.LIKELIHOODS if name != "columns"])
def test_axes_of_one_entry_change_nothing(name):
    """As images of one channel have, which heads leave out where they would slow a loop."""
    likelihood = registry.LIKELIHOODS[name]()
    rng = np.random.default_rng(0)
    params = jnp.asarray(rng.normal(size=(4, 3, likelihood.num_params(()))), jnp.float32)
    value = rng.normal(size=(4, 3)) if likelihood.levels is None else rng.integers(0, 2, (4, 3))
    value = jnp.asarray(value, jnp.float32 if likelihood.levels is None else jnp.uint8)
    expected = likelihood.log_prob(value, params)
    for axes in (1, 2):
        found = likelihood.log_prob(value.reshape(4, 3, *axes * (1,)), params)
        np.testing.assert_array_equal(found, expected)


# Of mixtures and categories the last axis is that of the components.
@pytest.mark.parametrize("name", ["bernoulli", "normal", "poisson", "negative binomial"])
def test_no_loop_runs_along_an_axis_of_one_entry(name):
    """XLA's take a number at a time there, and those of these functions are the most of a head."""
    likelihood = registry.LIKELIHOODS[name]()
    params = jnp.zeros((7, 5, likelihood.num_params((1,))))
    value = jnp.zeros((7, 5, 1), jnp.float32 if likelihood.levels is None else jnp.int32)

    def equations(jaxpr):
        for equation in jaxpr.eqns:
            yield equation
            for inner in jaxprs_in_params(equation.params):
                yield from equations(inner)

    derivative = jax.grad(lambda params: likelihood.log_prob(value, params).sum())
    costly = {"exp", "log", "log1p", "logistic"}
    found = [
        equation.outvars[0].aval.shape
        for equation in equations(jax.make_jaxpr(derivative)(params).jaxpr)
        if equation.primitive.name in costly and equation.outvars[0].aval.size >= 35
    ]
    assert found
    assert all(shape[-1] > 1 for shape in found), found


def test_levels_in_half_precision_are_levels():
    head, params = DiscretizedLogisticMixture(256, 1), jnp.array([0.0, 0.99, -7.0])
    for level in (129, 254):
        expected = head.log_prob(jnp.uint8(level), params)
        assert head.log_prob(jnp.bfloat16(level), params) == expected
        assert head.cdf(jnp.bfloat16(level), params)[1] == head.cdf(jnp.uint8(level), params)[1]


@pytest.mark.parametrize("name", registry.LIKELIHOODS)
def test_the_cdf_is_that_of_the_log_prob(name, x64):
    """Its jumps, or where values are real its slopes, make the probability of a position."""
    likelihood = registry.LIKELIHOODS[name]()
    assert likelihood.has_cdf
    rng = np.random.default_rng(1)
    if name == "columns":
        params = jnp.asarray(rng.normal(size=(6, 3, likelihood.num_params(()))))
        value = jnp.asarray(np.stack([rng.normal(size=6), np.arange(6) % 2, np.arange(6) % 3], -1))
    else:
        value, params = example(likelihood)
    tangent = jnp.ones_like(value) if jnp.issubdtype(value.dtype, jnp.floating) else None

    @jax.jit
    def both(value, params):
        below, up_to = likelihood.cdf(value, params)
        slope = jnp.zeros_like(up_to)
        if tangent is not None:
            slope = jax.jvp(lambda v: likelihood.cdf(v, params)[1], (value,), (tangent,))[1]
        return below, up_to, slope

    below, up_to, slope = map(np.asarray, both(value, params))
    if likelihood.levels is not None:  # of bytes, too
        again = likelihood.cdf(value.astype(jnp.uint8), params)
        np.testing.assert_allclose(again, (below, up_to), rtol=1e-12)
    assert below.shape == up_to.shape == value.shape
    assert np.all((below >= 0) & (up_to <= 1) & (below <= up_to))
    mass = np.where(up_to > below, up_to - below, slope)
    mass = mass.reshape(*params.shape[:-1], -1).prod(-1)
    np.testing.assert_allclose(mass, np.exp(likelihood.log_prob(value, params)), rtol=1e-6)


@pytest.mark.parametrize("name", IN_DISTRAX)
def test_samples_have_distrax_means(name):
    likelihood = registry.LIKELIHOODS[name]()
    (_, params), position = example(likelihood), position_of(likelihood)
    many = jnp.broadcast_to(params, (20000, *params.shape))
    noise = likelihood.noise(jax.random.key(0), (20000, 3, *position), params.dtype)
    sample = jax.jit(likelihood.sample, static_argnums=2)
    samples = np.asarray(sample(many, noise, position), np.float64)
    distribution = likelihood.distribution(params, position)
    if isinstance(distribution, distrax.Categorical):
        probs = np.asarray(distribution.probs)
        mean = probs @ np.arange(5)
    else:
        mean = np.asarray(distribution.mean())
    error = samples.std(0) / np.sqrt(len(samples))
    assert np.all(np.abs(samples.mean(0) - mean) < 5 * error + 1e-6)


@pytest.mark.parametrize("logit", [-1e3, 1e3])
@pytest.mark.parametrize("value", [0.0, 1.0])
def test_bernoulli_with_extreme_logits(logit, value):
    score, slope = jax.value_and_grad(likelihoods.bernoulli_log_prob, argnums=1)(value, logit)
    agrees = (logit > 0) == (value == 1.0)
    assert score == (0.0 if agrees else -1e3)
    assert slope == (0.0 if agrees else value - (logit > 0))
    assert likelihoods.bernoulli_sample(jnp.array(logit), jnp.array(0.5)) == (logit > 0)


def test_categorical_with_extreme_logits():
    logits = jnp.array([1e3, 0.0, -1e3])
    run = jax.value_and_grad(likelihoods.categorical_log_prob, argnums=1)
    for level, expected in enumerate([0.0, -1e3, -2e3]):
        score, slope = run(jnp.array(level), logits)
        assert score == expected
        np.testing.assert_array_equal(slope, np.eye(3)[level] - np.eye(3)[0])


def test_categorical_shift_of_logits_changes_nothing():
    logits = jnp.array([0.3, -0.2, 1.0])
    scores = [
        float(likelihoods.categorical_log_prob(jnp.array(1), logits + c)) for c in (0.0, 50.0)
    ]
    assert scores[0] == pytest.approx(scores[1], abs=1e-5)


def test_normal_far_out():
    score, slope = jax.value_and_grad(likelihoods.normal_log_prob)(1e3, 0.0, 0.0)
    assert score == pytest.approx(-0.5e6, rel=1e-5)
    assert slope == -1e3


def test_mixture_components_part_at_the_first_step():
    slopes = jax.grad(lambda params: GaussianMixture(3).log_prob(jnp.array(0.7), params))
    logits, means, log_scales = jnp.split(slopes(jnp.zeros(9)), 3)
    for slope in (logits, means, log_scales):
        assert len(set(np.asarray(slope).round(4).tolist())) == 3


def test_mixture_of_one_component_is_a_normal():
    value, params = jnp.array([0.3, -2.0]), jnp.array([[5.0, 0.5, -0.3], [1.0, 2.0, 0.1]])
    np.testing.assert_allclose(
        GaussianMixture(1).log_prob(value, params), Normal().log_prob(value, params[:, 1:]), 1e-6
    )


def test_mixture_far_out():
    params = jnp.array([1e3, -1e3, 0.0, 0.0, 0.0, 0.0])
    run = jax.value_and_grad(lambda value, params: GaussianMixture(2).log_prob(value, params), 1)
    for value in (1e3, -1e3):
        score, slope = run(jnp.array(value), params)
        # The first component has all the weight, and its mean is at -1.
        assert score == pytest.approx(-0.5 * (value + 1) ** 2, rel=1e-5)
        assert np.isfinite(slope).all()


def test_quantize_clips_to_the_nearest_level():
    values = jnp.array([-7.0, -1e-6, 0.0, 0.999, 1.0, 3.999, 4.0, 1e6])
    levels = dequantization.quantize(values, 4)
    assert levels.tolist() == [0, 0, 0, 0, 1, 3, 3, 3]
    assert levels.dtype == jnp.int32


def test_dequantizing_and_quantizing_again_changes_nothing():
    x = jnp.arange(256)
    noise = dequantization.uniform_noise(jax.random.key(0), x.shape)
    assert dequantization.quantize(x + noise, 256).tolist() == x.tolist()


@pytest.mark.parametrize(
    ("likelihood", "value", "message"),
    [
        (Bernoulli(), jnp.array([0, 2]), "values 0 and 1, got 2"),
        (Categorical(3), jnp.array([0, 3]), "levels from 0 to 2, got values from 0 to 3"),
        (Categorical(3), jnp.array([0.0]), "expected integer levels 0..2, got float32"),
        (Normal(), jnp.array([1]), "expected real values, got int32"),
        (GaussianMixture(2), jnp.array([1]), "GaussianMixture: expected real values, got int32"),
    ],
)
def test_values_outside_the_support_are_refused(likelihood, value, message):
    with pytest.raises(ValueError, match=message):
        likelihood.check(value)


def test_no_components_are_refused():
    with pytest.raises(ValueError, match="for components, got 0"):
        GaussianMixture(0)


def test_one_level_is_refused():
    with pytest.raises(ValueError, match="at least 2 levels, got 1"):
        Categorical(1)


def logistic_cdf(x, mean, log_scale):
    return 1.0 / (1.0 + np.exp(-(x - mean) / np.exp(log_scale)))


@pytest.mark.parametrize("levels", [2, 3, 256])
def test_a_discretized_logistic_is_a_difference_of_sigmoids(levels, x64):
    value = np.arange(levels)
    x, half = 2.0 * value / (levels - 1) - 1.0, 1.0 / (levels - 1)
    upper = np.where(value == levels - 1, 1.0, logistic_cdf(x + half, 0.3, -1.2))
    lower = np.where(value == 0, 0.0, logistic_cdf(x - half, 0.3, -1.2))
    got = likelihoods.discretized_logistic_log_prob(value, 0.3, -1.2, levels)
    np.testing.assert_allclose(got, np.log(upper - lower), rtol=1e-9)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("log_scale", [-7.0, 0.0, 20.0])
@pytest.mark.parametrize("mean", [-1e3, -1.0, 0.0, 50.0])
def test_a_discretized_logistic_in_its_tails(mean, log_scale, dtype, x64):
    value = jnp.arange(256)
    mean, log_scale = jnp.asarray(mean, dtype), jnp.asarray(log_scale, dtype)
    score, slopes = jax.vmap(
        jax.value_and_grad(likelihoods.discretized_logistic_log_prob, (1, 2)),
        (0, None, None, None),
    )(value, mean, log_scale, 256)
    assert score.dtype == dtype
    tolerance = 1e-9 if dtype == "float64" else 1e-4
    np.testing.assert_allclose(jax.nn.logsumexp(score), 0.0, atol=tolerance)
    assert np.all(np.isfinite(score))
    assert np.all(np.isfinite(slopes))
    # Far out in a tail the log-probability falls by 1 for each scale, instead of running into -inf.
    if mean == 50.0 and log_scale == 0.0:
        np.testing.assert_allclose(np.diff(score[1:-1]), 2.0 / 255.0, rtol=0.02)


@pytest.mark.parametrize("levels", [17, 256, 65536])
def test_a_discretized_logistic_can_be_sure_of_one_of_many_levels(levels, x64):
    head, value = DiscretizedLogisticMixture(levels, components=1), jnp.array(levels // 3)
    sure = jnp.array([0.0, head.encode(value), -100.0])
    assert -head.log_prob(value, sure) / np.log(2.0) < 0.05


def test_channels_of_a_discretized_logistic_mixture_sum_to_one_and_depend_in_order(x64):
    head = DiscretizedLogisticMixture(4, components=2)
    params = jax.random.normal(jax.random.key(0), (head.num_params((3,)),))
    pixels = jnp.stack(jnp.meshgrid(*[jnp.arange(4)] * 3, indexing="ij"), -1)
    log_prob = jax.jit(head.log_prob)
    table = np.exp(log_prob(pixels, jnp.broadcast_to(params, (4, 4, 4, params.size))))
    np.testing.assert_allclose(table.sum(), 1.0, rtol=1e-12)
    # The law of the second channel given the first moves with the first, and so on.
    second = table.sum(2) / table.sum((1, 2))[:, None]
    third = table / table.sum(2, keepdims=True)
    assert np.ptp(second, axis=0).max() > 0.01
    assert np.ptp(third, axis=0).max() > 0.01
    assert np.ptp(third, axis=1).max() > 0.01
    # What is drawn has these frequencies.
    many = jnp.broadcast_to(params, (200_000, params.size))
    noise = head.noise(jax.random.key(1), (200_000, 3), params.dtype)
    drawn = np.asarray(jax.jit(head.sample, static_argnums=2)(many, noise, (3,)))
    counts = np.zeros((4, 4, 4))
    np.add.at(counts, tuple(drawn.T), 1.0 / len(drawn))
    error = np.sqrt(np.asarray(table) * (1 - np.asarray(table)) / len(drawn))
    assert np.max(np.abs(counts - table) / (error + 1e-6)) < 5.0
    with pytest.raises(ValueError, match="depend on each other"):
        head.distribution(params, (3,))


@pytest.mark.parametrize("top_p", [0.1, 0.5, 0.8, 0.999])
def test_the_nucleus_is_the_smallest_set_with_that_probability(top_p):
    logits = jax.random.normal(jax.random.key(0), (50, 6))
    kept = np.isfinite(likelihoods.nucleus(logits, top_p))
    share = np.asarray(jax.nn.softmax(logits))
    inside = np.where(kept, share, 0.0)
    assert np.all(inside.sum(-1) >= top_p)
    least = np.where(kept, share, 2.0).min(-1)
    assert np.all(inside.sum(-1) - least < top_p)
    assert np.all(np.where(kept, 0.0, share).max(-1) <= least)


@pytest.mark.parametrize("head", [Bernoulli(), Categorical(4)], ids=["bernoulli", "categorical"])
def test_a_head_with_a_nucleus(head):
    params = jax.random.normal(jax.random.key(0), (2000, 3, head.num_params(())))
    noise = head.noise(jax.random.key(1), params.shape[:-1], params.dtype)
    all_levels = head.sample(*head.temper(params, noise, (), 1.0, 1.0), ())
    np.testing.assert_array_equal(all_levels, head.sample(params, noise, ()))
    mode = head.distribution(params).mode()
    top = head.sample(*head.temper(params, noise, (), 1.0, 1e-6), ())
    np.testing.assert_array_equal(top, mode)


@pytest.mark.parametrize(
    "head", [Normal(), GaussianMixture(2), DiscretizedLogisticMixture(4, 2)], ids=repr
)
def test_no_nucleus_without_logits_of_levels(head):
    with pytest.raises(ValueError, match="top_p is for Bernoulli and Categorical heads"):
        head.temper(jnp.zeros(head.num_params(())), jnp.zeros(3), (), 1.0, 0.9)
