"""A trained model that is saved, loaded elsewhere and fitted at rate 0 is the model that it was.

To the bit: nothing is left out of the files, and nothing adapts to data a second time.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
import registry
from flax import nnx

import jaxgen
from jaxgen.training import TrainSettings, fit

# A quick one for each way that a model is made of parts; all are slow.
QUICK = ("maf batchnorm", "made binary", "mixture of bernoullis")

SETTINGS = TrainSettings(
    steps=2, batch_size=2, learning_rate=0.1, ema_decay=0.5, steps_per_dispatch=2
)

SCRIPT = """
import dataclasses, json, sys
import numpy as np
import registry
from flax import nnx
import jaxgen
from jaxgen.training import fit
from workflows.test_saved_and_fitted_again import SETTINGS, data_of, densities

folder, *names = sys.argv[1:]
still = dataclasses.replace(SETTINGS, learning_rate=0.0, seed=1)
wrong = {}
for index, name in enumerate(names):
    example, model = registry.MODELS[name], None
    path = f"{folder}/{index}"
    try:
        model = jaxgen.load(path)
    except jaxgen.runs.RunError as error:
        assert "was built by hand" in str(error), error
        model = jaxgen.load(path, like=example.make(nnx.Rngs(5)))
    data = data_of(name, model)
    expected = np.load(f"{path}.npy")
    found = {"loaded": densities(model, data)}
    # On data of other statistics.
    again = fit(model, data_of(name, model, 2), settings=still, progress=False).model
    found["fitted again"] = densities(again, data)
    wrong[name] = [what for what, got in found.items() if got.tobytes() != expected.tobytes()]
print(json.dumps(wrong))
"""


def data_of(name, model, count=4):
    """So many of the example's four events, with contexts where the model takes them."""
    example = registry.MODELS[name]
    x, context = example.data(model.levels)[:count], example.context(model)
    x = x.astype(np.float32 if model.levels is None else np.int32)
    if context is None:
        return x
    return x, context[:count].astype(np.int32 if example.labels else np.float32)


def densities(model, data):
    """What the model thinks of the data: of an exact model, the log-densities."""
    x, context = data if isinstance(data, tuple) else (data, None)
    return np.asarray(jax.jit(type(model).elbo)(model, x, jax.random.key(0), context))


def check(names, folder):
    for index, name in enumerate(names):
        model = registry.MODELS[name].make(nnx.Rngs(0))
        data = data_of(name, model)
        trained = fit(model, data, settings=SETTINGS, progress=False).model
        jaxgen.save(trained, folder / str(index))
        np.save(folder / f"{index}.npy", densities(trained, data))
    # Compiled as in this process, where the same program gives the same bits.
    env = {
        **os.environ,
        "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
        "PYTHONPATH": os.pathsep.join(map(str, [Path(__file__).parents[1], *sys.path])),
    }
    if jax.__version_info__ < (0, 11):
        env["XLA_FLAGS"] = f"{env.get('XLA_FLAGS', '')} --xla_cpu_use_fusion_emitters=false"
    command = [sys.executable, "-c", SCRIPT, str(folder), *names]
    done = subprocess.run(command, capture_output=True, text=True, env=env)
    assert done.returncode == 0, done.stderr
    wrong = json.loads(done.stdout.splitlines()[-1])
    assert wrong.keys() == set(names)
    assert {name: what for name, what in wrong.items() if what} == {}


def test_a_few_members_are_what_they_were(tmp_path):
    check(QUICK, tmp_path)


NAMES = list(registry.MODELS)
TOGETHER = 10  # share a process


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning")  # four examples train no model well
@pytest.mark.parametrize("start", range(0, len(NAMES), TOGETHER))
def test_every_member_is_what_it_was(start, tmp_path):
    check(NAMES[start : start + TOGETHER], tmp_path)
