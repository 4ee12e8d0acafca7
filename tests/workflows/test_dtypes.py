"""Values and contexts of any floating dtype give the right number, in float32 or better.

What is computed is told by tracing alone, which is cheap enough for every member.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import registry
from flax import nnx

from jaxgen import zoo
from jaxgen.bijectors import ActNorm, Bijector, Chain, Conv1x1, Coupling, Scan, Tanh
from jaxgen.models import Flow, StandardNormal
from jaxgen.testing import perturb
from jaxgen.training import TrainSettings, fit

HALF = (jnp.float16, jnp.bfloat16)
X64 = [pytest.param(False, marks=pytest.mark.slow), True]  # with it, there are all of the dtypes
KEY = jax.random.key(0)


def rngs():
    return nnx.Rngs(0)


def real(array, dtype):
    """An array of reals in this dtype; labels and levels as they are."""
    if array is None:
        return None
    array = jnp.asarray(array)
    return array.astype(dtype) if jnp.issubdtype(array.dtype, jnp.floating) else array


# Of the data and of contexts.
PAIRS = (
    (jnp.float32, jnp.float16),
    (jnp.float16, jnp.float32),
    (jnp.bfloat16, jnp.bfloat16),
    (jnp.float32, jnp.float64),
    (jnp.float64, jnp.float32),
)


def combinations(member, example, levels, x64):
    """The example's data and contexts, in pairs of dtypes."""
    x, context = example.data(levels), example.context(member)
    for of_x, of_context in PAIRS[: None if x64 else 3]:
        if levels is None or of_x == jnp.float32:
            yield real(x, of_x), real(context, of_context)


def assert_single_or_better(found, case):
    for leaf in jax.tree.leaves(found):
        assert leaf.dtype in (jnp.float32, jnp.float64, jnp.int32), (leaf.dtype, *case)


# Costly to trace, and made of what has cheaper examples.
BIJECTORS, MODELS = (
    [
        pytest.param(name, marks=pytest.mark.slow if example.slow else ())
        for name, example in examples.items()
    ]
    for examples in (registry.BIJECTORS, registry.MODELS)
)


@pytest.mark.parametrize("x64", X64)
@pytest.mark.parametrize("name", BIJECTORS)
def test_bijectors_in_all_dtypes(name, x64):
    example = registry.BIJECTORS[name]
    bijector = example.make(rngs())
    base = bijector.side_shape("base") or example.event

    def both_ways(bijector, x, context):
        z = jnp.full((len(x), *base), 0.3, x.dtype)
        adapted = bijector.initialize(x, context)[0]
        return (
            bijector.inverse_and_log_det(x, context),
            bijector.forward_and_log_det(z, context),
            adapted.inverse_and_log_det(x, context),
        )

    with jax.enable_x64(x64):
        for x, context in combinations(bijector, example, None, x64):
            found = jax.eval_shape(both_ways, bijector, x, context)
            assert_single_or_better(found, (x.dtype, getattr(context, "dtype", None)))


@pytest.mark.parametrize("x64", X64)
@pytest.mark.parametrize("name", MODELS)
def test_models_in_all_dtypes(name, x64):
    example = registry.MODELS[name]
    model = example.make(rngs())

    def used(model, x, context):
        score = model.elbo(x, KEY, context)
        return score, model.sample(KEY, 2, context), model.initialize(x, KEY, context)

    with jax.enable_x64(x64):
        for x, context in combinations(model, example, model.levels, x64):
            found = jax.eval_shape(used, model, x, context)
            assert_single_or_better(found, (x.dtype, getattr(context, "dtype", None)))


def of_context(features):
    return Coupling((3,), registry.mlp(rngs(), context_features=features))


VALUES = {
    "chain": lambda: Chain([Conv1x1((3,), rngs=rngs()), ActNorm((3,))]),
    "scan": lambda: Scan(lambda r: Chain([ActNorm((3,)), Tanh()]), 2, rngs=rngs()),
    "context": lambda: of_context(2),
    "scan of contexts": lambda: Scan.stack([of_context(2), of_context(2)]),
    "autoregressive": lambda: registry.maf((3,), rngs(), context_features=2),
    "iaf": lambda: zoo.iaf((3,), layers=2, hidden=(4,), context_features=2, rngs=rngs()).bijector,
}


@pytest.mark.parametrize("name", VALUES)
def test_half_precision_is_only_how_the_data_are_stored(name):
    """Their density is that of the same numbers in float32, to the bit."""
    flow = perturb(Flow(VALUES[name](), StandardNormal((3,))), KEY)
    log_prob = jax.jit(Flow.log_prob)
    rng = np.random.default_rng(0)
    x = rng.uniform(-0.7, 0.7, (5, 3))
    context = None if flow.context_shape is None else rng.normal(size=(5, 2))
    for dtype in HALF:
        stored = real(x, dtype), real(context, dtype)
        expected = log_prob(flow, *(real(each, jnp.float32) for each in stored))
        np.testing.assert_array_equal(log_prob(flow, *stored), expected)


@pytest.mark.parametrize("name", [name for name in VALUES if name not in ("chain", "scan")])
def test_contexts_of_double_precision(name):
    """And data of single precision, or the other way round, both ways through the layers."""
    flow = perturb(Flow(VALUES[name](), StandardNormal((3,))), KEY)
    x = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    context = np.random.default_rng(1).normal(size=(5, 2)).astype(np.float32)
    expected = flow.log_prob(x, context)
    with jax.enable_x64(True):
        for of_x, of_context in ((np.float32, np.float64), (np.float64, np.float32)):
            there = jax.jit(Flow.infer)(flow, x.astype(of_x), context.astype(of_context))
            back = jax.jit(Flow.decode)(flow, there, context.astype(of_context))
            np.testing.assert_allclose(back, x, atol=1e-5)
            got = jax.jit(Flow.log_prob)(flow, x.astype(of_x), context.astype(of_context))
            np.testing.assert_allclose(got, expected, rtol=1e-5)


class Halving(Bijector):
    """A user's own, which would compute in whatever it is given."""

    def forward_and_log_det(self, z, context=None):
        return z / 2, jnp.sum(jnp.full(z.shape, -0.69314718, z.dtype), -1)

    def inverse_and_log_det(self, x, context=None):
        return x * 2, jnp.sum(jnp.full(x.shape, 0.69314718, x.dtype), -1)


@pytest.mark.parametrize("dtype", HALF)
def test_sums_over_an_event_are_not_those_of_half_precision(dtype):
    """A float16 cannot tell 4096 from 4097, and ends at 65504."""
    x = jnp.zeros((1, 100_000), dtype)
    log_det = Halving().inverse_log_det(x)
    assert log_det.dtype == jnp.float32
    np.testing.assert_allclose(log_det, 100_000 * np.log(2.0), rtol=1e-5)


@pytest.mark.filterwarnings("ignore::jaxgen.training.columns.ColumnWarning")  # rounded numbers
@pytest.mark.parametrize("dtype", [np.float16, jnp.bfloat16])
def test_fit_takes_half_precision(dtype):
    """Large numbers, whose squares a float16 cannot hold."""
    x = (np.random.default_rng(0).normal(size=(64, 2)) * 100 + 10_000).astype(dtype)
    flow = Flow(Chain([Conv1x1((2,), rngs=rngs()), ActNorm((2,))]))
    result = fit(flow, x, settings=TrainSettings(steps=2, batch_size=16), progress=False)
    scores = result.model.log_prob(jnp.asarray(x))
    assert scores.dtype == jnp.float32
    # That of the normal distribution with the data's moments.
    expected = np.linalg.slogdet(np.cov(np.asarray(x, np.float64).T, bias=True))[1]
    np.testing.assert_allclose(scores.mean(), -(expected / 2 + np.log(2 * np.pi) + 1), atol=0.1)
