"""Numbers in documents are those of the committed records."""

import dataclasses
import json
from pathlib import Path

import pytest

from jaxgen.evaluation import Record
from jaxgen.runs import ExperimentFile
from jaxgen.runs.results import fill_results

ROOT = Path(__file__).parents[1]
FILES = [ExperimentFile.load(path) for path in sorted((ROOT / "experiments").glob("*.py"))]
# Of every run by its name, the file of its recipe and the recipe's name there.
RECIPES = {file.recipe(name).name: (file.path, name) for file in FILES for name in file.recipes}
RECORDS = sorted((ROOT / "experiments" / "records").glob("*.json"))


def test_the_page_of_results_shows_the_records() -> None:
    text = (ROOT / "docs" / "results.md").read_text()
    assert text == fill_results(text, ROOT / "experiments"), "run: jaxgen results docs/results.md"


def test_records_without_a_table_are_missed() -> None:
    with pytest.raises(ValueError, match=r"got none for audio:fsdd\.npz, .*toy:two_moons"):
        fill_results("<!-- results: digits npz: -->\n<!-- end -->", ROOT / "experiments")
    with pytest.raises(ValueError, match="expected a line <!-- results"):
        fill_results("# Results", ROOT / "experiments")


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


def test_what_is_known_beside_the_records_is_of_recipes() -> None:
    about = json.loads((ROOT / "experiments" / "results.json").read_text())
    assert set(about) <= set(RECIPES)
    for name, facts in about.items():
        assert set(facts) <= {"published", "trained", "note"}, name
    for path in RECORDS:
        record = json.loads(path.read_text())
        assert "training_seconds" in record or "trained" in about[record["model"]], path.stem


def test_the_trainings_of_an_experiment_have_seeds_of_their_own() -> None:
    records = [json.loads(path.read_text()) for path in RECORDS]
    each = [tuple(r[k] for k in ("model", "data", "unit", "estimator", "seed")) for r in records]
    assert len(set(each)) == len(each)


STRANGE = sorted((ROOT / "experiments" / "records" / "ood").glob("*.json"))


@pytest.mark.parametrize("path", STRANGE, ids=lambda path: path.stem)
def test_a_record_of_strange_images_is_of_all_of_them(path: Path) -> None:
    record = json.loads(path.read_text())
    assert RECIPES[record["model"]][1] == path.stem
    assert record["num_inside"] == record["num_outside"] == 10_000
    assert not record["git_commit"].endswith("-dirty")
