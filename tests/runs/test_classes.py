"""Runs of pictures in folders by class: the names of classes are those of training."""

import csv
import dataclasses
import json
import shutil

import numpy as np
import pytest
from PIL import Image

import jaxgen
from jaxgen.cli import main
from jaxgen.runs import Run, RunError, evaluate_run

EXPERIMENT = """from jaxgen.runs import Recipe
from jaxgen.training import TrainSettings

train = TrainSettings(steps=60, batch_size=32, learning_rate=3e-2, steps_per_dispatch=20)
recipe = Recipe(
    "made", "images:own", {"hidden": [8]}, quantize=4, class_features=2, train=train
)
"""
SHADES = {"black": 0, "dark": 80, "white": 200}


def paint(folder, names, count, seed=0):
    """Pictures of 3 x 3 pixels, each class in a shade of its own."""
    rng = np.random.default_rng(seed)
    for name in names:
        (folder / name).mkdir(parents=True)
        for index in range(count):
            picture = SHADES[name] + rng.integers(0, 40, (3, 3))
            Image.fromarray(picture.astype(np.uint8)).save(folder / name / f"{index:02}.png")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("classes")
    paint(folder / "own", SHADES, 40)
    (folder / "small.py").write_text(EXPERIMENT)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert main(["train", "small.py", "--out", "run", "--quiet", "--no-cache"]) == 0
        yield folder


@pytest.fixture
def here(folder, tmp_path, monkeypatch):
    """A copy of the run and its pictures."""
    shutil.copytree(folder, tmp_path / "all")
    monkeypatch.chdir(tmp_path / "all")
    return tmp_path / "all"


def table(path):
    with open(path) as source:
        return list(csv.DictReader(source))


COMMON = ["--score", "negative_log_likelihood", "--out", "s.csv", "--no-cache"]


def test_the_run_knows_the_names(folder):
    config = json.loads((folder / "run" / "config.json").read_text())
    assert config["classes"] == ["black", "dark", "white"]
    assert config["num_classes"] == 3


def test_some_of_the_classes_keep_their_numbers(here):
    """In a folder, and as a data set of their own, whose labels are others."""
    paint(here / "few", ("white", "dark"), 12, seed=1)
    for part in ("train", "test"):
        shutil.copytree(here / "few", here / "split" / part)
    model = jaxgen.load("run")
    x = np.stack([np.asarray(Image.open(path)) for path in sorted((here / "few").rglob("*.png"))])
    x = x[..., None] // 64
    expected = -model.log_prob(x, np.repeat([1, 2], 12))
    for data in ("few", "images:split"):
        assert main(["score", "run", "--data", data, *COMMON]) == 0
        found = [float(row["negative_log_likelihood"]) for row in table("s.csv")]
        np.testing.assert_allclose(found, expected, rtol=1e-4)
    files = [row["file"] for row in table("s.csv")]
    assert files == sorted(files)
    # Labels that belong to other shades would be far less likely.
    assert expected.mean() + 5 < -model.log_prob(x, np.repeat([0, 1], 12)).mean()


def test_classes_that_were_none_are_refused(here, capsys):
    paint(here / "loose", ("dark",), 1)
    (here / "loose" / "dark").rename(here / "loose" / "drak")
    assert main(["score", "run", "--data", "loose", *COMMON]) == 1
    said = "expected a picture in the folder of a class that the model knows (black, dark, white)"
    assert said in capsys.readouterr().err
    (here / "own" / "black").rename(here / "own" / "azure")
    with pytest.raises(RunError, match="unknown class of images:own in 4 levels 'azure'"):
        evaluate_run("run")


@pytest.mark.filterwarnings("always")  # which the command line prints
def test_data_that_are_not_what_they_were_are_told_and_leave_the_record(here, capsys):
    """With one picture less, all are shuffled anew."""
    before = (here / "run" / "record.json").read_bytes()
    (here / "own" / "black" / "00.png").unlink()
    for command in (
        ["evaluate", "run"],
        ["score", "run", *COMMON],
        ["calibrate", "run", "--samples", "50"],
    ):
        assert main(command) == 0
        assert "split of images:own is not what it was in training" in capsys.readouterr().err
    assert (here / "run" / "record.json").read_bytes() == before


def test_samples_of_a_class(here, capsys):
    for label in ("white", "2"):
        assert main(["sample", "run", "--label", label, "--num", "20", "--out", "s.npy"]) == 0
        assert np.load("s.npy").shape == (20, 3, 3, 1)
        assert np.load("s.npy").mean() > 2.5
    assert main(["sample", "run", "--label", "black", "--num", "9", "--out", "black.png"]) == 0
    run = dataclasses.replace(Run.read("run"), classes=("0", "3", "7"))
    model = jaxgen.load("run")
    assert [run.class_of(each, model) for each in ("3", 7, "0")] == [1, 2, 0]
    with pytest.raises(ValueError, match="unknown class '2': Available: 0, 3, 7"):
        run.class_of("2", model)  # which would have been drawn as a seven
    for label, said in (("wite", "did you mean 'white'"), ("3", "unknown class '3'")):
        assert main(["sample", "run", "--label", label]) == 1
        assert said in capsys.readouterr().err
    assert main(["sample", "run", "--out", "s.npy"]) == 1
    assert "expected a label with a .npy file" in capsys.readouterr().err
    assert main(["sample", "run", "--out", "s.xyz"]) == 1
    assert "expected the name of a file .png or" in capsys.readouterr().err


def test_pictures_are_not_written_among_those_that_are_data(here, capsys):
    for command in (
        ["train", "small.py", "--out", "own"],
        ["train", "small.py", "--out", "own/run"],
        ["sample", "run", "--out", "own/black/00.png"],
        ["sample", "run", "--out", "own/samples.png"],
        ["ood", "run", "--against", "images:own", "--out", "own"],
        ["export", "run", "own/shared"],
    ):
        assert main(command) == 1
        assert "is read as data; choose another place" in capsys.readouterr().err
    assert main(["score", "run", "--data", "own", *COMMON[:2], "--out", "own/s.csv"]) == 0


def test_a_training_that_is_not_over_is_told(here):
    rows = (here / "run" / "metrics.jsonl").read_text().splitlines()
    (here / "run" / "metrics.jsonl").write_text("\n".join(rows[:2]) + "\n")
    with pytest.warns(UserWarning, match="it had come to step 40 of 60"):
        jaxgen.load("run")
    with pytest.warns(UserWarning, match="training is not over"):
        jaxgen.runs.export_run("run", "card")
    card = (here / "card" / "README.md").read_text()
    assert "How it was trained, but stopped at step 40:" in card
    assert "Its classes, in the order of their numbers: black, dark, white." in card
    assert (here / "card" / "splits.json").is_file()
