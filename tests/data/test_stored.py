"""Data that stay on disk: the same rows, batches and parameters as in memory, in little memory."""

import json
import os
import pickle
import subprocess
import sys

import jax
import numpy as np
import pytest
from flax import nnx
from PIL import Image

from jaxgen import data, zoo
from jaxgen.cli import main
from jaxgen.core.stored import Stored
from jaxgen.data import Dataset, stored
from jaxgen.data.images import StoredImages
from jaxgen.data.stored import StoredArray, is_source, parts_of
from jaxgen.evaluation import evaluate
from jaxgen.models import DiagonalNormal
from jaxgen.training import Batch, TrainSettings, fit
from jaxgen.training.digests import digests
from jaxgen.training.metrics import MEASURED

RNG = np.random.default_rng(0)
SETTINGS = TrainSettings(steps=6, batch_size=8, steps_per_dispatch=2, eval_every=2)


def params(result):
    return [np.asarray(leaf) for leaf in jax.tree.leaves(nnx.state(result.state.model, nnx.Param))]


# --- rows ---


@pytest.mark.parametrize("dtype", ["uint8", "bool", "float32", "float64", ">f4"])
@pytest.mark.parametrize("archived", [False, True])
def test_rows_are_those_of_the_file(dtype, archived, tmp_path):
    x = (RNG.normal(size=(20, 3, 4)) * 50).astype(dtype)
    path = tmp_path / ("x.npz" if archived else "x.npy")
    if archived:
        np.savez(path, other=np.zeros(7), images=x)
    else:
        np.save(path, x)
    kept = StoredArray(path, "images" if archived else None)
    grey = np.dtype(dtype).itemsize == 1
    expected = x[..., None].astype(np.uint8) if grey else x.astype(np.float32)
    assert (kept.shape, kept.dtype) == (expected.shape, expected.dtype)
    assert kept.levels == {"uint8": 256, "bool": 2}.get(dtype)
    for rows in (3, -1, slice(2, 9, 3), np.array([[4, 0], [19, 4]]), np.array([], int)):
        found = kept[rows]
        assert isinstance(found, np.ndarray)
        np.testing.assert_array_equal(found, expected[rows])
    some = kept.at(np.array([7, 3, 5])).at(slice(1, None))
    np.testing.assert_array_equal(some[[1, 0]], expected[[5, 3]])
    assert (len(some), some.nbytes) == (2, expected[:2].nbytes)
    again = pickle.loads(pickle.dumps(some))
    np.testing.assert_array_equal(again[0], expected[3])
    np.testing.assert_array_equal(kept.reshaped((expected[0].size,))[1], expected[1].reshape(-1))


def test_the_digest_is_that_of_the_array_in_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(stored, "_HASHED", 100)  # many parts
    x = RNG.normal(size=(50, 5)).astype(np.float32)
    np.save(tmp_path / "x.npy", x)
    kept = StoredArray(tmp_path / "x.npy")
    assert digests({"training": Batch(kept)}) == digests({"training": Batch(x)})
    assert Dataset("x", "train", kept).sha256 == Dataset("x", "train", x).sha256
    assert digests({"a": Batch(kept.at(np.arange(9)))}) == digests({"a": Batch(x[:9])})


def test_what_is_stored_is_no_array_by_accident(tmp_path):
    np.save(tmp_path / "x.npy", np.zeros((4, 2), np.float32))
    kept = StoredArray(tmp_path / "x.npy")
    with pytest.raises(TypeError, match="stays on disk; take rows of it"):
        np.asarray(kept)
    with pytest.raises(IndexError, match="expected rows from 0 to 3, got 4"):
        kept[4]
    with pytest.raises(TypeError, match="expected integers for rows"):
        kept[[0.5]]


@pytest.mark.parametrize(
    ("write", "said"),
    [
        (lambda path: path.write_bytes(b"no array"), "a file that cannot be read so"),
        (lambda path: np.save(path, np.zeros((3, 2), np.int32)), "store levels as uint8"),
        (lambda path: np.save(path, np.float32(1.0)), "expected rows of bool"),
        (lambda path: np.save(path, np.array([{}], object)), "got Python objects"),
        (lambda path: np.save(path, np.zeros((3, 2)).T), "C order.*got columns"),
    ],
)
def test_files_that_are_no_rows_are_refused(write, said, tmp_path):
    path = tmp_path / "x.npy"
    write(path)
    with pytest.raises(ValueError, match=said):
        StoredArray(path)


def test_cut_off_and_compressed_files_are_refused(tmp_path):
    path = tmp_path / "x.npy"
    np.save(path, np.zeros((100, 4), np.float32))
    whole = StoredArray(path)
    os.truncate(path, 300)
    with pytest.raises(OSError, match="has become shorter"):
        whole[50]
    with pytest.raises(ValueError, match="is cut off"):
        StoredArray(path)
    np.savez_compressed(tmp_path / "x.npz", x=np.zeros((4, 2)))
    with pytest.raises(ValueError, match="it is compressed"):
        StoredArray(tmp_path / "x.npz", "x")
    with pytest.raises(ValueError, match="cannot be read so"):
        StoredArray(tmp_path / "x.npz", "y")


# --- items ---


class Items:
    """As a data set of PyTorch or Hugging Face."""

    def __init__(self, x, form, labels=None):
        self.x, self.form, self.labels, self.reads = x, form, labels, 0

    def __len__(self):
        return len(self.x)

    def __getitem__(self, row):
        self.reads += 1
        x = self.x[row]
        label = None if self.labels is None else int(self.labels[row])
        return {
            "array": lambda: x,
            "pair": lambda: (x, label),
            "dictionary": lambda: {"image": x, "label": label},
            "picture": lambda: {"image": Image.fromarray(x), "label": label},
        }[self.form]()


class ManyAtOnce(Items):
    def __getitems__(self, rows):
        return [self[row] for row in rows]


X = RNG.normal(size=(40, 2)).astype(np.float32)
LABELS = RNG.integers(0, 3, 40)


@pytest.mark.parametrize("form", ["array", "pair", "dictionary"])
@pytest.mark.parametrize("kind", [Items, ManyAtOnce])
def test_items_are_examples(form, kind):
    source = kind(X, form, LABELS)
    assert is_source(source)
    parts = parts_of(source)
    np.testing.assert_array_equal(parts["x"][[3, 1]], X[[3, 1]])
    if form == "array":
        assert list(parts) == ["x"]
        return
    source.reads = 0
    x, label = (parts[name][[5, 6, 5]] for name in ("x", "context"))
    np.testing.assert_array_equal(x, X[[5, 6, 5]])
    np.testing.assert_array_equal(label, LABELS[[5, 6, 5]])
    assert source.reads == 3  # once for both parts


def test_pictures_become_arrays():
    grey = RNG.integers(0, 256, (3, 5, 4), np.uint8)
    assert parts_of(Items(grey, "picture", LABELS))["x"].shape == (3, 5, 4, 1)
    colour = RNG.integers(0, 256, (3, 5, 4, 3), np.uint8)
    np.testing.assert_array_equal(parts_of(Items(colour, "picture", LABELS))["x"][1], colour[1])


@pytest.mark.parametrize("other", [[1.0], (1,), "abc", {"x": 1}, np.zeros(3), jax.numpy.ones(2), 3])
def test_arrays_and_sequences_are_no_sources(other):
    assert not is_source(other)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (Items(X[:0], "array"), "expected items in the Items, got none"),
        (Items([{"text": 1}], "array"), "an entry 'x' or 'image', got text"),
        (Items(["text"], "array"), "expected items of numbers"),
        (Items([(X[0], X[0], X[0])], "array"), "or a pair of one and its context, got 3 parts"),
        (
            Items([{"x": X[0], "weights": 1.0}], "array"),
            "got weights too, which are read of arrays",
        ),
    ],
)
def test_items_of_another_kind_are_refused(source, said):
    with pytest.raises(ValueError, match=said):
        fit(DiagonalNormal((2,)), source, settings=SETTINGS, progress=False)


def test_an_item_of_another_shape_is_named():
    rows = [np.zeros(2), np.zeros(2), np.zeros(3)]
    with pytest.raises(ValueError, match=r"item 2: expected shape \(2,\), as item 0 has"):
        parts_of(Items(rows, "array"))["x"][[0, 2]]


# --- training ---


@pytest.mark.parametrize("form", ["file", "items"])
def test_training_is_the_same_as_in_memory(form, tmp_path):
    model = zoo.maf((2,), layers=1, hidden=(8,), rngs=nnx.Rngs(0))
    np.save(tmp_path / "x.npy", X)
    kept = StoredArray(tmp_path / "x.npy") if form == "file" else Items(X, "array")
    expected = fit(model, X, X[:9], SETTINGS, progress=False)
    found = fit(model, kept, X[:9], SETTINGS, progress=False)
    for a, b in zip(params(found), params(expected), strict=True):
        np.testing.assert_array_equal(a, b)
    assert found.history[-1]["valid_loss"] == expected.history[-1]["valid_loss"]


def test_labels_of_items_are_contexts():
    model = zoo.maf((2,), layers=1, hidden=(8,), context_features=3, rngs=nnx.Rngs(0))
    expected = fit(model, (X, LABELS), 0.2, SETTINGS, progress=False)
    found = fit(model, Items(X, "pair", LABELS), 0.2, SETTINGS, progress=False)
    for a, b in zip(params(found), params(expected), strict=True):
        np.testing.assert_array_equal(a, b)


def test_contexts_of_items_may_be_vectors():
    model = zoo.maf((2,), layers=1, hidden=(8,), context_features=2, rngs=nnx.Rngs(0))
    source = Items([(x, 2 * x) for x in X], "array")
    expected = fit(model, (X, 2 * X), 0.2, SETTINGS, progress=False)
    found = fit(model, source, 0.2, SETTINGS, progress=False)
    for a, b in zip(params(found), params(expected), strict=True):
        np.testing.assert_array_equal(a, b)
    assert found.history[-1]["valid_loss"] == expected.history[-1]["valid_loss"]


def test_labels_that_nothing_is_conditional_on_stay_unused():
    found = fit(DiagonalNormal((2,)), Items(X, "pair", LABELS), None, SETTINGS, progress=False)
    assert found.best_step == 6


@pytest.mark.parametrize("part", ["observed", "lengths"])
def test_masks_and_lengths_go_with_examples_in_memory(tmp_path, part):
    np.save(tmp_path / "x.npy", X)
    given = {"x": StoredArray(tmp_path / "x.npy"), part: np.ones(X.shape, bool)}
    with pytest.raises(ValueError, match=f"expected examples in memory with {part}, got Stored"):
        fit(DiagonalNormal((2,)), given, settings=SETTINGS, progress=False)


def test_weights_go_with_stored_examples(tmp_path):
    np.save(tmp_path / "x.npy", X)
    weights = RNG.uniform(size=len(X))
    found, expected = (
        fit(DiagonalNormal((2,)), {"x": x, "weights": weights}, None, SETTINGS, progress=False)
        for x in (StoredArray(tmp_path / "x.npy"), X)
    )
    for a, b in zip(params(found), params(expected), strict=True):
        np.testing.assert_array_equal(a, b)


def test_an_item_that_is_none_is_named():
    with pytest.raises(ValueError, match="item 2: expected items of numbers, got object"):
        parts_of(Items([X[0], X[1], None], "array"))["x"][[0, 2]]


def test_validation_and_evaluation_read_what_is_stored(tmp_path):
    np.save(tmp_path / "x.npy", X)
    kept = StoredArray(tmp_path / "x.npy")
    model = DiagonalNormal((2,))
    found = fit(model, kept, 0.25, SETTINGS, progress=False)
    expected = fit(model, X, 0.25, SETTINGS, progress=False)
    assert found.history == [
        row | {name: there[name] for name in MEASURED if name in there}
        for row, there in zip(expected.history, found.history, strict=True)
    ]
    records = [
        evaluate(found.model, Dataset("x", "test", each), batch_size=7) for each in (kept, X)
    ]
    assert records[0].value == records[1].value
    assert records[0].data_sha256 == records[1].data_sha256


def test_a_training_on_stored_data_goes_on_where_it_stopped(tmp_path):
    np.save(tmp_path / "x.npy", X)
    kept = StoredArray(tmp_path / "x.npy")
    model = DiagonalNormal((2,))

    def run(out, stop_at=None):
        stop = [] if stop_at is None else [lambda row: row["step"] == stop_at]
        how = {"out": tmp_path / out, "callbacks": stop, "progress": False}
        return fit(model, kept, None, SETTINGS, **how)

    run("in two", 2)
    for a, b in zip(params(run("in two")), params(run("whole")), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_batch_that_is_no_data_ends_training_by_name(tmp_path, monkeypatch):
    monkeypatch.setattr(Stored, "sampled_rows", lambda self: np.arange(4))
    x = X.copy()
    x[30] = np.nan
    np.save(tmp_path / "x.npy", x)
    settings = TrainSettings(steps=20, batch_size=8, steps_per_dispatch=5, init_batch_size=4)
    kept = StoredArray(tmp_path / "x.npy")
    with pytest.raises(ValueError, match="NaN or infinite"):
        fit(DiagonalNormal((2,)), kept, settings=settings, progress=False)


@pytest.mark.slow
def test_worker_processes_read_the_same(tmp_path):
    np.save(tmp_path / "x.npy", X)
    code = """
import sys, numpy as np, jax
from flax import nnx
from jaxgen.data.stored import StoredArray
from jaxgen.models import DiagonalNormal
from jaxgen.training import TrainSettings, fit
if __name__ == "__main__":
    for workers in (0, 2):
        settings = TrainSettings(steps=6, batch_size=8, steps_per_dispatch=2, workers=workers)
        result = fit(DiagonalNormal((2,)), StoredArray(sys.argv[1]), None, settings, progress=False)
        print([np.asarray(leaf).tolist() for leaf in jax.tree.leaves(result.model)])
"""
    script = tmp_path / "read.py"
    script.write_text(code)
    command = [sys.executable, str(script), str(tmp_path / "x.npy")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    first, second = done.stdout.splitlines()[-2:]
    assert first == second


# --- specs ---


def test_a_spec_of_a_file_trains_from_the_command_line(tmp_path, monkeypatch):
    monkeypatch.setenv("JAXGEN_DATA", f"{tmp_path}")
    np.save(tmp_path / "points.npy", RNG.normal(size=(100, 2)))
    kept = data.load("npy:points.npy", "test")
    assert (len(kept), kept.levels, isinstance(kept.x, Stored)) == (10, None, True)
    (tmp_path / "points.py").write_text(
        "from jaxgen.runs import Recipe\n"
        "from jaxgen.training import TrainSettings\n"
        "recipe = Recipe('maf', 'npy:points.npy', {'layers': 1, 'hidden': [8]}, "
        "train=TrainSettings(steps=4, batch_size=16, steps_per_dispatch=2))\n"
    )
    out = tmp_path / "run"
    arguments = ["train", f"{tmp_path}/points.py", "--out", f"{out}", "--quiet", "--no-cache"]
    assert main(arguments) == 0
    record = json.loads((out / "record.json").read_text())
    assert record["num_examples"] == 10


def pictures(folder, count, mode="L", size=(6, 4)):
    folder.mkdir(parents=True)
    for index in range(count):
        shape = (size[1], size[0]) if mode == "L" else (size[1], size[0], 3)
        Image.fromarray(RNG.integers(0, 256, shape, np.uint8)).save(folder / f"{index:03}.png")


def test_a_folder_of_pictures_has_a_class_for_each_subfolder(tmp_path):
    for split, count in (("train", 10), ("test", 3)):
        for name in ("cat", "ant"):
            pictures(tmp_path / split / name, count, "RGB")
    train, valid, test = (data.load(f"images:{tmp_path}", split) for split in data_splits())
    assert [len(each) for each in (train, valid, test)] == [18, 2, 6]
    assert (train.event_shape, train.levels, train.num_classes) == ((4, 6, 3), 256, 2)
    path = tmp_path / "test" / "cat" / "000.png"
    assert test.y.tolist() == [0, 0, 0, 1, 1, 1]
    np.testing.assert_array_equal(test.x[3], np.asarray(Image.open(path)))
    assert len(test.sha256) == 64
    squares = data.load(f"images:{tmp_path}:3", "test")
    assert squares.event_shape == (3, 3, 3)


def test_what_begins_with_a_dot_is_passed_over_and_depth_is_named(tmp_path):
    for name in ("ant", "cat"):
        pictures(tmp_path / name, 10)
    (tmp_path / "ant" / "._000.png").write_bytes(b"none")
    (tmp_path / ".thumbs").mkdir()
    found = data.load(f"images:{tmp_path}")
    assert (len(found), found.num_classes) == (16, 2)
    pictures(tmp_path / "cat" / "deeper", 10)
    with pytest.raises(ValueError, match=r"in the folder of a class \(ant, cat\), got .*deeper"):
        data.load(f"images:{tmp_path}")


def test_a_class_without_a_picture_is_named(tmp_path):
    """A model would draw it from what no example has told."""
    for name in ("ant", "cat"):
        pictures(tmp_path / name, 10)
    (tmp_path / "bee").mkdir()
    with pytest.raises(ValueError, match="pictures of every class, got none of 'bee'"):
        data.load(f"images:{tmp_path}")


def data_splits():
    return ("train", "valid", "test")


def test_a_flat_folder_is_cut_in_three(tmp_path):
    pictures(tmp_path / "flat", 20)
    sizes = [len(data.load(f"images:{tmp_path}/flat", split)) for split in data_splits()]
    assert sizes == [16, 2, 2]
    assert data.load(f"images:{tmp_path}/flat").y is None


def test_pictures_that_do_not_fit_are_named(tmp_path):
    pictures(tmp_path / "a", 12)
    Image.fromarray(np.zeros((5, 5), np.uint8)).save(tmp_path / "a" / "011.png")
    paths = sorted((tmp_path / "a").iterdir())
    with pytest.raises(ValueError, match=r"011\.png: expected a picture of 6 x 4, .* got 5 x 5"):
        StoredImages(paths)[np.arange(12)]
    pictures(tmp_path / "b", 13, "RGB")
    mixed = StoredImages([*paths[:5], tmp_path / "b" / "012.png"])
    with pytest.raises(ValueError, match=r"012\.png: expected a picture in grey"):
        mixed[np.arange(6)]
    for name, picture, said in (
        ("deep.png", Image.fromarray(np.zeros((4, 6), np.uint16)), "expected 8 bits"),
        ("clear.png", Image.new("RGBA", (6, 4), (9, 9, 9, 0)), "no transparent pixels"),
    ):
        picture.save(tmp_path / name)
        with pytest.raises(ValueError, match=said):
            StoredImages([tmp_path / name])
    (tmp_path / "a" / "000.png").write_bytes(b"none")
    with pytest.raises(ValueError, match=r"000\.png: expected a picture"):
        StoredImages(paths)
    with pytest.raises(FileNotFoundError, match=r"expected a folder, found none at .*/nowhere"):
        data.load(f"images:{tmp_path}/nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="empty: expected pictures, found none"):
        data.load(f"images:{tmp_path}/empty")


LARGE = """
import json, sys, threading
import numpy as np
from jaxgen.data.stored import StoredArray
from jaxgen.models import Dequantized, DiagonalNormal
from jaxgen.training import TrainSettings, fit

def held():  # in MB
    with open("/proc/self/status") as file:
        return int(next(line for line in file if line.startswith("VmRSS")).split()[1]) / 1024

x = StoredArray(sys.argv[1])
small = np.asarray(x[:20_000])
model = Dequantized(DiagonalNormal((32, 32, 3)), 256)
settings = TrainSettings(steps=1000, batch_size=128, steps_per_dispatch=20)
fit(model, small[:256], None, TrainSettings(steps=20, batch_size=128), progress=False)
empty, most, done = held(), 0.0, threading.Event()

def watch():
    global most
    while not done.wait(0.02):
        most = max(most, held())

watcher = threading.Thread(target=watch)
watcher.start()
result = fit(model, x, None, settings, progress=False)
done.set()
watcher.join()

def rate(data):
    times = [row["seconds"] for row in fit(model, data, None, settings, progress=False).history]
    return (len(times) - 5) / (times[-1] - times[4])  # without the first dispatches

rates = [(rate(small), rate(x)) for _ in range(3)]
memory, stored = (sorted(each)[1] for each in zip(*rates))
print(json.dumps({"bytes": x.nbytes, "more": most - empty, "ratio": stored / memory,
                  "dispatches": [memory, stored], "loss": result.history[-1]["loss"]}))
"""


@pytest.mark.slow
def test_four_gigabytes_train_in_little_memory_and_as_fast_as_from_memory(tmp_path):
    """Of a batch of a small model as much time goes into it as into reading the next one."""
    path, rows = tmp_path / "images.npy", 1_400_000
    part = RNG.integers(0, 256, (10_000, 32, 32, 3), np.uint8)
    with path.open("wb") as file:
        header = {"shape": (rows, 32, 32, 3), "fortran_order": False, "descr": "|u1"}
        np.lib.format.write_array_header_1_0(file, header)
        for _ in range(rows // len(part)):
            part.tofile(file)
    done = subprocess.run(
        [sys.executable, "-c", LARGE, str(path)], capture_output=True, text=True, timeout=1200
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    print(found)
    assert found["bytes"] > 4e9
    assert found["more"] < 1000, found
    assert found["ratio"] > 0.8, found
