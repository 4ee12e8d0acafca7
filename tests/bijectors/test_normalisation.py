"""What normalises: the statistics of a first batch, of each batch, of the calibration data."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jaxgen import zoo
from jaxgen.bijectors import (
    ActNorm,
    BatchNorm,
    Chain,
    Coupling,
    Flip,
    Inverse,
    Reshape,
    Scan,
    Split,
    Standardize,
)
from jaxgen.core import ShapeError, needs_calibration
from jaxgen.models import Dequantized, Embedded, Flow
from jaxgen.networks import MLP, Embedding
from jaxgen.testing import perturb, to_float64

KEY = jax.random.key(0)
X = np.random.default_rng(0).normal(2.0, 3.0, size=(8, 3))


@pytest.mark.parametrize("kind", [ActNorm, Standardize])
def test_a_constant_channel_keeps_its_scale(kind):
    x = jnp.stack([jnp.ones(4), jnp.arange(4.0)], -1)
    norm, z = kind((2,)).initialize(x)
    shift, log_scale = norm.shift_and_log_scale()
    assert shift.tolist() == [1.0, 1.5]
    np.testing.assert_allclose(np.exp(log_scale), [1.0, np.std(np.arange(4.0))], rtol=1e-6)
    assert z[:, 0].tolist() == [0.0] * 4


def test_standardize_has_statistics_for_every_entry_actnorm_for_every_channel(x64):
    x = np.random.default_rng(0).normal(size=(2, 5, 3, 4)) * np.arange(1, 13).reshape(3, 4)
    entries, z = Standardize((3, 4)).initialize(jnp.asarray(x))
    np.testing.assert_allclose(z.mean((0, 1)), 0.0, atol=1e-9)
    np.testing.assert_allclose(z.std((0, 1)), 1.0, rtol=1e-9)
    log_det = entries.inverse_log_det(x)
    np.testing.assert_allclose(log_det, -np.log(x.std((0, 1))).sum() * np.ones((2, 5)), rtol=1e-9)
    channels, z = ActNorm((3, 4)).initialize(jnp.asarray(x))
    np.testing.assert_allclose(z.std((0, 1, 2)), 1.0, rtol=1e-9)
    log_det = channels.inverse_log_det(x)
    expected = -3 * np.log(x.std((0, 1, 2))).sum()
    np.testing.assert_allclose(log_det, expected * np.ones((2, 5)), rtol=1e-9)


def test_batchnorm_is_the_papers_map(x64):
    norm = perturb(to_float64(BatchNorm((2, 2, 3), eps=0.1)), KEY)
    x = np.random.default_rng(1).normal(size=(5, 2, 2, 3))
    z, log_det = norm.inverse_and_log_det(x, key=KEY)
    mean, var = x.mean((0, 1, 2)), x.var((0, 1, 2)) + 0.1
    gamma, beta = np.asarray(norm.log_gain[...]), np.asarray(norm.offset[...])
    np.testing.assert_allclose(z, (x - mean) / np.sqrt(var) * np.exp(gamma) + beta, rtol=1e-9)
    np.testing.assert_allclose(log_det, 4 * np.sum(gamma - np.log(var) / 2), rtol=1e-9)
    assert log_det.shape == (5,)


@pytest.mark.parametrize("layers", [1, 3])
def test_training_and_evaluation_agree_on_the_data_that_calibrated_it(layers, x64):
    flow = zoo.maf((3,), layers=layers, hidden=(5,), norm="batchnorm", rngs=nnx.Rngs(0))
    flow = perturb(to_float64(flow), KEY)
    log_prob = jax.jit(Flow.log_prob)
    training = log_prob(flow, X, key=KEY)
    assert np.abs(training - log_prob(flow, X)).max() > 0.1  # the statistics were others before
    calibrated = jax.jit(Flow.calibrate)(flow, X, KEY)
    np.testing.assert_allclose(log_prob(calibrated, X), training, rtol=1e-9)
    np.testing.assert_allclose(log_prob(calibrated, X, key=KEY), training, rtol=1e-9)


def test_gradients_flow_through_the_statistics_of_the_batch():
    norm = BatchNorm((3,))
    x, weights = jnp.asarray(X, jnp.float32), jnp.arange(24.0).reshape(8, 3) ** 2

    def total(x, key):
        return jnp.sum(weights * norm.inverse_and_log_det(x, key=key)[0])

    # A shift of the whole batch changes nothing, so the slopes add up to zero.
    np.testing.assert_allclose(jax.grad(total)(x, KEY).sum(0), 0.0, atol=1e-3)
    assert np.abs(jax.grad(total)(x, None).sum(0)).min() > 1.0


def test_one_example_has_no_statistics():
    norm = BatchNorm((3,))
    x = jnp.asarray(X, jnp.float32)
    for alone in (x[0], x[:1]):
        with pytest.raises(ShapeError, match="at least 2 examples to train on, got 1"):
            norm.inverse_and_log_det(alone, key=KEY)
        norm.inverse(alone)
    with pytest.raises(ShapeError, match="at least 2 examples"):
        jax.vmap(lambda x: norm.inverse_and_log_det(x, key=KEY))(x)


def test_sampling_uses_the_stored_statistics_whatever_the_key():
    norm, z = perturb(BatchNorm((3,)), KEY).initialize(jnp.asarray(X, jnp.float32))
    x, log_det = Chain([norm]).forward_and_log_det(z, key=KEY)
    np.testing.assert_allclose(x, X, atol=1e-5)
    np.testing.assert_allclose(log_det, -norm.inverse_log_det(x), rtol=1e-6)


def test_eps_must_be_positive():
    with pytest.raises(ValueError, match="positive, finite number for eps, got 0"):
        BatchNorm((2,), eps=0.0)


# --- the walk ---


def mlp(rngs):
    return lambda n, m: MLP(n, m, hidden=(4,), rngs=rngs)


def step(rngs):
    return Chain([BatchNorm((4,)), Coupling((4,), mlp(rngs)), ActNorm((4,))])


CONTAINERS = {
    "chain": lambda: step(nnx.Rngs(0)),
    "scan": lambda: Scan(step, 2, rngs=nnx.Rngs(0)),
    "split": lambda: Split(step(nnx.Rngs(0)), (8,)),
    "reshape": lambda: Reshape(step(nnx.Rngs(0)), (2, 2, 1)),
    "nested": lambda: Chain([Flip(3), Reshape(Scan(step, 2, rngs=nnx.Rngs(0)), (2, 2, 1))]),
}


@pytest.mark.parametrize("name", CONTAINERS)
def test_calibration_reaches_every_statistic_and_nothing_else(name, x64):
    bijector = perturb(to_float64(CONTAINERS[name]()), KEY)
    assert needs_calibration(bijector)
    data = np.random.default_rng(0).normal(2.0, 3.0, size=(16, *bijector.event_shape))
    new, z = jax.jit(lambda b, x: b.calibrate(x))(bijector, data)
    expected, log_det = bijector.inverse_and_log_det(data, key=KEY)
    np.testing.assert_allclose(z, expected, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(new.inverse_log_det(data), log_det, rtol=1e-9)
    for old_leaf, new_leaf in zip(
        jax.tree.leaves(nnx.state(bijector, nnx.Param)),
        jax.tree.leaves(nnx.state(new, nnx.Param)),
        strict=True,
    ):
        np.testing.assert_array_equal(old_leaf, new_leaf)  # actnorm among them


def test_models_pass_the_calibration_on():
    flow = zoo.maf(
        (2,),
        layers=1,
        hidden=(4,),
        norm="batchnorm",
        context_features=3,
        bounds=(0.0, 8.0),
        rngs=nnx.Rngs(0),
    )
    model = Embedded(Dequantized(flow, 8), Embedding(2, 3, rngs=nnx.Rngs(1)))
    x = np.random.default_rng(0).integers(0, 8, (16, 2))
    new = model.calibrate(x, KEY, np.arange(16) % 2)
    norm = new.model.flow.bijector.layers[0].steps.layers[-1]
    assert not np.allclose(norm.mean[...], 0.0, atol=1e-3)
    assert not np.allclose(norm.log_var[...], 0.0, atol=1e-3)


def test_a_model_with_nothing_to_calibrate_returns_itself():
    flow = Flow(ActNorm((3,)))
    assert not needs_calibration(flow)
    new = flow.calibrate(X.astype(np.float32), KEY)
    np.testing.assert_array_equal(new.bijector.shift[...], flow.bijector.shift[...])


def test_in_an_inverse_it_keeps_its_buffers():
    bijector = Inverse(BatchNorm((3,)))
    new, _ = bijector.calibrate(jnp.asarray(X, jnp.float32))
    np.testing.assert_array_equal(new.bijector.mean[...], 0.0)
    x, _ = bijector.inverse_and_log_det(jnp.asarray(X[0], jnp.float32), key=KEY)
    np.testing.assert_allclose(x, X[0], rtol=1e-6)
