"""Numbers in the README are those of the committed records."""

import ast
import dataclasses
import json
from pathlib import Path

import pytest

from jaxgen.evaluation import Record
from jaxgen.evaluation.table import insert_table, markdown_table, over_seeds
from jaxgen.runs import ExperimentFile

ROOT = Path(__file__).parents[1]
FILES = [ExperimentFile.load(path) for path in sorted((ROOT / "experiments").glob("*.py"))]
# Of every run by its name, the file of its recipe and the recipe's name there.
RECIPES = {file.recipe(name).name: (file.path, name) for file in FILES for name in file.recipes}
RECORDS = sorted((ROOT / "experiments" / "records").glob("*.json"))


def test_readme_shows_the_records() -> None:
    text = (ROOT / "README.md").read_text()
    table = markdown_table(ROOT / "experiments" / "records")
    assert text == insert_table(text, table), (
        "run: python -m jaxgen.evaluation.table experiments/records README.md"
    )


@pytest.mark.parametrize("path", RECORDS, ids=lambda path: path.stem)
def test_record_is_complete_and_has_its_recipe(path: Path) -> None:
    record = json.loads(path.read_text())
    fields = dataclasses.fields(Record)
    assert set(record) <= {field.name for field in fields}
    assert set(record) >= {f.name for f in fields if f.default is dataclasses.MISSING}
    stem = path.stem.partition(".")[0]  # what follows tells estimators and seeds apart
    assert record["model"] == stem
    assert stem in RECIPES
    assert record["split"] == "test"
    assert not record["git_commit"].endswith("-dirty")  # it names a commit that has the recipe


def rows() -> list[dict]:
    return over_seeds(json.loads(path.read_text()) for path in RECORDS)


@pytest.mark.parametrize("row", rows(), ids=lambda row: f"{row['model']}, {row['estimator']}")
def test_the_row_of_the_recipe_states_the_result(row: dict) -> None:
    """In the table of the file's docstring."""
    path, name = RECIPES[row["model"]]
    lines = (ast.get_docstring(ast.parse(path.read_text())) or "").splitlines()
    own = [line for line in lines if line.split()[:1] == [name]]
    assert any(f"{row['value']:.2f}" in line for line in own)


def test_the_trainings_of_an_experiment_have_seeds_of_their_own() -> None:
    records = [json.loads(path.read_text()) for path in RECORDS]
    each = [tuple(r[k] for k in ("model", "data", "unit", "estimator", "seed")) for r in records]
    assert len(set(each)) == len(each)


STRANGE = sorted((ROOT / "experiments" / "records" / "ood").glob("*.json"))
SCORES = (
    "negative_log_likelihood",
    "typicality",
    "likelihood_ratio",
    "input_complexity",
    "goodness_of_fit",
    "gradient_norms",
    "latent_path",
)


@pytest.mark.parametrize("path", STRANGE, ids=lambda path: path.stem)
def test_the_table_of_strange_images_states_the_records(path: Path) -> None:
    record = json.loads(path.read_text())
    (recipe_file, name) = RECIPES[record["model"]]
    assert name == path.stem
    assert record["num_inside"] == record["num_outside"] == 10_000
    assert not record["git_commit"].endswith("-dirty")
    lines = (ast.get_docstring(ast.parse(recipe_file.read_text())) or "").splitlines()
    (row,) = [line.split()[1:] for line in lines if line.split()[:1] == [name]]
    found = [f"{record['scores'][s]['auroc'][0]:.3f}" for s in SCORES if s in record["scores"]]
    assert row == found
