"""Tables from files."""

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import csv, parquet

from jaxgen import data
from jaxgen.data import tables

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
    write(columns if isinstance(columns, pa.Table) else pa.table(columns), path)
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
    assert splits[0].classes == ("a", "b", "c")
    labels = np.concatenate([each.y for each in splits])
    np.testing.assert_array_equal(labels, ["abc".index(kind) for kind in COLUMNS["kind"][order]])
    assert splits[0].levels is None


@pytest.mark.parametrize(
    ("columns", "spec", "said"),
    [
        (COLUMNS, "", r"expected numbers in column 'kind', got string"),
        (COLUMNS, ":kin", "did you mean 'kind'"),
        ({"a": [1.0] * 20, "b": [None] * 20}, "", "a number in column 'b', got none"),
        ({"a": [1.0] * 20, "b": [float("nan")] * 20}, "", "a number in column 'b', got none"),
        ({"a": [1.0] * 20, "y": ["b", " "] * 10}, ":y", "a label in every row, got 10 missing"),
        ({"y": [1] * 20}, ":y", "expected a column of numbers or more, got none"),
        ({"a": np.zeros(0)}, "", "expected a row or more, got none"),
        (pa.table([[1.0] * 20] * 2, ["a", "a"]), "", "Multiple matches for .*a"),
        ({"a": [1.0] * 20, "y": [1, None] * 10}, ":y", "a label in every row, got 10 missing"),
    ],
)
def test_what_is_no_table_of_numbers_is_named(columns, spec, said, tmp_path):
    path = written(tmp_path, columns, "parquet")
    with pytest.raises(ValueError, match=said):
        data.load(f"parquet:{path}{spec}")


def test_labels_that_are_numbers_are_names_too(tmp_path):
    """The same, whether all of them are integers or not; and not numbered from 0."""
    for labels in (["7", "100"], ["7.0", "100.0"]):
        (tmp_path / "x.csv").write_text("a,kind\n" + "".join(f"1,{x}\n" for x in labels * 10))
        split = data.load(f"csv:{tmp_path}/x.csv:kind")
        assert (split.classes, split.num_classes) == (("7", "100"), 2)


def test_a_column_of_other_rows_may_be_empty(tmp_path):
    (tmp_path / "x.csv").write_text("a,b\n,1\n")
    fields, exact = tables.read_rows(tmp_path / "x.csv", ("a", "b"))
    np.testing.assert_array_equal(fields["observed"], [[False, True]])
    np.testing.assert_array_equal(exact, [[np.nan, 1.0]])


@pytest.mark.parametrize(
    ("head", "said"),
    [
        ("a,b,a", "columns of different names, got 'a' twice"),
        ("1.5,2,7", r"names of columns in the first line, got numbers \(1.5, ...\)"),
    ],
)
def test_a_first_line_that_names_no_columns_is_refused(head, said, tmp_path):
    (tmp_path / "x.csv").write_text(head + "\n1,2,3" * 20)
    with pytest.raises(ValueError, match=said):
        data.load(f"csv:{tmp_path}/x.csv")
    (tmp_path / "x.csv").write_text("0,1,2" + "\n1,2,3" * 20)  # as of columns without names
    assert data.load(f"csv:{tmp_path}/x.csv").columns == ("0", "1", "2")


def test_a_file_without_its_kind_is_told_it(tmp_path):
    path = written(tmp_path, COLUMNS, "csv")
    with pytest.raises(ValueError, match=f"did you mean 'csv:{path}'"):
        data.load(str(path))


def test_damaged_and_missing_files_are_named(tmp_path):
    (tmp_path / "x.parquet").write_bytes(b"none")
    with pytest.raises(ValueError, match="expected a parquet file"):
        data.load(f"parquet:{tmp_path}/x.parquet")
    with pytest.raises(FileNotFoundError, match="expected a file, found none"):
        data.load(f"csv:{tmp_path}/x.csv")


GAPS = {
    "length": [None, *RNG.normal(1e3, 1, 48).tolist(), float("nan")],
    "count": [3, None, *RNG.integers(0, 9, 48).tolist()],
    "known": [True, False, None, *[True] * 47],
    "kind": ["a"] * 50,
}


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_cells_that_are_empty_or_no_number_are_missing(form, tmp_path):
    path = written(tmp_path, GAPS, form)
    split = data.load(f"{form}:{path}:kind", "train")
    assert split.columns == ("length", "count", "known")
    whole = np.array([[np.nan if v is None else v for v in GAPS[c]] for c in split.columns]).T
    rows = np.random.default_rng(0).permutation(50)[:40]
    np.testing.assert_array_equal(split.x, whole[rows].astype(np.float32))
    np.testing.assert_array_equal(split.observed, ~np.isnan(whole[rows]))
    assert split.num_values == split.observed.sum()
    assert f"{split.num_values} values observed" in repr(split)
    flat = split.reshaped((3, 1))
    assert (flat.columns, flat.observed.shape) == (None, (40, 3, 1))


def test_rows_are_read_in_order_by_the_names_of_columns(tmp_path):
    path = written(tmp_path, COLUMNS, "csv")
    rows, exact = tables.read_rows(path, ("known", "length"))
    np.testing.assert_allclose(rows["x"][:, 1], COLUMNS["length"], rtol=1e-6)
    np.testing.assert_array_equal(rows["x"][:, 0], COLUMNS["known"])
    assert "observed" not in rows
    np.testing.assert_array_equal(exact[:, 1], COLUMNS["length"])
    with pytest.raises(ValueError, match=r"did you mean 'length'.*an empty column of that name"):
        tables.read_rows(path, ("lenght",))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"observed": np.ones((4, 3), bool)}, r"booleans of shape \(4, 2\), as x has"),
        ({"observed": np.ones((4, 2))}, "got float64"),
        ({"observed": np.ones((4, 2), bool), "levels": 2, "x": np.ones((4, 2), int)}, "got levels"),
        ({"columns": ("a",)}, "rows of 1 named columns"),
    ],
)
def test_what_does_not_fit_the_rows_is_refused(changes, said):
    parts = {"x": np.ones((4, 2), np.float32), **changes}
    with pytest.raises(ValueError, match=said):
        data.Dataset("t", "train", **parts)


def test_an_infinite_value_is_not_missing():
    x = np.array([[np.inf, 1.0], [1.0, np.nan]], np.float32)
    with pytest.raises(ValueError, match="in 1 of 2 rows, the first of them row 0"):
        data.Dataset("t", "train", x, observed=np.array([[True, True], [True, False]]))
