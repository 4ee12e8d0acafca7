"""A table from its file to scores, samples and what was missing, on the command line."""

import csv
from pathlib import Path

import jax
import numpy as np
import pytest

import jaxgen
from jaxgen.cli import main
from jaxgen.evaluation import ood

EXPERIMENT = """from jaxgen.runs import Recipe
from jaxgen.training import TrainSettings

train = TrainSettings(steps=20, batch_size=32, learning_rate=1e-2, steps_per_dispatch=10)
arguments = {"columns": ["real", "real", "binary"], "hidden": [8], "num_orders": 2}
table = Recipe("tabular", "csv:rows.csv", arguments, train=train)
late = Recipe("tabular", "csv:late.csv", arguments, train=train)
flow = Recipe("maf", "csv:rows.csv", {"layers": 1, "hidden": [8]}, train=train)
"""
NAMES = ("size", "weight", "known")


@pytest.fixture(scope="module")
def rows():
    """Sizes in hundreds and weights that follow them; a tenth of the values are missing."""
    rng = np.random.default_rng(0)
    size = rng.normal(170, 5, 120)
    x = np.stack([size, 0.5 * size + rng.normal(0, 1, 120), size > 170], axis=1)
    return np.where(rng.random(x.shape) < 0.1, np.nan, x).astype(np.float32)


@pytest.fixture(scope="module")
def folder(rows, tmp_path_factory):
    folder = tmp_path_factory.mktemp("tables")
    (folder / "small.py").write_text(EXPERIMENT)
    write(folder / "rows.csv", NAMES, rows)
    # Others in another order, beside a column that the model has not seen.
    write(folder / "others.csv", ("id", *NAMES[::-1]), np.insert(rows[:30, ::-1], 0, 7.0, axis=1))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert main(["train", "small.py:table", "--out", "run", "--quiet", "--no-cache"]) == 0
        yield folder


def write(path, names, rows):
    with path.open("w") as target:
        lines = [",".join("" if np.isnan(v) else str(v) for v in row) for row in rows]
        target.write("\n".join([",".join(names), *lines]) + "\n")


def read(path):
    with open(path) as source:
        head, *body = csv.reader(source)
    return head, np.array(body, float)


def test_a_record_is_of_what_is_there(folder, rows):
    held_out = rows[np.random.default_rng(0).permutation(120)[108:]]
    model, there = jaxgen.load("run"), ~np.isnan(held_out)
    scores = model.observed_log_prob(np.nan_to_num(held_out), there)
    record = jaxgen.runs.evaluate_run("run")
    np.testing.assert_allclose(record.value, np.mean(scores), rtol=1e-5)
    assert record.num_values == there.sum()
    assert f"12 examples, {there.sum()} values" in str(record)


def test_every_row_of_a_file_is_scored_in_its_order(folder, rows):
    command = ["score", "run", "--score", "negative_log_likelihood", "--no-cache"]
    assert main([*command, "--data", "others.csv"]) == 0
    head, found = read("scores.csv")
    assert head == ["example", "negative_log_likelihood", "p_value", "missing"]
    np.testing.assert_array_equal(found[:, 3], np.isnan(rows[:30]).sum(axis=1))
    np.testing.assert_array_equal(found[:, 0], np.arange(30))
    whole = ~np.isnan(rows[:30]).any(axis=1)
    expected = ood.negative_log_likelihood(jaxgen.load("run"), rows[:30][whole])
    np.testing.assert_allclose(found[whole, 1], expected, rtol=1e-4)
    assert np.isfinite(found).all()


def test_missing_values_are_drawn_and_the_others_stay(folder, rows, capsys):
    assert main(["complete", "run", "--data", "others.csv", "--num", "3", "--no-cache"]) == 0
    there = ~np.isnan(rows[:30])
    assert f"completed.csv: {np.sum(~there)} missing values" in capsys.readouterr().out
    head, found = read("completed.csv")
    assert head == ["example", "draw", *NAMES]
    np.testing.assert_array_equal(
        found[:, :2], [[row, draw] for row in range(30) for draw in (0, 1, 2)]
    )
    draws = found[:, 2:].reshape(30, 3, 3).astype(np.float32)
    np.testing.assert_array_equal(draws[:, 0][there], rows[:30][there])
    written = [line.split(",")[4] for line in Path("completed.csv").read_text().split()[1:]]
    assert set(written) == {"0", "1"}
    assert np.isfinite(draws).all()
    assert (draws[:, 0] != draws[:, 1])[~there].any()


def test_samples_become_numbers(folder):
    for name in ("samples.csv", "samples.npy"):
        assert main(["sample", "run", "--num", "5", "--out", name, "--no-cache"]) == 0
    head, found = read("samples.csv")
    assert head == list(NAMES)
    array = np.load("samples.npy")
    np.testing.assert_array_equal(array, found.astype(np.float32))
    expected = jaxgen.load("run").sample(jax.random.key(0), 5)
    np.testing.assert_allclose(array, expected, rtol=1e-5)
    assert main(["calibrate", "run", "--no-cache", "--samples", "50"]) == 0


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (["train", "csv:rows.csv", "--out", "x"], "a Python file that defines a Recipe, got data"),
        (["train", "small.py:flow", "--out", "x"], "a Flow does not know the density of a part"),
        (["score", "run", "--data", "few.csv"], "unknown column of few.csv 'weight'"),
        (["score", "run", "--data", "absent.csv"], "expected a file, found none at absent.csv"),
        (["complete", "run", "--data", "half.csv"], "column 'known': expected whole numbers"),
        (["score", "run", "--data", "odd.csv"], "column 'known': Bernoulli: expected"),
        (["score", "run", "--data", "notes.txt"], "expected an .npy, .npz, .csv or .parquet file"),
        (["score", "run", "--data", "absent.txt"], "found no file or folder absent.txt"),
        (["compress", "run", "x", "--data", "notes.txt"], "an .npy or .npz file of examples"),
        (["train", "notes.txt", "--out", "x"], "expected an experiment file, of Python (.py)"),
        (["train", "small.py:late", "--out", "x"], "the test data: column 'known': Bernoulli"),
        (["complete", "run"], "or --data, a file of rows"),
        (["complete", "run", "--data", "rows.npy"], "expected a .csv or .parquet file"),
        (["complete", "run", "--data", "rows.csv", "--num", "0"], "at least 1 draw"),
    ],
)
def test_what_does_not_fit_is_refused(command, said, folder, capsys):
    half = np.array([[np.nan, 1.0, 0.5], [170.0, 85.0, 1.0]])
    write(folder / "half.csv", NAMES, half)
    write(folder / "few.csv", ("size", "known"), np.ones((3, 2)))
    write(folder / "odd.csv", NAMES, np.array([[170.0, 85.0, 2.0]]))
    (folder / "notes.txt").write_text("no data")
    late = np.ones((50, 3))
    late[np.random.default_rng(0).permutation(50)[45:], 2] = 3.0  # in the test split alone
    write(folder / "late.csv", NAMES, late)
    assert main([*command, "--no-cache"]) == 1
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    "command",
    [
        ["score", "run", "--data", "others.csv", "--out", "others.csv"],
        ["complete", "run", "--data", "others.csv", "--out", "others.csv"],
        ["sample", "run", "--out", "rows.csv"],
        ["score", "run", "--data", "csv:others.csv", "--out", "./others.csv"],
        ["compress", "run", "rows.csv"],
        ["train", "small.py:table", "--out", "rows.csv"],
        ["export", "run", "rows.csv"],
    ],
)
def test_what_is_read_is_not_written_over(command, folder, capsys):
    name = "others.csv" if "others.csv" in command[-1] else "rows.csv"
    before = (folder / name).read_bytes()
    assert main([*command, "--no-cache"] if command[0] != "export" else command) == 1
    err = capsys.readouterr().err
    assert "is read as data; choose another place" in err or "expected a new or empty folder" in err
    assert (folder / name).read_bytes() == before


def test_neither_a_second_name_of_data_nor_a_part_of_the_run_is_written_over(folder, capsys):
    (folder / "second.csv").hardlink_to(folder / "others.csv")
    for out, said in (
        ("second.csv", "is read as data"),
        ("run/config.json", "is a part of the run"),
        ("run/metrics.jsonl", "is a part of the run"),
    ):
        before = (folder / out).read_bytes()
        command = ["score", "run", "--data", "others.csv", "--out", out]
        if said != "is read as data":  # whose names no other command takes
            command = ["compress", "run", out]
        assert main([*command, "--no-cache"]) == 1
        assert said in capsys.readouterr().err
        assert (folder / out).read_bytes() == before


def test_images_have_no_rows_to_complete(folder):
    with pytest.raises(SystemExit):
        main(["complete", "run", "--data", "rows.csv", "--holes", "top"])
    with pytest.raises(ValueError, match="expected a run of a table, whose columns have names"):
        jaxgen.runs.complete_table("pretrained:glow_digits", "x.csv", data="rows.csv")
    for name, said in (("x.csv", "a model of rows"),):
        with pytest.raises(ValueError, match=said):
            jaxgen.runs.sample("pretrained:glow_digits", name)
