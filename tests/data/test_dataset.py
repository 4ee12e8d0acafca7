"""Dataset's checks and digest, and what load says of specs and splits that do not exist."""

import dataclasses
import hashlib
import re
import subprocess
import sys

import numpy as np
import pytest

import jaxgen.data
from jaxgen.data import Dataset, load, names
from jaxgen.data.text import Vocabulary

BITS = np.array([[0, 1], [1, 1], [0, 0]], np.uint8)


def test_describes_itself():
    data = Dataset("bits", "train", BITS, y=np.array([0, 1, 2], np.uint8), levels=2)
    assert len(data) == 3
    assert data.event_shape == (2,)
    assert data.y.dtype == np.int32
    assert repr(data) == "Dataset('bits', 'train', x=uint8(3, 2), y=int32(3,), levels=2)"


def test_sha256_is_of_dtype_shape_and_bytes():
    expected = hashlib.sha256(b"|u1(3, 2)" + BITS.tobytes()).hexdigest()
    assert Dataset("bits", "train", BITS, levels=2).sha256 == expected


@pytest.mark.parametrize(
    "same",
    [
        pytest.param(np.asfortranarray(BITS), id="memory order"),
        pytest.param(np.repeat(BITS, 2, axis=0)[::2], id="strides"),
    ],
)
def test_sha256_ignores_layout(same):
    plain = Dataset("bits", "train", BITS, levels=2)
    assert Dataset("bits", "test", same, levels=2).sha256 == plain.sha256


def test_sha256_ignores_byte_order():
    values = BITS.astype("<i4")
    digests = {Dataset("b", "train", values.astype(d), levels=2).sha256 for d in ("<i4", ">i4")}
    assert len(digests) == 1


@pytest.mark.parametrize(
    "other",
    [BITS.astype(np.int64), BITS.reshape(3, 2, 1), 1 - BITS],
    ids=["dtype", "shape", "value"],
)
def test_sha256_tells_data_apart(other):
    plain = Dataset("bits", "train", BITS, levels=2)
    assert Dataset("bits", "train", other, levels=2).sha256 != plain.sha256


def test_is_frozen_and_leaves_the_callers_array_alone():
    mine = BITS.copy()
    data = Dataset("bits", "train", mine, levels=2)
    with pytest.raises(dataclasses.FrozenInstanceError):
        data.x = mine
    with pytest.raises(ValueError, match="read-only"):
        data.x[0, 0] = 1
    mine[0, 0] = 0  # does not raise


def test_lengths_and_crops_are_of_signals_only():
    data = Dataset("bits", "train", BITS, levels=2, lengths=np.array([2, 1, 2]))
    assert (data.num_values, data.lengths.dtype) == (5, np.int32)
    vectors = Dataset("pairs", "train", np.zeros((3, 4, 2)), lengths=np.array([4, 1, 2]))
    assert vectors.num_values == 14
    with pytest.raises(ValueError, match=r"shape \(length,\) to cut into crops, got \(4, 2\)"):
        vectors.crops(2)
    with pytest.raises(ValueError, match="without padding"):
        data.reshaped((2, 1))
    with pytest.raises(ValueError, match="crops of 1 to 2 values, got 3"):
        data.crops(3)
    with pytest.raises(ValueError, match=r"shape \(length,\) to cut into crops, got \(8, 8, 1\)"):
        load("digits").crops(2)


REAL = np.zeros((4, 2), np.float32)
HOLED = REAL.copy()
HOLED[2, 1] = np.nan
INFINITE = REAL.copy()
INFINITE[1:, 0] = -np.inf

# what is wrong: (arguments, what the message must say: expected, got, what to do)
REFUSED = {
    "no rows": ({"x": REAL[:0]}, ["at least one row", "(0, 2)", "check the array"]),
    "no dimensions": ({"x": REAL[:, :0]}, ["at least one row", "(4, 0)"]),
    "scalar": ({"x": np.float32(1)}, ["(n, *event_shape)", "shape ()"]),
    "nan": ({"x": HOLED}, ["finite", "1 of 4 rows", "row 2", "remove or replace"]),
    "infinity": ({"x": INFINITE}, ["finite", "3 of 4 rows", "row 1"]),
    "integers, no levels": ({"x": BITS}, ["floats", "uint8", "give levels"]),
    "floats with levels": ({"x": REAL, "levels": 2}, ["integers", "float32", "levels=None"]),
    "bool with levels": ({"x": BITS.astype(bool), "levels": 3}, ["integers", "bool", "uint8"]),
    "text": ({"x": np.array(["a"])}, ["an array of numbers", "<U1"]),
    "too high": ({"x": 3 * BITS, "levels": 3}, ["from 0 to 2", "0 to 3", "correct levels"]),
    "negative": ({"x": BITS.astype(int) - 1, "levels": 2}, ["from 0 to 1", "-1 to 0", "shift"]),
    "one level": ({"x": 0 * BITS, "levels": 1}, ["at least 2 levels", "got 1"]),
    "too few labels": (
        {"x": REAL, "y": np.zeros(3, int)},
        ["(4,)", "int64(3,)", "one integer a row, or y=None"],
    ),
    "one-hot labels": ({"x": REAL, "y": np.eye(4, dtype=int)}, ["(4,)", "int64(4, 4)"]),
    "float labels": ({"x": REAL, "y": np.zeros(4)}, ["integer labels", "float64(4,)"]),
    "huge labels": ({"x": REAL, "y": np.full(4, 2**40)}, ["int32", str(2**40), "renumber"]),
    "lengths of numbers": (
        {"x": REAL[:, 0], "lengths": np.ones(4, int)},
        ["(length,) or (length, *position)", "got ()"],
    ),
    "too few lengths": ({"x": REAL, "lengths": np.ones(3, int)}, ["(4,)", "int64(3,)"]),
    "float lengths": ({"x": REAL, "lengths": np.ones(4)}, ["integer lengths", "float64(4,)"]),
    "empty examples": ({"x": REAL, "lengths": np.arange(4)}, ["from 1 to 2", "got 0 to 3"]),
    "classes as a word": ({"x": REAL, "classes": "cat"}, ["a tuple of names", "'cat'"]),
    "classes as numbers": ({"x": REAL, "classes": (0, 1)}, ["a tuple of names", "(0, 1)"]),
    "classes in no order": ({"x": REAL, "classes": {"a", "b"}}, ["a tuple of names"]),
    "one class twice": ({"x": REAL, "classes": ("a", "a")}, ["different names", "'a' twice"]),
    "one column twice": ({"x": REAL, "columns": ("a", "a")}, ["different names", "'a' twice"]),
    "a label without a name": (
        {"x": REAL, "y": np.arange(4), "classes": ("a", "b", "c")},
        ["labels from 0 to 2", "3 classes", "0 to 3"],
    ),
    "other levels than the vocabulary": (
        {"x": BITS, "levels": 2, "vocabulary": Vocabulary("ab")},
        ["levels=3", "vocabulary", "got 2"],
    ),
    "split": ({"x": REAL, "split": "validation"}, ["did you mean 'valid'", "train, valid, test"]),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refuses(case):
    arguments, said = REFUSED[case]
    with pytest.raises(ValueError, match=re.escape(said[0])) as error:
        Dataset(**{"name": "mine", "split": "train", **arguments})
    for words in said[1:]:
        assert words in str(error.value)


def test_what_is_no_vocabulary_and_no_names_is_refused():
    x, y = np.array([[1, 2], [2, 2]]), np.array([0, 1])
    text = Dataset("ab", "test", x, y, levels=3, vocabulary=Vocabulary("ab"), classes=("a", "b"))
    with pytest.raises(TypeError, match="expected a Vocabulary, got 'ab'"):
        Dataset("ab", "test", x, levels=3, vocabulary="ab")
    with pytest.raises(TypeError, match="in_vocabulary: expected a Vocabulary, got 'abc'"):
        text.in_vocabulary("abc")
    with pytest.raises(ValueError, match="expected classes to be a tuple of names, got 'ab'"):
        text.in_classes("ab")


@pytest.mark.parametrize(
    ("spec", "split", "said"),
    [
        ("digit", "train", ["unknown data set 'digit'", "did you mean 'digits'", "tfds:NAME"]),
        ("two_moons", "train", ["did you mean 'toy:two_moons'", "toy:spirals"]),
        ("image:photos", "train", ["unknown data set 'image': did you mean 'images'"]),
        ("zzz", "train", ["unknown data set 'zzz': Available: digits, toy:two_moons"]),
        ("", "train", ["unknown data set ''"]),
        ("digits", "tets", ["unknown split 'tets': did you mean 'test'?", "train, valid, test"]),
        ("digits:8", "train", ["expected the spec 'digits'", "leave out ':8'"]),
    ],
)
def test_load_names_the_nearest_match(spec, split, said):
    with pytest.raises(ValueError, match=re.escape(said[0])) as error:
        load(spec, split)
    for words in said[1:]:
        assert words in str(error.value)


def test_split_defaults_to_train():
    data = load("toy:rings")
    assert (data.name, data.split) == ("toy:rings", "train")


def test_names_are_one_line_each_and_those_without_capitals_load():
    specs = dict(names())
    assert {"digits", "toy:two_moons", "npz:PATH[:KEY]", "tfds:NAME", "audio:PATH[:LABELS]"} <= set(
        specs
    )
    assert all(line and "\n" not in line for line in specs.values())
    for spec in specs:
        if spec.islower():
            assert len(load(spec, "valid")) > 0


def test_importing_the_package_imports_numpy_only():
    program = (
        "import sys, numpy, jaxgen\n"
        "before = set(sys.modules)\n"
        "import jaxgen.data\n"
        "new = {name.partition('.')[0] for name in set(sys.modules) - before}\n"
        "print(sorted(new - set(sys.stdlib_module_names) - {'jaxgen', 'numpy'}))\n"
    )
    root = str(next(iter(jaxgen.__path__)) + "/..")
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
