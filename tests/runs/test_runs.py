"""Run directories: what is in one, and what reading it back gives and does not do."""

import json
import pickle
import shutil
import subprocess
import sys

import jax
import numpy as np
import pytest
from flax import nnx

import jaxgen
from jaxgen.data import load
from jaxgen.models import Autoregressive
from jaxgen.runs import Recipe, evaluate_run, train
from jaxgen.training import TrainSettings
from jaxgen.training.saved import write_arrays

log_prob = jax.jit(Autoregressive.log_prob)
PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "levels.npz"
    rng = np.random.default_rng(0)
    np.savez(
        path,
        train=rng.integers(0, 5, (40, 2, 2, 1)),
        valid=rng.integers(0, 5, (7, 2, 2, 1)),
        test=rng.integers(0, 5, (9, 2, 2, 1)),
    )
    return f"npz:{path}"


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory):
    """A finished run, and what its training gave back."""
    experiment = Recipe(
        name="made_levels",
        model="made",
        data=data,
        model_args={"levels": 5, "hidden": (4,)},
        train=TrainSettings(
            steps=6, batch_size=8, steps_per_dispatch=2, eval_every=2, checkpoint_every=2, seed=3
        ),
    )
    run = tmp_path_factory.mktemp("runs") / "deep" / "made"  # folders are made
    return run, experiment, train(experiment, run, progress=False)


def test_layout(trained):
    run, experiment, result = trained
    assert {path.name for path in run.iterdir()} == {
        ".lock",
        "config.json",
        "data.json",
        "splits.json",
        "metrics.jsonl",
        "record.json",
        "checkpoints",
        "samples.png",
        "loss.png",
    }
    for name in ("samples.png", "loss.png"):
        assert (run / name).read_bytes().startswith(PNG)
    config = json.loads((run / "config.json").read_text())
    assert config == {
        "version": 1,
        "name": "made_levels",
        "recipe": experiment.to_dict(),
        "event_shape": [2, 2, 1],
        "levels": 5,
        "num_classes": None,
        "rate": None,
        "vocabulary": None,
        "file": None,
        "columns": None,
        "classes": None,
    }
    lines = (run / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == result.history
    assert (run / "checkpoints" / "6").is_dir()


def test_the_loaded_model_is_the_trained_one(trained, data):
    run, _, result = trained
    model = jaxgen.load(run)
    x = load(data, "test").x
    np.testing.assert_array_equal(log_prob(model, x), log_prob(result.model, x))
    leaves = zip(jax.tree.leaves(model), jax.tree.leaves(result.model), strict=True)
    assert all((one == other).all() for one, other in leaves)
    assert not (log_prob(model, x) == log_prob(result.state.model, x)).all()


def test_the_record_is_of_the_run(trained, data):
    run, _, result = trained
    record = json.loads((run / "record.json").read_text())
    test = load(data, "test")
    bits = -np.asarray(log_prob(result.model, test.x), np.float64) / (4 * np.log(2))
    assert record["value"] == pytest.approx(bits.mean(), rel=1e-6)
    # The scores differ by their float32 rounding, which is a larger part of their small spread.
    assert record["standard_error"] == pytest.approx(bits.std(ddof=1) / 3, rel=1e-3)
    expected = {
        "model": "made_levels",
        "unit": "bits/dim",
        "estimator": "exact",
        "data": data,
        "split": "test",
        "num_examples": 9,
        "data_sha256": test.sha256,
        "seed": 3,
    }
    assert {name: record[name] for name in expected} == expected


def test_evaluating_again_gives_the_same_and_other_splits_leave_the_record(trained):
    run, _, _ = trained
    before = (run / "record.json").read_bytes()
    valid = evaluate_run(run, split="valid")
    assert (valid.split, valid.num_examples) == ("valid", 7)
    evaluate_run(run, num_samples=3)
    assert (run / "record.json").read_bytes() == before
    assert json.loads((run / "record.k3.json").read_text())["split"] == "test"
    again = evaluate_run(run)
    assert again.value == json.loads(before)["value"]
    assert json.loads((run / "record.json").read_text())["value"] == again.value


def test_a_record_that_nobody_could_mean_is_told(trained, tmp_path):
    """Of 5 levels alike, as after a training that has diverged."""
    run = shutil.copytree(trained[0], tmp_path / "run")
    config = json.loads((run / "config.json").read_text())
    model = jaxgen.load(run)
    wild = jax.tree.map(lambda leaf: 100.0 * (1.0 + leaf), nnx.state(model, nnx.Param))
    nnx.update(model, wild)
    sha256 = write_arrays(model, run / "model.safetensors")
    (run / "config.json").write_text(json.dumps(config | {"sha256": sha256}))
    with pytest.warns(UserWarning, match=r"bits/dim are far more than the 2\.322 of all levels"):
        evaluate_run(run)


POISON = """
import sys

run = sys.argv[1]
seen = []

def watch(event, args):
    if event == "exec" and str(getattr(args[0], "co_filename", "")).startswith(run):
        seen.append(f"executed {args[0].co_filename}")
    elif event == "compile" and str(args[1]).startswith(run):
        seen.append(f"compiled {args[1]}")
    elif event in ("pickle.find_class", "os.system", "subprocess.Popen"):
        seen.append(f"{event} {args}")

import jaxgen
import jaxgen.runs
import numpy as np
import orbax.checkpoint

sys.addaudithook(watch)
model = jaxgen.load(run)
print(np.asarray(model.log_prob(np.zeros((1, 2, 2, 1), int))).tolist())
assert not seen, seen
"""


class Bomb:
    def __reduce__(self):
        return (open, ("bomb_went_off", "w"))


def test_loading_executes_nothing_of_the_run(trained, tmp_path):
    """Watched by an audit hook: no code of the run's files, no pickle, no other program."""
    run, _, result = trained
    poisoned = tmp_path / "run"
    shutil.copytree(run, poisoned)
    shout = "open('bomb_went_off', 'w')\n"
    for name in ("__init__.py", "made.py", "config.py", "experiment.py", "checkpoints/model.py"):
        (poisoned / name).write_text(shout)
    for name in ("model.pkl", "checkpoints/6/model/model.pkl"):
        (poisoned / name).write_bytes(pickle.dumps(Bomb()))
    # Names of classes in a checkpoint's metadata are not followed either.
    metadata = poisoned / "checkpoints" / "6" / "_CHECKPOINT_METADATA"
    handlers = json.loads(metadata.read_text())
    handlers["item_handlers"] = dict.fromkeys(handlers["item_handlers"], "os.system")
    metadata.write_text(json.dumps(handlers))
    done = subprocess.run(
        [sys.executable, "-c", POISON, str(poisoned)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "bomb_went_off").exists()
    expected = log_prob(result.model, np.zeros((1, 2, 2, 1), int))
    np.testing.assert_allclose(json.loads(done.stdout), expected, rtol=1e-6)


@pytest.mark.parametrize("name", ["os.system", "__import__", "jaxgen.zoo.made", "../made"])
def test_a_model_is_a_name_of_the_zoo(trained, tmp_path, name):
    run, _, _ = trained
    config = json.loads((run / "config.json").read_text())
    config["recipe"]["model"] = name
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match=f"unknown model '{name}'"):
        jaxgen.load(tmp_path)
