"""Holes in images: what is observed around them, scores given the rest, and pictures."""

import json
import math
import warnings

import jax
import numpy as np
import pytest
from flax import nnx

from jaxgen import zoo
from jaxgen.cli import main
from jaxgen.data import Dataset, load
from jaxgen.evaluation import HOLES, completion_grid, evaluate, observed_around
from jaxgen.models import StandardNormal
from jaxgen.runs import Recipe
from jaxgen.testing import perturb

KEY = jax.random.key(0)
RNG = np.random.default_rng(0)


def made(shape=(4, 4, 1), levels=2, **options):
    options = {"hidden": (16,), "num_orders": 2} | options
    return perturb(zoo.made(shape, levels=levels, **options, rngs=nnx.Rngs(0)), KEY)


def images(number, levels=2):
    return RNG.integers(0, levels, (number, 4, 4, 1))


@pytest.mark.parametrize(
    ("hole", "missing"), [("top", 8), ("bottom", 8), ("left", 8), ("centre", 4), ("random", 12)]
)
def test_a_hole_is_as_large_as_it_says(hole, missing):
    observed = observed_around(hole, (4, 4))
    assert np.sum(~observed) == missing
    np.testing.assert_array_equal(observed, observed_around(hole, (4, 4)))


def test_holes_are_where_they_say():
    np.testing.assert_array_equal(observed_around("top", (5, 2))[:, 0], [0, 0, 1, 1, 1])
    np.testing.assert_array_equal(observed_around("bottom", (5, 2))[:, 0], [1, 1, 1, 0, 0])
    np.testing.assert_array_equal(observed_around("left", (2, 5))[0], [0, 0, 1, 1, 1])
    with pytest.raises(ValueError, match="unknown hole 'tpo': did you mean 'top'"):
        observed_around("tpo", (4, 4))


@pytest.mark.parametrize("levels", [2, 5])
def test_a_record_is_of_the_missing_part_given_the_rest(levels):
    model, x = made(levels=levels), images(7, levels)
    observed = observed_around("centre", (4, 4))[..., None]
    data = Dataset("squares", "test", x, levels=levels)
    record = evaluate(model, data, observed=observed, missing="centre square", batch_size=3)
    scores = np.asarray(model.conditional_log_prob(x, observed))
    if levels == 2:
        assert record.unit == "nats"
        expected = scores
    else:
        assert record.unit == "bits/dim"
        expected = -scores / (4 * math.log(2))
    assert record.value == pytest.approx(expected.mean(), rel=1e-5)
    assert record.standard_error == pytest.approx(expected.std(ddof=1) / math.sqrt(7), rel=1e-4)
    assert record.estimator == "centre square given the rest, exact"


def test_a_record_says_where_it_is_approximate():
    model = perturb(zoo.fvsbn((2, 2, 1), rngs=nnx.Rngs(0)), KEY)
    chain = perturb(zoo.markov((2, 2, 1), rngs=nnx.Rngs(0)), KEY)
    data = Dataset("squares", "test", RNG.integers(0, 2, (5, 2, 2, 1)), levels=2)

    def how(model, rows):
        observed = np.zeros((2, 2, 1), bool)
        observed[rows] = True
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            return evaluate(model, data, observed=observed).estimator

    assert how(chain, 0) == "missing part given the rest, exact"
    assert how(chain, 1) == "missing part given the rest, approximate"
    assert how(model, 1) == "missing part given the rest, approximate"
    assert how(made((2, 2, 1)), 1) == "missing part given the rest, exact"


def test_only_autoregressive_models_have_a_missing_part():
    data = Dataset("points", "test", np.zeros((3, 2), np.float32))
    with pytest.raises(ValueError, match="observed is for autoregressive models, got Standard"):
        evaluate(StandardNormal((2,)), data, observed=np.zeros(2, bool))


@pytest.mark.slow
def test_the_picture_keeps_what_is_observed():
    model, x = made(), images(2)
    masks = np.stack([observed_around(hole, (4, 4)) for hole in ("top", "left")])
    (axes,) = completion_grid(model, x, masks, 3, key=KEY).axes
    picture = np.asarray(axes.images[0].get_array())
    # Four rows (masks by images) of five: the image, the hole, three completions, a pixel apart.
    assert picture.shape == (4 * 5 - 1, 5 * 5 - 1)
    tiles = [[picture[5 * r : 5 * r + 4, 5 * c : 5 * c + 4] for c in range(5)] for r in range(4)]
    for row, (mask, image) in enumerate((m, i) for m in masks for i in x[..., 0]):
        np.testing.assert_array_equal(tiles[row][0], image)
        np.testing.assert_array_equal(tiles[row][1], np.where(mask, image, 0.5))
        for tile in tiles[row][2:]:
            np.testing.assert_array_equal(tile[mask], image[mask])


def digits_run(path, **options):
    """A run directory without its checkpoints."""
    args = {"levels": 17, "hidden": [8], "num_orders": 2}
    experiment = Recipe(model="made", data="digits", model_args=args, **options)
    path.mkdir()
    config = {"name": "made_digits", "event_shape": [8, 8, 1], "levels": 17, "num_classes": 10}
    (path / "config.json").write_text(json.dumps({**config, "recipe": experiment.to_dict()}))
    return experiment


@pytest.mark.slow
def test_a_model_of_classes_completes_given_the_labels(tmp_path, monkeypatch):
    run, drawn = tmp_path / "run", []

    def grid(model, x, masks, num, context, *, key):
        drawn.extend(zip(x, context, strict=True))
        return completion_grid(model, x, masks, num, context, key=key)

    model = perturb(digits_run(run, class_features=2).build((8, 8, 1), 17, 10), KEY)
    monkeypatch.setattr("jaxgen.runs.Run.load", lambda *arguments: model)
    monkeypatch.setattr("jaxgen.runs.record.completion_grid", grid)
    out = str(tmp_path / "completion.png")
    assert main(["complete", str(run), "--holes", "top", "--num", "2", "--out", out]) == 0
    test = load("digits", "test")
    observed = observed_around("top", (8, 8))[..., None]
    scores = np.asarray(model.conditional_log_prob(test.x, observed, test.y))
    record = json.loads((run / "record.top.json").read_text())
    assert record["value"] == pytest.approx(-scores.mean() / (32 * math.log(2)), rel=1e-5)
    assert len(drawn) == 3
    for (x, label), i in zip(drawn[::2], (0, -1), strict=True):  # from all over the split
        np.testing.assert_array_equal(x, test.x[i])
        assert label == test.y[i]


def test_the_command_line(tmp_path, monkeypatch, capsys):
    run = tmp_path / "run"
    digits_run(run)
    model = made((8, 8, 1), levels=17)
    monkeypatch.setattr("jaxgen.runs.Run.load", lambda *arguments: model)
    out = tmp_path / "completion.png"
    assert main(["complete", str(run), "--holes", "top", "random", "--out", str(out)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition("given")[0].split(", ")[-1] for line in lines[:2]] == [
        f"{HOLES[hole]} " for hole in ("top", "random")
    ]
    assert lines[2] == str(out)
    assert out.read_bytes().startswith(b"\x89PNG")
    record = json.loads((run / "record.random.json").read_text())
    test = load("digits", "test").x
    observed = observed_around("random", (8, 8))[..., None]
    scores = np.asarray(model.conditional_log_prob(test, observed))
    assert record["value"] == pytest.approx(-scores.mean() / (48 * math.log(2)), rel=1e-5)
    assert main(["complete", str(run), "--holes", "tpo"]) == 1
    assert "jaxgen: unknown hole 'tpo': did you mean 'top'?" in capsys.readouterr().err
    assert main(["complete", str(run), "--num", "0"]) == 1
    assert "at least 1 completion of 1 example, got 0 of 3" in capsys.readouterr().err
    monkeypatch.setattr("jaxgen.runs.Run.load", lambda *arguments: StandardNormal((8, 8, 1)))
    assert main(["complete", str(run), "--out", str(out)]) == 1
    assert "expected an autoregressive model of images" in capsys.readouterr().err
