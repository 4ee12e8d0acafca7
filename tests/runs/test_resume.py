"""A stopped training goes on to exactly the parameters of one that was not stopped."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest

import jaxgen
from jaxgen.bijectors import ActNorm
from jaxgen.models import Flow
from jaxgen.training import TrainSettings, fit
from jaxgen.training.metrics import MEASURED, MetricsLog, read_metrics

STEPS = 300
TIMES = ("seconds", "training_seconds")  # in which a record of the same model may differ
EXPERIMENT = f'''
"""Dropout, so that the noise of every step matters; data-dependent initialisation; averages."""
from jaxgen.runs import Recipe
from jaxgen.training import TrainSettings

experiment = Recipe(
    model="maf",
    data="toy:rings",
    model_args={{"layers": 1, "hidden": [8], "dropout": 0.2}},
    train=TrainSettings(
        steps={STEPS}, batch_size=32, steps_per_dispatch=5, eval_every=50, checkpoint_every=30
    ),
)
'''


def checkpoint_steps(run: Path) -> list[int]:
    """The steps of the checkpoints that are complete, by the names of their directories."""
    names = [path.name for path in (run / "checkpoints").glob("*")]
    return sorted(int(name) for name in names if name.isdigit())


def arrays(run: Path, step: int) -> dict[str, np.ndarray]:
    """Every array of a checkpoint, read past the library."""
    found = {}
    for item in ("model", "state"):
        path = run / "checkpoints" / str(step) / item
        with ocp.StandardCheckpointer() as checkpointer:
            metadata = checkpointer.metadata(path).item_metadata
            target = {
                name: jax.ShapeDtypeStruct(
                    leaf.shape,
                    leaf.dtype,
                    sharding=jax.sharding.SingleDeviceSharding(jax.devices()[0]),
                )
                for name, leaf in dict(metadata).items()
            }
            restored = checkpointer.restore(path, target)
        for name, leaf in restored.items():
            is_key = jax.numpy.issubdtype(leaf.dtype, jax.dtypes.prng_key)
            found[f"{item}.{name}"] = np.asarray(jax.random.key_data(leaf) if is_key else leaf)
    return found


def rows(path: Path) -> list[dict]:
    """The logged rows but for their times."""
    return [{k: v for k, v in row.items() if k not in MEASURED} for row in read_metrics(path)]


@dataclasses.dataclass
class Runs:
    """What became of two processes: one left in peace, and one killed, interrupted, finished."""

    whole: Path
    broken: Path
    killed: int
    steps_when_killed: list[int]
    interrupted: subprocess.CompletedProcess
    steps_when_interrupted: list[int]
    files_when_interrupted: set[str]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("resume")
    file = folder / "rings.py"
    file.write_text(EXPERIMENT)
    whole, broken = folder / "whole", folder / "broken"

    def start(run: Path) -> subprocess.Popen:
        command = [sys.executable, "-m", "jaxgen", "train", str(file), "--out", str(run), "--quiet"]
        return subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=folder
        )

    def finish(process: subprocess.Popen) -> subprocess.CompletedProcess:
        out, err = process.communicate(timeout=240)
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    def wait_for_checkpoint(process: subprocess.Popen, after: int) -> None:
        deadline = time.monotonic() + 240
        while max(checkpoint_steps(broken), default=0) <= after:
            assert process.poll() is None, process.communicate()[1]
            assert time.monotonic() < deadline, "no checkpoint was written"
            time.sleep(0.002)

    undisturbed = start(whole)
    first = start(broken)
    wait_for_checkpoint(first, after=0)
    first.send_signal(signal.SIGKILL)
    killed = finish(first).returncode
    steps_when_killed = checkpoint_steps(broken)

    second = start(broken)
    wait_for_checkpoint(second, after=max(steps_when_killed))
    second.send_signal(signal.SIGINT)
    interrupted = finish(second)
    steps_when_interrupted = checkpoint_steps(broken)
    files = {path.name for path in broken.iterdir()}

    for process in (start(broken), undisturbed):
        done = finish(process)
        assert done.returncode == 0, done.stderr
    return Runs(
        whole,
        broken,
        killed,
        steps_when_killed,
        interrupted,
        steps_when_interrupted,
        files,
    )


@pytest.mark.slow
def test_the_process_was_killed_in_mid_training(runs):
    assert runs.killed == -signal.SIGKILL
    assert 0 < max(runs.steps_when_killed) < STEPS


@pytest.mark.slow
def test_an_interrupt_ends_with_a_line_and_a_checkpoint(runs):
    assert runs.interrupted.returncode == 130
    assert runs.interrupted.stdout == ""
    (line,) = runs.interrupted.stderr.splitlines()
    step = max(runs.steps_when_interrupted)
    assert line == (
        f"jaxgen: interrupted at step {step}; saved, the same command goes on from there"
    )
    assert max(runs.steps_when_killed) < step < STEPS
    assert "record.json" not in runs.files_when_interrupted


@pytest.mark.slow
def test_killed_and_interrupted_equals_uninterrupted_bit_for_bit(runs):
    """Parameters, averages, optimizer state, best parameters, step and key; the final model."""
    whole, broken = arrays(runs.whole, STEPS), arrays(runs.broken, STEPS)
    assert whole.keys() == broken.keys()
    names = " ".join(whole)
    for part in ("model.bijector", "state.0.model", "state.0.ema", "state.0.opt_state", "state.1"):
        assert part in names
    for name, array in whole.items():
        np.testing.assert_array_equal(broken[name], array, err_msg=name, strict=True)


@pytest.mark.slow
def test_metrics_have_no_step_twice_and_none_missing(runs):
    whole, broken = rows(runs.whole / "metrics.jsonl"), rows(runs.broken / "metrics.jsonl")
    assert [row["step"] for row in broken] == list(range(5, STEPS + 1, 5))
    assert broken == whole
    assert [row["step"] for row in broken if "valid_loss" in row] == list(range(50, STEPS + 1, 50))


@pytest.mark.slow
def test_the_loaded_models_and_records_are_equal(runs):
    for one, other in zip(
        jax.tree.leaves(jaxgen.load(runs.whole)),
        jax.tree.leaves(jaxgen.load(runs.broken)),
        strict=True,
    ):
        np.testing.assert_array_equal(one, other)
    whole, broken = (
        json.loads((run / "record.json").read_text()) for run in (runs.whole, runs.broken)
    )
    for name in TIMES:
        assert whole.pop(name) > 0
        assert broken.pop(name) > 0
    assert whole == broken


# --- in this process ---

SETTINGS = TrainSettings(
    steps=40,
    batch_size=8,
    learning_rate=0.2,
    schedule="constant",
    steps_per_dispatch=1,
    eval_every=2,
    checkpoint_every=4,
    patience=3,
    init_batch_size=8,
)


@pytest.fixture(scope="module")
def data():
    """Training leads from the rows of the initialisation past those of validation to the rest."""
    rng = np.random.default_rng(0)
    x, valid = rng.normal(size=(2, 24, 2)).astype(np.float32)
    x[np.random.default_rng(SETTINGS.seed).permutation(24)[SETTINGS.init_batch_size :]] += 3
    return x, valid + 1


def train(data, out=None):
    return fit(Flow(ActNorm((2,))), *data, SETTINGS, out=out, progress=False)


@pytest.fixture(scope="module")
def uninterrupted(data):
    return train(data)


def raise_at(monkeypatch, step, action):
    """Does something right after the row of a step was logged, once."""
    write = MetricsLog.write

    def wrapped(log, row):
        write(log, row)
        if row["step"] == step:
            monkeypatch.undo()
            action()

    monkeypatch.setattr(MetricsLog, "write", wrapped)


def assert_same(result, expected):
    for one, other in zip(
        jax.tree.leaves((result.model, result.state)),
        jax.tree.leaves((expected.model, expected.state)),
        strict=True,
    ):
        assert (one == other).all()
    assert result.best_step == expected.best_step
    strip = [[{**row, **dict.fromkeys(MEASURED)} for row in r.history] for r in (result, expected)]
    assert strip[0] == strip[1]


def test_the_reference_stops_early_so_that_resuming_must_remember_its_patience(uninterrupted):
    stop = uninterrupted.history[-1]["step"]
    assert uninterrupted.best_step == stop - SETTINGS.patience * SETTINGS.eval_every > 2
    assert stop < SETTINGS.steps
    assert not uninterrupted.interrupted


def test_interrupted_and_resumed(monkeypatch, tmp_path, data, uninterrupted):
    stop = uninterrupted.history[-1]["step"] - 1  # after a miss, between two checkpoints
    assert stop % SETTINGS.checkpoint_every
    raise_at(monkeypatch, stop, lambda: signal.raise_signal(signal.SIGINT))
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    result = train(data, tmp_path)
    assert result.interrupted
    assert int(result.state.step) == stop == max(checkpoint_steps(tmp_path))
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before
    resumed = train(data, tmp_path)
    assert not resumed.interrupted
    assert_same(resumed, uninterrupted)


def test_crashed_and_resumed(monkeypatch, tmp_path, data, uninterrupted):
    def crash():
        raise OSError("No space left on device")

    stop = uninterrupted.history[-1]["step"] - 1
    raise_at(monkeypatch, stop, crash)
    with pytest.raises(OSError, match="No space left"):
        train(data, tmp_path)
    last = stop // SETTINGS.checkpoint_every * SETTINGS.checkpoint_every
    assert max(checkpoint_steps(tmp_path)) == last
    assert rows(tmp_path / "metrics.jsonl")[-1]["step"] == stop > last
    # What else a crash can leave: half a line, and half a checkpoint.
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 99, "lo')
    os.mkdir(tmp_path / "checkpoints" / "99.orbax-checkpoint-tmp")
    assert_same(train(data, tmp_path), uninterrupted)
    steps = [row["step"] for row in rows(tmp_path / "metrics.jsonl")]
    assert steps == list(range(1, uninterrupted.history[-1]["step"] + 1))


def test_a_finished_training_is_not_trained_further(monkeypatch, tmp_path, data, uninterrupted):
    train(data, tmp_path)
    files = {path: path.stat().st_mtime_ns for path in (tmp_path / "checkpoints").rglob("*")}
    monkeypatch.setattr(MetricsLog, "write", lambda *args: pytest.fail("it went on training"))
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    assert_same(train(data, tmp_path), uninterrupted)
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before
    assert files == {
        path: path.stat().st_mtime_ns for path in (tmp_path / "checkpoints").rglob("*")
    }


@pytest.mark.slow
def test_twenty_ends_at_random_moments_change_nothing(tmp_path):
    """By SIGKILL or SIGTERM, some while a checkpoint is written."""
    file = tmp_path / "rings.py"
    steps = 3000
    file.write_text(EXPERIMENT.replace(f"steps={STEPS}", f"steps={steps}"))
    random = np.random.default_rng(0)

    def start(run: Path) -> subprocess.Popen:
        command = [sys.executable, "-m", "jaxgen", "train", str(file), "--out", str(run), "--quiet"]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
        return subprocess.Popen(command, cwd=tmp_path, **quiet)

    broken, ends, writing = tmp_path / "broken", [], 0
    for number in range(20):
        process, before = start(broken), max(checkpoint_steps(broken), default=0)
        drafts = broken / "checkpoints"
        deadline = time.monotonic() + 120
        while max(checkpoint_steps(broken), default=0) <= before:
            assert process.poll() is None, process.stderr.read()
            assert time.monotonic() < deadline
            time.sleep(0.001)
        if number % 3 == 0:  # in the next checkpoint
            while not any("tmp" in path.name for path in drafts.iterdir()):
                assert process.poll() is None, process.stderr.read()
            writing += 1
        else:
            time.sleep(random.uniform(0, 0.2))
        signals = (signal.SIGKILL, signal.SIGTERM)
        process.send_signal(signals[random.integers(2)])
        process.communicate(timeout=120)
        ends.append(process.returncode)
    assert {-signal.SIGKILL, 75} == set(ends)
    assert writing == 7
    assert max(checkpoint_steps(broken)) < steps
    whole = tmp_path / "whole"
    for run in (broken, whole):
        process = start(run)
        process.communicate(timeout=240)
        assert process.returncode == 0
    found, expected = arrays(broken, steps), arrays(whole, steps)
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array, err_msg=name, strict=True)
    assert rows(broken / "metrics.jsonl") == rows(whole / "metrics.jsonl")
    records = [json.loads((run / "record.json").read_text()) for run in (broken, whole)]
    for record in records:
        assert all(record.pop(name) > 0 for name in TIMES)
    assert records[0] == records[1]
