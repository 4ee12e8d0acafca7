"""Tables from files."""

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import csv, parquet

from jaxgen import data

RNG = np.random.default_rng(0)
COLUMNS = {
    "length": RNG.normal(size=50),
    "count": RNG.integers(0, 9, 50),
    "kind": np.array(["b", "a", "c", "a", "b"] * 10),
    "known": RNG.integers(0, 2, 50).astype(bool),
}


def written(folder, columns, form):
    path = folder / f"table.{form}"
    write = csv.write_csv if form == "csv" else parquet.write_table
    write(pa.table(columns), path)
    return path


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_columns_are_numbers_and_one_is_the_label(form, tmp_path, monkeypatch):
    monkeypatch.setenv("JAXGEN_DATA", f"{tmp_path}")
    written(tmp_path, COLUMNS, form)
    splits = [data.load(f"{form}:table.{form}:kind", each) for each in ("train", "valid", "test")]
    assert [len(each) for each in splits] == [40, 5, 5]
    order = np.random.default_rng(0).permutation(50)
    expected = np.stack([COLUMNS[n] for n in ("length", "count", "known")], axis=-1)[order]
    found = np.concatenate([each.x for each in splits])
    np.testing.assert_array_equal(found, expected.astype(np.float32))
    labels = np.concatenate([each.y for each in splits])
    np.testing.assert_array_equal(labels, ["abc".index(kind) for kind in COLUMNS["kind"][order]])
    assert splits[0].levels is None


@pytest.mark.parametrize(
    ("columns", "spec", "said"),
    [
        (COLUMNS, "", r"expected numbers in column 'kind', got string"),
        (COLUMNS, ":kin", "did you mean 'kind'"),
        ({"a": [1.0, None] * 10}, "", "got 10 missing in column 'a'"),
        ({"a": [1.0] * 20, "y": [1, None] * 10}, ":y", "a label in every row, got 10 missing"),
    ],
)
def test_what_is_no_table_of_numbers_is_named(columns, spec, said, tmp_path):
    path = written(tmp_path, columns, "parquet")
    with pytest.raises(ValueError, match=said):
        data.load(f"parquet:{path}{spec}")


def test_damaged_and_missing_files_are_named(tmp_path):
    (tmp_path / "x.parquet").write_bytes(b"none")
    with pytest.raises(ValueError, match="expected a parquet file"):
        data.load(f"parquet:{tmp_path}/x.parquet")
    with pytest.raises(FileNotFoundError, match="expected a file, found none"):
        data.load(f"csv:{tmp_path}/x.csv")
