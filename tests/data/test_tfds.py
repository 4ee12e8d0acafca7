"""TensorFlow Datasets: a small prepared data set is read, an unprepared one says what to run.

The data sets are made here, in the format array_record, which works without TensorFlow.
"""

import importlib
import json
import pickle
import re
import struct
import sys
import zlib

import numpy as np
import pytest

from jaxgen.core.stored import Stored
from jaxgen.data import load

tfds = pytest.importorskip("tensorflow_datasets")
pytest.importorskip("array_record")


def png(image: np.ndarray) -> bytes:
    """A grey image as PNG; tfds itself encodes images with TensorFlow only, but takes the bytes."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        checksum = zlib.crc32(kind + content)
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)

    height, width = image.shape
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    lines = b"".join(b"\0" + line.tobytes() for line in image)
    return b"".join(
        [
            b"\x89PNG\r\n\x1a\n",
            chunk(b"IHDR", header),
            chunk(b"IDAT", zlib.compress(lines)),
            chunk(b"IEND", b""),
        ]
    )


def prepare(folder, name, features, splits):
    """Writes a data set; `splits` gives each split's list of examples."""

    def _info(self):
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

    def _split_generators(self, dl_manager):
        return {split: enumerate(examples) for split, examples in splits.items()}

    # Unregistered, so that tfds finds the data by their files alone, as a user's data on disk.
    with tfds.core.registered.skip_registration():
        builder = type(
            name,
            (tfds.core.GeneratorBasedBuilder,),
            {
                "__doc__": "Made by a test.",
                "__module__": __name__,
                "VERSION": tfds.core.Version("1.0.0"),
                "_info": _info,
                "_split_generators": _split_generators,
                "_generate_examples": None,
            },
        )(data_dir=folder, file_format="array_record")
    tfds.disable_progress_bar()
    builder.download_and_prepare()
    return builder


def grey(value):
    return {"image": png(np.full((4, 6), value, np.uint8)), "label": value % 3}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Prepared once: small_images (no validation set), small_counts (all splits), ..."""
    folder = tmp_path_factory.mktemp("tfds")
    f = tfds.features
    prepare(
        folder,
        "SmallImages",
        {"image": f.Image(shape=(4, 6, 1)), "label": f.ClassLabel(num_classes=3)},
        {"train": [grey(i) for i in range(30)], "test": [grey(100 + i) for i in range(5)]},
    )
    prepare(
        folder,
        "SmallCounts",
        {"counts": f.Tensor(shape=(3,), dtype=np.int64), "text": f.Text()},
        {
            split: [{"counts": np.full(3, i), "text": "words"} for i in values]
            for split, values in {"train": range(6), "validation": [6], "test": [9, 9]}.items()
        },
    )
    vector = f.Tensor(shape=(2,), dtype=np.float32)
    prepare(
        folder,
        "SmallPairs",
        {"left": vector, "right": vector},
        {"train": [{"left": np.ones(2, np.float32), "right": np.ones(2, np.float32)}]},
    )
    prepare(
        folder,
        "SmallUneven",
        {"image": f.Image(shape=(None, None, 1))},
        {"train": [{"image": png(np.zeros((4, width), np.uint8))} for width in (5, 6)]},
    )
    return folder


@pytest.fixture(autouse=True)
def use(folder, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(folder))


def test_images_and_labels_without_a_validation_set(folder):
    parts = {split: load("tfds:small_images", split) for split in ("train", "valid", "test")}
    assert [len(part) for part in parts.values()] == [27, 3, 5]
    for part in parts.values():
        assert part.event_shape == (4, 6, 1)
        assert part.x.dtype == np.uint8
        assert part.levels == 256
        np.testing.assert_array_equal(part.y, part.x[:, 0, 0, 0] % 3)
    values = [value for split in ("train", "valid") for value in parts[split].x[:, 0, 0, 0]]
    source = tfds.data_source("small_images", split="train", data_dir=folder, download=False)
    assert values == [example["image"][0, 0, 0] for example in source]
    assert sorted(values) == list(range(30))
    assert sorted(parts["test"].x[:, 0, 0, 0]) == list(range(100, 105))


@pytest.mark.parametrize("split", ["train", "valid", "test"])
def test_large_data_stay_on_disk(monkeypatch, split):
    held = load("tfds:small_images", split)
    monkeypatch.setattr(importlib.import_module("jaxgen.data.tfds"), "_IN_MEMORY", 100)
    stored = load("tfds:small_images", split)
    assert isinstance(stored.x, Stored)
    assert (stored.x.shape, stored.levels) == (held.x.shape, 256)
    np.testing.assert_array_equal(stored.x[:], held.x)
    np.testing.assert_array_equal(stored.y, held.y)
    again = pickle.loads(pickle.dumps(stored.x))  # as processes that read ahead are given it
    np.testing.assert_array_equal(again[[1, 0]], held.x[[1, 0]])
    assert set(np.unique(stored.binarized().x[:])) == {0, 1}
    np.testing.assert_array_equal(stored.quantized(4).x[:], held.quantized(4).x)
    np.testing.assert_array_equal(stored.binarized(5).x[:2], stored.binarized(5).x[:][:2])


def test_the_only_array_feature_and_levels_of_all_splits():
    parts = [load("tfds:small_counts", split) for split in ("train", "valid", "test")]
    assert [sorted(part.x[:, 0]) for part in parts] == [list(range(6)), [6], [9, 9]]
    assert [part.levels for part in parts] == [10, 10, 10]
    assert [part.y for part in parts] == [None, None, None]
    assert load("tfds:small_counts:1.0.0").x.shape == (6, 3)


@pytest.mark.parametrize(
    ("spec", "split", "said"),
    [
        ("tfds:small_uneven", "test", ["expected a split 'test', got train"]),
        ("tfds:small_uneven", "valid", ["at least 10 rows", "got 2"]),
        ("tfds:small_uneven", "train", ["of one shape", "(4, 5, 1) and (4, 6, 1)", "resize"]),
        ("tfds:small_pairs", "train", ["exactly one array feature", "left, right", "npz:PATH"]),
        ("tfds:small_image", "train", ["unknown tfds data set", "did you mean 'small_images'"]),
        ("tfds:mnits", "train", ["did you mean 'mnist'", "catalog", "TFDS_DATA_DIR"]),
        ("tfds:hub:mnist", "train", ["expected tfds:NAME", "got 'tfds:hub:mnist'"]),
        ("tfds:", "train", ["expected tfds:NAME", "got 'tfds:'"]),
        ("tfds", "train", ["expected tfds:NAME"]),
    ],
)
def test_refuses(spec, split, said):
    with pytest.raises(ValueError, match=re.escape(said[0])) as error:
        load(spec, split)
    for words in said[1:]:
        assert words in str(error.value)


def test_unprepared_says_what_to_run_and_downloads_nothing(folder, monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("tried to download")

    monkeypatch.setattr(tfds.core.DatasetBuilder, "download_and_prepare", refuse)
    with pytest.raises(FileNotFoundError) as error:
        load("tfds:mnist")
    assert f"expected a prepared data set in {folder}/mnist" in str(error.value)
    assert (
        'run: pip install tensorflow && python -c "import tensorflow_datasets as tfds; '
        "tfds.builder('mnist', file_format='array_record').download_and_prepare()\""
    ) in str(error.value)
    assert not (folder / "mnist").exists()


def test_other_file_format_says_what_to_run(tmp_path, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    features = {"x": tfds.features.Tensor(shape=(2,), dtype=np.float32)}
    prepare(tmp_path, "SmallOther", features, {"train": [{"x": np.ones(2, np.float32)}]})
    # tfds writes its default format with TensorFlow only, so the record is made to say that it did.
    record = tmp_path / "small_other" / "1.0.0" / "dataset_info.json"
    record.write_text(json.dumps(json.loads(record.read_text()) | {"fileFormat": "tfrecord"}))
    for path in record.parent.glob("*array_record*"):
        path.rename(str(path).replace("array_record", "tfrecord"))
    with pytest.raises(ValueError, match=r"array_record, got tfrecord in .*move.*then run: pip"):
        load("tfds:small_other")


def test_says_when_array_record_is_missing(monkeypatch):
    def missing(*args, **kwargs):
        raise ModuleNotFoundError("No module", name="array_record.python")

    monkeypatch.setattr(tfds.core.DatasetBuilder, "as_data_source", missing)
    with pytest.raises(ImportError, match="run: pip install array_record"):
        load("tfds:small_images")


def test_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)
    with pytest.raises(ImportError, match="pip install tensorflow-datasets array_record"):
        load("tfds:small_images")
