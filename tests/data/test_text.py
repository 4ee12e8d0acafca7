"""Text files: splits, vocabularies, pieces."""

import numpy as np
import pytest

from jaxgen.data import Dataset, Vocabulary, load

TEXT = "".join(chr(97 + (7 * i * i) % 19) for i in range(400)) + "é" * 100


@pytest.fixture
def path(tmp_path):
    file = tmp_path / "some.txt"
    file.write_text(TEXT, encoding="utf-8")
    return file


def joined(data: Dataset) -> str:
    rows = zip(data.x, data.lengths, strict=True)
    return "".join(data.vocabulary.decode(row[:length]) for row, length in rows)


def test_the_splits_are_the_text_in_order(path):
    parts = [load(f"text:{path}:30", split) for split in ("train", "valid", "test")]
    assert [joined(part) for part in parts] == [TEXT[:425], TEXT[425:450], TEXT[450:]]
    assert [part.num_values for part in parts] == [425, 25, 50]
    assert parts[0].event_shape == (30,)
    assert len({part.vocabulary for part in parts}) == 1
    assert parts[0].levels == parts[0].vocabulary.levels == 1 + len(set(TEXT[:425]))
    assert repr(parts[1]).endswith("25 values, text)")


@pytest.mark.parametrize(
    ("length", "every"), [(30, 10), (30, 7), (8, 8), (425, 1), (424, 1), (500, 3)]
)
def test_training_pieces_may_overlap(path, length, every):
    train, test = (load(f"text:{path}:{length}/{every}", split) for split in ("train", "test"))
    pieces = [
        train.vocabulary.decode(row[:n]) for row, n in zip(train.x, train.lengths, strict=True)
    ]
    assert (
        pieces
        == [TEXT[start : min(start + length, 425)] for start in range(0, 425, every)][: len(pieces)]
    )
    assert pieces[-1][-1] == TEXT[424]
    assert all(len(piece) == length for piece in pieces[:-1])
    assert len(pieces) == 1 or every * (len(pieces) - 2) + length < 425  # no more than needed
    assert joined(test) == TEXT[450:]


def test_what_training_never_shows_is_level_zero(tmp_path):
    file = tmp_path / "late.txt"
    file.write_text("ab" * 45 + "Z" * 10, encoding="utf-8")
    test = load(f"text:{file}:8", "test")
    assert test.levels == 3
    assert joined(test) == "\ufffd" * 10


@pytest.mark.parametrize("unit", ["", ":bytes"])
def test_a_byte_order_mark_is_no_character(path, tmp_path, unit):
    marked = tmp_path / "marked.txt"
    marked.write_text(path.read_text(encoding="utf-8"), encoding="utf-8-sig")
    for split in ("train", "test"):
        plain, other = (load(f"text:{file}:4{unit}", split) for file in (path, marked))
        assert (plain.sha256, plain.vocabulary) == (other.sha256, other.vocabulary)


def test_bytes_are_of_utf8(path):
    data = load(f"text:{path}:64:bytes", "test")
    assert (data.levels, data.x.dtype) == (256, np.uint8)
    assert set(joined(data)) == {"é"}
    assert load(f"text:{path}:bytes", "train").event_shape == (256,)


@pytest.mark.parametrize(
    ("rest", "message"),
    [
        ("", "expected text:PATH"),
        ("{}:0", "expected text:PATH"),
        ("{}:-3", "expected text:PATH"),
        ("{}:many", "expected text:PATH"),
        ("{}:8/9", "where EVERY is no more"),
        ("{}:8/", "expected text:PATH"),
        ("{}:8/0", "expected text:PATH"),
        ("{}:8:words", "expected text:PATH"),
        ("{}:8:9:bytes", "expected text:PATH"),
    ],
)
def test_a_wrong_spec_is_refused(path, rest, message):
    with pytest.raises(ValueError, match=message):
        load(f"text:{rest.format(path)}", "train")


def test_files_that_are_no_text_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="expected a file, found none"):
        load("text:nowhere.txt")
    (tmp_path / "latin.txt").write_bytes("é".encode("latin-1") * 100)
    with pytest.raises(ValueError, match=r"expected text in UTF-8.*position 0"):
        load(f"text:{tmp_path / 'latin.txt'}")
    codes = load(f"text:{tmp_path / 'latin.txt'}:8:bytes", "train").x  # which any file has
    assert (codes[:-1] == 0xE9).all()
    (tmp_path / "short.txt").write_text("abc")
    for split in ("train", "valid", "test"):
        with pytest.raises(ValueError, match="a piece or more, 256 characters, got 3"):
            load(f"text:{tmp_path / 'short.txt'}", split)
    with pytest.raises(ValueError, match="20 characters at least"):
        load(f"text:{tmp_path / 'short.txt'}:3", "valid")


def test_vocabularies_are_checked():
    with pytest.raises(ValueError, match="got one twice"):
        Vocabulary("abca")
    with pytest.raises(ValueError, match="levels from 0 to 3, got -1 to 4"):
        Vocabulary("abc").decode([-1, 4])
    assert Vocabulary().decode([0xC3]) == "\ufffd"  # half a character
    assert Vocabulary("abc").decode([]) == ""
