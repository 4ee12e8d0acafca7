"""A context that is no number is refused by every method that takes one, and never drawn from."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jaxgen import zoo
from jaxgen.models import ClassConditionalNormal, Dequantized, Embedded
from jaxgen.networks import MLP

KEY = jax.random.key(0)
GIVEN = {"hidden": (8,), "context_features": 2}


def rngs():
    return nnx.Rngs(0)


def embedded():
    # A standing input shape is all that a model asks of a network of one's own.
    network = MLP(3, 2, hidden=(4,), rngs=rngs())
    network.input_shape = (3,)
    return Embedded(zoo.made((4,), **GIVEN, rngs=rngs()), network)


MODELS = {
    "levels": lambda: zoo.made((4,), levels=2, **GIVEN, rngs=rngs()),
    "an ensemble": lambda: zoo.made((4,), num_orders=2, **GIVEN, rngs=rngs()),
    "reals in steps": lambda: zoo.made((4,), levels=None, **GIVEN, rngs=rngs()),
    "a flow": lambda: zoo.maf((4,), layers=2, **GIVEN, rngs=rngs()),
    "noise added": lambda: Dequantized(zoo.maf((4,), layers=1, **GIVEN, rngs=rngs()), 4),
    "a network before it": embedded,
    "classes": lambda: ClassConditionalNormal((4,), 3),
}
VALUES = {"nan": np.nan, "infinite": -np.inf, "beyond float32": 1e300}


def methods(model, x, context):
    """Every method that takes a context, given one."""
    exact = model.exactness == "exact"
    yield "elbo", lambda: model.elbo(x, KEY, context)
    yield "importance_log_prob", lambda: model.importance_log_prob(x, KEY, 2, context)
    yield "sample", lambda: model.sample(KEY, 2, context[0])
    yield "standardize", lambda: model.standardize(x, context)
    yield "initialize", lambda: model.initialize(x, KEY, context)
    yield "calibrate", lambda: model.calibrate(x, KEY, context)
    if exact:
        yield "log_prob", lambda: model.log_prob(x, context)
        yield "sample_and_log_prob", lambda: model.sample_and_log_prob(KEY, 2, context[0])
    if model.grid_shape is not None:
        observed = np.arange(4) < 2
        yield "complete", lambda: model.complete(KEY, x, observed, 2, context)
        yield "conditional_log_prob", lambda: model.conditional_log_prob(x, observed, context)
        yield "observed_log_prob", lambda: model.observed_log_prob(x, observed, context)
        yield "observed_elbo", lambda: model.observed_elbo(x, observed, KEY, context)
    if model.latent_shape is not None:
        z = np.zeros((3, *model.latent_shape), np.float32)
        yield "infer", lambda: model.infer(x, context)
        yield "decode", lambda: model.decode(z, context)
        yield "reconstruct", lambda: model.reconstruct(x, context)


@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize("name", MODELS)
def test_every_method_refuses_a_context_that_is_no_number(name, value):
    model = MODELS[name]()
    assert model.context_shape is not None
    x = np.zeros((3, 4), np.float32 if model.levels is None else np.int32)
    context = np.zeros((3, *model.context_shape))
    context[0] = VALUES[value]
    for method, call in methods(model, x, context):
        with pytest.raises(ValueError, match=r"for context, .*got (1|2|3|1e\+300)"):
            pytest.fail(f"{name}.{method} took it: {call()}")


@pytest.mark.parametrize("value", VALUES)
def test_layers_and_networks_refuse_it_too(value):
    context = np.full((3, 2), VALUES[value])
    x = np.zeros((3, 4), np.float32)
    made = zoo.made((4,), **GIVEN, rngs=rngs()).conditional
    layer = zoo.maf((4,), layers=1, **GIVEN, rngs=rngs()).bijector
    calls = {
        "inverse": lambda: layer.inverse(x, context),
        "forward": lambda: layer.forward(x, context),
        "initialize": lambda: layer.initialize(x, context),
        "call": lambda: made(x, context),
        "cache": lambda: made.init_cache((3,), context),
        "prefill": lambda: made.prefill(x, 2, context),
    }
    for method, call in calls.items():
        with pytest.raises(ValueError, match="for context, "):
            pytest.fail(f"{method} took it: {call()}")


def test_under_a_trace_the_log_probability_is_nan():
    context = jnp.full((3, 2), jnp.nan)
    for name in ("levels", "a flow"):
        model = MODELS[name]()
        x = jnp.zeros((3, 4), jnp.float32 if model.levels is None else jnp.int32)
        assert np.isnan(jax.jit(type(model).log_prob)(model, x, context)).all()
