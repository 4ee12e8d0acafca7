"""Networks in bfloat16: parameters, transforms and likelihoods stay as exact as they were."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import registry
from flax import nnx

import jaxgen
from jaxgen import zoo
from jaxgen.bijectors import ActNorm, Coupling, MaskedAutoregressive
from jaxgen.models import Flow, StandardNormal
from jaxgen.networks import MLP
from jaxgen.testing import perturb
from jaxgen.training import TrainSettings, fit

KEY = jax.random.key(0)


def example(name, members=registry.MODELS):
    entry = members[name]
    member = perturb(entry.make(nnx.Rngs(0)), KEY)
    data = entry.data(getattr(member, "levels", None))
    x = data if data.dtype.kind == "i" else data.astype(np.float32)
    context = entry.context(member)
    return member, jnp.asarray(x), None if context is None else context.astype(np.float32)


@pytest.mark.parametrize(
    "name", ["maf context", "glow dense, context", "made context", "made normal"]
)
def test_a_model_with_networks_in_bfloat16(name):
    model, x, context = example(name)
    half = jaxgen.compute_in(model, jnp.bfloat16)
    for leaf, old in zip(jax.tree.leaves(half), jax.tree.leaves(model), strict=True):
        assert leaf.dtype == old.dtype == jnp.float32
    log_prob = jax.jit(type(model).log_prob)
    got, expected = log_prob(half, x, context), log_prob(model, x, context)
    assert got.dtype == jnp.float32
    difference = np.abs(got - expected)
    # Something is rounded to 8 bits, and nothing but that.
    assert 0 < difference.max() < 0.1 * np.prod(model.event_shape)
    samples = jax.jit(type(model).sample, static_argnums=2)(half, KEY, 3, context)
    assert samples.dtype == (jnp.float32 if model.levels is None else jnp.int32)


@pytest.mark.parametrize("name", ["coupling vector", "coupling channels", "split odd, prior"])
def test_a_coupling_is_inverted_as_exactly_as_before(name):
    bijector, x, _ = example(name, registry.BIJECTORS)
    half = jaxgen.compute_in(bijector, "bfloat16")

    @jax.jit
    def there_and_back(bijector, x):
        z, log_det = bijector.inverse_and_log_det(x)
        back, again = bijector.forward_and_log_det(z)
        return z, back, log_det + again

    z, back, sum_of_log_dets = there_and_back(half, x)
    np.testing.assert_allclose(back, x, atol=2e-6)
    np.testing.assert_allclose(sum_of_log_dets, 0.0, atol=2e-6)
    assert np.abs(z - there_and_back(bijector, x)[0]).max() > 1e-4


def test_an_autoregressive_layer_is_inverted_by_the_same_pass():
    layer, x, _ = example("maf", registry.BIJECTORS)
    half = jaxgen.compute_in(layer, jnp.bfloat16)
    z = half.inverse(x)
    assert z.dtype == jnp.float32
    for method, tolerance in (("naive", 2e-6), ("incremental", 0.05)):
        same = MaskedAutoregressive(half.conditional, half.transform, method)
        np.testing.assert_allclose(same.forward(z), x, atol=tolerance)


def test_it_is_undone():
    model, x, _ = example("maf")
    there = jaxgen.compute_in(model, jnp.bfloat16)
    back = jaxgen.compute_in(there, None)
    assert jax.tree.structure(back) == jax.tree.structure(model) != jax.tree.structure(there)
    np.testing.assert_array_equal(back.log_prob(x), model.log_prob(x))


def test_training_with_networks_in_bfloat16():
    x = np.random.default_rng(0).normal(size=(256, 2)).astype(np.float32)
    x[:, 1] = 0.3 * x[:, 1] + x[:, 0]
    flow = jaxgen.compute_in(zoo.maf((2,), layers=2, hidden=(8,), rngs=nnx.Rngs(0)), jnp.bfloat16)
    settings = TrainSettings(steps=200, batch_size=128, learning_rate=0.01, steps_per_dispatch=200)
    result = fit(flow, x, settings=settings, progress=False)
    exact = -1.0 - np.log(2 * np.pi) - np.log(0.3)
    assert np.mean(jax.jit(Flow.log_prob)(result.model, x)) > exact - 0.1
    assert {leaf.dtype for leaf in jax.tree.leaves(result.model)} == {jnp.dtype("float32")}


def test_only_the_network_is_coarse():
    """A transform of float32 parameters on values that bfloat16 cannot hold."""
    make = lambda n, m: MLP(n, m, hidden=(4,), rngs=nnx.Rngs(0))  # noqa: E731
    layer = jaxgen.compute_in(Coupling((2,), make), jnp.bfloat16)  # the identity at first
    x = jnp.array([1.0 + 2.0**-20, 3.0 + 2.0**-20])
    np.testing.assert_array_equal(layer.forward(x), x)


MISTAKES = {
    "integers": (lambda: jaxgen.compute_in(example("maf")[0], jnp.int8), "floating dtype .*int8"),
    "no networks": (
        lambda: jaxgen.compute_in(Flow(ActNorm((2,))), jnp.bfloat16),
        "Flow has no networks",
    ),
    "a base alone": (lambda: jaxgen.compute_in(StandardNormal((2,)), None), "has no networks"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes(name):
    act, said = MISTAKES[name]
    with pytest.raises(ValueError, match=said):
        act()
