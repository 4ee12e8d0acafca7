"""A model, an objective and an optimizer of one's own, from the file to the pictures."""

import json
import signal
import subprocess
import sys
import time

import jax
import numpy as np
import pytest

import jaxgen
from jaxgen.cli import main
from jaxgen.runs import Recipe, RunError, load_recipe, train
from jaxgen.training.checkpoints import Checkpoints
from jaxgen.training.metrics import MetricsLog

SOURCE = '''"""A flow, a loss and an optimizer of one's own."""
import optax

from jaxgen import zoo
from jaxgen.runs import Recipe
from jaxgen.training import TrainSettings, negative_log_likelihood


def build(event_shape, levels, num_classes, rngs, *, hidden=4):
    assert (levels, num_classes) == (None, 4)
    return zoo.maf(event_shape, layers=1, hidden=(hidden,), rngs=rngs)


def penalized(model, batch, key, *, weight):
    change = sum((leaf**2).sum() for leaf in jax.tree.leaves(nnx.state(model, nnx.Param)))
    return negative_log_likelihood(model, batch, key) + weight * change


def patient(settings):
    inner = optax.chain(optax.clip(1.0), optax.sgd(settings.learning_rate, momentum=0.9))
    return optax.MultiSteps(inner, every_k_schedule=3).gradient_transformation()


import jax
from flax import nnx

recipe = Recipe(
    model="build",
    data="toy:rings",
    model_args={"hidden": 5},
    objective="penalized",
    objective_args={"weight": 1e-3},
    train=TrainSettings(
        optimizer="patient",
        steps=%d,
        batch_size=16,
        learning_rate=1e-2,
        steps_per_dispatch=2,
        eval_every=10,
        checkpoint_every=10,
    ),
)
'''
STEPS = 40


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("own") / "own_rings.py"
    path.write_text(SOURCE % STEPS)
    return path


@pytest.fixture(scope="module")
def whole(file, tmp_path_factory):
    """The run of an uninterrupted training."""
    run = tmp_path_factory.mktemp("runs") / "whole"
    assert main(["train", str(file), "--out", str(run), "--quiet"]) == 0
    return run


def steps_of(run) -> list[int]:
    names = [path.name for path in (run / "checkpoints").glob("*")]
    return sorted(int(name) for name in names if name.isdigit())  # the complete ones


def leaves(run, file) -> list[np.ndarray]:
    return [np.asarray(leaf) for leaf in jax.tree.leaves(jaxgen.load(run, file=file))]


def assert_same_model(one, other, file):
    pairs = zip(leaves(one, file), leaves(other, file), strict=True)
    assert all(np.array_equal(a, b) for a, b in pairs)


def crash():
    raise OSError("No space left on device")


STOPS = {
    "interrupted": (lambda: signal.raise_signal(signal.SIGINT), 130, 14),  # saved there
    "terminated": (lambda: signal.raise_signal(signal.SIGTERM), 75, 14),  # to be run again
    "crashed": (crash, 1, 10),  # the last checkpoint before
}


@pytest.mark.parametrize("name", STOPS)
def test_it_stops_and_resumes_to_the_same_bits(name, file, whole, tmp_path, monkeypatch):
    """In the middle of an accumulation of three gradients, both at step 10 and at step 14."""
    stop, status, saved = STOPS[name]
    write = MetricsLog.write

    def write_and_stop(log, row):
        write(log, row)
        if row["step"] == 14:
            monkeypatch.undo()
            stop()

    monkeypatch.setattr(MetricsLog, "write", write_and_stop)
    run = tmp_path / "run"
    arguments = ["train", str(file), "--out", str(run), "--quiet"]
    assert main(arguments) == status
    assert steps_of(run)[-1] == saved
    assert not (run / "record.json").exists()
    assert main(arguments) == 0
    assert_same_model(run, whole, file)


@pytest.mark.slow
def test_it_is_killed_and_resumes_to_the_same_bits(file, tmp_path):
    steps = 400

    def start(run):
        command = [sys.executable, "-m", "jaxgen", "train", str(file), "--out", str(run), "--quiet"]
        return subprocess.Popen([*command, "--steps", str(steps)], stdout=subprocess.PIPE)

    whole, broken = tmp_path / "whole", tmp_path / "broken"
    undisturbed, killed = start(whole), start(broken)
    deadline = time.monotonic() + 240
    while not steps_of(broken):
        assert killed.poll() is None
        assert time.monotonic() < deadline, "no checkpoint was written"
        time.sleep(0.002)
    killed.kill()
    killed.communicate()
    assert killed.returncode == -signal.SIGKILL
    assert steps_of(broken)[-1] < steps
    for process in (undisturbed, start(broken)):
        process.communicate(timeout=240)
        assert process.returncode == 0
    assert_same_model(whole, broken, file)


def test_it_evaluates_and_samples_with_its_file(file, whole, tmp_path, capsys):
    record = json.loads((whole / "record.json").read_text())
    assert record["model"] == "own_rings"
    assert main(["evaluate", str(whole), "--file", str(file)]) == 0
    assert f"{record['value']:.4f}" in capsys.readouterr().out
    out = tmp_path / "samples.png"
    assert main(["sample", str(whole), "--file", str(file), "--out", str(out)]) == 0
    assert out.read_bytes().startswith(b"\x89PNG")
    assert jaxgen.load(whole, file=file).event_shape == (2,)


def test_without_its_file_the_error_says_so(whole, capsys):
    said = "its model 'build' is defined in an experiment file, own_rings.py; give that file"
    with pytest.raises(RunError, match=said):
        jaxgen.load(whole)
    assert main(["evaluate", str(whole)]) == 1
    assert said in capsys.readouterr().err


def test_pictures_and_record_are_of_the_file_as_it_was_loaded(file, tmp_path):
    """It may be edited while a long training goes on."""
    edited = tmp_path / "own_rings.py"
    edited.write_text(file.read_text())
    recipe, loaded = load_recipe(edited)
    edited.write_text("raise RuntimeError")
    run = tmp_path / "run"
    train(recipe.override(["steps=2"], loaded.functions), run, file=loaded, progress=False)
    assert (run / "record.json").exists()
    assert jaxgen.load(run, file=loaded).event_shape == (2,)


def test_any_hyperparameter_of_the_recipe_may_be_set():
    """Also where ``build`` takes whatever there is."""

    def build(event_shape, levels, num_classes, rngs, *, depth=1, **others):
        pass

    recipe = Recipe(model="build", data="toy:rings", model_args={"width": 3})
    changed = recipe.override(["model_args.width=4", "depth=2"], {"build": build})
    assert changed.model_args == {"width": 4, "depth": 2}
    with pytest.raises(ValueError, match=r"did you mean 'model_args\.width'"):
        recipe.override(["model_args.widht=4"], {"build": build})


def test_settings_reach_its_functions(file, tmp_path):
    run = tmp_path / "run"
    changes = ["hidden=3", "objective_args.weight=0.0", "--steps", "2"]
    assert main(["train", str(file), "--out", str(run), "--quiet", "--set", *changes]) == 0
    recipe = json.loads((run / "config.json").read_text())["recipe"]
    assert recipe["model_args"] == {"hidden": 3}
    assert recipe["objective_args"] == {"weight": 0.0}
    assert any(3 in leaf.shape for leaf in leaves(run, file))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("hiden=3", "did you mean 'hidden'"),
        ("objective=penalised", "unknown objective 'penalised': did you mean 'penalized'"),
        ("objective_args.wieght=1", "objective_args: penalized: "),
        ("optimizer=patien", "unknown optimizer 'patien': did you mean 'patient'"),
        ("model_args.x=1", "did you mean 'model_args.hidden'"),
        ("model=biuld", "unknown model 'biuld': did you mean 'build'"),
    ],
)
def test_mistakes_end_in_one_line(file, tmp_path, change, said, capsys):
    arguments = ["train", str(file), "--out", str(tmp_path / "run"), "--set", change]
    assert main(arguments) == 1
    error = capsys.readouterr().err
    assert said in error
    assert len(error.splitlines()) == 1
    assert not (tmp_path / "run").exists()


def test_the_state_of_its_optimizer_is_in_the_checkpoint(whole, file):
    with Checkpoints(whole / "checkpoints") as checkpoints:
        assert checkpoints.latest() == STEPS
    names = {path.name for path in (whole / "checkpoints" / str(STEPS)).iterdir()}
    assert {"model", "state", "progress"} <= names


BROKEN = """
from jaxgen import zoo
from jaxgen.runs import Recipe


def build(event_shape):
    pass


def optimizer():
    pass


def vector(model, batch, key):
    return model.log_prob(batch.x)


def nothing(model, batch, key):
    pass


maf = {"data": "toy:rings", "model_args": {"layers": 1, "hidden": [4]}}
recipes = {
    "build": Recipe("build", "toy:rings"),
    "optimizer": Recipe("maf", **maf, train={train}(optimizer="optimizer", steps=2)),
    "vector": Recipe("maf", **maf, objective="vector"),
    "nothing": Recipe("maf", **maf, objective="nothing"),
}
"""


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("build", "build: cannot be called as build(...): too many positional arguments"),
        ("optimizer", "optimizer: cannot be called as optimizer(...): too many positional"),
        ("vector", "objective: expected a scalar loss, got shape (128,)"),
        ("nothing", "objective: expected a scalar loss, got None"),
    ],
)
def test_functions_of_the_wrong_kind_end_in_one_line(name, said, tmp_path, capsys):
    path = tmp_path / "broken.py"
    path.write_text(BROKEN.replace("{train}", "__import__('jaxgen').training.TrainSettings"))
    assert main(["train", f"{path}:{name}", "--out", str(tmp_path / "run"), "--quiet"]) == 1
    error = capsys.readouterr().err
    assert said in error
    assert len(error.splitlines()) == 1
