"""The command line from end to end."""

import json
import re
import runpy
import shutil
import struct
import subprocess
import sys
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest

import jaxgen
from jaxgen import zoo
from jaxgen.cli import main
from jaxgen.data import names

PNG = b"\x89PNG\r\n\x1a\n"

EXPERIMENT = '''"""A small flow of points.

More about it.
"""
from jaxgen.runs import Recipe
from jaxgen.training import TrainSettings

recipe = Recipe(
    model="maf",
    data="toy:rings",
    summary="A small flow of points.",
    model_args={"layers": 1, "hidden": [4]},
    train=TrainSettings(steps=100, batch_size=16, steps_per_dispatch=2, seed=7),
)
'''


OWN = """from jaxgen.runs import Recipe
from jaxgen.training import TrainSettings

def build(event_shape, levels, num_classes, rngs):
    raise ValueError("no such model")

def objective(model, batch, key):
    raise ValueError("no such loss")

train = TrainSettings(steps=2, batch_size=16)
model = Recipe("build", "toy:rings", train=train)
loss = Recipe("maf", "toy:rings", {"layers": 1, "hidden": [4]}, objective="objective", train=train)
"""


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """A folder with an experiment."""
    folder = tmp_path_factory.mktemp("work")
    (folder / "maf_rings.py").write_text(EXPERIMENT)
    (folder / "own.py").write_text(OWN)
    (folder / "notes.py").write_text("text = 'no experiment'\n")
    headers = {
        "claims": "{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000, 1000000), }",
        "header": "{'descr': " + "(" * 50,
    }
    for name, header in headers.items():
        text = header.ljust(118) + "\n"
        with zipfile.ZipFile(folder / f"{name}.npz", "w") as archive:
            start = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text))
            archive.writestr("x.npy", start + text.encode())
    return folder


@pytest.fixture(scope="module")
def run(work):
    """The run that `jaxgen train` made of it, with every way to override the configuration."""
    arguments = ["train", str(work / "maf_rings.py"), "--out", str(work / "run"), "--quiet"]
    overrides = ["--set", "eval_every=2", "learning_rate=0.5", "--set", "bound=2.0"]
    assert main([*arguments, "--steps", "4", "--seed", "1", *overrides]) == 0
    return work / "run"


@pytest.fixture(autouse=True)
def _in_tmp_path(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)


def test_train_takes_overrides(run):
    config = json.loads((run / "config.json").read_text())
    assert config["name"] == "maf_rings"
    train = config["recipe"]["train"]
    assert {name: train[name] for name in ("steps", "seed", "eval_every", "learning_rate")} == {
        "steps": 4,
        "seed": 1,
        "eval_every": 2,
        "learning_rate": 0.5,
    }
    assert train["batch_size"] == 16
    assert config["recipe"]["model_args"] == {"layers": 1, "hidden": [4], "bound": 2.0}
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [2, 4]
    assert json.loads((run / "record.json").read_text())["seed"] == 1


def test_train_prints_the_record_and_nothing_when_quiet(work, run, capsys):
    arguments = ["train", str(work / "maf_rings.py"), "--out", str(run), "--steps", "4"]
    arguments += ["--seed", "1", "--set", "eval_every=2", "learning_rate=0.5", "bound=2.0"]
    before = (run / "metrics.jsonl").read_bytes()
    assert main(arguments) == 0  # the same command again: nothing is left to train
    out, err = capsys.readouterr()
    assert re.fullmatch(
        r"maf_rings on toy:rings \(test, 5000 examples\): -\d\.\d{4} ± 0\.\d{4} nats, exact\n", out
    )
    assert "4/4" in err
    assert (run / "metrics.jsonl").read_bytes() == before
    assert main([*arguments, "--quiet"]) == 0
    assert capsys.readouterr() == (out, "")


def test_evaluate(run, capsys):
    record = json.loads((run / "record.json").read_text())
    assert main(["evaluate", str(run)]) == 0
    assert f"{record['value']:.4f} ± {record['standard_error']:.4f} nats" in capsys.readouterr().out
    assert main(["evaluate", str(run), "--split", "valid"]) == 0
    assert "(valid, 2000 examples)" in capsys.readouterr().out


def test_sample(run, tmp_path, capsys):
    assert main(["sample", str(run), "--num", "9", "--out", "points.png"]) == 0
    assert capsys.readouterr().out == "points.png\n"
    first = (tmp_path / "points.png").read_bytes()
    assert first.startswith(PNG)
    assert main(["sample", str(run), "--num", "9"]) == 0
    assert (tmp_path / "samples.png").read_bytes() == first  # the same seed
    assert main(["sample", str(run), "--num", "9", "--seed", "1"]) == 0
    assert (tmp_path / "samples.png").read_bytes() != first


def test_the_run_is_a_model_in_a_notebook(run):
    model = jaxgen.load(run)
    assert model.event_shape == (2,)
    assert np.isfinite(model.log_prob(np.zeros(2, np.float32)))


def test_list(tmp_path, capsys):
    experiments = tmp_path / "experiments"
    experiments.mkdir()
    (experiments / "b.py").write_text(EXPERIMENT)
    (experiments / "a.py").write_text("raise RuntimeError('broken')\n")
    several = "\n".join(
        f"{name} = Recipe(model='maf', data='toy:rings', summary='The {name}.')"
        for name in ("one", "other")
    )
    (experiments / "c.py").write_text(f"from jaxgen.runs import Recipe\n{several}\n")
    assert main(["list"]) == 0
    models, data, listed = re.split(r"^\S.*:\n", capsys.readouterr().out, flags=re.M)[1:]
    models_of_data = [name for name, _ in zoo.names() if name != "dequantizer"]
    assert [line.split()[0] for line in models.splitlines()] == models_of_data
    assert [line.split()[0] for line in data.splitlines()] == [name for name, _ in names()]
    assert [line.split(maxsplit=1) for line in listed.splitlines()] == [
        ["experiments/a.py", "cannot be loaded: line 1: RuntimeError: broken"],
        ["experiments/b.py:recipe", "A small flow of points."],
        ["experiments/c.py:one", "The one."],
        ["experiments/c.py:other", "The other."],
    ]


def test_list_without_experiments(capsys):
    assert main(["list"]) == 0
    where = Path.cwd() / "experiments"
    assert capsys.readouterr().out.endswith(f"experiments: none in {where}/*.py\n")


def test_version_and_help(capsys):
    for option, shown in (("--version", jaxgen.__version__), ("--help", "evaluate")):
        with pytest.raises(SystemExit, match=r"^0$"):
            main([option])
        assert shown in capsys.readouterr().out


def test_python_m_is_the_same_command(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["jaxgen", "list"])
    with pytest.raises(SystemExit, match=r"^0$"):
        runpy.run_module("jaxgen", run_name="__main__")
    assert "models:" in capsys.readouterr().out


WRONG = {
    "an unknown file": (["train", "{work}/maf_ring.py"], "did you mean '{work}/maf_rings.py'"),
    "a folder": (["train", "{work}"], "unknown experiment file"),
    "an unknown key": (
        ["train", "{work}/maf_rings.py", "--set", "learning_rat=1"],
        "unknown configuration key 'learning_rat': did you mean 'learning_rate'",
    ),
    "an unknown hyperparameter": (
        ["train", "{work}/maf_rings.py", "--set", "model_args.hiden=[4]"],
        "did you mean 'model_args.hidden'",
    ),
    "no value": (["train", "{work}/maf_rings.py", "--set", "steps"], "expected key=value"),
    "no number": (["train", "{work}/maf_rings.py", "--set", "steps=ten"], "steps: expected int"),
    "an unknown data set": (
        ["train", "{work}/maf_rings.py", "--set", "data=toy:ring"],
        "did you mean 'rings'",
    ),
    "a file for data that is not there": (
        ["train", "{work}/maf_rings.py", "--set", "data=npz:absent.npz"],
        "found none at",
    ),
    "an unknown optimizer": (
        ["train", "{work}/maf_rings.py", "--set", "optimizer=adamm"],
        "did you mean 'adam'",
    ),
    "a wrong hyperparameter": (
        ["train", "{work}/maf_rings.py", "--set", "hidden=4"],
        "cannot build maf",
    ),
    "a negative seed": (
        ["train", "{work}/maf_rings.py", "--seed", "-1"],
        "not negative, and below 2**32, got -1",
    ),
    "a seed of 70 bits": (
        ["train", "{work}/maf_rings.py", "--seed", str(2**70)],
        "seed: expected one that is not negative, and below 2**32, got 1180591620717411303424",
    ),
    "lists in lists": (
        ["train", "{work}/maf_rings.py", "--set", "hidden=" + "[" * 100_000],
        "expected a value less deeply nested, got [[[[",
    ),
    "a list without quotes": (
        ["train", "{work}/maf_rings.py", "--set", "augment=[flip]"],
        "as in --set 'augment=[\"flip\"]', got [flip]",
    ),
    "signs before signs": (
        ["train", "{work}/maf_rings.py", "--set", "hidden=" + "-" * 100_000 + "1"],
        "expected a value less deeply nested, got ----",
    ),
    "a negative side": (
        ["train", "{work}/maf_rings.py", "--set", "data=digits", "event_shape=[-1,8,1]"],
        "expected a tuple of positive integers for event_shape, got (-1, 8, 1)",
    ),
    "two negative sides": (
        ["train", "{work}/maf_rings.py", "--set", "data=digits", "event_shape=[-8,-8,1]"],
        "expected a tuple of positive integers for event_shape, got (-8, -8, 1)",
    ),
    "half a side": (
        ["train", "{work}/maf_rings.py", "--set", "data=digits", "event_shape=[8,8.0,1]"],
        "expected a tuple of positive integers for event_shape, got (8, 8.0, 1)",
    ),
    "an archive that claims petabytes": (
        ["train", "{work}/maf_rings.py", "--set", "data=npz:{work}/claims.npz"],
        "claims.npz: expected an .npz archive of plain arrays",
    ),
    "an archive whose header is no literal": (
        ["train", "{work}/maf_rings.py", "--set", "data=npz:{work}/header.npz"],
        "header.npz: expected an .npz archive of plain arrays",
    ),
    "an argument that counting has not": (
        ["train", "{work}/maf_rings.py", "--set", "procedure=counting", "procedure_args.counts=1"],
        "procedure_args: counting takes pseudo_counts, got counts",
    ),
    "an argument that adam has not": (
        ["train", "{work}/maf_rings.py", "--set", "optimizer_args.beta=1"],
        "optimizer_args: adam has no argument 'beta'",
    ),
    "a part of a model": (
        ["train", "{work}/maf_rings.py", "--set", "model=dequantizer"],
        "unknown model 'dequantizer': Available: attention, cylinder, eonade,",
    ),
    "a mistake in a model's own function": (
        ["train", "{work}/own.py:model"],
        "{work}/own.py: line 5: ValueError: no such model",
    ),
    "dequantized real values": (
        ["train", "{work}/maf_rings.py", "--set", "dequantize=true"],
        "toy:rings has real values",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_mistake_ends_in_one_line_and_makes_no_run(name, work, tmp_path, capsys):
    arguments, said = WRONG[name]
    arguments = [argument.format(work=work) for argument in arguments]
    assert main([*arguments, "--out", "fresh"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("jaxgen: ")
    assert len(err.splitlines()) == 1
    assert said.format(work=work) in err
    assert not (tmp_path / "fresh").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["evaluate", "absent"], "absent is not a run directory"),
        (["sample", "absent"], "absent is not a run directory"),
        (["sample", "{run}", "--num", "0"], "expected at least 1 sample, got 0"),
        (["sample", "{run}", "--num", str(2**70)], "expected num_samples < 2**31"),
        (["sample", "{run}", "--seed", str(2**70)], "seed: expected one from 0 to 2**32 - 1"),
        (["sample", "{run}", "--seed", "-1"], "seed: expected one from 0 to 2**32 - 1, got -1"),
        (["sample", "{run}", "--length", "5"], "for models of signals or sequences of any length"),
        (["sample", "{run}", "--out", "/"], "cannot write /: "),
        (["evaluate", "{run}", "--samples", "0"], "expected from 1 to 2**31 - 1 samples, got 0"),
        (["evaluate", "{run}", "--samples", str(2**70)], "expected from 1 to 2**31 - 1 samples"),
        (["interpolate", "{run}", "--num", str(10**12)], "expected at most 1000 points"),
        (["interpolate", "{run}", "--seed", str(2**70)], "seed: expected one from 0 to 2**32 - 1"),
        (["sample", "{run}", "--out", "absent/samples.png"], "cannot write absent/samples.png"),
    ],
)
def test_a_mistake_about_a_run_ends_in_one_line(arguments, said, run, capsys):
    assert main([argument.format(run=run) for argument in arguments]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.splitlines()) == 1
    assert said in err


# Each with what it takes besides the file that it writes.
WRITING = [
    (["sample", "absent"], "--out", "samples.png"),
    (["complete", "absent"], "--out", "completion.png"),
    (["complete", "absent", "--data", "rows.csv"], "--out", "completed.csv"),
    (["score", "absent"], "--out", "scores.csv"),
    (["calibrate", "absent"], "--out", "calibration.png"),
    (["interpolate", "absent"], "--out", "paths.png"),
    (["reconstruct", "absent"], "--out", "reconstructions.png"),
    (["traverse", "absent"], "--out", "traversals.png"),
    (["compress", "absent"], None, "coded"),
    (["decompress", "absent", "coded"], "--out", "decoded.npy"),
]


@pytest.mark.parametrize(("arguments", "option", "out"), WRITING)
def test_what_cannot_be_written_is_said_before_the_run_is_opened(
    arguments, option, out, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / out).mkdir()
    name = [] if option is None else [option]
    for where, why in (("nowhere", "there is no folder nowhere"), ("folder", "it is a folder")):
        path = f"{where}/{out}"
        assert main([*arguments, *name, path]) == 1
        assert capsys.readouterr().err == f"jaxgen: cannot write {path}: {why}\n"


@pytest.mark.parametrize("command", ["complete", "calibrate", "interpolate", "reconstruct"])
def test_a_picture_of_no_known_kind_is_refused_before_the_run_is_opened(command, capsys):
    assert main([command, "absent", "--out", "picture.xyz"]) == 1
    assert "expected the name of a file .png or" in capsys.readouterr().err


def test_a_mistake_in_an_objective_of_its_own_is_told_by_its_line(work, capsys):
    arguments = ["train", str(work / "own.py:loss"), "--out", "fresh", "--quiet"]
    assert main(arguments) == 1
    assert capsys.readouterr().err == f"jaxgen: {work}/own.py: line 8: ValueError: no such loss\n"


def test_only_experiments_are_offered_for_a_wrong_name(work, capsys):
    assert main(["train", str(work / "absent.py"), "--out", "fresh"]) == 1
    offered = capsys.readouterr().err.partition("Available: ")[2]
    assert offered == f"{work / 'maf_rings.py'}, {work / 'own.py'}.\n"
    assert main(["train", "absent/absent.py", "--out", "fresh"]) == 1
    assert capsys.readouterr().err.endswith("Available: none.\n")


def test_a_file_behind_settings_is_told_from_a_setting(work, capsys):
    file = str(work / "maf_rings.py")
    with pytest.raises(SystemExit, match=r"^2$"):
        main(["train", "--out", "fresh", "--set", "layers=2", file])
    assert f"expected FILE[:NAME]; --set took {file}, so give it first" in capsys.readouterr().err


def test_a_picture_without_a_suffix_is_where_it_was_asked_for(run, tmp_path):
    assert main(["sample", str(run), "--num", "9", "--out", "picture"]) == 0
    assert (tmp_path / "picture").read_bytes().startswith(PNG)


def test_a_score_is_printed_that_cannot_be_kept(run, tmp_path, capsys):
    moved = tmp_path / "moved"
    shutil.copytree(run, moved)
    assert main(["evaluate", str(moved)]) == 0
    expected = capsys.readouterr().out
    (moved / "record.json").unlink()
    (moved / "record.json").mkdir()  # no less in the way than a folder that is read-only
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        assert main(["evaluate", str(moved)]) == 0
    out, err = capsys.readouterr()
    assert out == expected
    assert err.startswith(f"jaxgen: warning: cannot write {moved}/record.json, so the record is")
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize("limit", [100, pytest.param(8000, marks=pytest.mark.slow)])
def test_a_full_disk_ends_in_one_line(limit, work, tmp_path):
    """Before the first checkpoint, and in it: a limit on the sizes of files does not differ."""
    script = (
        "import resource, signal, sys\n"
        "from jaxgen.cli import main\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    command = [sys.executable, "-c", script, "train", str(work / "maf_rings.py"), "--quiet"]
    command += ["--out", str(tmp_path / "run"), "--steps", "4", "--set", "hidden=[200,200]"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240)
    assert (done.returncode, done.stdout) == (1, "")
    assert len(done.stderr.splitlines()) == 1, done.stderr
    line = done.stderr.strip()
    assert line.startswith("jaxgen: cannot write ")
    assert "File too large" in line


def test_a_mistake_in_the_command_ends_with_its_usage(capsys):
    half = ["sample", "run", "--temp", "1"]  # an option
    for arguments in ([], ["trian"], ["train"], ["evaluate", "run", "--split", "tests"], half):
        with pytest.raises(SystemExit, match=r"^2$"):
            main(arguments)
        assert "usage: jaxgen" in capsys.readouterr().err


def test_a_run_can_be_moved(run, tmp_path, capsys):
    moved = tmp_path / "elsewhere"
    shutil.copytree(run, moved)
    assert main(["evaluate", str(moved)]) == 0
    first = capsys.readouterr().out
    assert main(["evaluate", str(run)]) == 0
    assert capsys.readouterr().out == first
