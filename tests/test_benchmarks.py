"""The benchmarks run, as small as they go; their numbers are not looked at."""

import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"
SMALLEST = {
    "audio.py": ["--small", "--rounds", "1"],
    "compile.py": ["--rounds", "1", "--models", "maf"],
    "conditionals.py": ["--small", "--rounds", "1"],
    "inversion.py": ["--small"],
    "maf.py": ["--rounds", "1"],
    "peers.py": ["--small"],
}


def test_every_benchmark_is_listed():
    scripts = [p.name for p in BENCHMARKS.glob("*.py") if "__main__" in p.read_text("utf-8")]
    assert sorted(scripts) == sorted(SMALLEST)


@pytest.mark.slow
@pytest.mark.parametrize("script", SMALLEST)
def test_runs(script):
    command = [sys.executable, BENCHMARKS / script, *SMALLEST[script]]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    assert done.stdout
