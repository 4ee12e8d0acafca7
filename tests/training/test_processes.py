"""Several processes of one training, over JAX's own runtime on CPU."""

import json
import os
import signal
import socket
import subprocess
import sys
import time

import jax
import numpy as np
import pytest
from flax import nnx
from orbax.checkpoint import CheckpointManager

from jaxgen import zoo
from jaxgen.cli import main
from jaxgen.training import processes
from jaxgen.training.checkpoints import Checkpoints
from jaxgen.training.processes import (
    PeerError,
    by_the_first,
    connect,
    is_first,
    most_of_all,
)

TRAINED = """
import json, sys
from jaxgen.training.processes import connect

out, port, count, index, steps = sys.argv[1], *map(int, sys.argv[2:6])
more = json.loads(sys.argv[6])
if count > 1:
    connect(f"localhost:{port}", count, index, timeout=8)

import jax, numpy as np
from flax import nnx
from jaxgen import zoo
from jaxgen.training import TrainSettings, feeding, fit
from jaxgen.training.metrics import MEASURED

jax.config.update("jax_enable_x64", True)
assert (jax.process_count(), jax.device_count()) == (count, 4)
read, take_rows = [], feeding.take_rows

def recorded(data, rows):
    read.extend(rows.ravel().tolist())
    return take_rows(data, rows)

feeding.take_rows = recorded
x = np.random.default_rng(0).normal(size=(64, 8))
model = zoo.maf((8,), layers=1, hidden=(64,), rngs=nnx.Rngs(0))
settings = TrainSettings(
    steps=steps, batch_size=16, steps_per_dispatch=2, checkpoint_every=2, eval_every=4, **more
)
result = fit(model, x, x[:30], settings, out=None if out == "-" else out, progress=False)
from jaxgen.models.chunks import on_host
params = on_host(nnx.state(result.model, nnx.Param))
print(json.dumps({
    "params": [leaf.tolist() for leaf in jax.tree.leaves(params)],
    "history": [{k: v for k, v in row.items() if k not in MEASURED} for row in result.history],
    "read": read,
}))
"""


def free_port():
    with socket.socket() as found:
        found.bind(("localhost", 0))
        return found.getsockname()[1]


def started(out, count, steps, more):
    """Processes with four simulated devices between them."""
    port = free_port()
    environment = {
        **os.environ,
        "XLA_FLAGS": f"--xla_force_host_platform_device_count={4 // count}",
        "JAX_PLATFORMS": "cpu",
        "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
    }
    common = [sys.executable, "-c", TRAINED, str(out), str(port), str(count)]
    return [
        subprocess.Popen(
            [*common, str(index), str(steps), json.dumps(more)],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for index in range(count)
    ]


def trained(out, count, steps=8, **more):
    """What every process printed last."""
    found = []
    for process in started(out, count, steps, more):
        printed, error = process.communicate(timeout=300)
        assert process.returncode == 0, error
        found.append(json.loads(printed.splitlines()[-1]))
    return found


def assert_equal(one, other):
    for a, b in zip(one["params"], other["params"], strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-12)
    for row, there in zip(one["history"], other["history"], strict=True):
        assert row == pytest.approx(there, rel=1e-9)


@pytest.mark.parametrize("more", [{"sharding": "fsdp"}])
def test_two_processes_train_as_one_does_and_read_each_its_part(more):
    (alone,) = trained("-", 1, **more)
    first, second = trained("-", 2, **more)
    assert_equal(first, second)
    assert_equal(first, alone)
    # Eight batches of 16 are two epochs of 64 rows: every row twice, between the two of them.
    assert len(first["read"]) == len(second["read"]) == 64
    assert sorted(first["read"] + second["read"]) == sorted(2 * list(range(64)))


@pytest.mark.parametrize(
    ("name", "act"),
    [
        ("save", lambda checkpoints, model: checkpoints.save(2, model=model)),
        ("restore", lambda checkpoints, model: checkpoints.restore_model(model)),
    ],
)
def test_a_checkpoint_that_fails_with_a_peer_is_not_called_damaged(
    name, act, tmp_path, monkeypatch
):
    model = zoo.maf((2,), layers=1, hidden=(4,), rngs=nnx.Rngs(0))

    def gone(*args, **kwargs):
        raise jax.errors.JaxRuntimeError("Gloo all-reduce failed: connection closed by peer\nmore")

    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, model=model)
        checkpoints.wait()
        monkeypatch.setattr(CheckpointManager, name, gone)
        with monkeypatch.context() as several:
            several.setattr(jax, "process_count", lambda: 2)
            with pytest.raises(PeerError, match=r"another process died.* \(Gloo .* by peer\)$"):
                act(checkpoints, model)


@pytest.mark.slow
@pytest.mark.parametrize("victim", [0, 1])
def test_when_one_is_killed_the_other_ends_and_both_go_on(tmp_path, victim):
    (alone,) = trained(tmp_path / "alone", 1, steps=100)
    out = tmp_path / "killed"
    both = started(out, 2, 100, {})
    deadline = time.monotonic() + 120
    while not (out / "checkpoints" / "20").exists():
        assert time.monotonic() < deadline
        assert all(process.poll() is None for process in both)
        time.sleep(0.05)
    both[victim].send_signal(signal.SIGKILL)
    since = time.monotonic()
    _, error = both[1 - victim].communicate(timeout=60)
    assert time.monotonic() - since < 30  # the timeout is 8 seconds
    assert both[1 - victim].returncode != 0
    assert "another task died" in error or "another process died" in error, error
    both[victim].communicate()
    kept = sorted(int(path.name) for path in (out / "checkpoints").glob("[0-9]*[0-9]"))
    assert 20 <= kept[-1] < 100
    first, second = trained(out, 2, steps=100)
    assert_equal(first, alone)
    assert_equal(second, alone)


@pytest.mark.slow
def test_a_checkpoint_of_two_processes_goes_on_in_one(tmp_path):
    out = tmp_path / "run"
    both = started(out, 2, 100, {})
    while not (out / "checkpoints" / "20").exists():
        assert all(process.poll() is None for process in both)
        time.sleep(0.05)
    for process in both:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    (resumed,) = trained(out, 1, steps=100)
    (alone,) = trained(tmp_path / "alone", 1, steps=100)
    assert_equal(resumed, alone)


FAILING = """
import os
from jaxgen.runs import Recipe
from jaxgen.training import TrainSettings, negative_log_likelihood

def own(model, batch, key):
    if os.environ["WHO"] == "1":
        raise {error}("one alone")
    return negative_log_likelihood(model, batch, key)

settings = TrainSettings(steps=20, batch_size=4, steps_per_dispatch=10)
args = {{"layers": 1, "hidden": [8]}}
rings = Recipe("maf", "toy:rings", args, train=settings, objective="own")
"""


@pytest.mark.slow
@pytest.mark.parametrize("error", ["ValueError", "KeyError"])  # one that is a line, and a trace
def test_an_error_of_one_process_ends_both(tmp_path, error):
    (tmp_path / "failing.py").write_text(FAILING.format(error=error))
    port = free_port()
    command = [sys.executable, "-m", "jaxgen", "train", "failing.py", "--out", "run", "--quiet"]
    command += ["--distributed", "--coordinator", f"localhost:{port}", "--processes", "2"]
    both = []
    for index in range(2):
        environment = {**os.environ, "WHO": str(index), "JAX_PLATFORMS": "cpu"}
        own = [*command, "--process", str(index), "--silence", "10"]
        both.append(
            subprocess.Popen(own, env=environment, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
        )
    _, said = both[1].communicate(timeout=120)
    assert both[1].returncode == 1
    assert "one alone" in said
    both[0].communicate(timeout=60)
    assert both[0].returncode != 0


# --- one process ---


def test_one_process_is_the_first_and_agrees_with_itself():
    assert is_first()
    assert most_of_all(15) == 15
    assert most_of_all(False) == 0
    done = []
    by_the_first(lambda: done.append(1))
    assert done == [1]


def test_a_failure_of_the_first_is_raised_there_and_told_to_the_others(monkeypatch):
    def refuse():
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        by_the_first(refuse)
    monkeypatch.setattr(processes, "is_first", lambda: False)
    monkeypatch.setattr(processes, "most_of_all", lambda said: True)
    with pytest.raises(PeerError, match="the first process cannot go on"):
        by_the_first(refuse)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"coordinator": "localhost:1"}, "got no processes and no index"),
        ({"processes": 2, "index": 0}, "got no coordinator"),
        (
            {"coordinator": "localhost", "processes": 2, "index": 0},
            "expected a coordinator HOST:PORT",
        ),
        ({"timeout": 0}, "a timeout of a second or more, got 0"),
    ],
)
def test_what_is_missing_to_connect_is_said(given, said):
    with pytest.raises(ValueError, match=said):
        connect(**given)


def test_processes_without_distributed_are_refused(capsys, tmp_path):
    with pytest.raises(SystemExit):
        main(["train", "x.py", "--out", f"{tmp_path}", "--processes", "2"])
    assert "expected --distributed with --coordinator" in capsys.readouterr().err
