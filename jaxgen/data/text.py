"""``text:PATH[:LENGTH[/EVERY]][:bytes]``: a text file in pieces of some length, one an example.

The file is UTF-8, with or without a byte order mark. Its first 85 % of characters are the training
split, the next 5 % the validation split and the last 10 % the test split, each cut into consecutive
pieces of ``LENGTH`` characters (256 unless it says another number); nothing is left out, so the
last piece of a split is padded, and ``lengths`` says where. A likelihood is that of a piece, whose
beginning nothing precedes. The training split may have more of them, which overlap: with ``64/8``,
a piece of 64 characters begins at every eighth.

The levels are the characters of the training split in the order of their code points, after level
0, which stands for all others; they are the data set's ``vocabulary``. With ``bytes`` they are the
256 values of a byte, and a piece is so many bytes.

``npz:PATH`` says where files are looked up.
"""

import codecs
import operator
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from jaxgen.core import described
from jaxgen.data.npz import find
from jaxgen.data.splits import SPLITS

LENGTH = 256
# In twentieths of a text: where the training, the validation and the test split end.
_CUTS = (0, 17, 18, 20)


@dataclass(frozen=True)
class Vocabulary:
    """What the levels of a text stand for.

    Args:
        characters: those of level 1, 2, ...; level 0 is any other one. None for bytes.

    Raises:
        TypeError: if they are no text.
        ValueError: for a character that is given twice.

    >>> vocabulary = Vocabulary("abc")
    >>> vocabulary.levels, vocabulary.encode("cab!").tolist()
    (4, [3, 1, 2, 0])
    >>> vocabulary.decode([3, 1, 2, 0])
    'cab�'
    """

    characters: str | None = None

    def __post_init__(self) -> None:
        if self.characters is None:
            return
        _check_text(self.characters, "Vocabulary", "characters")
        if len(set(self.characters)) < len(self.characters):
            raise ValueError("Vocabulary: expected characters that differ, got one twice")

    @property
    def levels(self) -> int:
        """How many there are."""
        return 256 if self.characters is None else 1 + len(self.characters)

    def encode(self, text: str) -> np.ndarray:
        """The levels of a text, integers ``(length,)``: bytes of UTF-8, or characters.

        Raises:
            TypeError: if it is none.
        """
        _check_text(text, "Vocabulary.encode", "text")
        if self.characters is None:
            return np.frombuffer(text.encode(), np.uint8)
        level = {character: index for index, character in enumerate(self.characters, start=1)}
        dtype = np.min_scalar_type(len(self.characters))
        return np.array([level.get(character, 0) for character in text], dtype)

    def decode(self, levels: Iterable[int]) -> str:
        """The text of levels; what is no character is U+FFFD, the replacement character.

        Raises:
            TypeError: if they are no integers.
            ValueError: for a level that there is not.
        """
        try:
            found = [operator.index(level) for level in levels]
        except TypeError:
            raise TypeError(
                f"Vocabulary.decode: expected integer levels, got {described(levels)}"
            ) from None
        if found and not 0 <= min(found) <= max(found) < self.levels:
            raise ValueError(
                f"Vocabulary.decode: expected levels from 0 to {self.levels - 1}, got "
                f"{min(found)} to {max(found)}"
            )
        if self.characters is None:
            return bytes(found).decode(errors="replace")
        symbols = "\ufffd" + self.characters
        return "".join(symbols[level] for level in found)


def _check_text(value: object, where: str, name: str) -> None:
    if not isinstance(value, str):
        raise TypeError(f"{where}: expected a string for {name}, got {described(value)}")


# x, y, levels, lengths, rate, vocabulary
LoadedText = tuple[np.ndarray, None, int, np.ndarray, None, Vocabulary]


def load_text(rest: str, split: str) -> LoadedText:
    """One split of a text file.

    Args:
        rest: ``PATH``, ``PATH:LENGTH`` or ``PATH:LENGTH/EVERY``, with or without ``:bytes``.
        split: ``"train"``, ``"valid"`` or ``"test"``.

    Returns:
        x (n, LENGTH), no labels, the number of levels, lengths (n,), no rate, and the vocabulary.

    Raises:
        FileNotFoundError: no such file; the places tried are named.
        ValueError: the file is no UTF-8, or has too few characters for this split to have any.

    >>> import pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "abc.txt"
    >>> _ = path.write_text("abcab" * 20, encoding="utf-8")
    >>> x, _, levels, lengths, _, vocabulary = load_text(f"{path}:4", "test")
    >>> [vocabulary.decode(row[:length]) for row, length in zip(x, lengths)], levels
    (['abca', 'babc', 'ab'], 4)
    """
    path, length, every, in_bytes = _options(rest)
    found = find(path)
    whole = _stored(found, in_bytes)
    if len(whole) < length:
        raise ValueError(
            f"{found}: expected a text of a piece or more, {length} "
            f"{'bytes' if in_bytes else 'characters'}, got {len(whole)}; text:PATH:LENGTH takes "
            f"shorter pieces"
        )
    cuts = [len(whole) * twentieths // 20 for twentieths in _CUTS]
    part = SPLITS.index(split)
    if cuts[part] == cuts[part + 1]:
        raise ValueError(
            f"{found}: expected 20 characters at least to take the split {split!r} from, got "
            f"{len(whole)}"
        )
    piece = whole[cuts[part] : cuts[part + 1]]
    if isinstance(piece, bytes):
        vocabulary, values = Vocabulary(), np.frombuffer(piece, np.uint8)
    else:
        vocabulary = Vocabulary("".join(sorted(set(str(whole[: cuts[1]])))))
        values = vocabulary.encode(piece)
    x, lengths = _cut(values, length, every if split == "train" else length)
    return x, None, vocabulary.levels, lengths, None, vocabulary


def pieces_of(path: Path, length: int, vocabulary: Vocabulary) -> dict[str, Any]:
    """The fields of a data set of all of a text, in the numbers of a vocabulary.

    Raises:
        ValueError: the file is no UTF-8, or is empty.
    """
    whole = _stored(path, vocabulary.characters is None)
    if not whole:
        raise ValueError(f"{path}: expected a text, got none")
    values = (
        np.frombuffer(whole, np.uint8) if isinstance(whole, bytes) else vocabulary.encode(whole)
    )
    x, lengths = _cut(values, length, length)
    return {"x": x, "levels": vocabulary.levels, "lengths": lengths, "vocabulary": vocabulary}


def _stored(path: Path, in_bytes: bool) -> str | bytes:
    """What a file has, without a byte order mark at the beginning, which is no character."""
    stored = path.read_bytes().removeprefix(codecs.BOM_UTF8)
    try:
        return stored if in_bytes else stored.decode()
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path}: expected text in UTF-8, got a byte that is none at position {error.start}; "
            f"convert the file, or take its bytes: text:{path.name}:bytes"
        ) from None


def _cut(values: np.ndarray, length: int, step: int) -> tuple[np.ndarray, np.ndarray]:
    """Pieces of a length, each so much after the one before, and how much of each is there."""
    starts = np.arange(0, max(len(values) - length, 0) + step, step)
    x = np.pad(values, (0, length))[starts[:, None] + np.arange(length)]
    return x, np.minimum(length, len(values) - starts)


def _options(rest: str) -> tuple[str, int, int, bool]:
    """The path, a piece's length, how far it is to the next one, and whether that is in bytes."""
    path, *options = rest.split(":")
    in_bytes = options[-1:] == ["bytes"]
    if in_bytes:
        options.pop()
    length, slash, every = (options.pop(0) if options else str(LENGTH)).partition("/")
    every = every if slash else length
    numbers = length.isdecimal() and every.isdecimal()
    if not path or options or not numbers or not 1 <= int(every) <= int(length):
        raise ValueError(
            f"expected text:PATH, with :LENGTH, a number of characters, or :LENGTH/EVERY, where "
            f"EVERY is no more, and :bytes behind it, got 'text:{rest}'"
        )
    return path, int(length), int(every), in_bytes
