"""Where arrays lie changes no number: eight simulated devices, in every way, against one."""

import json
import os
import subprocess
import sys

import jax
import numpy as np
import pytest
from flax import nnx
from jax.sharding import Mesh, PartitionSpec

from jaxgen.core import Module
from jaxgen.models import DiagonalNormal
from jaxgen.training import TrainSettings, fit
from jaxgen.training.sharding import automatic, mesh_for, shardings

PARTS = {"pmap": 8, "accumulated": 4}

EIGHT_DEVICES = """
import json, sys
import jax, jax.numpy as jnp, numpy as np
from flax import nnx
from jaxgen import zoo
from jaxgen.data.batching import batch_indices
from jaxgen.training import (
    Batch, TrainSettings, TrainState, fit, make_optimizer, make_pmap_step, negative_log_likelihood,
)
from jaxgen.training.sharding import mesh_for, shardings

jax.config.update("jax_enable_x64", True)
assert jax.device_count() == 8
name = sys.argv[1]
rng = np.random.default_rng(0)
rngs = nnx.Rngs(0)
flat, pixels = rng.normal(size=(256, 16)), rng.integers(0, 2, (256, 8, 8, 1))
image = rng.normal(size=(256, 8, 8, 1))
model, x = {
    "maf": lambda: (zoo.maf((16,), layers=2, hidden=(256,), rngs=rngs), flat),
    "glow": lambda: (zoo.glow((8, 8, 1), levels=1, steps=2, width=128, rngs=rngs), image),
    "pixelcnn": lambda: (
        zoo.pixelcnn((8, 8, 1), levels=2, width=128, depth=2, out_width=128, rngs=rngs), pixels
    ),
    "vae": lambda: (zoo.vae((8, 8, 1), latents=8, hidden=(256,), rngs=rngs), pixels),
}[name]()
model = jax.tree.map(lambda p: p.astype(jnp.float64) if p.dtype == jnp.float32 else p, model)
settings = {"steps": 20, "batch_size": 64, "steps_per_dispatch": 10, "learning_rate": 1e-3}

def params(state):
    leaves = jax.tree.leaves((nnx.state(state.model, nnx.Param), state.ema))
    return [np.asarray(leaf) for leaf in leaves]

def trained(mesh=None, objective=negative_log_likelihood, **more):
    one = TrainSettings(**settings, **more)
    return fit(model, x, settings=one, objective=objective, mesh=mesh, progress=False).state

def in_parts(count, rows_of):
    def objective(model, batch, key):
        losses = [
            negative_log_likelihood(model, Batch(rows_of(batch.x, i)), jax.random.fold_in(key, i))
            for i in range(count)
        ]
        return sum(losses) / count
    return objective

one = jax.make_mesh((1,), ("data",), devices=jax.devices()[:1])
states = {
    "replicated": trained(),
    "fsdp": trained(sharding="fsdp"),
    "4 x 2": trained(sharding=[4, 2]),
    "accumulated": trained(one, accumulate_steps=4),
}
alone = {None: params(trained(one))}
alone["accumulated"] = alone["pmap"] = alone[None]
if name == "vae":  # the noise of a part is its own
    alone["accumulated"] = params(trained(one, in_parts(4, lambda rows, i: rows[i::4])))
    alone["pmap"] = params(trained(one, in_parts(8, lambda rows, i: rows[8 * i : 8 * i + 8])))

first = fit(model, x, settings=TrainSettings(**settings | {"steps": 1, "learning_rate": 0.0}),
            mesh=one, progress=False).state
optimizer = make_optimizer(TrainSettings(**settings))
state = TrainState.create(first.model, optimizer, first.key)
state = jax.tree.map(lambda leaf: jnp.broadcast_to(jax.device_get(leaf), (8, *leaf.shape)), state)
step = make_pmap_step(negative_log_likelihood, optimizer)
for rows in batch_indices(0, 0, 20, len(x), 64):
    state, _ = step(state, Batch(x[rows].reshape(8, 8, *x.shape[1:])))
states["pmap"] = jax.tree.map(lambda leaf: leaf[0], state)

def share(tree):
    leaves = [leaf for leaf in jax.tree.leaves(tree) if leaf.ndim]
    held = [sum(leaf.addressable_shards[i].data.nbytes for leaf in leaves) for i in range(8)]
    return max(held) / sum(leaf.nbytes for leaf in leaves)

result = {
    "differences": {
        how: max(
            float(np.abs(a - b).max())
            for a, b in zip(alone.get(how, alone[None]), params(state), strict=True)
        )
        for how, state in states.items()
    },
    "moved": max(
        float(np.abs(a - b).max()) for a, b in zip(params(first), alone[None], strict=True)
    ),
    "shares": {
        part: share(tree)
        for part, tree in {
            "parameters": nnx.state(states["fsdp"].model, nnx.Param),
            "average": states["fsdp"].ema,
            "optimizer": states["fsdp"].opt_state,
        }.items()
    },
    "model axis": share(nnx.state(states["4 x 2"].model, nnx.Param)),
}
print(json.dumps(result))
"""


def on_eight_devices(code, *arguments):
    """What the code printed last, in a process with eight simulated devices."""
    environment = {
        **os.environ,
        "XLA_FLAGS": "--xla_force_host_platform_device_count=8",
        "JAX_PLATFORMS": "cpu",
        "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",  # as in this process: the cost is compiling
    }
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize(
    "name",
    [
        "maf",
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("glow", "pixelcnn", "vae")),
    ],
)
def test_the_same_parameters_on_one_device_and_on_eight(name):
    found = on_eight_devices(EIGHT_DEVICES, name)
    assert found["moved"] > 1e-3
    assert set(found["differences"]) == {"replicated", "fsdp", "4 x 2", "accumulated", "pmap"}
    assert max(found["differences"].values()) < 1e-9, found["differences"]
    # A few small arrays stay whole.
    assert max(found["shares"].values()) <= 1.05 / 8, found["shares"]
    assert found["model axis"] < 0.6


OWN_MESHES = """
import dataclasses, json
import jax, jax.numpy as jnp, numpy as np
from flax import nnx
from jax.sharding import AxisType
from jaxgen import zoo
from jaxgen.training import TrainSettings, fit

jax.config.update("jax_enable_x64", True)
x = np.random.default_rng(0).normal(size=(64, 4))
settings = TrainSettings(steps=4, batch_size=16, steps_per_dispatch=2)

def build():
    return zoo.maf((4,), layers=1, hidden=(8,), rngs=nnx.Rngs(0))

def trained(model, mesh):
    result = fit(model, x, settings=settings, mesh=mesh, progress=False)
    params = nnx.state(result.model, nnx.Param)
    return [np.asarray(leaf) for leaf in jax.tree.leaves(params)], result

expected, _ = trained(build(), jax.make_mesh((1,), ("data",), devices=jax.devices()[:1]))
differences = {}
for kind in (AxisType.Explicit, AxisType.Auto):
    mesh = jax.make_mesh((8,), ("data",), axis_types=(kind,))
    differences[kind.name] = trained(build(), mesh)[0]
    with jax.set_mesh(mesh):
        differences[f"set {kind.name}"], result = trained(build(), mesh)
        assert result.model.log_prob(x[:4]).shape == (4,)
        cut = dataclasses.replace(settings, sharding="fsdp")
        wide = zoo.maf((4,), layers=1, hidden=(64,), rngs=nnx.Rngs(0))
        apart = fit(wide, x, settings=cut, mesh=mesh, progress=False)
        assert apart.model.log_prob(x[:4]).shape == (4,)
        assert apart.model.sample(jax.random.key(0), 8).shape == (8, 4)
        again = fit(result.model, x, settings=settings, mesh=mesh, progress=False)
        assert np.isfinite(again.history[-1]["loss"])
print(json.dumps({
    how: max(float(np.abs(a - b).max()) for a, b in zip(found, expected, strict=True))
    for how, found in differences.items()
}))
"""


def test_meshes_as_make_mesh_makes_them_with_and_without_a_context():
    differences = on_eight_devices(OWN_MESHES)
    assert len(differences) == 4
    assert max(differences.values()) < 1e-12, differences


RESUMED = """
import json, sys
import jax, numpy as np
from flax import nnx
from jaxgen import zoo
from jaxgen.training import TrainSettings, fit

jax.config.update("jax_enable_x64", True)
out, more, devices, interrupted = sys.argv[1], json.loads(sys.argv[2]), *map(int, sys.argv[3:])
x = np.random.default_rng(0).normal(size=(64, 8))
model = zoo.maf((8,), layers=1, hidden=(64,), rngs=nnx.Rngs(0))
settings = TrainSettings(
    steps=8, batch_size=16, steps_per_dispatch=2, checkpoint_every=2, eval_every=4, **more
)
mesh = None
if devices < 8:
    mesh = jax.make_mesh((devices,), ("data",), devices=jax.devices()[:devices])
stop = [lambda row: row["step"] == 4] if interrupted else []
result = fit(model, x, x, settings, out=out, mesh=mesh, callbacks=stop, progress=False)
print(json.dumps([np.asarray(leaf).tolist() for leaf in jax.tree.leaves(result.state.ema)]))
"""


@pytest.mark.parametrize(
    ("first", "then"),
    [
        pytest.param(({"sharding": "fsdp"}, 8), ({"sharding": "data"}, 1), marks=pytest.mark.slow),
        (({"sharding": [4, 2]}, 8), ({"sharding": "fsdp"}, 4)),
    ],
)
def test_a_training_goes_on_with_other_devices(first, then, tmp_path):
    def run(out, how, interrupted):
        more, devices = how
        return on_eight_devices(RESUMED, str(out), json.dumps(more), str(devices), str(interrupted))

    run(tmp_path / "in two", first, 1)
    resumed = run(tmp_path / "in two", then, 0)
    whole = run(tmp_path / "whole", then, 0)
    for a, b in zip(resumed, whole, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-12)


# --- how arrays lie ---


def mesh_of(*shape):
    return jax.sharding.AbstractMesh(shape, ("data", "model")[: len(shape)])


class Own(Module):
    """Parameters that say how they lie, and some that do not."""

    def __init__(self):
        zeros = np.zeros((16, 32), np.float32)
        self.said = nnx.Param(zeros, out_sharding=("model", None), eager_sharding=False)
        self.stacked = nnx.Param(
            np.zeros((4, 16, 32), np.float32), out_sharding=(None, "model"), eager_sharding=False
        )
        self.elsewhere = nnx.Param(zeros, out_sharding=("expert", None), eager_sharding=False)
        self.wide = nnx.Param(zeros)
        self.odd = nnx.Param(np.zeros((513, 3), np.float32))
        self.small = nnx.Param(np.zeros(8, np.float32))


@pytest.mark.parametrize(
    ("mesh", "fsdp", "expected"),
    [
        (mesh_of(4), False, {}),
        (mesh_of(4), True, {"stacked": (), "wide": (None, "data")}),
        (
            mesh_of(4, 2),
            False,
            {"said": ("model",), "stacked": (None, None, "model"), "wide": (None, "model")},
        ),
        (
            mesh_of(4, 2),
            True,
            {"said": ("model",), "stacked": (None, None, "model"), "wide": ("data", "model")},
        ),
    ],
)
def test_how_parameters_lie(mesh, fsdp, expected):
    placed = shardings(Own(), mesh, fsdp=fsdp)
    for name in ("said", "stacked", "elsewhere", "wide", "odd", "small"):
        spec = jax.tree.leaves(getattr(placed, name))[0].spec
        assert spec == PartitionSpec(*expected.get(name, ())), name


def test_a_training_state_lies_as_its_model_does():
    one = mesh_for(TrainSettings(batch_size=8), jax.devices()[:1])
    model = DiagonalNormal((2,))
    placed = shardings(model, one)
    assert jax.tree.structure(placed) == jax.tree.structure(model)


# --- refusals ---


def test_settings_refuse_what_means_nothing():
    with pytest.raises(ValueError, match=r"sharding: expected 'data', 'fsdp', or the shape"):
        TrainSettings(sharding="ddp")
    for shape in ([4], [4, 0], [2, 2, 2], [2.0, 1], [True, 2]):
        with pytest.raises(ValueError, match="sharding: expected"):
            TrainSettings(sharding=shape)
    assert TrainSettings(sharding=(4, 2)).sharding == [4, 2]
    with pytest.raises(ValueError, match="accumulate_steps: expected a divisor of the batch of 6"):
        TrainSettings(batch_size=6, accumulate_steps=4)
    with pytest.raises(ValueError, match="accumulate_steps: expected at least 1"):
        TrainSettings(accumulate_steps=0)


def test_meshes_that_do_not_fit_are_refused():
    device = jax.devices()[:1]
    two = [*device, *device]
    with pytest.warns(UserWarning, match="a part of 3 of a batch of 6 is cut over 1 of 2 devices"):
        mesh_for(TrainSettings(batch_size=6, accumulate_steps=2), two)
    with pytest.warns(UserWarning, match="a mesh of 1 x 1 leaves 1 of 2 devices idle"):
        mesh_for(TrainSettings(sharding=[1, 1]), two)
    with pytest.raises(ValueError, match="expected a mesh of at most 1 devices, as there are"):
        mesh_for(TrainSettings(sharding=[4, 2]), device)
    other = jax.make_mesh((1,), ("batch",), devices=device)
    with pytest.raises(ValueError, match="expected one with an axis 'data', got"):
        automatic(other, TrainSettings())
    own = jax.make_mesh((1,), ("data",), devices=device)
    with pytest.raises(ValueError, match=r"data x model = \[1, 2\], as the setting sharding says"):
        automatic(own, TrainSettings(sharding=[1, 2]))
    assert isinstance(automatic(own, TrainSettings(sharding=[1, 1])), Mesh)


def test_every_process_has_a_device_in_the_mesh(monkeypatch):
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    with pytest.raises(ValueError, match="expected a mesh with devices of all 2 processes, got"):
        mesh_for(TrainSettings(batch_size=1), jax.devices()[:1])


def test_accumulation_needs_no_more_than_a_part_of_the_batch_to_divide():
    x = np.random.default_rng(0).normal(size=(32, 2)).astype(np.float32)
    settings = TrainSettings(steps=2, batch_size=12, accumulate_steps=3)
    assert fit(DiagonalNormal((2,)), x, settings=settings, progress=False).history
