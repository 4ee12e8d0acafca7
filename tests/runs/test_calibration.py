"""The command that tests the calibration of a run's model."""

import re

import pytest

from jaxgen.cli import main
from jaxgen.runs import calibrate_run

PNG = b"\x89PNG\r\n\x1a\n"

EXPERIMENT = """from jaxgen.runs import Recipe
from jaxgen.training import TrainSettings

train = TrainSettings(steps=4, batch_size=16, steps_per_dispatch=2)
plane = Recipe("maf", "toy:rings", {"layers": 1, "hidden": [4]}, train=train)
bits = Recipe(
    "made", "digits", {"levels": 17, "hidden": [8]}, class_features=3, train=train
)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("calibration")
    (folder / "small.py").write_text(EXPERIMENT)
    for name in ("plane", "bits"):
        arguments = ["train", f"{folder}/small.py:{name}", "--out", f"{folder}/{name}"]
        assert main([*arguments, "--quiet", "--no-cache"]) == 0
    return folder


@pytest.mark.parametrize(
    ("name", "options", "tests"),
    [
        ("plane", ["--num", "200"], ["regions of highest density", "integral transform"]),
        (
            "bits",
            ["--num", "30", "--samples", "19", "--split", "valid"],
            [
                "regions of highest density",
                "integral transform",
                "simulation-based calibration",
                "TARP",
            ],
        ),
    ],
)
def test_it_prints_the_statistics_and_draws_a_picture(
    name, options, tests, folder, tmp_path, capsys
):
    out = tmp_path / "picture.png"
    arguments = [str(folder / name), *options, "--out", str(out), "--no-cache"]
    assert main(["calibrate", *arguments]) == 0
    *lines, last = capsys.readouterr().out.splitlines()
    assert last == str(out)
    assert out.read_bytes().startswith(PNG)
    assert [line.partition(":")[0] for line in lines] == tests
    assert all(re.search(r": p = \S+ \(.*; \d+ examples", line) for line in lines)
    assert f"; {options[1]} examples" in lines[0]


def test_a_seed_repeats_it(folder, tmp_path):
    def p_values(seed):
        results = calibrate_run(folder / "plane", tmp_path / "p.png", num=50, seed=seed)
        return [result.p_value for result in results]

    assert p_values(1) == p_values(1) != p_values(2)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--num", "0"], "calibrate: expected from 1 to"),
        (["--num", str(10**9)], "calibrate: expected from 1 to"),
        (["--samples", "0"], "calibrate: expected from 1 to 2**31 - 1 samples, got 0"),
        (["--seed", "-1"], "seed: expected one from 0 to 2**32 - 1, got -1"),
        (["--num", "20", "--out", "absent/p.png"], "cannot write absent/p.png"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_mistake_ends_in_one_line(options, said, folder, capsys):
    assert main(["calibrate", str(folder / "plane"), *options, "--no-cache"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.splitlines()) == 1
    assert said in err
