"""Base densities against SciPy, and under a flow."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import registry
from flax import nnx
from scipy import stats

from jaxgen.bijectors import ActNorm
from jaxgen.core import ShapeError, freeze
from jaxgen.likelihoods import Normal
from jaxgen.models import (
    ClassConditionalNormal,
    DiagonalNormal,
    Flow,
    Logistic,
    Mixture,
    StandardNormal,
    StudentT,
)
from jaxgen.testing import perturb, to_float64

KEY = jax.random.key(0)
LABELS = np.array([2, 0, 1, 2, 0])


def numpy(variable):
    return np.asarray(variable[...], np.float64)


def normal(mean, log_scale):
    return stats.norm(mean, np.exp(log_scale))


# What a density is, entry by entry, as frozen distributions of SciPy: (event,) of them.
SCIPY = {
    StandardNormal: lambda d: stats.norm(np.zeros(2)),
    Logistic: lambda d: stats.logistic(np.zeros(2)),
    DiagonalNormal: lambda d: normal(numpy(d.mean), numpy(d.log_scale)),
    StudentT: lambda d: stats.t(np.exp(numpy(d.log_df))),
}


def density(kind, **options):
    return perturb(to_float64(kind((2,), **options)), KEY)


@pytest.mark.parametrize("kind", SCIPY, ids=lambda kind: kind.__name__)
def test_log_prob_is_scipys(kind, x64):
    x = np.concatenate([np.random.default_rng(0).normal(size=(4, 2)), [[1e3, -1e3]]])
    expected = SCIPY[kind](density(kind)).logpdf(x).sum(-1)
    np.testing.assert_allclose(density(kind).log_prob(x), expected, rtol=1e-9)
    slopes = jax.grad(lambda x: density(kind).log_prob(x).sum())(x)
    assert np.isfinite(slopes).all()


@pytest.mark.parametrize("kind", SCIPY, ids=lambda kind: kind.__name__)
def test_samples_follow_scipys_law(kind, x64):
    samples = np.asarray(density(kind).sample(KEY, 4000))
    uniform = SCIPY[kind](density(kind)).cdf(samples)
    for column in uniform.T:
        assert stats.kstest(column, "uniform").pvalue > 1e-4
    assert abs(np.corrcoef(uniform.T)[0, 1]) < 0.06


def test_a_mixture_of_normals_is_the_weighted_sum(x64):
    mixture = perturb(to_float64(Mixture((2,), Normal(), 3, rngs=nnx.Rngs(0))), KEY, 1.0)
    weights = np.exp(numpy(mixture.logits))
    weights /= weights.sum()
    parts = [normal(*np.moveaxis(params, -1, 0)) for params in numpy(mixture.params)]
    x = np.random.default_rng(0).normal(size=(5, 2))
    each = np.stack([part.pdf(x).prod(-1) for part in parts], -1)
    np.testing.assert_allclose(mixture.log_prob(x), np.log(each @ weights), rtol=1e-9)
    samples = np.asarray(mixture.sample(KEY, 4000))
    for i in (0, 1):
        uniform = np.stack([part.cdf(samples)[:, i] for part in parts], -1) @ weights
        assert stats.kstest(uniform, "uniform").pvalue > 1e-4


def test_every_class_has_its_own_normal(x64):
    model = density(ClassConditionalNormal, num_classes=3)
    x = np.random.default_rng(0).normal(size=(5, 2))
    expected = normal(numpy(model.means)[LABELS], numpy(model.log_scales)[LABELS])
    np.testing.assert_allclose(model.log_prob(x, LABELS), expected.logpdf(x).sum(-1), rtol=1e-9)
    samples = np.asarray(model.sample(KEY, 2000, LABELS))
    assert samples.shape == (2000, 5, 2)
    error = samples.std(0) / np.sqrt(2000)
    assert np.all(np.abs(samples.mean(0) - expected.mean()) < 5 * error)


def test_a_flow_on_a_class_conditional_base_takes_labels():
    flow = perturb(Flow(registry.maf((2,), nnx.Rngs(0)), ClassConditionalNormal((2,), 3)), KEY)
    assert flow.context_shape == ()
    x, log_prob = jax.jit(lambda flow: flow.sample_and_log_prob(KEY, 4, LABELS))(flow)
    assert x.shape == (4, 5, 2)

    @jax.jit
    def again(flow):
        z, log_det = flow.bijector.inverse_and_log_det(x)
        return flow.log_prob(x, LABELS), flow.base.log_prob(z, LABELS) + log_det

    for other in again(flow):
        np.testing.assert_allclose(other, log_prob, rtol=1e-4, atol=1e-5)
    assert jax.eval_shape(lambda flow: flow.sample(KEY, 3, 1), flow).shape == (3, 2)
    with pytest.raises(ValueError, match="labels from 0 to 2, got values from 3 to 3"):
        flow.check_context(np.array([3]))


def test_a_label_and_a_vector_are_not_one_context():
    conditional = registry.maf((2,), nnx.Rngs(0), context_features=4)
    with pytest.raises(ShapeError, match="contexts of different shapes"):
        Flow(conditional, ClassConditionalNormal((2,), 3))


def test_degrees_of_freedom_are_fixed_by_freezing():
    flow = Flow(ActNorm((2,)), StudentT((2,), df=3.0))
    frozen = freeze(flow, "base.log_df")
    x = jnp.ones((4, 2))
    log_prob = jax.jit(Flow.log_prob)
    np.testing.assert_array_equal(log_prob(frozen, x), log_prob(flow, x))
    gradient = jax.jit(jax.grad(lambda flow: flow.log_prob(x).sum()))
    assert np.any(gradient(flow).base.log_df[...] != 0)
    assert not np.any(gradient(frozen).base.log_df[...])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: StudentT((2,), df=0.0), "StudentT: expected df > 0, got 0"),
        (lambda: Mixture((2,), Normal(), 0, rngs=nnx.Rngs(0)), "at least one component, got 0"),
        (lambda: ClassConditionalNormal((2,), 0), "at least one class, got 0"),
        (
            lambda: ClassConditionalNormal((2,), 2).log_prob(jnp.zeros((1, 2)), np.array([2])),
            "ClassConditionalNormal: expected labels from 0 to 1",
        ),
        (
            lambda: ClassConditionalNormal((2,), 2).sample(KEY, 1, jnp.array([0.5])),
            r"integer labels 0..1, got float32",
        ),
    ],
    ids=["df", "components", "classes", "label out of range", "real label"],
)
def test_bad_input(make, message):
    with pytest.raises(ValueError, match=message):
        make()
