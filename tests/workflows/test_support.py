"""Outside its support a density is 0: minus infinity in nats, no slope, and no NaN anywhere.

Where the numbers can be seen they are refused, and a model's own samples are always inside.
"""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import registry
from flax import nnx

from jaxgen import likelihoods, zoo
from jaxgen.bijectors import (
    ActNorm,
    Bounded,
    Chain,
    Flip,
    Inverse,
    Logit,
    Permutation,
    Reshape,
    Scan,
    Split,
    Standardize,
    Tanh,
)
from jaxgen.core import replace
from jaxgen.functional import likelihoods as f
from jaxgen.functional import support
from jaxgen.models import (
    Autoregressive,
    Dequantized,
    DiagonalNormal,
    Flow,
    Logistic,
    StandardNormal,
    StudentT,
)
from jaxgen.testing import perturb
from jaxgen.training import TrainSettings, fit


def rngs():
    return nnx.Rngs(0)


def assert_impossible(log_prob, model, x):
    """Row 0 is possible, all others are not: the density and its gradients say so."""

    def total(model, x):
        each = log_prob(model, x)
        return jnp.sum(each[1:]), each

    real = jnp.issubdtype(x.dtype, jnp.floating)
    grad = jax.jit(jax.grad(total, argnums=(0, 1) if real else 0, has_aux=True))
    slopes, each = grad(model, x)
    assert np.isfinite(each[0]), each
    assert np.all(np.isneginf(each[1:])), each
    for leaf in jax.tree.leaves(slopes):
        assert np.all(np.asarray(leaf) == 0), leaf


# --- bounded data ---


def bounded(low, high, alpha=0.0):
    margin = (high - low) * alpha / (1 - 2 * alpha)
    return (low - margin, high + margin), Logit(low, high, alpha)


# A bijector of events (4,), and the interval that its data are in.
BOUNDED = {
    "tanh": ((-1.0, 1.0), Tanh()),
    "logit": bounded(0.0, 1.0),
    "logit of pixels": bounded(0.0, 256.0),
    "logit with a margin": bounded(0.0, 1.0, 0.05),
    "logit of pixels with a margin": bounded(0.0, 256.0, 1e-6),
    "logit far from 0": bounded(100.0, 101.0, 1e-3),
    "logit of tiny numbers": bounded(-1e-12, 1e-12),
    "logit of huge numbers": bounded(0.0, 1e12),
    "chain": ((0.0, 1.0), Chain([ActNorm((4,)), Flip(), Logit(alpha=0.0)])),
    "chain, below a flip": ((-1.0, 1.0), Chain([ActNorm((4,)), Tanh(), Flip()])),
    "chain of chains": ((0.0, 1.0), Chain([ActNorm((4,)), Chain([Logit(alpha=0.0), Flip()])])),
    "reshape": (
        (0.0, 1.0),
        Reshape(Chain([Permutation((4,), jnp.array([1, 0, 3, 2])), Logit(alpha=0.0)]), (4,)),
    ),
    "inverse of an inverse": ((0.0, 1.0), Inverse(Inverse(Logit(alpha=0.0)))),
    "scan": ((-1.0, 1.0), Scan(lambda rngs: Tanh(), 1, rngs=rngs())),
    # Which rounds what it shifts: some of the samples come back from beyond the ends.
    "below a shift": (
        (399.0, 401.0),
        Chain([Tanh(), Standardize((4,), mean=400.0, scale=jnp.array([1.0, 0.9, 1.0, 1.0]))]),
    ),
}


@pytest.mark.parametrize("name", BOUNDED)
def test_beyond_the_bounds_of_a_flow(name):
    (low, high), bijector = BOUNDED[name]
    flow = Flow(bijector, DiagonalNormal((4,)))
    width = high - low
    beyond = [low - width, high + 0.01 * width, high + 1e30, jnp.inf, -jnp.inf]
    x = jnp.full((1 + len(beyond), 4), (low + high) / 2)
    x = x.at[1:, 1].set(jnp.array(beyond))
    assert_impossible(Flow.log_prob, flow, x)
    for value in beyond[:1]:
        wrong = np.asarray(x[:1]).copy()
        wrong[0, 3] = value
        seen = f"{value:g}" if name != "below a shift" else "-3"  # in the units of the tanh
        message = rf"expected values from .*the first {re.escape(seen)}"
        with pytest.raises(ValueError, match=message):
            flow.log_prob(wrong)
        with pytest.raises(ValueError, match=message):
            bijector.inverse(wrong)
        if name not in ("inverse of an inverse", "below a shift"):  # seen only when it runs
            with pytest.raises(ValueError, match="expected values from"):
                flow.check_data(wrong)


def test_beyond_the_bounds_of_half_of_an_event():
    split = Split(Logit(alpha=0.0), (4,))
    x = jnp.array([[0.5, 0.5, 7.0, 7.0], [0.5, 2.0, 7.0, 7.0]])
    assert_impossible(Flow.log_prob, Flow(split), x)
    with pytest.raises(ValueError, match="from 0 to 1"):
        Flow(split).check_data(x)


def test_fit_refuses_data_beyond_the_bounds():
    flow = zoo.maf((2,), layers=1, hidden=(4,), bounds=(0.0, 1.0), alpha=0.0, rngs=rngs())
    x = np.full((8, 2), 0.5, np.float32)
    x[3, 1] = 1.5
    with pytest.raises(ValueError, match=r"Logit: expected values from 0 to 1.*1 of 16.*1\.5"):
        fit(flow, x, settings=TrainSettings(steps=1, batch_size=4), progress=False)


def test_the_closed_ends_are_in_the_support():
    """Their density is that of the nearest number inside: the limit, where it is finite."""
    for low, high in ((0.0, 1.0), (-1.0, 1.0), (0.0, 256.0), (100.0, 101.0)):
        flow = Flow(Logit(low, high, alpha=0.0), Logistic((1,)))  # the uniform distribution
        x = jnp.array([[low], [high], [(low + high) / 2]])
        expected = np.full(3, -np.log(high - low))
        np.testing.assert_allclose(flow.log_prob(x), expected, atol=2e-5)
        slopes = jax.jit(jax.vmap(jax.grad(flow.log_prob)))(x)
        assert np.all(np.isfinite(slopes))


def test_nan_is_no_value_outside():
    """It stays NaN, for an error upstream must not look like a density of 0."""
    flow = Flow(Logit(), StandardNormal((2,)))
    assert np.isnan(jax.jit(Flow.log_prob)(flow, jnp.array([0.5, jnp.nan])))


# --- levels ---

HEADS = {
    "bernoulli": (likelihoods.Bernoulli(), [-1.0, 2.0, 0.5, 1e30, np.nan, np.inf]),
    "categorical": (likelihoods.Categorical(5), [-1, 5, 70_000]),
    "logistic mixture": (likelihoods.DiscretizedLogisticMixture(5, 2), [-1, 5, 70_000]),
}


def autoregressive(head, order=None):
    conditional = registry.made((3,), head.num_params(()), rngs=rngs())
    return perturb(Autoregressive(conditional, head), jax.random.key(1))


def rows_outside(wrong, dtype):
    """A possible event, and for each wrong value one that has it in the middle."""
    x = np.ones((1 + len(wrong), 3), dtype)
    x[1:, 1] = wrong
    return jnp.asarray(x)


@pytest.mark.parametrize("name", HEADS)
def test_values_outside_of_a_head(name):
    head, wrong = HEADS[name]
    x = rows_outside(wrong, np.float32 if name == "bernoulli" else np.int32)
    model = autoregressive(head)
    assert_impossible(Autoregressive.log_prob, model, x)
    for observed in ([True, False, False], [True, True, False]):
        mask = jnp.array(observed)
        assert_impossible(lambda m, x, o=mask: m.conditional_log_prob(x, o), model, x)
    ensemble = zoo.made((3,), levels=head.levels, num_orders=2, hidden=(4,), rngs=rngs())
    if name != "logistic mixture":
        assert_impossible(type(ensemble).log_prob, ensemble, x)
        key = jax.random.key(0)
        assert_impossible(lambda m, x: m.elbo(x, key), ensemble, x)
        mask = jnp.array([False, True, False])
        for weighting in ("equal", "posterior"):
            assert_impossible(
                lambda m, x, w=weighting: m.conditional_log_prob(x, mask, weighting=w), ensemble, x
            )
    mixture = zoo.mixture((3,), levels=head.levels, components=2, rngs=rngs())
    assert_impossible(type(mixture).log_prob, mixture, x)
    for index in range(1, len(x)):
        for score in (model.log_prob, model.check_data, mixture.log_prob, ensemble.log_prob):
            with pytest.raises(ValueError, match=r"values 0 and 1|levels from 0 to 4|NaN"):
                score(np.asarray(x[index : index + 1]))


@pytest.mark.parametrize("name", HEADS)
@pytest.mark.parametrize("dtype", [np.float32, np.int32])
def test_the_functions_behind_a_head(name, dtype):
    head, _ = HEADS[name]
    wrong = [-1, head.levels, 1_000_000] + ([0.5, 1.5, np.nan] if dtype == np.float32 else [])
    x = jnp.asarray(np.array([1, *wrong], dtype))
    params = jax.random.normal(jax.random.key(0), (len(x), head.num_params(())))
    assert_impossible(lambda params, x: head.log_prob(x, params), params, x)


def test_possible_levels_of_all_dtypes_keep_their_probability():
    logits = jnp.array([0.3, -1.0, 2.0])
    expected = jax.nn.log_softmax(logits)
    for dtype in (jnp.uint8, jnp.bfloat16):
        x = jnp.arange(3).astype(dtype)
        got = f.categorical_log_prob(x, jnp.broadcast_to(logits, (3, 3)))
        np.testing.assert_allclose(got, expected, rtol=1e-6)
        each = f.discretized_logistic_log_prob(x, 0.2, -1.0, 3)
        np.testing.assert_allclose(jnp.sum(jnp.exp(each)), 1.0, rtol=1e-3)
    bits = jnp.array([False, True])
    got = f.bernoulli_log_prob(bits, jnp.full(2, 0.7))
    np.testing.assert_allclose(
        got, jnp.log(jnp.array([1, 0]) + jnp.array([-1, 1]) / (1 + np.exp(-0.7))), rtol=1e-6
    )


def test_levels_outside_of_a_dequantized_flow():
    """The margin of its logit is wider than the last cells."""
    flow = zoo.maf((3,), layers=1, hidden=(4,), bounds=(0.0, 4.0), rngs=rngs())
    model = perturb(Dequantized(flow, 4), jax.random.key(1))
    x, key = rows_outside([-1, 4, 5], np.int32), jax.random.key(0)
    assert_impossible(lambda m, x: m.elbo(x, key), model, x)
    assert_impossible(lambda m, x: m.importance_log_prob(x, key, 3), model, x)
    with pytest.raises(ValueError, match="levels from 0 to 3"):
        model.elbo(x, key)


MODELS = [
    pytest.param(name, marks=pytest.mark.slow if example.slow else ())
    for name, example in registry.MODELS.items()
]


@pytest.mark.parametrize("name", MODELS)
def test_levels_outside_of_every_model(name):
    example = registry.MODELS[name]
    model = example.make(rngs())
    if model.levels is None:
        pytest.skip("a model of real values")
    model = perturb(model, jax.random.key(1))
    x = np.ones((3, *example.event), np.int32)
    x[1].flat[-1] = -2 if model.levels == np.inf else model.levels  # which counts have none
    x[2].flat[0] = -1
    context = example.context(model)
    context = None if context is None else jnp.asarray(context[:3])
    key = jax.random.key(0)
    assert_impossible(lambda m, x: m.elbo(x, key, context), model, jnp.asarray(x))


def test_impossible_terms_of_a_sum():
    x = jnp.array([[-jnp.inf, -jnp.inf], [-jnp.inf, 1.0], [2.0, 1.0]])
    value, slope = jax.vmap(jax.value_and_grad(lambda x: support.logsumexp(x, 0)))(x)
    np.testing.assert_allclose(value, jax.nn.logsumexp(x, 1))
    np.testing.assert_allclose(slope, jnp.where(value[:, None] == -jnp.inf, 0.0, jax.nn.softmax(x)))
    assert np.isnan(support.logsumexp(jnp.array([jnp.nan, -jnp.inf]), 0))


# --- samples ---

WIDE = {
    "normal": lambda: replace(DiagonalNormal((4,)), log_scale=nnx.Param(jnp.full(4, 5.0))),
    "heavy": lambda: StudentT((4,), df=0.05),
    "logistic": lambda: Logistic((4,)),
}


HALF_LINES = {
    "above": ((0.0, np.inf), Bounded((4,), [(0.0, None)] * 4)),
    "above, far from 0": ((100.0, np.inf), Bounded((4,), [(100.0, None)] * 4)),
    "below": ((-np.inf, 1.0), Bounded((4,), [(None, 1.0)] * 4)),
    "each its own": (
        (-np.inf, np.inf),
        Bounded((4,), [(None, None), (0.0, None), (None, -1.0), (2.0, 3.0)], alpha=0.0),
    ),
}
SATURATED = [(name, "normal", jnp.float32) for name in HALF_LINES]
SATURATED += [(name, "normal", jnp.float32) for name in BOUNDED]
for name in ("tanh", "logit", "logit of pixels with a margin"):
    SATURATED.append((name, "normal", jnp.float64))
    SATURATED.append((name, "normal", jnp.bfloat16))
    SATURATED += [(name, base, jnp.float32) for base in ("heavy", "logistic")]


@pytest.mark.parametrize(("name", "base", "dtype"), SATURATED)
def test_samples_that_saturate_are_inside(name, base, dtype):
    """Of latents so far out that rounding takes them to the ends."""
    (low, high), bijector = (BOUNDED | HALF_LINES)[name]
    with jax.enable_x64(dtype == jnp.float64):
        flow = jax.tree.map(lambda leaf: leaf.astype(dtype), Flow(bijector, WIDE[base]()))

        @jax.jit
        def scored(flow, temperature):
            x = flow.sample(jax.random.key(0), 1000, temperature=temperature)
            return x, flow.log_prob(x), jax.grad(lambda x: flow.log_prob(x).sum())(x)

        for temperature in (1.0, 0.5):
            x, log_prob, slope = scored(flow, temperature)
            assert x.dtype == jnp.promote_types(dtype, jnp.float32)
            assert low <= x.min() <= x.max() <= high
            assert np.all(np.isfinite(log_prob))
            assert np.all(np.isfinite(slope))


@pytest.mark.parametrize("df", [0.01, 0.1])
def test_heavy_tails_stay_finite(df):
    model = StudentT((2,), df)
    x = model.sample(jax.random.key(0), 1000)
    assert np.all(np.isfinite(x))
    log_prob, slopes = jax.jit(jax.vmap(jax.value_and_grad(model.log_prob)))(x)
    assert np.all(np.isfinite(log_prob))
    assert np.all(np.isfinite(slopes))


@pytest.mark.parametrize("name", MODELS)
def test_every_model_finds_its_own_samples_possible(name):
    example = registry.MODELS[name]
    model = perturb(example.make(rngs()), jax.random.key(1))
    context = example.context(model)
    context = None if context is None else jnp.asarray(context[:2])
    count = 1000 if context is None else 500

    @jax.jit
    def scored(model, temperature):
        x = model.sample(jax.random.key(0), count, context, temperature=temperature)
        return model.elbo(x, jax.random.key(1), context)

    for temperature in (1.0, 0.5):
        assert np.all(np.isfinite(scored(model, temperature)))
