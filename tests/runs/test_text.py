"""A run of text: its vocabulary is kept, its samples are text."""

import json

import numpy as np
import pytest

import jaxgen
from jaxgen.cli import main
from jaxgen.data import Vocabulary
from jaxgen.runs import Run, sample_text

FILE = """
from jaxgen.runs import Recipe
from jaxgen.training import TrainSettings

recipe = Recipe(
    "recurrent",
    "text:{path}:6{unit}",
    {{"levels": {levels}, "width": 4}},
    train=TrainSettings(steps=2, batch_size=8),
)
"""


@pytest.fixture(scope="module", params=["characters", "bytes"])
def run(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("text")
    (folder / "some.txt").write_text("abcd\n" * 200, encoding="utf-8")
    unit, levels = ("", 6) if request.param == "characters" else (":bytes", 256)
    text = FILE.format(path=folder / "some.txt", unit=unit, levels=levels)
    text = text.replace('"fvsbn"', '"recurrent"').replace('{"levels', '{"width": 4, "levels')
    (folder / "experiment.py").write_text(text)
    assert main(["train", str(folder / "experiment.py"), "--out", str(folder / "run")]) == 0
    return folder / "run"


def test_the_vocabulary_is_in_the_run(run):
    vocabulary = Run.read(run).vocabulary
    assert vocabulary in (Vocabulary("\nabcd"), Vocabulary())
    config = json.loads((run / "config.json").read_text())
    assert config["vocabulary"] == {"characters": vocabulary.characters}
    assert (run / "samples.txt").is_file()
    assert not (run / "samples.png").exists()


def test_samples_are_printed_or_written(run, tmp_path, capsys):
    assert main(["sample", str(run), "--num", "3", "--seed", "1"]) == 0
    printed = capsys.readouterr().out
    assert printed == f"\n{'-' * 40}\n".join(sample_text(run, num=3, seed=1)) + "\n"
    for out in ([], ["--out", str(tmp_path / "none.txt")]):
        assert main(["sample", str(run), "--label", "a", *out]) == 1
        assert "label: expected a run of classes" in capsys.readouterr().err
    path = tmp_path / "texts.txt"
    assert main(["sample", str(run), "--num", "3", "--seed", "1", "--out", str(path)]) == 0
    assert path.read_text(encoding="utf-8") == printed


@pytest.mark.parametrize("run", ["characters"], indirect=True)
def test_text_of_other_characters_is_not_scored_with_their_numbers(run, capsys):
    """As many of them, so that the model has a level for each."""
    path = run.parent / "some.txt"
    before = path.read_bytes()
    path.write_text("abxd\n" * 200, encoding="utf-8")
    try:
        for command in (["evaluate", str(run)], ["interpolate", str(run)], ["complete", str(run)]):
            assert main(command) == 1
            said = "another vocabulary than in training (without 'c', with 'x')"
            assert said in capsys.readouterr().err
    finally:
        path.write_bytes(before)
    assert main(["evaluate", str(run), "--split", "train"]) == 0


def test_pieces_are_scored_but_the_last_which_is_shorter(run, tmp_path, capsys):
    """100 characters in pieces of 6."""
    out = tmp_path / "scores.csv"
    command = ["score", str(run), "--score", "negative_log_likelihood", "--out", str(out)]
    assert main(command) == 0
    rows = [line.split(",") for line in out.read_text().split()[1:]]
    assert [row[0] for row in rows] == [str(row) for row in range(16)]
    test = jaxgen.data.load(Run.read(run).recipe.data, "test")
    expected = -jaxgen.load(run).log_prob(test.x[:16])
    np.testing.assert_allclose([float(row[1]) for row in rows], expected, rtol=1e-5)


@pytest.mark.filterwarnings("always")  # which the command line prints
def test_another_text_is_scored_in_the_numbers_of_training(run, tmp_path, capsys):
    """By its file, or as data, of which the test split is taken; with characters that are new."""
    out, other = tmp_path / "scores.csv", tmp_path / "other.txt"
    other.write_text("dcxba\n" * 40, encoding="utf-8")
    vocabulary = Run.read(run).vocabulary
    pieces = np.stack([vocabulary.encode("dcxba\n")] * 40)
    expected = -jaxgen.load(run).log_prob(pieces[:1])
    command = ["score", str(run), "--score", "negative_log_likelihood", "--out", str(out)]
    unit = ":bytes" if vocabulary.characters is None else ""
    for data, count in ((f"{other}", 40), (f"text:{other}:6{unit}", 4)):
        assert main([*command, "--data", data]) == 0
        scores = [float(line.split(",")[1]) for line in out.read_text().split()[1:]]
        np.testing.assert_allclose(scores, np.repeat(expected, count), rtol=1e-5)
        told = "16.67% of the characters of" in capsys.readouterr().err  # the x
        assert told == (not unit)
    other.write_text("dcxba\n" * 40 + "abc", encoding="utf-8")
    assert main([*command, "--data", str(other)]) == 0
    assert "its end, 3 characters or bytes, is shorter than the pieces" in capsys.readouterr().err
    np.save(tmp_path / "rows.npy", pieces)
    assert main([*command, "--data", str(tmp_path / "rows.npy")]) == 0
    scores = [float(line.split(",")[1]) for line in out.read_text().split()[1:]]
    np.testing.assert_allclose(scores, np.repeat(expected, 40), rtol=1e-5)
    wrong = "" if unit else ":bytes"
    assert main([*command, "--data", f"text:{other}:6{wrong}"]) == 1
    assert "expected a text in" in capsys.readouterr().err


def test_other_runs_have_no_text(tmp_path, capsys):
    (tmp_path / "experiment.py").write_text(
        """
from jaxgen.runs import Recipe
from jaxgen.training import TrainSettings

recipe = Recipe("fvsbn", "digits", {"levels": 17}, train=TrainSettings(steps=1, batch_size=8))
"""
    )
    run = str(tmp_path / "run")
    assert main(["train", str(tmp_path / "experiment.py"), "--out", run]) == 0
    assert main(["sample", run, "--out", str(tmp_path / "samples.txt")]) == 1
    assert "expected a run of text for text" in capsys.readouterr().err
