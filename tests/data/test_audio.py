"""Sound archives: clips whole and in order, splits by takes, codes, labels, every refusal."""

import os
import re
from pathlib import Path

import numpy as np
import pytest

from jaxgen.data import load
from jaxgen.functional import companding

LENGTHS = np.array([5, 2, 7, 1, 3, 4])
TAKES = np.array([4, 10, 5, 0, 11, 9])
DIGITS = np.array([3, 1, 0, 2, 1, 0], np.uint8)
SPEAKERS = np.array(["zoe", "ann", "zoe", "bob", "ann", "bob"])
AUDIO = np.random.default_rng(0).integers(-(2**15), 2**15, LENGTHS.sum()).astype(np.int16)
CLIPS = np.split(AUDIO, np.cumsum(LENGTHS)[:-1])
ARRAYS = {
    "audio": AUDIO,
    "length": LENGTHS,
    "index": TAKES,
    "digit": DIGITS,
    "speaker": SPEAKERS,
}
FSDD = Path(os.environ.get("JAXGEN_DATA", "/nowhere")) / "fsdd.npz"  # before a fixture hides it
SPLITS = {"train": [1, 4], "valid": [2, 5], "test": [0, 3]}


@pytest.fixture(autouse=True)
def archive(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("JAXGEN_DATA", raising=False)
    np.savez("clips.npz", **ARRAYS)
    return tmp_path


@pytest.mark.parametrize("split", SPLITS)
def test_clips_are_whole_and_take_numbers_choose_their_split(split):
    data = load("audio:clips.npz:digit", split)
    clips = SPLITS[split]
    assert data.lengths.tolist() == LENGTHS[clips].tolist()
    assert data.y.tolist() == DIGITS[clips].tolist()
    assert (data.x.dtype, data.levels, data.rate) == (np.uint8, 256, 8000)
    assert data.event_shape == (7,)  # the longest clip of all splits
    for row, length, clip in zip(data.x, data.lengths, clips, strict=True):
        np.testing.assert_array_equal(row[:length], companding.from_pcm(CLIPS[clip]))
        assert (row[length:] == companding.SILENCE).all()


def test_no_clip_is_lost_and_none_stands_twice():
    parts = [load("audio:clips.npz", split) for split in SPLITS]
    assert sum(part.num_values for part in parts) == len(AUDIO)


def test_text_labels_are_numbered_in_alphabetical_order():
    assert load("audio:clips.npz:speaker", "train").y.tolist() == [0, 0]
    assert load("audio:clips.npz:speaker", "test").y.tolist() == [2, 1]
    assert load("audio:clips.npz", "test").y is None


def test_the_rate_may_be_stored_and_takes_may_be_missing():
    np.savez("clips.npz", audio=AUDIO[:22], length=[1] * 20 + [2], rate=16000)
    parts = [load("audio:clips.npz", split) for split in SPLITS]
    assert [len(part) for part in parts] == [16, 2, 3]
    assert {part.rate for part in parts} == {16000}


def test_crops_cover_every_value_once():
    data = load("audio:clips.npz:digit", "valid")
    for size in (1, 2, 3, 5, 7):
        pieces = data.crops(size)
        assert pieces.event_shape == (size,)
        assert pieces.num_values == data.num_values
        values = [row[:length] for row, length in zip(pieces.x, pieces.lengths, strict=True)]
        whole = [row[:length] for row, length in zip(data.x, data.lengths, strict=True)]
        np.testing.assert_array_equal(np.concatenate(values), np.concatenate(whole))
        assert pieces.y.tolist() == np.repeat(data.y, -(-data.lengths // size)).tolist()
        assert (pieces.levels, pieces.rate, pieces.split) == (256, 8000, "valid")
    assert data.crops(3).name == "audio:clips.npz:digit in crops of 3"


def test_the_digest_knows_the_lengths_and_the_repr_the_number_of_values():
    data = load("audio:clips.npz", "train")
    assert repr(data) == (
        "Dataset('audio:clips.npz', 'train', x=uint8(2, 7), y=None, levels=256, "
        "5 values, rate=8000)"
    )
    shorter = type(data)(data.name, "train", data.x, levels=256, lengths=data.lengths - 1)
    assert shorter.sha256 != data.sha256


def test_archives_are_looked_up_like_npz(archive, monkeypatch):
    (archive / "else").mkdir()
    os.rename("clips.npz", "else/clips.npz")
    monkeypatch.setenv("JAXGEN_DATA", "else")
    assert len(load("audio:clips.npz")) == 2
    with pytest.raises(FileNotFoundError, match=r"no\.npz"):
        load("audio:no.npz")


REFUSED = {
    "no path": ({}, "audio:", ["audio:PATH", "got no path"]),
    "no audio": ({"audio": None}, "audio:clips.npz", ["unknown array of", "'audio'"]),
    "no lengths": ({"length": None}, "audio:clips.npz", ["unknown array of", "'length'"]),
    "no labels": ({}, "audio:clips.npz:digits", ["'digits'", "did you mean 'digit'"]),
    "floats": (
        {"audio": AUDIO / 2**15},
        "audio:clips.npz",
        ["int16 of one axis", "float64(22,)", "convert"],
    ),
    "stereo": ({"audio": AUDIO.reshape(11, 2)}, "audio:clips.npz", ["int16(11, 2)"]),
    "empty clip": ({"length": LENGTHS * 0}, "audio:clips.npz", ["integers of at least 1"]),
    "too short": ({"audio": AUDIO[:-1]}, "audio:clips.npz", ["to the 21 samples", "got 22"]),
    "takes": ({"index": TAKES[1:]}, "audio:clips.npz", ["6 integers in 'index'", "int64(5,)"]),
    "negative take": ({"index": TAKES - 1}, "audio:clips.npz", ["takes of 0 or more", "got -1"]),
    "labels of another kind": (
        {"digit": DIGITS / 2},
        "audio:clips.npz:digit",
        ["6 integers in 'digit'", "float64(6,)"],
    ),
    "nothing to train on": ({"index": TAKES % 10}, "audio:clips.npz", ["'train', got none"]),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refuses(case):
    changes, spec, said = REFUSED[case]
    arrays = {key: array for key, array in (ARRAYS | changes).items() if array is not None}
    np.savez("clips.npz", **arrays)
    with pytest.raises(ValueError, match=re.escape(said[0])) as error:
        load(spec, "train")
    for words in said[1:]:
        assert words in str(error.value)


def test_a_damaged_archive():
    Path("clips.npz").write_bytes(b"no archive")
    with pytest.raises(ValueError, match="store it again"):
        load("audio:clips.npz")


@pytest.mark.skipif(not FSDD.is_file(), reason="needs fsdd.npz in the folder JAXGEN_DATA names")
def test_the_spoken_digits():
    parts = {split: load(f"audio:{FSDD}:digit", split) for split in SPLITS}
    assert {split: len(part) for split, part in parts.items()} == {
        "train": 2400,
        "valid": 300,
        "test": 300,
    }
    assert sum(part.num_values for part in parts.values()) == 10_498_424
    assert all(np.bincount(part.y).tolist() == [len(part) // 10] * 10 for part in parts.values())
