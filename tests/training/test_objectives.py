"""Reverse Kullback-Leibler: variational inference against closed forms."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax.scipy.stats import multivariate_normal

from jaxgen import zoo
from jaxgen.bijectors import ActNorm, BatchNorm, Chain, Conv1x1, Inverse, MaskedAutoregressive
from jaxgen.conditionals import MADE
from jaxgen.core import ShapeError
from jaxgen.likelihoods import GaussianMixture, Normal
from jaxgen.models import Autoregressive, Flow, Mixture, StandardNormal
from jaxgen.testing import perturb
from jaxgen.training import Batch, TrainSettings, fit, negative_log_likelihood, reverse_kl
from jaxgen.training.objectives import named_objective

KEY = jax.random.key(0)
MEAN = np.array([1.0, -2.0])
COVARIANCE = np.array([[1.0, 0.6], [0.6, 0.5]])
LOG_Z = 3.0


def log_density(x):
    return multivariate_normal.logpdf(x, MEAN, COVARIANCE) + LOG_Z


def settings(**options):
    defaults = {"steps": 400, "learning_rate": 0.03, "steps_per_dispatch": 100}
    return TrainSettings(**{**defaults, **options})


def affine(size=2, **options):
    made = MADE((size,), 2, hidden=(4,), **options, rngs=nnx.Rngs(0))
    return Inverse(MaskedAutoregressive(made))


def affine_flow():
    """Rich enough for any Gaussian."""
    return Flow(Chain([ActNorm((2,)), Conv1x1((2,), rngs=nnx.Rngs(0)), ActNorm((2,))]))


def test_a_gaussian_target_is_recovered():
    result = fit(
        affine_flow(), objective=reverse_kl(log_density, 128), settings=settings(), progress=False
    )
    # The weight log q - log p is constant at the optimum, so the loss has no noise there.
    assert result.history[-1]["loss"] == pytest.approx(-LOG_Z, abs=2e-3)
    bounds = [-row["loss"] for row in result.history]
    assert bounds[0] < bounds[-1] <= LOG_Z + 1e-3
    # x = f(z) is affine, and its coefficients give mean and covariance without sampling.
    f = result.model.bijector.forward
    shift = f(jnp.zeros(2))
    slope = np.asarray(f(jnp.eye(2)) - shift)
    np.testing.assert_allclose(shift, MEAN, atol=0.02)
    np.testing.assert_allclose(slope.T @ slope, COVARIANCE, atol=0.03)


def test_the_gradient_is_that_of_the_divergence():
    """Of a diagonal Gaussian from another, in closed form; many samples, so little noise."""
    model = perturb(Flow(ActNorm((2,))), KEY)
    target = lambda x: -0.5 * jnp.sum(x**2, -1)  # noqa: E731
    loss = reverse_kl(target, 200_000)
    value, grads = jax.jit(jax.value_and_grad(lambda m: loss(m, Batch(), KEY)))(model)
    mean, log_scale = (np.asarray(p[...]) for p in (model.bijector.shift, model.bijector.log_scale))
    variance = np.exp(2 * log_scale)
    kl = np.sum(0.5 * (mean**2 + variance - 1) - log_scale)
    assert value == pytest.approx(kl - np.log(2 * np.pi), abs=0.02)
    np.testing.assert_allclose(grads.bijector.shift[...], mean, atol=0.02)
    np.testing.assert_allclose(grads.bijector.log_scale[...], variance - 1, atol=0.02)


def test_a_conditional_model_is_fitted_to_a_family():
    """One target for each context: a normal with the context as its mean."""

    def target(x, context):
        assert x.shape == (8, *context.shape)
        return -0.5 * jnp.sum((x - context) ** 2, -1)

    contexts = np.random.default_rng(0).normal(size=(64, 1)).astype(np.float32)
    flow = Flow(affine(1, context_features=1))
    result = fit(
        flow,
        Batch(context=contexts),
        objective=reverse_kl(target, 8),
        settings=settings(batch_size=32, steps=300),
        progress=False,
    )
    assert result.history[-1]["loss"] == pytest.approx(-0.5 * np.log(2 * np.pi), abs=0.02)
    probe = jnp.array([[-1.0], [0.5]])
    z = jnp.zeros((2, 1))
    np.testing.assert_allclose(result.model.decode(z, probe), probe, atol=0.1)


def test_an_autoregressive_model_of_real_values_has_a_gradient_too():
    """Its samples are a function of parameters and noise: those of a normal head."""
    model = Autoregressive(MADE((2,), 2, hidden=(4,), rngs=nnx.Rngs(0)), Normal())
    result = fit(
        model,
        objective=reverse_kl(log_density, 32),
        settings=settings(steps=600),
        progress=False,
    )
    assert result.history[-1]["loss"] == pytest.approx(-LOG_Z, abs=0.03)


def test_it_goes_on_where_it_stopped(tmp_path):
    objective = reverse_kl(log_density, 16)
    chosen = settings(steps=10, checkpoint_every=5, steps_per_dispatch=5)

    def run(out, **options):
        options = {"objective": objective, "settings": chosen, "progress": False, **options}
        return fit(affine_flow(), out=out, **options)

    straight = run(tmp_path / "straight")
    run(tmp_path / "broken", callbacks=[lambda row: True])
    resumed = run(tmp_path / "broken")
    assert [row["step"] for row in resumed.history] == [5, 10]
    for got, expected in zip(*map(jax.tree.leaves, (resumed.model, straight.model)), strict=True):
        np.testing.assert_array_equal(got, expected)


def test_the_model_that_went_in_is_left_as_it_was():
    flow = affine_flow()
    before = jax.tree.map(np.array, flow)
    fit(flow, objective=reverse_kl(log_density, 4), settings=settings(steps=1), progress=False)
    for new, old in zip(*map(jax.tree.leaves, (flow, before)), strict=True):
        np.testing.assert_array_equal(new, old)


def quick(model, objective, **options):
    return fit(model, objective=objective, settings=settings(steps=1), progress=False, **options)


MISTAKES = {
    "no samples": (lambda: reverse_kl(log_density, 0), ValueError, "num_samples >= 1, got 0"),
    "integer levels": (
        lambda: quick(zoo.made((2,), hidden=(4,), rngs=nnx.Rngs(0)), reverse_kl(log_density, 2)),
        ValueError,
        "a model of real values, got Autoregressive of 2 levels, whose samples have no gradient",
    ),
    "a mixture as the base": (
        lambda: quick(
            Flow(ActNorm((2,)), Mixture((2,), Normal(), 2, rngs=nnx.Rngs(0))),
            reverse_kl(log_density, 2),
        ),
        ValueError,
        "samples of Mixture are not differentiable in all of its parameters",
    ),
    "a head of mixtures": (
        lambda: quick(
            Autoregressive(MADE((2,), 6, hidden=(4,), rngs=nnx.Rngs(0)), GaussianMixture(2)),
            reverse_kl(log_density, 2),
        ),
        ValueError,
        "samples of GaussianMixture are not differentiable in all of its parameters",
    ),
    "statistics of data that are not there": (
        lambda: quick(Flow(BatchNorm((2,))), reverse_kl(log_density, 2)),
        ValueError,
        r"the training data hold no examples, got None; expected \(n, \(2,\)\)",
    ),
    "one number for all samples": (
        lambda: quick(affine_flow(), reverse_kl(lambda x: jnp.sum(x), 2)),
        ShapeError,
        r"log_density to map samples of shape \(2, 2\) to \(2,\), got \(\)",
    ),
    "no data for maximum likelihood": (
        lambda: quick(affine_flow(), negative_log_likelihood),
        ValueError,
        "expected training data, got None; maximum likelihood needs them",
    ),
    "validation data without examples": (
        lambda: quick(
            Flow(affine(1, context_features=1)),
            reverse_kl(log_density, 2),
            valid=Batch(context=np.zeros((4, 1), np.float32)),
        ),
        ValueError,
        r"the validation data hold no examples, got None; expected \(n, \(1,\)\)",
    ),
    "no contexts": (
        lambda: quick(Flow(affine(1, context_features=1)), reverse_kl(log_density, 2)),
        ShapeError,
        "this is a conditional model; expected a context",
    ),
    "contexts of NaN": (
        lambda: fit(
            Flow(affine(1, context_features=1)),
            Batch(context=np.full((128, 1), np.nan, np.float32)),
            objective=reverse_kl(log_density, 2),
            progress=False,
        ),
        ValueError,
        "the contexts of the training data hold NaN",
    ),
    "too few contexts": (
        lambda: fit(
            Flow(affine(1, context_features=1)),
            Batch(context=np.zeros((3, 1), np.float32)),
            objective=reverse_kl(log_density, 2),
            progress=False,
        ),
        ValueError,
        "a batch size from 1 to the 3 examples there are, got 128",
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes(name):
    act, error, said = MISTAKES[name]
    with pytest.raises(error, match=said):
        act()


def test_a_model_with_a_bound_is_refused():
    model = StandardNormal((2,))
    model.exactness = "lower_bound"
    with pytest.raises(TypeError, match="exact likelihood, got StandardNormal, which has a lower"):
        reverse_kl(log_density, 2)(model, Batch(), KEY)


# --- by name ---


def weighted(model, batch, key, *, weight, power=1):
    return weight**power * negative_log_likelihood(model, batch, key)


OWN = {"weighted": weighted, "to_a_target": reverse_kl(log_density, 4)}


def test_a_name_is_its_function_with_the_arguments_filled_in():
    model, batch = StandardNormal((2,)), Batch(jnp.ones((3, 2)))
    loss = negative_log_likelihood(model, batch, KEY)
    named = named_objective("weighted", {"weight": 2.0, "power": 3}, OWN)
    assert named(model, batch, KEY) == 8.0 * loss
    assert named_objective("to_a_target", {}, OWN) is OWN["to_a_target"]
    # fit knows maximum likelihood by this function: data are required then.
    assert named_objective("negative_log_likelihood", {}) is negative_log_likelihood
    own = {"negative_log_likelihood": weighted}
    assert named_objective("negative_log_likelihood", {}, own) is negative_log_likelihood


@pytest.mark.parametrize(
    ("name", "arguments", "said"),
    [
        ("weigthed", {}, "unknown objective 'weigthed': did you mean 'weighted'"),
        (
            "negative_log_likelihod",
            {},
            "unknown objective 'negative_log_likelihod': did you mean 'negative_log_likelihood'",
        ),
        ("weighted", {}, "objective_args: weighted: missing a required .*'weight'"),
        (
            "weighted",
            {"weight": 1.0, "wieght": 1.0},
            "objective_args: weighted: got an unexpected keyword argument 'wieght'",
        ),
        (
            "negative_log_likelihood",
            {"k": 5},
            "objective_args: negative_log_likelihood: got an unexpected keyword argument 'k'",
        ),
    ],
)
def test_wrong_names_and_arguments(name, arguments, said):
    with pytest.raises(ValueError, match=said):
        named_objective(name, arguments, OWN)
