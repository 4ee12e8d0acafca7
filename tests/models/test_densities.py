"""Base densities against SciPy, and under a flow."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import registry
from flax import nnx
from scipy import stats

from jaxgen.bijectors import ActNorm, Standardize
from jaxgen.core import ShapeError, freeze
from jaxgen.likelihoods import Normal
from jaxgen.models import (
    ClassConditionalNormal,
    DiagonalNormal,
    Flow,
    Logistic,
    Mixture,
    MultivariateNormal,
    StandardNormal,
    StudentT,
    Uniform,
    VonMises,
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
    VonMises: lambda d: stats.vonmises(np.exp(numpy(d.log_concentration)), numpy(d.location)),
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
    if kind is VonMises:  # SciPy's angles are within half a turn of the location
        location = numpy(density(kind).location)
        samples = location + (samples - location + np.pi) % (2.0 * np.pi) - np.pi
    uniform = SCIPY[kind](density(kind)).cdf(samples)
    for column in uniform.T:
        assert stats.kstest(column, "uniform").pvalue > 1e-4
    assert abs(np.corrcoef(uniform.T)[0, 1]) < 0.06


@pytest.mark.parametrize("concentration", [1e-9, 0.1, 1.0, 30.0, 1e4, 1e8])
def test_angles_are_scipys_in_single_precision(concentration):
    model = VonMises((1,), 0.5, concentration)
    scipys = stats.vonmises(concentration, 0.5)
    samples = np.asarray(model.sample(KEY, 4000))
    assert samples.dtype == np.float32
    assert np.abs(samples).max() <= np.float32(np.pi)
    turned = 0.5 + (samples[:, 0].astype(float) - 0.5 + np.pi) % (2.0 * np.pi) - np.pi
    if concentration < 1e8:  # where 0.5 has neighbours enough
        assert stats.kstest(turned, scipys.cdf).pvalue > 1e-4
    # Two roundings of an angle, at the density's slope, and of the constant.
    x = np.float32([0.4, 0.5, 0.5001, 0.6, 3.0])
    got, expected = model.log_prob(x[:, None]), scipys.logpdf(x.astype(float))
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5)


def test_an_angle_has_a_period(x64):
    model = density(VonMises)
    x = np.random.default_rng(0).normal(size=(4, 2))
    turned = model.log_prob(x + 2.0 * np.pi * np.array([3, -1]))
    np.testing.assert_allclose(turned, model.log_prob(x), rtol=1e-12)


def test_a_normal_over_all_entries_is_scipys(x64):
    matrix = np.random.default_rng(0).normal(size=(6, 6))
    matrix = matrix @ matrix.T + np.eye(6)
    mean = np.arange(6.0).reshape(2, 3)
    given = MultivariateNormal((2, 3), mean, covariance=matrix)
    np.testing.assert_allclose(
        given.log_prob(np.ones((2, 3))),
        stats.multivariate_normal(mean.ravel(), matrix).logpdf(np.ones(6)),
    )
    np.testing.assert_allclose(
        given.log_prob(np.ones((5, 2, 3))),
        MultivariateNormal((2, 3), mean, scale_tril=np.linalg.cholesky(matrix)).log_prob(
            np.ones((5, 2, 3))
        ),
    )
    model = perturb(given, KEY)
    tril = np.asarray(model.scale_tril())
    scipys = stats.multivariate_normal(numpy(model.mean).ravel(), tril @ tril.T)
    x = np.random.default_rng(1).normal(size=(4, 5, 2, 3))
    np.testing.assert_allclose(model.log_prob(x), scipys.logpdf(x.reshape(4, 5, 6)), rtol=1e-9)
    samples = np.asarray(model.sample(KEY, 20_000)).reshape(-1, 6)
    whitened = np.linalg.solve(tril, (samples - numpy(model.mean).ravel()).T)
    np.testing.assert_allclose(np.cov(whitened), np.eye(6), atol=0.05)
    for row in whitened:
        assert stats.kstest(row, "norm").pvalue > 1e-4


def test_a_normal_starts_at_the_data_unless_it_is_given():
    x = np.random.default_rng(0).normal([1e6, -3.0], [1e3, 1e-3], (500, 2))
    fresh = MultivariateNormal((2,)).standardize(x, None)
    expected = stats.norm(x.mean(0), x.std(0)).logpdf(x).sum(1).mean()
    np.testing.assert_allclose(np.mean(fresh.log_prob(x)), expected, rtol=1e-3)
    given = MultivariateNormal((2,), covariance=np.eye(2))
    np.testing.assert_array_equal(given.standardize(x, None).mean[...], np.zeros(2))


def test_a_box_is_uniform_inside_and_flat_outside():
    model = Uniform((2,), jnp.array([0.0, -1.0]), jnp.array([1.0, 3.0]))
    x = jnp.array([[0.5, 0.0], [0.0, 3.0], [1.5, 0.0], [0.5, -9.0], [jnp.inf, 0.0]])
    expected = np.array([-np.log(4.0)] * 2 + [-np.inf] * 3, np.float32)
    np.testing.assert_allclose(jax.jit(Uniform.log_prob)(model, x), expected)
    slopes = jax.grad(lambda model, x: model.log_prob(x)[2:].sum(), (0, 1))(model, x)
    assert all(not np.any(leaf) for leaf in jax.tree.leaves(slopes))
    samples = np.asarray(model.sample(KEY, 4000))
    for column, scipys in zip(samples.T, (stats.uniform(), stats.uniform(-1.0, 4.0)), strict=True):
        assert stats.kstest(column, scipys.cdf).pvalue > 1e-4
    model.check_data(np.asarray(x[:2]))
    with pytest.raises(ValueError, match=r"Uniform: expected values from -1 to 3, got 1\.5"):
        model.check_data(np.asarray(x[:3]))


CENTRES = {
    "uniform": (lambda: Uniform((2,), jnp.array([0.0, -1.0]), jnp.array([1.0, 3.0])), [0.5, 1.0]),
    "angles": (lambda: VonMises((2,), jnp.array([0.5, -3.0]), 1e-3), [0.5, -3.0]),
}


@pytest.mark.parametrize("name", CENTRES)
def test_the_centre_of_a_wide_density_is_no_draw(name):
    make, expected = CENTRES[name]
    np.testing.assert_allclose(make().centre(), expected, rtol=1e-6)
    layer = Standardize((2,), mean=3.0, scale=2.0)
    centre = Flow(layer, make()).centre()
    np.testing.assert_allclose(centre, 3.0 + 2.0 * np.array(expected), rtol=1e-6)


def test_a_flow_has_a_centre_for_each_context():
    flow = perturb(Flow(registry.maf((2,), nnx.Rngs(0), context_features=3)), KEY)
    c = np.random.default_rng(0).normal(size=(4, 5, 3)).astype(np.float32)
    centre = jax.jit(Flow.centre)(flow, c)
    expected = jax.jit(lambda flow: flow.bijector.forward(jnp.zeros((4, 5, 2)), c))(flow)
    np.testing.assert_allclose(centre, expected, rtol=1e-5, atol=1e-6)
    assert np.all(np.std(centre, axis=(0, 1)) > 1e-3)


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
        (lambda: StudentT((2,), df=0.0), "StudentT: .* for df, got 0"),
        (lambda: Mixture((2,), Normal(), 0, rngs=nnx.Rngs(0)), "for components, got 0"),
        (lambda: ClassConditionalNormal((2,), 0), "for num_classes, got 0"),
        (lambda: Uniform((2,), 1.0, 1.0), "Uniform: expected finite "),
        (lambda: Uniform((2,), 0.0, jnp.inf), "Uniform: expected finite "),
        (lambda: VonMises((2,), 0.0, 0.0), "VonMises: expected a positive concentration"),
        (
            lambda: MultivariateNormal((2,), covariance=np.eye(3)),
            r"a matrix of shape \(2, 2\) for covariance, got \(3, 3\)",
        ),
        (
            lambda: MultivariateNormal((2,), covariance=np.array([[1.0, 2.0], [2.0, 1.0]])),
            "expected a positive definite covariance, got one with an eigenvalue of -1",
        ),
        (
            lambda: MultivariateNormal((2,), covariance=np.array([[1.0, 0.5], [0.0, 1.0]])),
            "expected a symmetric covariance",
        ),
        (
            lambda: MultivariateNormal((2,), scale_tril=np.array([[1.0, 0.5], [0.0, 1.0]])),
            "expected a lower triangular scale_tril",
        ),
        (
            lambda: MultivariateNormal((2,), scale_tril=np.eye(2), covariance=np.eye(2)),
            "expected scale_tril or covariance, got both",
        ),
        (
            lambda: ClassConditionalNormal((2,), 2).log_prob(jnp.zeros((1, 2)), np.array([2])),
            "ClassConditionalNormal: expected labels from 0 to 1",
        ),
        (
            lambda: ClassConditionalNormal((2,), 2).sample(KEY, 1, jnp.array([0.5])),
            r"integer labels 0..1, got float32",
        ),
    ],
    ids=[
        "df",
        "components",
        "classes",
        "empty box",
        "endless box",
        "concentration",
        "matrix",
        "definite",
        "symmetric",
        "triangular",
        "both",
        "label out of range",
        "real label",
    ],
)
def test_bad_input(make, message):
    with pytest.raises(ValueError, match=message):
        make()
