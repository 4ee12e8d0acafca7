"""Numbers in the README are those of the committed records."""

import dataclasses
import json
from pathlib import Path

import pytest

from jaxgen.evaluation import Record
from jaxgen.evaluation.table import insert_table, markdown_table

ROOT = Path(__file__).parents[1]
RECORDS = sorted((ROOT / "experiments" / "records").glob("*.json"))


def test_readme_shows_the_records() -> None:
    text = (ROOT / "README.md").read_text()
    table = markdown_table(ROOT / "experiments" / "records")
    assert text == insert_table(text, table), (
        "run: python -m jaxgen.evaluation.table experiments/records README.md"
    )


@pytest.mark.parametrize("path", RECORDS, ids=lambda path: path.stem)
def test_record_is_complete_and_has_its_experiment(path: Path) -> None:
    record = json.loads(path.read_text())
    fields = dataclasses.fields(Record)
    assert set(record) <= {field.name for field in fields}
    assert set(record) >= {f.name for f in fields if f.default is dataclasses.MISSING}
    stem = path.stem.partition(".")[0]  # what follows tells estimators apart
    assert record["model"] == stem
    assert record["split"] == "test"
    source = (ROOT / "experiments" / f"{stem}.py").read_text()
    # The docstring states the same result, rounded.
    assert f"{record['value']:.2f}" in source
