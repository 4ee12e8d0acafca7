"""What goes wrong beside the model: each a line that says so, and no committed checkpoint lost."""

import os
import subprocess
import sys
import time

import numpy as np
import pytest

from jaxgen.cli import main
from jaxgen.data.stored import StoredArray
from jaxgen.models import DiagonalNormal
from jaxgen.training import TrainSettings, fit

X = np.random.default_rng(0).normal(size=(4000, 2)).astype(np.float32)
SETTINGS = TrainSettings(steps=40, batch_size=100, steps_per_dispatch=2, checkpoint_every=4)

EXPERIMENT = """from jaxgen.runs import Recipe
from jaxgen.training import TrainSettings

train = TrainSettings(steps=40, batch_size=100, steps_per_dispatch=2, checkpoint_every=4)
points = Recipe("maf", "npy:points.npy", {"layers": 1, "hidden": [8]}, train=train)
"""


def steps_of(run):
    return sorted(int(p.name) for p in (run / "checkpoints").iterdir() if p.name.isdigit())


def at(step, action):
    return lambda row: action() if row["step"] == step else None


def assert_goes_on(out, data=X):
    """Finishes what is there, to the parameters of a training that nothing happened to."""
    kept = steps_of(out)[-1]
    resumed = fit(DiagonalNormal((2,)), data, None, SETTINGS, out=out, progress=False)
    whole = fit(DiagonalNormal((2,)), data, None, SETTINGS, progress=False)
    assert str(resumed.model) == str(whole.model)
    np.testing.assert_array_equal(resumed.model.log_prob(X[:9]), whole.model.log_prob(X[:9]))
    assert [row["step"] for row in resumed.history] == list(range(2, 41, 2))
    return kept


FULL = """
import resource, signal, sys
import numpy as np
from jaxgen.models import DiagonalNormal
from jaxgen.training import TrainSettings, fit

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
x = np.random.default_rng(0).normal(size=(4000, 2)).astype(np.float32)
settings = TrainSettings(steps=40, batch_size=100, steps_per_dispatch=2, checkpoint_every=4)

def fill(row):
    if row["step"] == 14:
        resource.setrlimit(resource.RLIMIT_FSIZE, (200, resource.RLIM_INFINITY))

try:
    fit(DiagonalNormal((2,)), x, None, settings, out=sys.argv[1], callbacks=[fill], progress=False)
except (ValueError, OSError) as error:
    print(f"{type(error).__name__}: {error}")
"""


def test_a_full_disk_ends_in_a_line_and_costs_no_checkpoint(tmp_path):
    """As a file that may not grow: what writes gets the same kind of error from the system."""
    out = tmp_path / "run"
    command = [sys.executable, "-c", FULL, str(out)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    (line,) = done.stdout.splitlines()
    assert "cannot write" in line or "File too large" in line, done.stderr
    assert assert_goes_on(out) in (8, 12)  # that of step 12 may not have been committed yet


@pytest.mark.parametrize("ends", ["unlinked", "cut off"])
def test_data_that_disappear_end_in_a_line_and_training_goes_on(tmp_path, ends):
    path, out = tmp_path / "x.npy", tmp_path / "run"
    np.save(path, X)
    whole = path.read_bytes()

    def lose():
        if ends == "unlinked":
            path.unlink()
        else:
            os.truncate(path, 300)

    stored = StoredArray(path)
    how = {"out": out, "callbacks": [at(14, lose)], "progress": False}
    with pytest.raises(OSError, match=r"x\.npy"):
        fit(DiagonalNormal((2,)), stored, None, SETTINGS, **how)
    path.write_bytes(whole)
    assert 12 <= assert_goes_on(out, stored) < 24  # some dispatches had been read ahead


def test_the_command_line_says_it_in_a_line(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("JAXGEN_DATA", f"{tmp_path}")
    np.save(tmp_path / "points.npy", X)
    (tmp_path / "points.py").write_text(EXPERIMENT)
    out = ["--out", f"{tmp_path / 'run'}", "--quiet", "--no-cache"]
    os.truncate(tmp_path / "points.npy", 300)
    assert main(["train", f"{tmp_path}/points.py", *out]) == 1
    assert "is cut off: expected" in capsys.readouterr().err
    (tmp_path / "points.npy").unlink()
    assert main(["train", f"{tmp_path}/points.py", *out]) == 1
    assert "expected a file, found none" in capsys.readouterr().err


def test_a_clock_that_is_set_back_changes_nothing(tmp_path, monkeypatch):
    stop = [at(20, lambda: True)]
    fit(DiagonalNormal((2,)), X, None, SETTINGS, out=tmp_path, callbacks=stop, progress=False)
    assert steps_of(tmp_path)[-1] == 20
    now, now_ns = time.time, time.time_ns
    monkeypatch.setattr(time, "time", lambda: now() - 86400.0)
    monkeypatch.setattr(time, "time_ns", lambda: now_ns() - 86400 * 10**9)
    assert assert_goes_on(tmp_path) == 20
    assert steps_of(tmp_path) == [36, 40]
