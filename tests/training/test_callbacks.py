"""What training writes besides its rows: for TensorBoard, and a trace; which checkpoints stay."""

import struct
import sys

import numpy as np
import pytest

from jaxgen.cli import main
from jaxgen.models import DiagonalNormal
from jaxgen.training import TensorBoard, Trace, TrainSettings, fit

X = np.random.default_rng(0).normal(size=(64, 2)).astype(np.float32)
EXPERIMENT = """from jaxgen.runs import Recipe
from jaxgen.training import TrainSettings

train = TrainSettings(steps=20, batch_size=32, steps_per_dispatch=5, eval_every=10)
moons = Recipe("maf", "toy:two_moons", {"layers": 1, "hidden": [8]}, train=train)
"""


def scalars(folder):
    """Tags and steps in the files of a folder, read as records of protocol buffers."""
    from tensorboardX.proto.event_pb2 import Event

    found = []
    for path in sorted(folder.iterdir()):
        content = path.read_bytes()
        while content:
            (length,) = struct.unpack("<Q", content[:8])
            event = Event.FromString(content[12 : 12 + length])
            found += [(value.tag, event.step) for value in event.summary.value]
            content = content[16 + length :]
    return found


def test_tensorboard_gets_every_number_of_every_row(tmp_path):
    settings = TrainSettings(steps=20, batch_size=32, steps_per_dispatch=5, eval_every=10)
    with TensorBoard(tmp_path) as board:
        fit(DiagonalNormal((2,)), X, X, settings, callbacks=[board], progress=False)
    found = scalars(tmp_path)
    assert [step for tag, step in found if tag == "loss"] == [5, 10, 15, 20]
    assert [step for tag, step in found if tag == "valid_loss"] == [10, 20]
    assert {tag for tag, _ in found} >= {"grad_norm", "examples_per_second"}


def test_without_tensorboardx_it_is_said_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(ImportError, match=r'pip install "jaxgen\[tensorboard\]"'):
        TensorBoard(tmp_path)


@pytest.mark.parametrize("steps", [5, 1000])
def test_a_trace_of_some_steps_is_written_and_ended(tmp_path, steps):
    settings = TrainSettings(steps=20, batch_size=32, steps_per_dispatch=5)
    with Trace(tmp_path, steps) as trace:
        fit(DiagonalNormal((2,)), X, None, settings, callbacks=[trace], progress=False)
    assert list(tmp_path.rglob("*.xplane.pb"))
    with Trace(tmp_path / "next", 5):  # nothing runs any more that would keep it from starting
        pass
    with pytest.raises(ValueError, match="expected a step or more, got 0"):
        Trace(tmp_path, 0)


def test_the_command_line_writes_both(tmp_path):
    (tmp_path / "small.py").write_text(EXPERIMENT)
    run = tmp_path / "run"
    how = ["--quiet", "--no-cache", "--tensorboard", "--profile", "5"]
    assert main(["train", f"{tmp_path}/small.py", "--out", f"{run}", *how]) == 0
    found = scalars(run / "tensorboard")
    assert ("samples", 20) in found
    assert ("loss", 10) in found
    assert list((run / "profile").rglob("*.xplane.pb"))


@pytest.mark.parametrize(
    ("keep", "expected"),
    [({}, [8, 10]), ({"keep_last": 3}, [6, 8, 10]), ({"keep_last": 1, "keep_best": 2}, [2, 4, 10])],
)
def test_the_last_and_the_best_checkpoints_are_kept(tmp_path, keep, expected, monkeypatch):
    from jaxgen.training.validation import Validation

    losses = iter([1.0, 2.0, 3.0, 4.0, 5.0])  # best at first
    monkeypatch.setattr(Validation, "loss", lambda *_: next(losses))
    how = {"steps": 10, "steps_per_dispatch": 2, "eval_every": 2, "checkpoint_every": 2, **keep}
    settings = TrainSettings(batch_size=32, **how)
    fit(DiagonalNormal((2,)), X, X, settings, out=tmp_path, progress=False)
    steps = [int(path.name) for path in (tmp_path / "checkpoints").iterdir() if path.name.isdigit()]
    assert sorted(steps) == expected


def test_how_many_are_kept_may_change(tmp_path):
    settings = TrainSettings(steps=4, batch_size=32, steps_per_dispatch=2, checkpoint_every=2)
    stop = [lambda row: True]
    fit(DiagonalNormal((2,)), X, None, settings, out=tmp_path, callbacks=stop, progress=False)
    other = TrainSettings(
        steps=4, batch_size=32, steps_per_dispatch=2, checkpoint_every=2, keep_last=5, workers=1
    )
    assert fit(DiagonalNormal((2,)), X, None, other, out=tmp_path, progress=False).best_step == 4
