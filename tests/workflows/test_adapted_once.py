"""What adapts to data does so once: training on goes on from what there is.

That a second ``initialize`` changes nothing is a check of the conformance kit, for every member.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jaxgen import freeze, zoo
from jaxgen.bijectors import ActNorm, BatchNorm, Chain, Standardize
from jaxgen.models import Flow
from jaxgen.training import TrainSettings, fit


@pytest.mark.parametrize("kind", [ActNorm, BatchNorm, Standardize])
def test_a_frozen_layer_keeps_its_numbers(kind):
    x = np.random.default_rng(0).normal(2.0, 3.0, (16, 2)).astype(np.float32)
    layer = kind((2,))
    trained = jax.tree.leaves(nnx.state(layer, nnx.Param))
    layer = freeze(layer) if trained else kind((2,), mean=1.0)
    new, _ = layer.initialize(x)
    assert nnx.state(new, nnx.Param) == nnx.state(layer, nnx.Param) == {}
    for old_leaf, new_leaf in zip(jax.tree.leaves(layer), jax.tree.leaves(new), strict=True):
        np.testing.assert_array_equal(old_leaf, new_leaf)


@pytest.mark.parametrize("given", [{"mean": 5.0}, {"scale": 2.0}, {"mean": 5.0, "scale": 2.0}])
def test_statistics_that_a_user_gives_are_kept_in_training(given):
    x = np.random.default_rng(0).normal(5.0, 2.0, (32, 2)).astype(np.float32)
    flow = Flow(Chain([ActNorm((2,)), Standardize((2,), **given)]))
    model = fit(flow, x, settings=TrainSettings(steps=1, batch_size=16), progress=False).model
    nearest = model.bijector.layers[1]
    assert nearest.mean[...].tolist() == [given.get("mean", 0.0)] * 2
    np.testing.assert_allclose(np.exp(nearest.log_scale[...]), given.get("scale", 1.0), rtol=1e-6)


def flows():
    rngs = nnx.Rngs(0)
    yield pytest.param(zoo.maf((2,), layers=2, hidden=(6,), rngs=rngs), id="maf")
    batchnorm = zoo.maf((2,), layers=2, hidden=(6,), norm="batchnorm", rngs=rngs)
    yield pytest.param(batchnorm, id="maf batchnorm")
    frozen = freeze(zoo.maf((2,), layers=1, hidden=(6,), rngs=rngs), "bijector.layers.0.steps")
    trained = Flow(Chain([ActNorm((2,)), frozen.bijector]))
    yield pytest.param(trained, id="frozen part")


@pytest.mark.parametrize("flow", list(flows()))
def test_training_at_rate_zero_leaves_a_trained_model_as_it_is(flow):
    x = np.random.default_rng(0).normal(2.0, 3.0, (64, 2)).astype(np.float32)
    settings = TrainSettings(steps=4, batch_size=16, ema_decay=0.9)
    trained = fit(flow, x, settings=settings, progress=False).model
    still = TrainSettings(steps=4, batch_size=16, ema_decay=0.9, learning_rate=0.0, seed=1)
    log_prob = jax.jit(Flow.log_prob)
    expected = log_prob(trained, x)
    for data in (x, x[:16], x[:16] + 10.0):
        again = fit(trained, data, settings=still, progress=False).model
        np.testing.assert_array_equal(log_prob(again, x), expected)


def test_more_training_starts_where_training_ended():
    x = np.random.default_rng(0).normal(2.0, 3.0, (64, 2)).astype(np.float32)
    flow = zoo.maf((2,), layers=2, hidden=(6,), rngs=nnx.Rngs(0))
    settings = TrainSettings(steps=20, batch_size=16, learning_rate=0.01, ema_decay=0.0)
    first = fit(flow, x, settings=settings, progress=False)
    settings = TrainSettings(steps=1, batch_size=64, learning_rate=0.01, ema_decay=0.0)
    second = fit(first.model, x, settings=settings, progress=False)
    expected = -float(jnp.mean(jax.jit(Flow.log_prob)(first.model, x)))
    assert second.history[0]["loss"] == pytest.approx(expected, abs=1e-4)
