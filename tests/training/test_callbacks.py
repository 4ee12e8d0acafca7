"""What training writes besides its rows: for TensorBoard, and a trace; which checkpoints stay."""

import struct
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jaxgen.cli import main
from jaxgen.models import DiagonalNormal
from jaxgen.training import TensorBoard, Trace, TrainSettings, fit, negative_log_likelihood

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


def test_the_utilisation_is_logged_where_the_peak_is_known(monkeypatch):
    from jaxgen import zoo
    from jaxgen.training import utilisation

    settings = TrainSettings(steps=4, batch_size=32, steps_per_dispatch=2)
    model = zoo.made((6,), hidden=(50, 40), rngs=nnx.Rngs(0))
    x = np.random.default_rng(0).integers(0, 2, (64, 6))
    kind = jax.devices()[0].device_kind
    monkeypatch.setitem(utilisation.PEAKS, kind, {"float32": 1e12})
    for row in fit(model, x, settings=settings, progress=False).history:
        products = 2 * (6 * 50 + 50 * 40 + 40 * 6)  # of a pass of an example
        expected = 3 * products * row["examples_per_second"] / 1e12
        assert row["utilisation"] == pytest.approx(expected, rel=0.05)

    def own(model, batch, key, step=None):  # which asks for the number of the step
        return negative_log_likelihood(model, batch, key)

    result = fit(model, x, settings=settings, objective=own, progress=False)
    assert result.history[-1]["utilisation"] > 0
    monkeypatch.delitem(utilisation.PEAKS, kind)
    assert "utilisation" not in fit(model, x, settings=settings, progress=False).history[-1]


def test_products_in_loops_and_branches_are_counted():
    from jaxgen.training.utilisation import matrix_operations

    def looped(a, b):
        body = lambda carry, _: (carry @ b, None)  # noqa: E731
        carry, _ = jax.lax.scan(body, a, length=5)
        return jax.lax.cond(carry.sum() > 0, lambda c: c @ b @ b, lambda c: c, carry)

    program = jax.make_jaxpr(looped)(jnp.ones((3, 4)), jnp.ones((4, 4)))
    assert matrix_operations(program.jaxpr) == (5 + 2) * 2 * 3 * 4 * 4
    image, kernel = jnp.ones((2, 8, 8, 3)), jnp.ones((3, 3, 3, 5))
    convolution = jax.make_jaxpr(
        lambda x, k: jax.lax.conv_general_dilated(
            x, k, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )
    )
    program = convolution(image, kernel)
    assert matrix_operations(program.jaxpr) == 2 * (2 * 8 * 8 * 5) * 27
