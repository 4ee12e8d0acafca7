"""The models that are installed with jaxgen: small, and equal to their records to the bit."""

import json
from pathlib import Path

import numpy as np
import pytest

import jaxgen
from jaxgen.cli import main
from jaxgen.data import load
from jaxgen.runs import Run, evaluate_run, pretrained_names
from jaxgen.runs.hub import located

RECORDS = Path(__file__).parents[2] / "experiments" / "records"
NAMES = pretrained_names()


def size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir())


def test_they_are_few_and_small():
    sizes = [size(located(f"pretrained:{name}")) for name in NAMES]
    assert 2 <= len(NAMES) <= 12
    assert max(sizes) < 1_100_000  # of which the numbers are less than a megabyte
    assert sum(sizes) < 6_000_000


@pytest.mark.parametrize("name", NAMES)
def test_it_is_the_row_of_the_table(name):
    folder = located(f"pretrained:{name}")
    assert (folder / "model.safetensors").stat().st_size < 1_000_000
    record = json.loads((folder / "record.json").read_text())
    assert record == json.loads((RECORDS / f"{name}.json").read_text())
    assert Run.read(folder).name == name
    assert "apache-2.0" in (folder / "README.md").read_text()


def data_at_hand(name: str) -> bool:
    try:
        Run.read(f"pretrained:{name}").load_data("test")
    except FileNotFoundError:
        return False
    return True


def weighted(name: str) -> bool:
    return Run.read(f"pretrained:{name}").recipe.eval_samples > 1


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.slow if weighted(n) else ()) for n in NAMES]
)
def test_it_evaluates_to_its_record(name):
    if not data_at_hand(name):
        pytest.skip(f"needs {Run.read(f'pretrained:{name}').recipe.data} in JAXGEN_DATA")
    record = json.loads((RECORDS / f"{name}.json").read_text())
    found = evaluate_run(f"pretrained:{name}")
    # Of one machine to the bit; of another to what its processor rounds.
    assert found.value == pytest.approx(record["value"], rel=1e-5)
    assert found.data_sha256 == record["data_sha256"]


def test_they_draw_and_are_named(tmp_path, capsys):
    model = jaxgen.pretrained("maf_two_moons")
    assert np.isfinite(model.log_prob(load("toy:two_moons", "test").x[:100])).all()
    out = tmp_path / "moons.png"
    assert main(["sample", "pretrained:maf_two_moons", "--out", str(out), "--no-cache"]) == 0
    assert out.exists()
    capsys.readouterr()
    assert main(["sample", "pretrained:maf_two_moon", "--no-cache"]) == 1
    assert "did you mean 'maf_two_moons'" in capsys.readouterr().err
    with pytest.raises(ValueError, match="unknown pretrained model 'x': Available: "):
        jaxgen.pretrained("x")
