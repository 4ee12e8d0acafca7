"""The benchmarks run, as small as they go, and count operations rightly; their times are not looked
at."""

import importlib
import json
import subprocess
import sys
from pathlib import Path

import pytest
from flax import nnx

from jaxgen.conditionals import FVSBN, GatedPixelCNN, PixelCNN, Recurrent

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"
SMALLEST = {
    "accelerator.py": ["--small", "--rounds", "1", "--models", "glow"],
    "audio.py": ["--small", "--rounds", "1"],
    "compile.py": ["--rounds", "1", "--models", "maf"],
    "coding.py": ["--num", "20"],
    "conditionals.py": ["--small", "--rounds", "1"],
    "economy.py": ["--num", "50", "--batch", "4"],
    "first_call.py": ["--models", "made"],
    "inversion.py": ["--small"],
    "latent.py": ["--rounds", "1", "--batch", "4", "--draws", "10"],
    "maf.py": ["--rounds", "1"],
    "peers.py": ["--small"],
    "scaling.py": ["--small", "--rounds", "1", "--models", "glow", "--devices", "1", "2"],
    "second_fit.py": ["--rounds", "1", "--models", "maf"],
    "tables.py": ["--steps", "60", "--folds", "2", "--tables", "wine"],
}


def test_every_benchmark_is_listed():
    scripts = [p.name for p in BENCHMARKS.glob("*.py") if "__main__" in p.read_text("utf-8")]
    # That of PyTorch's libraries, which are in an environment of their own, runs there alone.
    assert sorted(scripts) == sorted([*SMALLEST, "torch_peers.py"])


def test_the_page_of_results_shows_the_comparison_of_tables():
    page = (BENCHMARKS.parent / "docs" / "results.md").read_text("utf-8")
    for name, table in json.loads((BENCHMARKS / "tables.json").read_text()).items():
        (row,) = [line for line in page.splitlines() if line.startswith(f"| {name} |")]
        shown = row.replace(",", "").split(" | ")[1:]
        scores = [
            table["log_likelihood"][each] for each in ("Gaussian", "FlowJAX", "maf", "tabular")
        ]
        numbers = [f"{each['value']:.2f} ± {each['standard_error']:.2f}" for each in scores]
        covered = [table["coverage_of_0.9"][each] for each in ("plain", "calibrated")]
        numbers += [f"{each['value']:.3f} ± {each['standard_error']:.3f}" for each in covered]
        expected = [str(table["rows"]), str(table["columns"]), *numbers]
        assert [cell.strip(" |") for cell in shown][-8:] == expected


@pytest.mark.slow
@pytest.mark.parametrize("script", SMALLEST)
def test_runs(script):
    command = [sys.executable, BENCHMARKS / script, *SMALLEST[script]]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    assert done.stdout


@pytest.fixture
def operations(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    return importlib.import_module("operations")


def test_operations_of_a_linear_network(operations):
    """Of 12 dimensions and a batch of 4: two for each of 144 weights, with padding, and sums."""
    counted = operations.network_operations(FVSBN((12,), 1, rngs=nnx.Rngs(0)), 4)
    for each in counted:
        assert 2 * 4 * 144 <= each <= 1.5 * 2 * 4 * 144


def test_operations_of_windows_of_steps(operations):
    """Each weight is used once, though all but a few of them when a window is opened."""
    counted = operations.network_operations(FVSBN((400,), 1, rngs=nnx.Rngs(0)), 64)
    assert counted.density <= counted.incremental <= 1.2 * counted.density


def test_operations_of_a_loop_are_those_of_all_its_rounds(operations):
    """A recurrent network scans over the positions, and steps through the same."""
    short, long = (
        operations.network_operations(Recurrent((n,), (), 1, width=8, rngs=nnx.Rngs(0)), 2)
        for n in (5, 10)
    )
    assert long.density == pytest.approx(2 * short.density, rel=0.05)
    assert long.incremental == pytest.approx(2 * short.incremental, rel=0.05)
    assert short.incremental == pytest.approx(short.density, rel=0.05)


def test_operations_of_a_row_count_once_a_row(operations):
    """What a step computes where a row begins is not counted at the other steps."""
    network = GatedPixelCNN((4, 8), (1,), 1, width=4, depth=2, out_width=4, rngs=nnx.Rngs(0))
    counted = operations.network_operations(network, 2)
    assert counted.incremental == pytest.approx(counted.density, rel=0.05)


def test_operations_of_pixels_drawn_together(operations):
    """Each pixel's, and those of the slots that a wave has no pixel for."""
    network = PixelCNN((8, 8, 1), 1, width=4, depth=2, first_size=3, out_width=4, rngs=nnx.Rngs(0))
    counted = operations.network_operations(network, 2)
    waves = 8 + 2 * 7
    slots = waves * 4 / 64 * counted.density
    assert slots <= counted.incremental <= 1.1 * slots  # and the arithmetic of indices
