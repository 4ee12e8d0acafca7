"""Samples of every shape make a picture, and no picture costs a record."""

import io
import json

import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen import runs
from jaxgen.cli import main
from jaxgen.evaluation import loss_curve, sample_grid
from jaxgen.runs import Recipe
from jaxgen.training import TrainSettings

SHAPES = [
    (5,),
    (1,),
    (5, 1),
    (1, 1),
    (1, 2),
    (1, 5),
    (7, 5),
    (7, 30),
    (1, 30),
    (4, 8, 8),
    (1, 1, 1),
    (3, 8, 8, 1),
    (1, 8, 8, 3),
    (1, 1, 1, 1),
    (5, 1, 9, 1),
    (5, 9, 1, 3),
    (2, 4, 4, 2),
    (2, 3, 4, 5, 6),
]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize(("dtype", "levels"), [("f4", None), ("u1", 17), (jnp.bfloat16, None)])
def test_samples_of_any_shape_are_drawn(shape, dtype, levels):
    samples = (np.arange(np.prod(shape)).reshape(shape) % 17 / 16).astype(dtype)
    file = io.BytesIO()
    sample_grid(samples, levels).savefig(file)
    assert file.getvalue().startswith(b"\x89PNG")


@pytest.mark.parametrize("shape", [(), (0,), (0, 3), (0, 8, 8, 1), (4, 0)], ids=str)
def test_no_samples_are_refused(shape):
    with pytest.raises(ValueError, match=r"expected samples .*, one at least, got shape"):
        sample_grid(np.zeros(shape))


def test_columns_are_drawn_as_what_they_are_distributed_like():
    x = np.random.default_rng(0).normal(size=(500, 4))
    x[3] = np.nan
    axes = sample_grid(x, names="abcd").axes
    assert [sum(bar.get_height() for bar in each.patches) for each in axes] == [499] * 4
    assert [each.get_title() for each in axes] == list("abcd")
    (points,) = sample_grid(x[:, :2], names=("height", "weight")).axes
    assert (points.get_xlabel(), points.get_ylabel()) == ("height", "weight")


def test_a_run_of_one_column_gets_its_record_and_pictures(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    np.savez("one.npz", x=np.random.default_rng(0).normal(size=(500, 1)))
    settings = TrainSettings(steps=2, batch_size=8)
    recipe = Recipe("maf", "npz:one.npz", {"layers": 1, "hidden": [4]}, train=settings)
    runs.train(recipe, "run", progress=False)
    assert json.loads((tmp_path / "run" / "record.json").read_text())["num_examples"] > 0
    assert (tmp_path / "run" / "samples.png").is_file()
    assert main(["sample", "run", "--num", "1"]) == 0


def test_a_picture_costs_no_record(tmp_path, monkeypatch, capsys):
    def broken(*args, **more):
        raise OSError("no picture")

    settings = TrainSettings(steps=2, batch_size=8)
    recipe = Recipe("maf", "toy:rings", {"layers": 1, "hidden": [4]}, train=settings)
    monkeypatch.setattr("jaxgen.evaluation.plots.new_figure", broken)
    with pytest.raises(OSError, match="no picture"):
        runs.train(recipe, tmp_path, progress=False)
    assert (tmp_path / "record.json").is_file()
    assert "nats, exact" in capsys.readouterr().out


def test_the_loss_curve_shows_what_validation_rises_to():
    """Overfitting, which the training loss hides; not the first validations, which are far off."""
    rows = [{"step": i, "loss": 10.0 / i} for i in range(1, 21)]
    for row, loss in zip(rows[4::5], (500.0, 3.0, 8.0, 12.0), strict=True):
        row["valid_loss"] = loss
    low, high = loss_curve(rows).axes[0].get_ylim()
    assert low < 0.5
    assert 12 < high < 20
    rows[-1]["valid_loss"] = np.nan
    assert loss_curve(rows).axes[0].get_ylim()[1] < 12
