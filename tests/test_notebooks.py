"""The notebooks run from top to bottom, and were committed with what they show."""

import ast
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

FOLDER = Path(__file__).parents[1] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))

by_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=[path.stem for path in NOTEBOOKS])


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip()]


def shows(source: str) -> bool:
    """Whether a cell ends in an expression whose value is shown, or prints."""
    python = [line for line in source.splitlines() if not line.startswith(("%", "!"))]
    tree = ast.parse("\n".join(python))
    last = tree.body[-1] if tree.body else None
    prints = any(
        isinstance(node, ast.Call) and ast.unparse(node.func) == "print" for node in ast.walk(tree)
    )
    return prints or (isinstance(last, ast.Expr) and not source.rstrip().endswith(";"))


def kinds(cell) -> list[str]:
    """What a cell shows, without the numbers, and without what goes to the error stream."""
    found = []
    for output in cell.outputs:
        if output.output_type in ("execute_result", "display_data"):
            found += sorted(kind for kind in output.data if kind != "text/html")
        elif output.output_type == "stream" and output.name == "stdout":
            found.append("stdout")
    return sorted(set(found))


def test_there_is_a_first_notebook():
    assert "01_first_steps" in [path.stem for path in NOTEBOOKS]


@pytest.mark.parametrize(
    ("source", "expected"),
    [("a = 1", False), ("a", True), ("a;", False), ("print(a)", True), ("%magic\na = 1", False)],
)
def test_what_shows_something(source, expected):
    assert shows(source) is expected


@by_notebook
def test_outputs_are_committed(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    cells = code_cells(notebook)
    assert cells
    for number, cell in enumerate(cells, 1):
        assert cell.execution_count == number, "run it from top to bottom before committing it"
        assert not any(output.output_type == "error" for output in cell.outputs)
        if shows(cell.source):
            # `None` at the end of a cell, as of a call for its effect, shows nothing.
            assert kinds(cell), f"code cell {number} has no output:\n{cell.source}"
    shown = {kind for cell in cells for kind in kinds(cell)}
    assert "image/png" in shown, "a notebook shows a plot"


@pytest.mark.slow
@by_notebook
def test_runs_and_shows_what_was_committed(path, tmp_path):
    committed = nbformat.read(path, as_version=4)
    fresh = nbformat.read(path, as_version=4)
    for cell in code_cells(fresh):
        cell.outputs, cell.execution_count = [], None
    # In an empty folder: a notebook may not lean on files that happen to lie about.
    client = NotebookClient(
        fresh,
        timeout=300,
        kernel_name="python3",
        resources={"metadata": {"path": str(tmp_path)}},
    )
    client.execute()  # raises if a cell does
    for number, (old, new) in enumerate(
        zip(code_cells(committed), code_cells(fresh), strict=True), 1
    ):
        assert kinds(new) == kinds(old), f"code cell {number}:\n{new.source}"
