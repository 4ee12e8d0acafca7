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
from jaxgen.runs import RunError
from jaxgen.training.checkpoints import Checkpoints

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
    return optax.MultiSteps(inner, every_k_schedule=2).gradient_transformation()


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


def command(*arguments) -> subprocess.Popen:
    """In a process of its own, compiled as for a user: killed or not, with the same bits."""
    return subprocess.Popen([sys.executable, "-m", "jaxgen", "train", *map(str, arguments)])


def test_it_trains_is_killed_and_resumes_to_the_same_bits(file, tmp_path):
    run, whole = tmp_path / "run", tmp_path / "whole"
    options = ["--quiet", "--set", "schedule=constant", "--steps"]
    # A training that would go on for hours, killed once it has a checkpoint ...
    process = command(file, "--out", run, *options, 1_000_000)
    deadline = time.monotonic() + 240
    while not steps_of(run) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    # ... and the same training, until some checkpoints later.
    stop = steps_of(run)[-1] + 20
    config = json.loads((run / "config.json").read_text())
    config["recipe"]["train"]["steps"] = stop
    (run / "config.json").write_text(json.dumps(config))
    for process in [command(file, "--out", out, *options, stop) for out in (run, whole)]:
        assert process.wait(timeout=240) == 0
    pairs = list(zip(leaves(run, file), leaves(whole, file), strict=True))
    assert all(np.array_equal(one, other) for one, other in pairs)


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
        ("optimizer=patien", "unknown optimizer 'patien'"),
        ("model=biuld", "unknown model 'biuld'"),
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
