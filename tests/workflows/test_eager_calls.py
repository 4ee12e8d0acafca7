"""Outside of jit, as in a notebook, a method compiles when it is first called, and never again."""

import gc

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import registry
from flax import nnx

from jaxgen import zoo
from jaxgen.testing import perturb

# One for each way that loops are made; the others are slow.
QUICK = (
    "maf",
    "maf context",
    "nice",
    "made normal",
    "recurrent",
    "mixture of bernoullis",
    "von mises",
    "made ensemble",
    "dequantized",
)
MEMBERS = [
    pytest.param(name, marks=[] if name in QUICK else [pytest.mark.slow])
    for name in registry.MODELS
]


def calls_of(model, example):
    """Each public method by its name, with new keys, masks and orders in every call."""
    real = model.levels is None
    x = jnp.asarray(example.data(model.levels), jnp.float32 if real else jnp.int32)
    context = example.context(model)
    given = () if context is None else (jnp.asarray(context),)
    rng = np.random.default_rng(0)

    def key():
        return jax.random.key(rng.integers(2**31))

    calls = {
        "sample": lambda: model.sample(key(), 3, *given),
        "sample, hot": lambda: model.sample(key(), 3, *given, temperature=1.0 + rng.random()),
    }
    if model.exactness == "exact":
        calls["log_prob"] = lambda: model.log_prob(x, *given)
        calls["sample_and_log_prob"] = lambda: model.sample_and_log_prob(key(), 3, *given)
    calls["elbo"] = lambda: model.elbo(x, key(), *given)
    calls["importance_log_prob"] = lambda: model.importance_log_prob(x, key(), 4, *given)
    if model.latent_shape is not None:
        z = jnp.zeros((4, *model.latent_shape))
        calls["infer"] = lambda: model.infer(x, *given)
        calls["decode"] = lambda: model.decode(z, *given)
    if model.grid_shape is not None:
        size = int(np.prod(model.grid_shape))
        half = np.arange(size) < size // 2

        def mask():  # as many positions each time; of a fixed order, a beginning
            shown = rng.permutation(half).reshape(model.grid_shape)
            return shown if model.conditions_exactly(shown) else half.reshape(model.grid_shape)

        calls["complete"] = lambda: model.complete(key(), x, mask(), 2, *given)
        calls["complete, hot"] = lambda: model.complete(
            key(), x, mask(), 2, *given, temperature=1.0 + rng.random()
        )
        calls["conditional_log_prob"] = lambda: model.conditional_log_prob(x, mask(), *given)
        calls["observed_log_prob"] = lambda: model.observed_log_prob(x, mask(), *given)
    network = getattr(model, "conditional", None)
    if network is not None and not network.fixed_order:

        def order():
            return rng.permutation(network.num_positions)

        calls["log_prob in an order"] = lambda: model.log_prob(x, *given, order=order())
        calls["sample in an order"] = lambda: model.sample(key(), 3, *given, order=order())
    return calls


@pytest.mark.parametrize("name", MEMBERS)
@pytest.mark.filterwarnings("ignore::jaxgen.models.completion.ApproximateCompletion")
def test_a_method_is_compiled_once(name, compilations):
    example = registry.MODELS[name]
    model = perturb(example.make(nnx.Rngs(0)), jax.random.key(1))
    for method, call in calls_of(model, example).items():
        call()
        call()  # what JAX itself compiles for arguments of another kind
        gc.collect()
        compilations.clear()
        held = len(jax.live_arrays())
        for _ in range(3):
            jax.block_until_ready(call())
        gc.collect()
        assert compilations == [], method
        assert len(jax.live_arrays()) <= held, method


@pytest.mark.parametrize("name", ["eonade", "made binary image", "made ensemble"])
@pytest.mark.filterwarnings("ignore::jaxgen.models.completion.ApproximateCompletion")
def test_a_few_programs_complete_all_masks(name, compilations):
    """One for each of the quarters of an event at which what is missing may begin."""
    model = registry.MODELS[name].make(nnx.Rngs(0))
    size = int(np.prod(model.grid_shape))
    x = jnp.zeros((2, *model.event_shape), int)

    def complete(count):
        observed = (np.arange(size) < count).reshape(model.grid_shape)
        return model.complete(jax.random.key(count), x, observed, 2)

    for quarter in range(5):
        complete(size * quarter // 4)
    compilations.clear()
    for count in range(size + 1):
        complete(count)
    assert compilations == []


def test_what_is_traced_is_part_of_the_larger_program():
    """A gradient of a method sees through it, and jit makes one program of all."""
    model = zoo.maf((2,), layers=2, hidden=(4,), rngs=nnx.Rngs(0))
    x = jnp.ones((3, 2))
    eager = jax.grad(lambda x: model.log_prob(x).sum())(x)
    compiled = jax.jit(jax.grad(lambda x: model.log_prob(x).sum()))(x)
    np.testing.assert_allclose(eager, compiled, rtol=1e-6)
    text = jax.jit(lambda model, x: model.log_prob(x)).lower(model, x).as_text()
    assert "_run" not in text


def test_values_are_still_refused():
    model = zoo.made((4,), levels=3, hidden=(4,), rngs=nnx.Rngs(0))
    x = jnp.zeros((2, 4), int)
    model.log_prob(x)
    with pytest.raises(ValueError, match="levels"):
        model.log_prob(x + 3)
    with pytest.raises(ValueError, match="permutation"):
        model.log_prob(x, order=np.array([0, 0, 1, 2]))
    with pytest.raises(ValueError, match="temperature"):
        model.sample(jax.random.key(0), 2, temperature=-1.0)
