"""What a model can do is said by its attributes, and its methods keep to them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import registry
from flax import nnx

from jaxgen import models, zoo
from jaxgen.bijectors import ActNorm
from jaxgen.core import ShapeError
from jaxgen.evaluation import interpolate
from jaxgen.models import Dequantized, Embedded, Ensemble, Flow
from jaxgen.networks import Embedding
from jaxgen.testing import perturb, to_float64

KEY = jax.random.key(0)

# Of every class of models an example of the registry, and the abilities that the class has.
CLASSES = {
    "Autoregressive": ("attention binary", {"grid", "cdf"}),
    "ClassConditionalNormal": ("class-conditional normal", {"cdf"}),
    "Cylinder": ("cylinder", {"latents"}),
    "Dequantized": ("dequantized", {"latents"}),
    "DiagonalNormal": ("diagonal normal", {"cdf"}),
    "Embedded": ("embedded labels", {"latents", "cdf"}),
    "Ensemble": ("eonade", {"grid"}),
    "Factorized": ("factorized bits", {"grid", "cdf"}),
    "Flow": ("flow on a class-conditional base", {"latents", "cdf"}),
    "Logistic": ("logistic", {"cdf"}),
    "Mixture": ("mixture of categoricals", {"cdf"}),
    "MultiScale": ("multiscale_pixelrnn", set()),
    "MultivariateNormal": ("multivariate normal", {"cdf"}),
    "StandardNormal": ("standard normal", {"cdf"}),
    "StudentT": ("student t", {"cdf"}),
    "TopDown": ("top-down of flows, context", {"latents"}),
    "Uniform": ("uniform", {"cdf"}),
    "VAE": ("vae", {"latents"}),
    "VonMises": ("von mises", set()),
}


def member(name):
    """The example of a class, perturbed."""
    example = registry.MODELS[CLASSES[name][0]]
    model = example.make(nnx.Rngs(0))
    assert type(model).__name__ == name
    return to_float64(perturb(model, KEY, 0.3)), example


def test_every_class_has_a_row():
    # A head, and a prior that is nothing without a posterior.
    assert set(CLASSES) == set(models.__all__) - {"Model", "Frame", "Nearest", "VampPrior"}


@pytest.mark.parametrize("name", CLASSES)
def test_latents_go_with_latent_shape(name, x64):
    model, example = member(name)
    x, context = example.data(model.levels), example.context(model)
    if "latents" not in CLASSES[name][1]:
        assert model.latent_shape is None
        z = np.zeros((4, *model.event_shape))
        for call in (model.infer, model.decode, model.reconstruct):
            said = f"{name}.{call.__name__}: only models with latents .* a Flow, a VAE, a TopDown,"
            with pytest.raises(TypeError, match=said):
                call(z, context)
        with pytest.raises(TypeError, match="only models with latents"):
            interpolate(model, x[:1], x[1:2], 2, None if context is None else context[:1])
        return
    z = model.infer(x, context)
    assert z.shape == (4, *model.latent_shape)
    if name in {"TopDown", "VAE"}:  # whose latents do not hold all of the data
        assert model.decode(z, context).shape == model.reconstruct(x, context).shape == x.shape
        return
    for back in (model.decode(z, context), model.reconstruct(x, context)):
        np.testing.assert_allclose(back, x, atol=1e-8)


@pytest.mark.parametrize("name", CLASSES)
def test_completion_goes_with_grid_shape(name, x64):
    model, example = member(name)
    x, context = example.data(model.levels), example.context(model)
    if "grid" not in CLASSES[name][1]:
        assert model.grid_shape is None
        observed = np.zeros(model.event_shape, bool)
        calls = {
            "complete": lambda: model.complete(KEY, x, observed, 2, context),
            "conditional_log_prob": lambda: model.conditional_log_prob(x, observed, context),
            "observed_log_prob": lambda: model.observed_log_prob(x, observed, context),
            "conditions_exactly": lambda: model.conditions_exactly(observed),
        }
        for method, call in calls.items():
            said = rf"\.{method}: only autoregressive models .*: Autoregressive, an Ensemble"
            with pytest.raises(TypeError, match=said):
                call()
        return
    observed = np.zeros(model.grid_shape, bool)
    assert model.conditions_exactly(observed)
    assert model.complete(KEY, x, observed, 2, context).shape == (2, *x.shape)
    scores = model.conditional_log_prob(x, observed, context)  # of all, given nothing
    np.testing.assert_allclose(scores, model.log_prob(x, context), rtol=1e-9)


@pytest.mark.parametrize("name", CLASSES)
def test_what_positions_add_is_the_whole(name, x64):
    model, example = member(name)
    x, context = example.data(model.levels), example.context(model)
    if name not in ("Autoregressive", "Factorized"):
        said = r"\.position_log_probs: only models that give all positions one order"
        with pytest.raises(TypeError, match=said):
            model.position_log_probs(x, context)
        return
    each = model.position_log_probs(x, context)
    assert each.shape == (len(x), *model.grid_shape)
    total = each.reshape(len(x), -1).sum(1)
    np.testing.assert_allclose(total, model.log_prob(x, context), rtol=1e-12)
    # A position's number knows nothing of what follows it.
    seen = np.zeros(model.grid_shape, bool).reshape(-1)
    seen[model.conditional.own_order()[0]] = True
    observed = model.observed_log_prob(x, seen.reshape(model.grid_shape), context)
    np.testing.assert_allclose(each.reshape(len(x), -1)[:, seen][:, 0], observed, rtol=1e-9)


def test_what_positions_add_in_units_and_outside(x64):
    """Real values have the volume of their units; a value outside has nothing to add to others."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(50, 3)) * [1.0, 1e3, 1e-3]
    model = to_float64(
        zoo.made((3,), levels=None, components=2, hidden=(8,), rngs=nnx.Rngs(0))
    ).standardize(x, None)
    each = model.position_log_probs(x)
    np.testing.assert_allclose(each.sum(-1), model.log_prob(x), rtol=1e-12)
    finer = model.position_log_probs(x)[:, 1] + np.log(1e3)
    assert -4 < finer.mean() < 0
    levels = zoo.made((3,), levels=4, hidden=(8,), rngs=nnx.Rngs(0))
    inside = jax.jit(type(levels).position_log_probs)(levels, jnp.array([1, 7, 2]))
    assert np.isfinite(inside).tolist() == [True, False, True]


def test_what_positions_add_given_a_label(x64):
    base = zoo.made((3,), levels=4, hidden=(8,), context_features=2, rngs=nnx.Rngs(0))
    model = perturb(to_float64(Embedded(base, Embedding(3, 2, rngs=nnx.Rngs(1)))), KEY, 0.3)
    x, labels = np.array([[0, 1, 3], [2, 0, 1]]), np.array([2, 0])
    each = model.position_log_probs(x, labels)
    np.testing.assert_allclose(each.sum(-1), model.log_prob(x, labels), rtol=1e-12)


@pytest.mark.parametrize("name", CLASSES)
def test_the_cdf_goes_with_has_cdf(name, x64):
    """It is that of the density: the map to uniform numbers has the density as its Jacobian."""
    model, example = member(name)
    x, context = example.data(model.levels), example.context(model)
    assert model.has_cdf == ("cdf" in CLASSES[name][1])
    if not model.has_cdf:
        said = rf"{name}\.conditional_cdf: only models that take data to independent uniform"
        with pytest.raises(TypeError, match=said):
            model.conditional_cdf(x, context)
        return
    none = None if context is None else context[:0]
    assert all(len(each) == 0 for each in model.conditional_cdf(x[:0], none))
    below, up_to = model.conditional_cdf(x, context)
    log_prob = model.log_prob(x, context)
    if model.levels is not None:
        each = jnp.sum(jnp.log(up_to - below).reshape(len(x), -1), axis=-1)
        np.testing.assert_allclose(each, log_prob, rtol=1e-9)
        return
    np.testing.assert_array_equal(below, up_to)
    contexts = jnp.zeros((len(x), 1)) if context is None else jnp.asarray(context)

    @jax.jit
    @jax.vmap
    def volume(x, c):
        given = None if context is None else c
        jacobian = jax.jacobian(lambda x: model.conditional_cdf(x, given)[1])(x)
        return jnp.linalg.slogdet(jacobian.reshape(x.size, x.size))[1]

    np.testing.assert_allclose(volume(jnp.asarray(x), contexts), log_prob, rtol=1e-7)


def test_the_latents_of_a_flow_on_a_flow_are_the_innermost(x64):
    outer, inner = (perturb(to_float64(ActNorm((2,))), jax.random.key(i)) for i in (1, 2))
    model = Flow(outer, Flow(inner))
    x = jax.random.normal(KEY, (3, 2))
    z = model.infer(x)
    np.testing.assert_allclose(z, inner.inverse(outer.inverse(x)), rtol=1e-12)
    np.testing.assert_allclose(model.decode(z), x, rtol=1e-12)


DECODED = {
    "another shape": (
        zoo.maf,
        {},
        np.zeros(3),
        None,
        r"Flow\.decode: .* got \(3,\)",
    ),
    "a context too many": (zoo.maf, {}, np.zeros(2), np.zeros(1), r"Flow\.decode: .*unconditional"),
    "no context": (zoo.maf, {"context_features": 1}, np.zeros(2), None, "a conditional model"),
}


@pytest.mark.parametrize("name", DECODED)
@pytest.mark.parametrize("wrap", [lambda flow: flow, lambda flow: Dequantized(flow, 4)])
def test_latents_that_do_not_fit_are_refused(name, wrap):
    make, options, z, context, said = DECODED[name]
    model = wrap(make((2,), layers=1, hidden=(4,), rngs=nnx.Rngs(0), **options))
    with pytest.raises(ShapeError, match=said):
        model.decode(z, context)


def test_a_dequantized_flow_puts_levels_into_cells(x64):
    model = Dequantized(Flow(ActNorm((2,))), 4)
    x = jnp.array([[0, 3], [1, 2]])
    np.testing.assert_array_equal(model.infer(x), x + 0.5)
    noisy = model.infer(x, key=KEY)
    assert not np.array_equal(noisy, x + 0.5)
    np.testing.assert_array_equal(np.floor(noisy), x)
    np.testing.assert_array_equal(model.decode(noisy), x)


def test_a_dequantized_model_without_latents_has_none(x64):
    made = zoo.made((2,), levels=None, hidden=(4,), rngs=nnx.Rngs(0))
    model = Dequantized(made, 4)
    assert model.latent_shape is None
    with pytest.raises(TypeError, match=r"Dequantized\.infer: only models with latents"):
        model.infer(jnp.zeros((1, 2), int))


def test_an_ensemble_warns_of_no_approximation(x64):
    """Every member may put what is observed first."""
    model = zoo.made((4,), hidden=(5,), num_orders=3, rngs=nnx.Rngs(0))
    assert isinstance(model, Ensemble)
    model.complete(KEY, np.zeros((1, 4), int), np.array([False, True, False, True]), 1)
