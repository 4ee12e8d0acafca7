"""Densities of real-valued heads are the same in any unit of the data and of the context."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from jaxgen import zoo
from jaxgen.models import Autoregressive, Ensemble
from jaxgen.training import TrainSettings, fit

KEY = jax.random.key(0)
D = 6
IMAGE = (2, 3, 1)
PIXELS = {"width": 4, "depth": 1}

# Every conditional, with a mixture of normals.
MEMBERS = {
    "made": ((D,), {"hidden": [8]}),
    "nade": ((D,), {"width": 8}),
    "fvsbn": ((D,), {}),
    "growing": ((D,), {"width": 4}),
    "eonade": ((D,), {"hidden": [8], "num_orders": 2}),
    "markov": ((D,), {}),
    "recurrent": ((D,), {"width": 8}),
    "attention": ((D,), {"width": 8, "heads": 2, "depth": 1}),
    "wavenet": ((D,), {"width": 4, "dilations": [1, 2]}),
    "pixelcnn": (IMAGE, PIXELS),
    "gated_pixelcnn": (IMAGE, PIXELS),
    "pixelcnnpp": (IMAGE, {"width": 4, "blocks": 1, "resolutions": 1}),
    "lmconv": (IMAGE, {**PIXELS, "num_orders": 2}),
    "pixelrnn": (IMAGE, PIXELS),
}
CONTEXTUAL = {name: MEMBERS[name] for name in ("made", "recurrent", "attention", "pixelrnn")}

UNITS = [(1e-12, 0.0), (1e12, 0.0), (1e25, 0.0), (1.0, 1e4), (1e-9, -1e-5)]


def build(name, components, context_features=None):
    event, arguments = MEMBERS[name]
    arguments = {"levels": None, "components": components, **arguments}
    if context_features is not None:
        arguments["context_features"] = context_features
    return zoo.build(name, event, arguments, rngs=nnx.Rngs(0)), event


def correlated(event, dtype=np.float32):
    rng = np.random.default_rng(0)
    mixing = np.tril(rng.normal(size=(D, D))) + 2 * np.eye(D)
    return (rng.normal(size=(512, D)) @ mixing.T).reshape(-1, *event).astype(dtype)


@jax.jit
def trained(model, x, context):
    """Some steps of Adam, written out so that they compile once for all units."""
    graphdef, params, others = nnx.split(model, nnx.Param, ...)

    def loss(params, key):
        model = nnx.merge(graphdef, params, others)
        return -jnp.mean(model.elbo(x, key, context)) / D

    adam = optax.adam(1e-2)

    def step(carry, key):
        params, state = carry
        slopes = jax.grad(loss)(params, key)
        updates, state = adam.update(slopes, state)
        return (optax.apply_updates(params, updates), state), None

    carry = (params, adam.init(params))
    (params, _), _ = jax.lax.scan(step, carry, jax.random.split(KEY, 20))
    return nnx.merge(graphdef, params, others)


@jax.jit
def per_dimension(model, x, context):
    return jnp.mean(model.log_prob(x, context)) / D


def nats(model, x, context=None):
    """The mean log-density of a dimension, before and after training."""
    first = None if context is None else context[:64]
    start = jax.jit(type(model).initialize)(model.standardize(x, context), x[:64], KEY, first)
    scores = [per_dimension(each, x, context) for each in (start, trained(start, x, context))]
    return np.asarray(scores, np.float64)


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=[pytest.mark.slow] * (n == "pixelcnnpp")) for n in MEMBERS],
)
def test_the_density_does_not_depend_on_the_unit(name):
    model, event = build(name, 3)
    x = correlated(event)
    expected = nats(model, x)
    assert expected[1] > expected[0] + 0.02  # it did train
    for scale, shift in UNITS:
        got = nats(model, x * np.float32(scale) + np.float32(shift)) + np.log(scale)
        np.testing.assert_allclose(got, expected, atol=0.05, err_msg=f"{scale}, {shift}")


@pytest.mark.parametrize("scale", [1e-9, 1e12])
def test_fit_sees_the_same_numbers_in_any_unit(scale):
    """One component: a normal head."""
    x = correlated((D,))
    settings = TrainSettings(steps=20, batch_size=64, learning_rate=1e-2)
    each = []
    for unit in (1.0, scale):
        data = x * np.float32(unit)
        model, _ = build("made", None)
        model = fit(model, data, settings=settings, progress=False).model
        each.append(float(per_dimension(model, data, None)) + np.log(unit))
    assert each[0] == pytest.approx(each[1], abs=0.01)


@pytest.mark.parametrize("name", CONTEXTUAL)
def test_the_density_does_not_depend_on_the_unit_of_the_context(name):
    model, event = build(name, None, context_features=2)
    x = correlated(event)
    context = x.reshape(-1, D)[:, :2] + np.random.default_rng(1).normal(size=(512, 2))
    context = context.astype(np.float32)
    expected = nats(model, x, context)
    for scale, shift in [(10.0, 2000.0), (1e-6, 0.0), (1e12, 0.0)]:
        seen = context * np.float32(scale) + np.float32(shift)
        np.testing.assert_allclose(nats(model, x, seen), expected, atol=0.05)


@pytest.mark.parametrize("name", ["made", "recurrent", "lmconv"])
def test_samples_and_completions_come_in_the_data_s_unit(name, x64):
    model, event = build(name, 3)
    x = correlated(event, np.float64) * 1e6 + 3e7
    model = model.standardize(x, None)
    kind = type(model)
    sample = jax.jit(kind.sample, static_argnums=2, static_argnames="method")
    drawn = sample(model, KEY, 500)
    np.testing.assert_allclose(drawn.mean(0), x.mean(0), atol=0.3 * x.std())
    np.testing.assert_allclose(drawn, sample(model, KEY, 500, method="naive"), rtol=1e-9)
    observed = np.arange(D).reshape(model.grid_shape) < 3
    filled = jax.jit(lambda model, x: model.complete(KEY, x, observed, 2))(model, x[:64])
    for each in filled:
        np.testing.assert_array_equal(each.reshape(64, D)[:, :3], x[:64].reshape(64, D)[:, :3])
    assert abs(float(filled.mean()) - x.mean()) < x.std()


@pytest.mark.parametrize("kind", [Autoregressive, Ensemble])
def test_the_chain_rule_counts_units_once(kind, x64):
    """Of what is missing, that of the missing positions."""
    model, event = build("made" if kind is Autoregressive else "eonade", None)
    x = correlated(event, np.float64)
    scores = []
    for scale in (1.0, 1e5):
        adapted = model.standardize(x * scale, None)
        score = jax.jit(lambda model, x: model.conditional_log_prob(x, np.arange(D) < 4))
        scores.append(score(adapted, x[:8] * scale) + 2 * np.log(scale))
    np.testing.assert_allclose(*scores, rtol=1e-9)


def test_a_constant_column_keeps_its_scale():
    x = correlated((D,))
    x[:, 2] = 7.0
    model, _ = build("made", None)
    adapted = model.standardize(x, None)
    assert float(adapted.border.units.mean[2]) == 7.0
    assert float(adapted.border.units.log_scale[2]) == 0.0
    assert np.all(np.isfinite(adapted.log_prob(x)))
