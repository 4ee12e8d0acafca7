"""Files of a run's data, written and read by the command line."""

import sys

import numpy as np
import pytest

from jaxgen import data
from jaxgen.cli import main
from jaxgen.models import Autoregressive
from jaxgen.models.abilities import Abilities

RECIPE = """
from jaxgen.runs import Recipe
from jaxgen.training import TrainSettings

train = TrainSettings(steps=4, batch_size=16, steps_per_dispatch=2)
made = dict(model="made", data="digits", model_args={"levels": 17, "hidden": [8]}, train=train)
recipes = {
    "made": Recipe(**made),
    "labels": Recipe(**made, class_features=4),
}
"""


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    (folder / "few.py").write_text(RECIPE)
    for name in ("made", "labels"):
        experiment, out = f"{folder}/few.py:{name}", str(folder / name)
        assert main(["train", experiment, "--out", out, "--quiet"]) == 0
    return folder


@pytest.fixture(autouse=True)
def _in_tmp_path(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)


def said(capsys, *arguments):
    """What a command prints, which must succeed."""
    capsys.readouterr()
    assert main([*map(str, arguments)]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    return out


def refused(capsys, *arguments):
    """The one line in which a command says what is wrong."""
    capsys.readouterr()
    assert main([*map(str, arguments)]) == 1
    out, err = capsys.readouterr()
    assert (out, len(err.splitlines())) == ("", 1)
    return err


def test_the_test_split_comes_back(runs, capsys, tmp_path):
    line = said(capsys, "compress", runs / "made", "x.jxg")
    size = (tmp_path / "x.jxg").stat().st_size
    assert line.startswith(f"{size} bytes: header 34 bytes + payload ")
    assert f"{8 * size / 180 / 64:.4f} bits/dim" in line
    line = said(capsys, "decompress", runs / "made", "x.jxg", "--out", "x.npy")
    assert line == "x.npy: 180 examples of shape (8, 8, 1), uint8\n"
    np.testing.assert_array_equal(np.load("x.npy"), data.load("digits", "test").x)


def test_some_examples_of_another_split_and_of_a_file(runs, capsys):
    train = data.load("digits", "train").x
    said(capsys, "compress", runs / "made", "x.jxg", "--split", "train", "--num", "7")
    np.save("some.npy", train[:7])
    np.savez("some.npz", x=train[:7])
    for name in ("some.npy", "some.npz"):
        said(capsys, "compress", runs / "made", f"{name}.jxg", "--data", name)
        with open("x.jxg", "rb") as one, open(f"{name}.jxg", "rb") as other:
            assert one.read() == other.read()
    said(capsys, "decompress", runs / "made", "x.jxg", "--out", "back.npy")
    np.testing.assert_array_equal(np.load("back.npy"), train[:7])


def test_labels_are_those_of_the_split_or_of_a_file(runs, capsys):
    test = data.load("digits", "test")
    said(capsys, "compress", runs / "labels", "x.jxg", "--num", "20")
    said(capsys, "decompress", runs / "labels", "x.jxg", "--out", "back.npy")
    np.testing.assert_array_equal(np.load("back.npy"), test.x[:20])
    np.save("y.npy", test.y[:20])
    said(capsys, "decompress", runs / "labels", "x.jxg", "--labels", "y.npy", "--out", "back.npy")
    np.save("y.npy", (test.y[:20] + 1) % 10)
    to = ["decompress", runs / "labels", "x.jxg", "--out", "back.npy", "--labels", "y.npy"]
    assert "other contexts" in refused(capsys, *to)
    np.save("own.npy", test.x[:20])
    foreign = ["compress", runs / "labels", "z.jxg", "--data", "own.npy"]
    assert "--labels" in refused(capsys, *foreign)
    said(capsys, *foreign, "--labels", "y.npy")


def test_what_cannot_be_done_at_all_ends_in_a_line(runs, capsys, monkeypatch):
    with monkeypatch.context() as without:
        without.setitem(sys.modules, "constriction", None)
        assert "pip install" in refused(capsys, "compress", runs / "made", "x.jxg")
    monkeypatch.setattr(Autoregressive, "steps", Abilities.steps)
    assert "can be coded" in refused(capsys, "compress", runs / "made", "x.jxg")


def test_mistakes_end_in_a_line(runs, capsys, tmp_path):
    made = runs / "made"
    assert "not a run directory" in refused(capsys, "compress", tmp_path / "none", "x.jxg")
    assert "found none at none.npy" in refused(
        capsys, "compress", made, "x.jxg", "--data", "none.npy"
    )
    (tmp_path / "text.npy").write_text("no array")
    assert "numpy cannot read" in refused(capsys, "compress", made, "x", "--data", "text.npy")
    np.save("wide.npy", np.zeros((2, 9, 9, 1), np.uint8))
    assert "expected events" in refused(capsys, "compress", made, "x", "--data", "wide.npy")
    assert "0 examples or more" in refused(capsys, "compress", made, "x", "--num", "-1")
    assert "cannot write" in refused(capsys, "compress", made, "no/such/folder")
    assert not (tmp_path / "x").exists()

    said(capsys, "compress", made, "x.jxg", "--num", "3")
    whole = (tmp_path / "x.jxg").read_bytes()
    assert "no file y.jxg" in refused(capsys, "decompress", made, "y.jxg", "--out", "x.npy")
    to = ["x.jxg", "--out", "x.npy"]
    assert "another model" in refused(capsys, "decompress", runs / "labels", *to)
    assert "name of an .npy file" in refused(capsys, "decompress", made, "x.jxg", "--out", "x.txt")
    (tmp_path / "x.jxg").write_bytes(whole[:-1])
    assert "damaged" in refused(capsys, "decompress", made, "x.jxg", "--out", "x.npy")
    assert not (tmp_path / "x.npy").exists()
