"""One training step: on several devices, under JAX's transformations, and what it may change."""

import json
import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

import jaxgen
from jaxgen import Buffer, freeze, zoo
from jaxgen.bijectors import ActNorm, Chain, Conv1x1, Standardize
from jaxgen.models import Flow
from jaxgen.training import Batch, TrainSettings, TrainState, fit, make_optimizer, make_step
from jaxgen.training.objectives import negative_log_likelihood

log_prob = jax.jit(Flow.log_prob)


def perturbed(model, seed=0, scale=0.3):
    """The model with noise on every parameter: a fresh one is nearly the identity."""
    rng = np.random.default_rng(seed)
    params = jax.tree.map(
        lambda p: p + scale * rng.normal(size=p.shape).astype(p.dtype), nnx.state(model, nnx.Param)
    )
    copy = jax.tree.map(lambda leaf: leaf, model)
    nnx.update(copy, params)
    return copy


def leaves(model, kind):
    """The arrays of one kind of leaf, by their dotted paths."""
    flat = nnx.to_flat_state(nnx.state(model, kind))
    return {".".join(map(str, path)): np.asarray(leaf[...]) for path, leaf in flat}


@pytest.fixture(scope="module")
def flow():
    """Parameters of several kinds, and buffers: a permutation, signs, means and scales."""
    rngs = nnx.Rngs(0)
    maf = zoo.maf((2,), layers=1, hidden=(4,), rngs=rngs).bijector
    return perturbed(Flow(Chain([maf, Conv1x1((2,), rngs=rngs), Standardize((2,), 0.5, 2.0)])))


@pytest.fixture(scope="module")
def x():
    return np.random.default_rng(1).normal(size=(8, 2)).astype(np.float32)


# --- several devices ---

FOUR_DEVICES = """
import doctest, json, warnings
import jax, jax.numpy as jnp, numpy as np
from flax import nnx
from jaxgen import zoo
from jaxgen.training import (
    Batch, TrainSettings, TrainState, fit, make_optimizer, make_pmap_step, make_step, make_steps,
    negative_log_likelihood,
)
from jaxgen.training import steps
from jaxgen.training.sharding import mesh_for

assert jax.device_count() == 4
failed, attempted = doctest.testmod(steps)
assert attempted

def difference(a, b):
    a, b = jax.tree.leaves(a), jax.tree.leaves(b)
    assert len(a) == len(b)
    def values(leaf):
        is_key = jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
        return np.asarray(jax.random.key_data(leaf) if is_key else leaf, np.float64)
    return max(float(np.abs(values(p) - values(q)).max()) for p, q in zip(a, b, strict=True))

jax.config.update("jax_enable_x64", True)
maf = zoo.maf((2,), layers=1, hidden=(4,), rngs=nnx.Rngs(0))
rng = np.random.default_rng(0)
params = jax.tree.map(lambda p: p + 0.3 * rng.normal(size=p.shape), nnx.state(maf, nnx.Param))
nnx.update(maf, params)
x = rng.normal(size=(128, 2))
settings = TrainSettings(steps=4, batch_size=32, steps_per_dispatch=4, learning_rate=1e-2)
optimizer = make_optimizer(settings)
state = TrainState.create(maf, optimizer, jax.random.key(0))
indices = np.arange(128).reshape(4, 32)

meshes = {n: mesh_for(TrainSettings(batch_size=32), jax.devices()[:n]) for n in (1, 4)}
step = make_step(negative_log_likelihood, optimizer)
copy = jax.tree.map(jnp.copy, state)
jitted, metrics = make_steps(step, meshes[4])(copy, Batch(x), jnp.asarray(indices))

pmapped = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (4, *leaf.shape)), state)
pmap_step = make_pmap_step(negative_log_likelihood, optimizer)
losses = []
for rows in indices:
    pmapped, of_step = pmap_step(pmapped, Batch(x[rows].reshape(4, 8, 2)))
    losses.append(float(of_step["loss"][0]))
replicas = [jax.tree.map(lambda leaf: leaf[i], pmapped) for i in range(4)]
result = {"pmap and mesh": difference(jitted, replicas[0]), "failed examples": failed}
result["replicas"] = max(difference(replicas[0], other) for other in replicas[1:])
result["losses"] = float(np.abs(np.asarray(metrics["loss"]) - losses).max())
result["moved"] = difference(jitted.model, state.model)

fits = {n: fit(maf, x, settings=settings, mesh=mesh, progress=False) for n, mesh in meshes.items()}
result["devices of a fit"] = [len(jax.tree.leaves(fits[n].model)[0].devices()) for n in (1, 4)]
result["fits"] = difference(fits[1].state, fits[4].state)
with warnings.catch_warnings(record=True) as warned:
    warnings.simplefilter("always")
    sizes = {n: mesh_for(TrainSettings(batch_size=n)).size for n in (32, 6, 5)}
result["default mesh"] = sizes
result["idle"] = [str(warning.message) for warning in warned]
print(json.dumps(result))
"""


RUN_OF_FOUR_DEVICES = """
import json, sys
import jax, numpy as np
from jaxgen.training import TrainSettings
from jaxgen.runs import Recipe, train

assert jax.device_count() == 4
experiment = Recipe(
    model="maf", data="toy:rings", model_args={"layers": 1, "hidden": [4]},
    train=TrainSettings(steps=3, batch_size=32, steps_per_dispatch=3),
)
model = train(experiment, sys.argv[1], progress=False).model
x = np.linspace(-1, 1, 8, dtype=np.float32).reshape(4, 2)
print(json.dumps(np.asarray(model.log_prob(x)).tolist()))
"""


def on_four_devices(code, *arguments):
    """What the code printed last, in a process with four simulated devices."""
    environment = {
        **os.environ,
        "XLA_FLAGS": "--xla_force_host_platform_device_count=4",
        "JAX_PLATFORMS": "cpu",
        "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",  # as in this process: the cost is compiling
    }
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def four():
    """What four devices made of training steps, in float64, against one."""
    return on_four_devices(FOUR_DEVICES)


# The devices sum the gradient in another order: float64 rounding, a few 1e-16, which Adam's
# division by its own root can raise by 1 / 1e-8 where a gradient is zero, times the rate 1e-2.
ROUNDING = 1e-9


def test_pmap_and_mesh_give_the_same_parameters(four):
    assert four["pmap and mesh"] < ROUNDING
    assert four["losses"] < ROUNDING
    assert four["moved"] > 1e-3  # and it is not that nothing happened


def test_pmap_keeps_its_replicas_equal(four):
    assert four["replicas"] == 0.0


def test_the_documented_idiom_runs_on_four_devices(four):
    assert four["failed examples"] == 0


def test_fit_on_four_devices_equals_one(four):
    assert four["devices of a fit"] == [1, 4]
    assert four["fits"] < ROUNDING


def test_fit_takes_as_many_devices_as_divide_the_batch(four):
    assert four["default mesh"] == {"32": 4, "6": 3, "5": 1}
    assert [message.split(",")[0] for message in four["idle"]] == [
        "a batch of 6 is cut over 3 of 4 devices",
        "a batch of 5 is cut over 1 of 4 devices",
    ]


@pytest.mark.slow
def test_a_run_of_four_devices_loads_on_one(tmp_path):
    there = on_four_devices(RUN_OF_FOUR_DEVICES, str(tmp_path / "run"))
    x = np.linspace(-1, 1, 8, dtype=np.float32).reshape(4, 2)
    np.testing.assert_allclose(jaxgen.load(tmp_path / "run").log_prob(x), there, rtol=1e-6)


# --- a model is an argument of JAX's transformations ---


def test_jit_takes_a_model_and_new_parameters_compile_nothing(flow, x):
    traces = []

    def traced(model, x):
        traces.append(None)
        return Flow.log_prob(model, x)

    compiled = jax.jit(traced)
    first, second = compiled(flow, x), compiled(perturbed(flow, seed=5), x)
    np.testing.assert_allclose(first, flow.log_prob(x), rtol=1e-5)  # eagerly
    assert not np.allclose(first, second)  # the parameters are not frozen into the program
    assert len(traces) == 1


def test_grad_takes_a_model(flow, x):
    def loss(model):
        return -jnp.mean(log_prob(model, x))

    grads = jax.jit(jax.grad(loss))(flow)
    assert isinstance(grads, Flow)
    # Against a central difference along the gradient itself.
    params = nnx.state(grads, nnx.Param)
    norm = float(optax.tree.norm(params))
    step = 1e-2 / norm

    def moved(sign):
        copy = jax.tree.map(lambda leaf: leaf, flow)
        moves = jax.tree.map(lambda p, g: p + sign * step * g, nnx.state(flow, nnx.Param), params)
        nnx.update(copy, moves)
        return float(loss(copy))

    slope = (moved(1) - moved(-1)) / (2 * step)
    np.testing.assert_allclose(slope, norm**2, rtol=1e-2)  # float32 differences
    for path, gradient in leaves(grads, Buffer).items():
        assert not gradient.any(), path


def test_vmap_takes_stacked_models(flow, x):
    models = [perturbed(flow, seed) for seed in range(3)]
    stacked = jax.tree.map(lambda *each: jnp.stack(each), *models)
    together = jax.vmap(Flow.log_prob, in_axes=(0, None))(stacked, x)
    assert together.shape == (3, 8)
    for row, model in zip(together, models, strict=True):
        np.testing.assert_allclose(row, log_prob(model, x), rtol=1e-4, atol=1e-5)
    assert not np.allclose(together[0], together[1])


def test_pmap_takes_a_replicated_model(flow, x):
    devices = jax.local_device_count()
    shards = jnp.stack([x + i for i in range(devices)])
    mapped = jax.pmap(Flow.log_prob, in_axes=(None, 0))(flow, shards)
    np.testing.assert_allclose(mapped, [log_prob(flow, x) for x in shards], rtol=1e-4, atol=1e-5)


def test_scan_carries_a_model(flow, x):
    def body(model, rows):
        return jax.tree.map(lambda leaf: leaf * 1.0, model), model.log_prob(rows)

    carried, scores = jax.lax.scan(body, flow, x)
    np.testing.assert_allclose(scores, log_prob(flow, x), rtol=1e-4, atol=1e-5)
    assert isinstance(carried, Flow)


def test_a_model_with_buffers_can_be_looked_at(flow):
    """In a notebook, what stands at the end of a cell is shown."""
    assert repr(flow).startswith("Flow(")


# --- what a step changes, and what it leaves alone ---

SETTINGS = TrainSettings(steps=3, batch_size=8, learning_rate=1e-2, schedule="constant")


@pytest.fixture(scope="module")
def trajectory(flow, x):
    """The states before and after each of three steps."""
    optimizer = make_optimizer(SETTINGS)
    step = jax.jit(make_step(negative_log_likelihood, optimizer, ema_decay=0.15))
    states = [TrainState.create(flow, optimizer, jax.random.key(0))]
    for _ in range(3):
        states.append(step(states[-1], Batch(x))[0])
    return states


def test_a_step_moves_every_parameter_and_no_buffer(trajectory):
    before, after = (leaves(state.model, nnx.Param) for state in (trajectory[0], trajectory[-1]))
    assert before.keys() == after.keys()
    # Not every entry: those of an LU matrix beyond its triangles are masked.
    still = [path for path in before if (before[path] == after[path]).all()]
    assert still == []
    before, after = (leaves(state.model, Buffer) for state in (trajectory[0], trajectory[-1]))
    assert len(before) >= 4
    for path in before:
        np.testing.assert_array_equal(before[path], after[path], err_msg=path)


def test_the_average_covers_every_parameter_and_follows_its_formula(trajectory):
    expected = leaves(trajectory[0].model, nnx.Param)
    for t, state in enumerate(trajectory[1:]):
        decay = min(0.15, (1 + t) / (10 + t))  # 0.1 at first, then 0.15: both branches
        new = leaves(state.model, nnx.Param)
        expected = {path: decay * expected[path] + (1 - decay) * new[path] for path in new}
        average = leaves(state.ema_model, nnx.Param)
        assert average.keys() == expected.keys()
        for path in average:
            np.testing.assert_allclose(average[path], expected[path], rtol=1e-5, atol=1e-7)
    assert int(trajectory[-1].step) == 3


def test_the_average_is_kept_beside_the_buffers(trajectory):
    last = trajectory[-1]
    for path, value in leaves(last.model, Buffer).items():
        np.testing.assert_array_equal(leaves(last.ema_model, Buffer)[path], value)


def test_weight_decay_is_of_kernels_only_and_decoupled():
    """Without a gradient, a step is the decay alone: kernels shrink by 1 - rate * decay."""
    model = perturbed(zoo.maf((2,), layers=1, hidden=(4,), rngs=nnx.Rngs(0)))
    settings = TrainSettings(learning_rate=0.1, weight_decay=0.5, schedule="constant")
    optimizer = make_optimizer(settings)
    step = make_step(lambda model, batch, key: jnp.zeros(()), optimizer)
    state = TrainState.create(model, optimizer, jax.random.key(0))
    after = leaves(jax.jit(step)(state, Batch(jnp.zeros((1, 2))))[0].model, nnx.Param)
    factors = {}
    for path, value in leaves(model, nnx.Param).items():
        name = next(part for part in reversed(path.split(".")) if not part.isdigit())
        factors[name] = after[path] / value
    assert factors.keys() == {"kernels", "biases", "out_kernel", "out_bias", "log_scale", "shift"}
    for name, factor in factors.items():
        expected = 1 - 0.1 * 0.5 if name in ("kernels", "out_kernel") else 1.0
        np.testing.assert_allclose(factor, expected, rtol=1e-6, err_msg=name)


def test_frozen_parameters_do_not_move(flow, x):
    settings = TrainSettings(
        steps=2, batch_size=8, learning_rate=0.1, weight_decay=0.1, steps_per_dispatch=2
    )
    frozen = freeze(flow, lambda path, _: "kernel" in path)
    kernels = {path for path in leaves(flow, nnx.Param) if "kernel" in path}
    assert kernels
    result = fit(frozen, x, settings=settings, progress=False)
    for model in (result.model, result.state.model):
        after = leaves(model, Buffer)
        for path in kernels:
            np.testing.assert_array_equal(after[path], leaves(flow, nnx.Param)[path])
        assert leaves(model, nnx.Param).keys().isdisjoint(kernels)
    moved = leaves(result.state.model, nnx.Param)
    assert all((moved[path] != value).any() for path, value in leaves(frozen, nnx.Param).items())

    # A fit donates its state, but neither the caller's model nor the one that it was given back.
    for model in (frozen, result.model, result.state.model, result.state.ema_model):
        assert np.isfinite(log_prob(model, x)).all()
    np.testing.assert_allclose(log_prob(frozen, x), log_prob(flow, x), rtol=1e-6)


def test_a_donated_state_takes_nothing_from_the_model(x):
    model = Flow(ActNorm((2,)))
    optimizer = make_optimizer(SETTINGS)
    step = jax.jit(make_step(negative_log_likelihood, optimizer), donate_argnums=0)
    state = TrainState.create(model, optimizer, jax.random.key(0))
    after, _ = step(state, Batch(x))
    assert all(leaf.is_deleted() for leaf in jax.tree.leaves((state.model, state.ema)))
    assert not any(leaf.is_deleted() for leaf in jax.tree.leaves((model, after)))
