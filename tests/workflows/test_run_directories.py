"""A run directory belongs to one training, and what is damaged in it costs no more than itself."""

import dataclasses
import json
import multiprocessing
import os
import shutil
import threading
from pathlib import Path

import jax
import numpy as np
import pytest
from flax import nnx

from jaxgen import load, zoo
from jaxgen.bijectors import ActNorm, Chain
from jaxgen.data.splits import SPLITS
from jaxgen.models import Flow
from jaxgen.runs import Recipe, RunError, train
from jaxgen.training import TrainSettings, fit
from jaxgen.training.checkpoints import Checkpoints
from jaxgen.training.lock import InUseError, locked
from jaxgen.training.metrics import read_metrics

X = np.random.default_rng(0).normal(size=(64, 2)).astype(np.float32)
SETTINGS = TrainSettings(steps=4, batch_size=16, steps_per_dispatch=2, checkpoint_every=2)
RECIPE = Recipe(
    "nice", "toy:two_moons", {"couplings": 2, "hidden": [2]}, train=SETTINGS, name="small"
)
LIKE = Flow(ActNorm((2,)))


def trained(out, steps=4):
    settings = TrainSettings(steps=steps, batch_size=16, steps_per_dispatch=2, checkpoint_every=2)
    return fit(Flow(ActNorm((2,))), X, settings=settings, out=out, progress=False)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run of the command line's, and one of Python's: to be copied and damaged."""
    folder = tmp_path_factory.mktemp("finished")
    train(RECIPE, folder / "run", progress=False)
    trained(folder / "python")
    return folder


def observe(given, valid, out, **options):
    """Trains a model that knows the density of any part."""
    model = zoo.eonade((2,), levels=None, components=2, hidden=(4,), rngs=nnx.Rngs(0))
    return fit(model, given, valid, SETTINGS, out=out, progress=False, **options)


@pytest.fixture(scope="module")
def observing(tmp_path_factory):
    """A run on all that data may consist of, and one of them that a callback has stopped."""
    folder = tmp_path_factory.mktemp("observing")
    for stopped in (False, True):
        observe(GIVEN, 0.25, folder / str(stopped), callbacks=[lambda row, stop=stopped: stop])
    return folder


@pytest.fixture
def run(finished, tmp_path):
    return shutil.copytree(finished / "run", tmp_path / "run")


@pytest.fixture
def python(finished, tmp_path):
    return shutil.copytree(finished / "python", tmp_path / "python")


def test_checkpoints_without_a_configuration_are_nobodys(run):
    (run / "config.json").unlink()
    with pytest.raises(RunError, match=r"holds checkpoints without the config\.json"):
        train(RECIPE, run, progress=False)
    assert not (run / "config.json").exists()


def test_a_damaged_line_of_metrics_costs_that_line(python):
    path = python / "metrics.jsonl"
    lines = path.read_text().splitlines()
    assert len(lines) == 2
    for damage in ('{"step": 2, "lo', "[]", '{"loss": 1.0}', "\0\0"):
        path.write_text("\n".join([lines[0], damage, lines[1]]) + "\n")
        with pytest.warns(UserWarning, match="line 2 is damaged and left out"):
            assert [row["step"] for row in read_metrics(path)] == [2, 4]
        path.write_text("\n".join([*lines, damage]) + "\n")
        with pytest.warns(UserWarning, match="line 3 is damaged and left out"):
            assert [row["step"] for row in read_metrics(path)] == [2, 4]
    path.write_text("\n".join([*lines, '{"step": 6, "lo']))  # as a kill leaves it
    assert [row["step"] for row in read_metrics(path)] == [2, 4]


LOST = {
    "the file": (lambda path: path.unlink(), "its beginning to step 4"),
    "all of it": (lambda path: path.write_text("no rows"), "its beginning to step 4"),
    "the last row": (
        lambda path: path.write_text(path.read_text().splitlines()[0] + '\n{"step": 4, "lo'),
        "step 2 to step 4",
    ),
}


@pytest.mark.parametrize("name", LOST)
def test_rows_that_are_lost_are_told_of(name, python):
    lose, said = LOST[name]
    lose(python / "metrics.jsonl")
    with pytest.warns(UserWarning, match=rf"metrics\.jsonl: the rows from {said}, .* missing or"):
        result = trained(python)
    assert [row["step"] for row in result.history] == [2][: said.startswith("step")]


def damage(step):
    """Empties all that a checkpoint holds of arrays."""
    for file in (file for file in step.rglob("*") if file.is_file() and "d" in file.parts[-2:-1]):
        file.write_bytes(b"")


def test_a_damaged_checkpoint_gives_way_to_the_one_before(python):
    expected = trained(python).model
    damage(python / "checkpoints" / "4")
    with pytest.warns(UserWarning, match="4 cannot be read and seems damaged.*step 2 is used"):
        again = trained(python)
    for new, old in zip(*map(jax.tree.leaves, (again.model, expected)), strict=True):
        np.testing.assert_array_equal(new, old)
    assert [row["step"] for row in again.history] == [2, 4]
    trained(python)  # which finds the new one whole


def test_a_damaged_model_is_written_again_from_the_training_state_beside_it(run):
    first = load(run)
    path = run / "checkpoints" / "4" / "checksums" / "metadata"
    sums = json.loads(path.read_text())
    sums["model"] = {name: [dtype, total ^ 1] for name, (dtype, total) in sums["model"].items()}
    path.write_text(json.dumps(sums))
    with pytest.warns(UserWarning, match="4 cannot be read.*written again from its training state"):
        train(RECIPE, run, progress=False)
    for new, old in zip(*map(jax.tree.leaves, (load(run), first)), strict=True):
        np.testing.assert_array_equal(new, old)


def test_a_run_without_its_newest_checkpoint_says_of_which_step_it_is(run, python):
    for folder, back in ((run, load), (python, lambda folder: load(folder, like=LIKE))):
        shutil.rmtree(folder / "checkpoints" / "4")
        with pytest.warns(UserWarning, match="that of step 2, although training came to step 4"):
            back(folder)


def test_a_run_is_loaded_from_the_checkpoint_before_a_damaged_one(run):
    damage(run / "checkpoints" / "4")
    with pytest.warns(UserWarning, match="4 cannot be read.*that of step 2 is used"):
        load(run)
    damage(run / "checkpoints" / "2")
    with (
        pytest.warns(UserWarning, match="that of step 2 is used"),
        pytest.raises(RunError, match="2 cannot be read and seems damaged"),
    ):
        load(run)


def test_numbers_that_have_changed_on_disk_are_damage(tmp_path):
    """Of which Orbax says nothing, where an array is large enough for a file of its own."""
    trees = [{"w": np.random.default_rng(step).normal(size=(200, 300))} for step in (1, 2)]
    with Checkpoints(tmp_path) as checkpoints:
        for step, tree in enumerate(trees, start=1):
            checkpoints.save(step, model=tree, state=tree, progress={})
        checkpoints.wait()
    for item in ("model", "state"):
        path = max((tmp_path / "2" / item).rglob("*"), key=lambda p: p.stat().st_size * p.is_file())
        content = bytearray(path.read_bytes())
        for place in range(1000, len(content) - 1000, len(content) // 5):
            content[place] ^= 1
        path.write_bytes(content)
    said = "2 cannot be read and seems damaged.*; that of step 1 is used"
    with Checkpoints(tmp_path) as checkpoints:
        for restore in (checkpoints.restore_model, checkpoints.restore_state):
            with pytest.warns(UserWarning, match=said):
                step, found, *_ = restore(trees[0])
            assert step == 1
            np.testing.assert_array_equal(found["w"], trees[0]["w"])


def test_a_checkpoint_without_checksums_is_read(run, python):
    """As those of before December 2026 are."""
    for folder in (run, python):
        shutil.rmtree(folder / "checkpoints" / "4" / "checksums")
    load(run)
    trained(python)


def test_a_progress_without_its_keys_is_damage(python):
    for file in (python / "checkpoints" / "4" / "progress").iterdir():
        if file.is_file() and file.read_text().startswith("{"):
            file.write_text(json.dumps({"step": 4}))
    with pytest.warns(UserWarning, match="its progress lacks value, misses.*step 2 is used"):
        trained(python)


def test_the_checkpoints_of_fit_are_those_of_its_configuration(python):
    def written():
        return {p: p.stat().st_mtime_ns for p in python.rglob("*") if p.is_file()}

    before = written()

    def other(model, batch, key):
        return -model.log_prob(batch.x).mean()

    flow, deeper = Flow(ActNorm((2,))), Flow(Chain([ActNorm((2,)), ActNorm((2,))]))
    for model, settings, options, said in (
        (deeper, SETTINGS, {}, r"structure\.attributes\..*; and \d+ more"),
        (flow, dataclasses.replace(SETTINGS, seed=1), {}, "seed: 0 there, 1 now"),
        # The schedule would have been another one.
        (flow, dataclasses.replace(SETTINGS, steps=6), {}, "steps: 4 there, 6 now"),
        (flow, dataclasses.replace(SETTINGS, steps=2), {}, "steps: 4 there, 2 now"),
        (flow, SETTINGS, {"objective": other}, "objective: negative_log_likelihood there"),
    ):
        with pytest.raises(RunError, match=f"run of another configuration .*{said}"):
            fit(model, X, settings=settings, out=python, progress=False, **options)
    (python / "config.json").rename(python / "elsewhere")
    with pytest.raises(RunError, match=r"holds checkpoints without the config\.json"):
        trained(python)
    (python / "elsewhere").rename(python / "config.json")
    assert written().items() >= before.items() - {(python / ".lock", before[python / ".lock"])}
    assert trained(python).history[-1]["step"] == 4


def test_a_run_that_does_not_say_its_steps_or_data_goes_on(python):
    """As those of before November 2026 do not."""
    config = json.loads((python / "config.json").read_text())
    del config["training"]["settings"]["steps"]
    (python / "config.json").write_text(json.dumps(config))
    (python / "data.json").unlink()
    shutil.rmtree(python / "checkpoints" / "4")
    assert trained(python).history[-1]["step"] == 4
    load(python, like=Flow(ActNorm((2,))))


WEIGHTS = np.linspace(1, 2, 64)
GIVEN = {"x": X, "weights": WEIGHTS, "observed": np.arange(128).reshape(64, 2) % 5 > 0}
OTHER_DATA = {
    "examples": ({"x": X + 1}, 0.25, "training examples"),
    "one value": ({"x": np.where(np.arange(128).reshape(64, 2) == 77, 3, X)}, 0.25, "examples"),
    "fewer examples": ({k: v[:48] for k, v in GIVEN.items()}, 0.25, r"float32\(48, 2\), .* there"),
    "weights": ({"weights": WEIGHTS**2}, 0.25, "training weights"),
    "no weights": ({"weights": None}, 0.25, "training weights: float32.* there, None now"),
    "what is observed": ({"observed": np.arange(128).reshape(64, 2) % 7 > 0}, 0.25, "observed"),
    "validation data": ({}, 0.5, "validation examples"),
    "no validation data": ({}, None, "validation examples: float32.* there, None now"),
}


@pytest.mark.parametrize("stopped", [False, True])
@pytest.mark.parametrize("name", OTHER_DATA)
def test_a_run_goes_on_with_its_own_data_only(name, stopped, observing, tmp_path):
    changes, valid, said = OTHER_DATA[name]
    out = shutil.copytree(observing / str(stopped), tmp_path / "run")
    before = (out / "data.json").read_bytes()
    with pytest.raises(RunError, match=f"was trained on other data .*{said}"):
        observe({**GIVEN, **changes}, valid, out)
    assert (out / "data.json").read_bytes() == before


def test_weights_of_another_scale_are_the_same_data(observing, tmp_path):
    out = shutil.copytree(observing / "True", tmp_path / "run")
    result = observe({**GIVEN, "weights": 2 * WEIGHTS}, 0.25, out)
    assert result.history[-1]["step"] == 4


def test_a_training_in_python_that_is_not_over_is_told_when_it_is_loaded(observing):
    load(observing / "False")
    with pytest.warns(UserWarning, match="training is not over: it had come to step 2 of 4"):
        load(observing / "True")


def test_contexts_are_data_of_a_run(tmp_path):
    model = zoo.maf((2,), layers=1, hidden=(4,), context_features=1, rngs=nnx.Rngs(0))
    labels = np.arange(64.0, dtype=np.float32)[:, None]
    fit(model, (X, labels), settings=SETTINGS, out=tmp_path, progress=False)
    with pytest.raises(RunError, match=r"other data \(training contexts: "):
        fit(model, (X, labels[::-1]), settings=SETTINGS, out=tmp_path, progress=False)


def test_a_recipe_goes_on_with_its_own_data_only(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    splits = {split: np.random.default_rng(0).normal(size=(40, 2)) for split in SPLITS}
    np.savez("points.npz", **splits)
    recipe = dataclasses.replace(RECIPE, data="npz:points.npz")
    train(recipe, "run", progress=False)
    for split, called in (("train", "training"), ("valid", "validation")):
        np.savez("points.npz", **{**splits, split: splits[split] + 1})
        with pytest.raises(RunError, match=f"run in run was trained on other data .{called} ex"):
            train(recipe, "run", progress=False)
    np.savez("points.npz", **{**splits, "test": splits["test"] + 1})  # which nothing is trained on
    record = Path("run/record.json").read_bytes()
    with pytest.warns(UserWarning, match="the test split of npz:points.npz is not what it was"):
        train(recipe, "run", progress=False)
    assert Path("run/record.json").read_bytes() == record  # that of the data of training


def test_another_start_than_the_one_that_is_kept_is_told(tmp_path):
    """The model that is given plays no role in a directory that has one."""
    first = trained(tmp_path).model
    other = fit(Flow(ActNorm((2,))), X + 5, settings=SETTINGS, progress=False).model
    with pytest.warns(UserWarning, match="began with other parameters than those of the model"):
        again = fit(other, X, settings=SETTINGS, out=tmp_path, progress=False).model
    for model in (again, trained(tmp_path).model):  # which comes without a warning
        np.testing.assert_array_equal(model.log_prob(X), first.log_prob(X))


UNWRITABLE = {"a file": "t.txt", "a file in the way": "t.txt/run", "no disk": "/proc/run"}


@pytest.mark.parametrize("name", UNWRITABLE)
def test_a_directory_that_cannot_be_made_is_named(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "t.txt").write_text("")
    for start in (trained, lambda out: train(RECIPE, out, progress=False)):
        with pytest.raises(RunError, match=f"cannot write {UNWRITABLE[name]}: "):
            start(UNWRITABLE[name])


@pytest.mark.parametrize("kinds", [("run", "python"), ("python", "run")])
def test_a_recipe_and_fit_do_not_take_over_from_each_other(kinds, finished, tmp_path):
    there, now = kinds
    out = shutil.copytree(finished / there, tmp_path / "run")
    start = {"run": lambda: train(RECIPE, out, progress=False), "python": lambda: trained(out)}
    with pytest.raises(RunError, match="holds a run of another configuration"):
        start[now]()


def test_a_mistake_in_the_data_writes_nothing(tmp_path):
    with pytest.raises(ValueError, match="NaN"):
        fit(Flow(ActNorm((2,))), np.nan * X, settings=SETTINGS, out=tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


def test_checkpoints_from_before_layers_knew_that_they_had_adapted(tmp_path):
    model = Flow(ActNorm((2,))).initialize(X, jax.random.key(0))
    norm = model.bijector
    old = {"bijector": {"shift": {"value": norm.shift[...]}}}
    old["bijector"]["log_scale"] = {"value": norm.log_scale[...]}
    with Checkpoints(tmp_path / "checkpoints") as checkpoints:
        checkpoints.save(1, model=old)
        checkpoints.wait()
        found = checkpoints.restore_model(Flow(ActNorm((2,))))
    for new, expected in zip(*map(jax.tree.leaves, (found[1], model)), strict=True):
        np.testing.assert_array_equal(new, expected)


def hold(directory, ready, done):
    with locked(directory):
        ready.set()
        done.wait(60)


def test_a_second_training_is_told_who_has_the_directory(tmp_path):
    context = multiprocessing.get_context("spawn")
    ready, done = context.Event(), context.Event()
    other = context.Process(target=hold, args=(tmp_path, ready, done))
    other.start()
    try:
        assert ready.wait(60)
        for training in (trained, lambda out: train(RECIPE, out, progress=False)):
            with pytest.raises(InUseError, match=rf"in use: process {other.pid} on \S+ \(since 2"):
                training(tmp_path)
        assert sorted(path.name for path in tmp_path.iterdir()) == [".lock"]
    finally:
        done.set()
        other.join()
    trained(tmp_path)


def test_a_killed_training_leaves_no_lock(tmp_path):
    context = multiprocessing.get_context("spawn")
    ready, done = context.Event(), context.Event()
    other = context.Process(target=hold, args=(tmp_path, ready, done))
    other.start()
    assert ready.wait(60)
    os.kill(other.pid, 9)
    other.join()
    with locked(tmp_path), locked(tmp_path):  # a training locks what its caller has locked
        pass


def test_another_thread_is_another_training(tmp_path):
    found = []

    def attempt():
        try:
            with locked(tmp_path):
                found.append("entered")
        except InUseError as error:
            found.append(str(error))

    with locked(tmp_path):
        thread = threading.Thread(target=attempt)
        thread.start()
        thread.join()
    assert f"process {os.getpid()}" in found[0]
