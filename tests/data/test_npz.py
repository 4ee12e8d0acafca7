"""Archives: which arrays become which split, dtypes, where files are looked up, every refusal."""

import gc
import re
from pathlib import Path

import numpy as np
import pytest

from jaxgen.data import load


@pytest.fixture(autouse=True)
def nowhere(tmp_path, monkeypatch):
    """Relative paths mean files of this test only."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("JAXGEN_DATA", raising=False)


def rows(n, shape=(3,), dtype=np.float32, start=0):
    """Row i holds the number start + i, so that rows can be recognised."""
    return np.broadcast_to(
        np.arange(start, start + n).reshape(n, *[1] * len(shape)), (n, *shape)
    ).astype(dtype)


def loaded(spec, split):
    return load(spec, split).x[:, 0].astype(int).tolist()


def test_named_splits_with_labels():
    np.savez(
        "a.npz",
        train_x=rows(20), train_y=np.arange(20), valid_x=rows(4, start=20),
        test_x=rows(5, start=24), test_y=np.arange(5),
    )  # fmt: skip
    assert loaded("npz:a.npz", "train") == list(range(20))
    assert loaded("npz:a.npz", "valid") == list(range(20, 24))
    assert loaded("npz:a.npz", "test") == list(range(24, 29))
    assert load("npz:a.npz", "train").y.tolist() == list(range(20))
    assert load("npz:a.npz", "valid").y is None
    assert load("npz:a.npz", "test").y.tolist() == list(range(5))
    assert load("npz:a.npz").name == "npz:a.npz"


@pytest.mark.parametrize("key", ["train", "train_x"])
def test_without_validation_it_is_the_last_tenth_of_train(key):
    np.savez("a.npz", **{key: rows(25), "train_y": np.arange(25), "test": rows(3, start=25)})
    assert loaded("npz:a.npz", "train") == list(range(23))
    assert loaded("npz:a.npz", "valid") == [23, 24]
    assert loaded("npz:a.npz", "test") == [25, 26, 27]
    for split in ("train", "valid"):
        assert load("npz:a.npz", split).y.tolist() == loaded("npz:a.npz", split)


@pytest.mark.parametrize(
    ("spec", "arrays"),
    [
        ("npz:a.npz:clips", {"clips": rows(25), "clips_y": np.arange(25), "other": rows(2)}),
        ("npz:a.npz:train", {"train": rows(25), "train_y": np.arange(25), "test": rows(2)}),
        ("npz:a.npz:train_x", {"train_x": rows(25), "train_y": np.arange(25)}),
        ("npz:a.npz", {"x": rows(25), "y": np.arange(25), "other": rows(2)}),
        ("npz:a.npz", {"anything": rows(25)}),
    ],
    ids=lambda value: value if isinstance(value, str) else ",".join(value),
)
def test_one_array_is_shuffled_and_cut_80_10_10(spec, arrays):
    np.savez("a.npz", **arrays)
    order = np.random.default_rng(0).permutation(25).tolist()
    expected = {"train": order[:20], "valid": order[20:22], "test": order[22:]}
    for split, expected_rows in expected.items():
        data = load(spec, split)
        assert data.x[:, 0].tolist() == expected_rows
        assert (data.y is None) == (len(arrays) == 1)
        assert data.y is None or data.y.tolist() == expected_rows


FORMS = {
    # stored: (dtype and shape stored, highest value) -> (event shape, dtype, levels)
    "bool": (np.bool_, (6,), 1, (6,), np.uint8, 2),
    "bool images": (np.bool_, (4, 6), 1, (4, 6, 1), np.uint8, 2),
    "uint8": (np.uint8, (6,), 9, (6,), np.uint8, 256),
    "grey images": (np.uint8, (4, 6), 9, (4, 6, 1), np.uint8, 256),
    "colour images": (np.uint8, (4, 6, 3), 9, (4, 6, 3), np.uint8, 256),
    "int64": (np.int64, (6,), 9, (6,), np.int64, 10),
    "int64 plane": (np.int64, (4, 6), 9, (4, 6), np.int64, 10),
    "uint16 big-endian": (">u2", (6,), 9, (6,), np.uint16, 10),
    "int8 constant": (np.int8, (6,), 0, (6,), np.int8, 2),
    "float64": (np.float64, (6,), 9, (6,), np.float32, None),
    "float16 plane": (np.float16, (4, 6), 9, (4, 6), np.float32, None),
}


@pytest.mark.parametrize("form", FORMS)
def test_dtypes_levels_and_channels(form):
    stored, shape, high, event_shape, dtype, levels = FORMS[form]
    values = (np.arange(20) % (high + 1)).reshape(20, *[1] * len(shape))
    x = np.broadcast_to(values, (20, *shape)).astype(stored)
    np.savez("a.npz", train=x, test=x[:2])
    data = load("npz:a.npz", "train")
    assert data.event_shape == event_shape
    assert data.x.dtype == dtype
    assert data.levels == levels
    np.testing.assert_array_equal(data.x.reshape(18, -1)[:, 0], values.ravel()[:18])


def test_float64_is_kept_where_float32_would_lose_it_and_jax_has_it(x64):
    np.savez("a.npz", train=SECONDS, test=SECONDS[:1])
    for split in ("train", "test"):
        data = load("npz:a.npz", split)
        assert data.x.dtype == np.float64
    np.testing.assert_array_equal(load("npz:a.npz", "train").x, SECONDS[:18])
    np.savez("a.npz", train=SECONDS - SECONDS[0], test=SECONDS[:1] - SECONDS[0])
    assert load("npz:a.npz", "train").x.dtype == np.float32


def test_levels_are_those_of_the_whole_file():
    np.savez(
        "a.npz", train=rows(10, dtype=int), valid=rows(2, dtype=int), test=np.array([[40] * 3])
    )
    assert [load("npz:a.npz", s).levels for s in ("train", "valid", "test")] == [41, 41, 41]


def test_relative_paths_are_looked_up_here_then_in_the_data_folder(tmp_path, monkeypatch):
    folder = tmp_path / "elsewhere" / "sub"
    folder.mkdir(parents=True)
    np.savez(folder / "a.npz", x=rows(20))
    monkeypatch.setenv("JAXGEN_DATA", str(folder.parent))
    assert load("npz:sub/a.npz").x.max() == 19
    (tmp_path / "sub").mkdir()
    np.savez("sub/a.npz", x=rows(20, start=100))
    assert load("npz:sub/a.npz").x.max() == 119
    assert load(f"npz:{folder}/a.npz").x.max() == 19


def test_absent_file_says_the_places_tried(tmp_path, monkeypatch):
    with pytest.raises(FileNotFoundError, match="environment variable JAXGEN_DATA") as error:
        load("npz:no.npz")
    assert f"none at {tmp_path}/no.npz;" in str(error.value)
    monkeypatch.setenv("JAXGEN_DATA", "/my/data")
    with pytest.raises(FileNotFoundError) as error:
        load("npz:no.npz:x")
    assert f"none at {tmp_path}/no.npz or /my/data/no.npz;" in str(error.value)
    with pytest.raises(FileNotFoundError, match=r"found none at /no\.npz$"):
        load("npz:/no.npz")


def write_damaged(kind):
    np.savez("a.npz", x=rows(400))
    path = Path("a.npz")
    whole = path.read_bytes()
    if kind == "truncated":
        content = whole[: len(whole) // 2]
    elif kind == "flipped":
        middle = len(whole) // 2
        content = whole[:middle] + bytes([whole[middle] ^ 255]) + whole[middle + 1 :]
    else:
        content = {"empty": b"", "text": b"hello, this is no archive\n"}[kind]
    path.write_bytes(content)


@pytest.mark.parametrize("kind", ["truncated", "flipped", "empty", "text"])
def test_damaged_files(kind):
    write_damaged(kind)
    with pytest.raises(ValueError, match=r"a\.npz: expected an \.npz archive.*store it again"):
        load("npz:a.npz")


NEGATIVE = rows(20, dtype=int) - 5
BEYOND = rows(20, dtype=np.float64)
BEYOND[:] = 1e300
SECONDS = rows(20, dtype=np.float64)
SECONDS[:, 1] += 1.7e9

# what is wrong: (arrays, spec, split, what the message must say)
REFUSED = {
    "missing key": (
        {"clips": rows(20), "other": rows(20)}, "npz:a.npz:clip", "train",
        ["unknown array of", "a.npz 'clip'", "did you mean 'clips'", "Available: clips, other."],
    ),
    "which array": (
        {"clips": rows(20), "other": rows(20)}, "npz:a.npz", "train",
        ["train, valid and test", "got clips, other", "npz:a.npz:KEY"],
    ),
    "no arrays": ({}, "npz:a.npz", "train", ["got none"]),
    "no test": (
        {"train": rows(20)}, "npz:a.npz", "test",
        ["'test' or 'test_x'", "got train", "80/10/10"],
    ),
    "no train": ({"test": rows(20)}, "npz:a.npz", "valid", ["'train' or 'train_x'", "'valid'"]),
    "negative integers": (
        {"train": NEGATIVE}, "npz:a.npz", "train",
        ["0 to levels - 1", "got -5", "'train'", "shift"],
    ),
    "too large for float32": (
        {"x": BEYOND}, "npz:a.npz", "train",
        ["a.npz, array 'x': column 0, 1, 2 reaches beyond the largest float32", "jax_enable_x64"],
    ),
    "infinite": (
        {"x": np.full((20, 3), np.inf)}, "npz:a.npz", "train", ["finite", "16 of 16 rows"],
    ),
    "time stamps": (
        {"x": SECONDS}, "npz:a.npz", "train",
        ["array 'x': column 1 varies by", "steps of 128", "subtract an offset", "jax_enable_x64"],
    ),
    "time stamps in a split that is not asked for": (
        {"train": rows(20, dtype=np.float64), "test": SECONDS}, "npz:a.npz", "train",
        ["array 'test': column 1 varies by", "steps of 128", "subtract an offset"],
    ),
    "time stamps of another byte order": (
        {"x": SECONDS.astype(">f8")}, "npz:a.npz", "train", ["column 1 varies by", "steps of 128"],
    ),
    "complex": ({"x": rows(20, dtype=complex)}, "npz:a.npz", "train", ["complex128", "convert"]),
    "text": ({"x": rows(20).astype(str)}, "npz:a.npz", "train", ["booleans, integers or floats"]),
    "pickled objects": (
        {"x": np.array([{}] * 20)}, "npz:a.npz", "train", ["no pickled objects", "store it again"],
    ),
    "scalar": ({"x": np.float32(1)}, "npz:a.npz", "train", ["(n, *event_shape)", "scalar"]),
    "splits of several dtypes": (
        {"train": rows(20), "test": rows(20, dtype=np.uint8)}, "npz:a.npz", "train",
        ["one dtype", "train float32(3,), test uint8(3,)", "store them alike"],
    ),
    "splits of several shapes": (
        {"train": rows(20), "test": rows(20, shape=(4,))}, "npz:a.npz", "train",
        ["event shape", "train float32(3,), test float32(4,)"],
    ),
    "too few rows": ({"x": rows(4)}, "npz:a.npz", "valid", ["at least 10 rows", "got 4"]),
    "too few for valid": (
        {"train": rows(9)}, "npz:a.npz", "valid", ["at least 10 rows", "'valid'", "got 9"],
    ),
    "labels that do not fit": (
        {"x": rows(20), "y": np.arange(19)}, "npz:a.npz", "train", ["20 labels", "'y'", "(19,)"],
    ),
    "no path": ({}, "npz:", "train", ["npz:PATH", "got no path"]),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_refuses(case):
    arrays, spec, split, said = REFUSED[case]
    np.savez("a.npz", **arrays)
    with pytest.raises(ValueError, match=re.escape(said[0])) as error:
        load(spec, split)
    for words in said[1:]:
        assert words in str(error.value)


def test_few_rows_without_validation_still_train():
    np.savez("a.npz", train=rows(9))
    assert loaded("npz:a.npz", "train") == list(range(9))


def test_refuses_a_single_array_file():
    np.save("a.npy", rows(20))
    with pytest.raises(ValueError, match=r"expected an \.npz archive, got a single array.*savez"):
        load("npz:a.npy")


def test_file_is_closed(recwarn):
    np.savez("a.npz", x=rows(20))
    load("npz:a.npz")
    gc.collect()
    assert not [w for w in recwarn if issubclass(w.category, ResourceWarning)]
