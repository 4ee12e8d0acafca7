"""A density in other units: ``log p(x) + D log c`` of data times ``c`` does not depend on ``c``."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from registry import MODELS

from jaxgen import zoo
from jaxgen.bijectors import ActNorm, Standardize
from jaxgen.functional.statistics import location_and_scale
from jaxgen.models import DiagonalNormal, Embedded, Flow
from jaxgen.networks import Embedding
from jaxgen.testing import perturb
from jaxgen.training import Batch, TrainSettings, fit

KEY = jax.random.key(0)
# A unit is a factor and, in spreads of the data, an offset. Single precision resolves a
# thousandth of a spread where the offset is 1e4 of them, hence the tolerance.
UNITS = [(1.0, 0.0), (1e-12, 0.0), (1e-5, 3.0), (1e12, 0.0), (1e25, 0.0), (1.0, 1e4), (1e-12, -1e4)]
NATS_PER_DIM = 0.05

NAMES = ("maf", "iaf", "maf_mog", "nice", "realnvp", "glow", "tarflow", "jet", "nsf")
FLOWS = [
    pytest.param(example, id=name, marks=[pytest.mark.slow] if example.slow else [])
    for name, example in MODELS.items()
    if example.bounds is None and name.replace(",", "").split()[0] in NAMES
]


def data(shape, count=64):
    """Skewed, so that no layer happens to be right."""
    noise = np.random.default_rng(0).normal(size=(count, *shape))
    return noise + 0.3 * noise**2


def density(model, x, context):
    """The density of a model that has seen these data, and whose networks are not the identity."""
    model = model.standardize(x, context)
    x = jnp.asarray(x, jnp.float32)
    context = None if context is None else jnp.asarray(context, jnp.float32)
    model = jax.jit(type(model).initialize)(model, x, KEY, context)
    return np.asarray(jax.jit(type(model).log_prob)(model, x, context), np.float64)


@pytest.mark.parametrize("example", FLOWS)
def test_no_flow_depends_on_the_unit_of_its_data(example):
    model = perturb(example.make(nnx.Rngs(0)), KEY)
    x = data(example.event)
    context = None if model.context_shape is None else data(model.context_shape)
    size = x[0].size
    expected = density(model, x, context)
    assert np.std(expected) > 0.1
    for factor, offset in UNITS[1:]:
        seen = (factor * (x + offset)).astype(np.float32)
        found = density(model, seen, context) + size * np.log(factor)
        np.testing.assert_allclose(found, expected, atol=NATS_PER_DIM * size)
    if context is not None:
        for factor, offset in [(1e-12, 0.0), (10.0, 200.0), (1e12, -1e3)]:
            found = density(model, x, factor * (context + offset))
            np.testing.assert_allclose(found, expected, atol=NATS_PER_DIM * size)


def test_training_sees_the_same_numbers_in_any_unit():
    flow = zoo.maf((2,), layers=2, hidden=(8,), rngs=nnx.Rngs(0))
    settings = TrainSettings(steps=20, batch_size=32, learning_rate=0.01)
    losses = []
    for factor, offset in UNITS:
        x = (factor * (data((2,)) + offset)).astype(np.float32)
        result = fit(flow, x, settings=settings, progress=False)
        losses.append(result.history[-1]["loss"] - 2 * np.log(factor))
    np.testing.assert_allclose(losses, losses[0], atol=NATS_PER_DIM)


def test_a_context_far_from_one_says_what_it_says():
    rng = np.random.default_rng(0)
    context = rng.normal(2000.0, 10.0, (512, 1)).astype(np.float32)
    x = ((context - 2000.0) / 10.0 + rng.normal(size=(512, 1))).astype(np.float32)
    flow = zoo.maf((1,), layers=1, hidden=(16,), context_features=1, rngs=nnx.Rngs(0))
    settings = TrainSettings(steps=300, batch_size=128, learning_rate=0.01)
    model = fit(flow, Batch(x, context), settings=settings, progress=False).model
    mean = float(jnp.mean(jax.jit(Flow.log_prob)(model, x, context)))
    assert mean == pytest.approx(-0.5 * np.log(2 * np.pi * np.e), abs=0.08)


def test_what_a_network_makes_of_a_context_is_taken_as_it_comes():
    flow = zoo.maf((2,), layers=1, hidden=(6,), context_features=3, rngs=nnx.Rngs(0))
    model = Embedded(flow, Embedding(2, 3, rngs=nnx.Rngs(1)))
    x = data((2,)).astype(np.float32)
    new = model.initialize(x, KEY, np.arange(64) % 2)
    assert new.model.context_units.mean[...].tolist() == [0.0] * 3
    assert new.model.context_units.log_scale[...].tolist() == [0.0] * 3


@pytest.mark.parametrize("factor", [1e-30, 1e-3, 1.0, 1e12, 1e30])
@pytest.mark.parametrize("kind", [ActNorm, Standardize])
def test_layers_take_any_scale(kind, factor):
    x = (factor * data((2,))).astype(np.float32)
    _, z = kind((2,)).initialize(jnp.asarray(x))
    np.testing.assert_allclose(z.mean(0), 0.0, atol=1e-5)
    np.testing.assert_allclose(z.std(0), 1.0, rtol=1e-5)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_host_and_device_find_the_same_statistics(dtype):
    x = data((3, 2), 1000).astype(dtype)
    host = location_and_scale(x, 1)
    device = jax.jit(location_and_scale, static_argnums=1)(jnp.asarray(x), 1)
    precise = x.astype(np.float64)
    reference = precise.mean((0, 1)), precise.std((0, 1))
    for found, expected in (*zip(host, reference, strict=True), *zip(device, host, strict=True)):
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_half_precision_statistics_do_not_overflow():
    x = jnp.full((4000, 1), 60000.0, jnp.float16).at[::2].set(-60000.0)
    mean, scale = location_and_scale(x, 1)
    assert (mean.tolist(), scale.tolist()) == ([0.0], [60000.0])


def test_a_density_starts_from_the_data():
    x = (1e-9 * (data((2,)) + 100.0)).astype(np.float32)
    model = DiagonalNormal((2,)).initialize(x, KEY)
    found = float(jnp.mean(model.log_prob(x)))
    spread = x.astype(np.float64).std(0)
    assert found == pytest.approx(
        -np.sum(np.log(spread) + 0.5 * np.log(2 * np.pi * np.e)), abs=1e-3
    )
