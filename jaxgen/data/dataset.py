"""A validated data set."""

import functools
import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from jaxgen.core import check_array, checked_arguments, described, read_number, unknown
from jaxgen.core.stored import Change, Stored
from jaxgen.data.arrays import sha256_of
from jaxgen.data.checks import (
    as_labels,
    as_lengths,
    as_names,
    as_observed,
    check_levels,
    check_real,
    check_vocabulary,
    read_only,
)
from jaxgen.data.levels import binarize, quantize
from jaxgen.data.splits import SPLITS
from jaxgen.data.text import Vocabulary


@dataclass(frozen=True, eq=False, repr=False)
class Dataset:
    """One split of a data set, checked when it is made.

    Args:
        name: the spec that it was loaded from, or any name.
        split: ``"train"``, ``"valid"`` or ``"test"``.
        x: (n, *event_shape), integers in [0, levels) or finite floats; kept contiguous and
            read-only. Or stored examples (:class:`~jaxgen.core.stored.Stored`), which are checked
            when they are read.
        y: integer labels (n,), kept as int32, or None.
        levels: the number of values that an integer dimension can take: 17 for digits, 2 for binary
            data, 256 for 8-bit images; None for real-valued data.
        lengths: integers (n,) from 1 to ``length``, for examples of shape ``(length,)``, or
            ``(length, *position)`` of vectors, that end before: so many positions are data, and
            padding follows. None where all are whole.
        rate: for sound as mu-law codes, the samples a second; None for other data.
        vocabulary: for text, what the levels stand for; None for other data.
        columns: of a table, the names of its columns; None for other data.
        observed: of real values, booleans (n, *event_shape): where they are False the value is
            missing, and x is made NaN. None where all are there.
        classes: the names of the labels 0, 1, ..., if they have any.

    Raises:
        ValueError: the parts do not fit, or real values are not finite.

    >>> data = Dataset("bits", "train", np.array([[0, 1], [1, 1], [0, 0]]), levels=2)
    >>> data
    Dataset('bits', 'train', x=int64(3, 2), y=None, levels=2)
    >>> len(data), data.event_shape, data.sha256[:8]
    (3, (2,), 'acf1a054')
    """

    name: str
    split: str
    x: Any
    y: np.ndarray | None = None
    levels: int | None = None
    lengths: np.ndarray | None = None
    rate: int | None = None
    vocabulary: Vocabulary | None = None
    columns: tuple[str, ...] | None = None
    observed: np.ndarray | None = None
    classes: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        where = f"data set {self.name!r}, split {self.split!r}"
        if self.split not in SPLITS:
            raise unknown("split", self.split, SPLITS)
        for name, value in (("levels", self.levels), ("rate", self.rate)):
            object.__setattr__(self, name, read_number(value, int | None, name, where))
        for name, names in (("columns", self.columns), ("classes", self.classes)):
            if names is not None:
                object.__setattr__(self, name, as_names(names, name, where))
        if self.vocabulary is not None:
            check_vocabulary(self.vocabulary, self.levels, where)
        if isinstance(self.x, Stored):
            if not (self.lengths is None and self.observed is None):
                raise ValueError(f"{where}: expected examples in memory with lengths or observed")
            if self.y is not None:
                object.__setattr__(
                    self, "y", read_only(as_labels(self.y, len(self.x), self.classes, where))
                )
            return
        try:
            x = np.asarray(check_array(self.x, where))
        except TypeError as error:  # of a file as often as of a program
            raise ValueError(str(error)) from None
        if x.ndim == 0 or x.size == 0:
            raise ValueError(
                f"{where}: expected x of shape (n, *event_shape) with at least one row, got shape "
                f"{x.shape}; check the array that was given"
            )
        if self.columns is not None and x.shape[1:] != (len(self.columns),):
            raise ValueError(
                f"{where}: expected rows of {len(self.columns)} named columns, got {x.shape[1:]}"
            )
        if self.observed is not None:
            observed = as_observed(self.observed, x, self.levels, self.lengths, where)
            object.__setattr__(self, "observed", read_only(observed))
            x = np.where(observed, x, np.array(np.nan, x.dtype))
        if self.levels is None:
            check_real(x, where, self.observed)
        else:
            check_levels(x, self.levels, where)
        object.__setattr__(self, "x", read_only(np.ascontiguousarray(x)))
        if self.y is not None:
            object.__setattr__(self, "y", read_only(as_labels(self.y, len(x), self.classes, where)))
        if self.lengths is not None:
            object.__setattr__(self, "lengths", read_only(as_lengths(self.lengths, x, where)))

    @property
    def event_shape(self) -> tuple[int, ...]:
        """The shape of one example."""
        return self.x.shape[1:]

    @property
    def num_classes(self) -> int | None:
        """How many names the labels have, or one more than the largest; None without labels."""
        if self.y is None:
            return None
        return int(self.y.max()) + 1 if self.classes is None else len(self.classes)

    @property
    def num_values(self) -> int:
        """How many values the examples have together, padding and missing ones left out."""
        if self.observed is not None:
            return int(self.observed.sum())
        if self.lengths is None:
            return self.x.size
        return int(self.lengths.sum()) * math.prod(self.event_shape[1:])

    @functools.cached_property
    def sha256(self) -> str:
        """Hex digest of x: its dtype (as ``<f4``) and shape as text, then its bytes in C order.

        The bytes of the lengths follow, as ``<i4``, where there are lengths.
        """
        digest = self.x.digest() if isinstance(self.x, Stored) else sha256_of(self.x)
        if self.lengths is not None:
            digest.update(self.lengths.astype("<i4").data.cast("B"))
        return digest.hexdigest()

    @checked_arguments
    def reshaped(self, event_shape: tuple[int, ...]) -> "Dataset":
        """The same data with examples of another shape of the same size.

        Raises:
            ValueError: the sizes differ, or the examples have lengths.

        >>> flat = Dataset("digits", "train", np.zeros((5, 64), np.uint8), levels=17)
        >>> flat.reshaped((8, 8, 1)).x.shape
        (5, 8, 8, 1)
        """
        if event_shape == self.event_shape:
            return self
        sides = all(isinstance(side, int) and side > 0 for side in event_shape)
        if not sides or math.prod(event_shape) != math.prod(self.event_shape):
            raise ValueError(
                f"data set {self.name!r}, split {self.split!r}: expected an event shape of "
                f"{math.prod(self.event_shape)} entries, as {self.event_shape} has, got "
                f"{event_shape}"
            )
        if self.lengths is not None:
            raise ValueError(
                f"data set {self.name!r}, split {self.split!r}: expected examples without padding "
                f"to reshape, got lengths"
            )
        columns = self.columns if event_shape == self.event_shape else None
        if isinstance(self.x, Stored):
            return replace(self, x=self.x.reshaped(event_shape), columns=columns)
        x, there = (
            None if part is None else part.reshape(len(self), *event_shape)
            for part in (self.x, self.observed)
        )
        return replace(self, x=x, columns=columns, observed=there)

    def in_classes(self, classes: tuple[str, ...]) -> "Dataset":
        """The same data with labels that number other names, or the same in another order.

        Raises:
            ValueError: if a name of theirs is not among them, or they have none.

        >>> x, y = np.zeros((3, 2)), np.array([0, 1, 0])
        >>> cats = Dataset("cats", "test", x, y, classes=("lion", "tiger"))
        >>> cats.in_classes(("bear", "lion", "puma", "tiger")).y.tolist()
        [1, 3, 1]
        """
        if self.y is None or self.classes is None:
            raise ValueError(f"data set {self.name!r}: expected labels that have names")
        classes = as_names(classes, "classes", f"data set {self.name!r}")
        for name in self.classes:
            if name not in classes:
                raise unknown(f"class of {self.name}", name, classes)
        number = np.array([classes.index(name) for name in self.classes], np.int32)
        return replace(self, y=number[self.y], classes=classes)

    def in_vocabulary(self, vocabulary: Vocabulary) -> "Dataset":
        """The same text with characters that another vocabulary numbers, that of training.

        Every text is loaded with a vocabulary of its own, and a model knows the numbers of the
        text that it was trained on alone.

        Args:
            vocabulary: of the training data, or of a run: ``jaxgen.runs.Run.read(run).vocabulary``.
                Characters that it has not become level 0.

        Raises:
            ValueError: if this is no text, or of bytes where the other is of characters.

        >>> x = np.array([[1, 2], [2, 2]])
        >>> text = Dataset("ab", "test", x, levels=3, vocabulary=Vocabulary("ab"))
        >>> text.in_vocabulary(Vocabulary("bcd")).x.tolist()
        [[0, 1], [1, 1]]
        """
        own = self.vocabulary
        if not isinstance(vocabulary, Vocabulary):
            raise TypeError(f"in_vocabulary: expected a Vocabulary, got {described(vocabulary)}")
        if own is None or (own.characters is None) != (vocabulary.characters is None):
            unit = "bytes" if vocabulary.characters is None else "characters"
            raise ValueError(f"data set {self.name!r}: expected a text in {unit}")
        if own == vocabulary:
            return self
        # Level 0 stays what is no character, even where the replacement character is one.
        number = np.insert(vocabulary.encode(own.characters or ""), 0, 0)
        return replace(self, x=number[self.x], levels=vocabulary.levels, vocabulary=vocabulary)

    @checked_arguments
    def crops(self, size: int) -> "Dataset":
        """The same values in shorter examples: every one is cut into consecutive crops.

        The last crop of an example is padded, and ``lengths`` says where; nothing is left out.

        Args:
            size: values in a crop, at most those of an example.

        Returns:
            A data set of examples ``(size,)``, each with its example's label.

        Raises:
            ValueError: if the examples are not of shape ``(length,)``, or the size does not fit.

        >>> x = np.array([[1, 2, 3, 4, 5], [6, 7, 0, 0, 0]])
        >>> data = Dataset("bits", "train", x, levels=8, lengths=np.array([5, 2])).crops(3)
        >>> data.x.tolist(), data.lengths.tolist()
        ([[1, 2, 3], [4, 5, 5], [6, 7, 0]], [3, 2, 2])
        """
        where = f"data set {self.name!r}, split {self.split!r}"
        if self.x.ndim != 2:
            raise ValueError(
                f"{where}: expected examples of shape (length,) to cut into crops, got "
                f"{self.event_shape}"
            )
        if self.observed is not None:
            raise ValueError(f"{where}: expected every value to cut examples into crops")
        longest = self.x.shape[1]
        if not 1 <= size <= longest:
            raise ValueError(f"{where}: expected crops of 1 to {longest} values, got {size}")
        lengths = np.full(len(self), longest) if self.lengths is None else self.lengths
        counts = -(-lengths // size)
        rows = np.repeat(np.arange(len(self)), counts)
        first = size * (np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts))
        # Behind the end of the array, its last value stands again: padding, as the lengths say.
        columns = np.minimum(first[:, None] + np.arange(size), longest - 1)
        return replace(
            self,
            name=f"{self.name} in crops of {size}",
            columns=None,
            x=self.x[rows[:, None], columns],
            y=None if self.y is None else self.y[rows],
            lengths=np.minimum(lengths[rows] - first, size),
        )

    @checked_arguments
    def quantized(self, levels: int) -> "Dataset":
        """The same data in fewer levels, see :func:`jaxgen.data.levels.quantize`: less bit depth.

        Args:
            levels: how many, from 2 to as many as the data have.

        Raises:
            ValueError: if there are fewer than that, or the data are real.

        >>> from jaxgen.data import load
        >>> load("digits", "test").quantized(4)
        Dataset('digits in 4 levels', 'test', x=uint8(180, 8, 8, 1), y=int32(180,), levels=4)
        """
        before = self._require_levels(levels)
        x = self._changed(functools.partial(quantize, levels=before, to=levels))
        return replace(self, name=f"{self.name} in {levels} levels", x=x, levels=levels)

    @checked_arguments
    def binarized(self, seed: int = 0) -> "Dataset":
        """Ones with probability ``x / (levels - 1)``, drawn once for all.

        What to validate and test on if every training step draws others
        (:func:`jaxgen.training.augment.binarize`).

        Args:
            seed: of the draws, at least 0; those of a row depend on the seed and the row alone.

        >>> from jaxgen.data import load
        >>> load("digits", "test").binarized()
        Dataset('digits binarized', 'test', x=uint8(180, 8, 8, 1), y=int32(180,), levels=2)
        """
        levels = self._require_levels(2)
        if seed < 0:
            raise ValueError(f"binarized: expected a seed of 0 or more, got {seed}")
        seeds = (seed, SPLITS.index(self.split))
        x = self._changed(functools.partial(binarize, levels=levels, seeds=seeds))
        return replace(self, name=f"{self.name} binarized", x=x, levels=2)

    def _require_levels(self, fewer: int) -> int:
        """The levels of data that can be made fewer."""
        where = f"data set {self.name!r}, split {self.split!r}"
        if self.vocabulary is not None or self.rate is not None:
            raise ValueError(f"{where}: expected levels of grey or the like, got text or sound")
        if self.levels is None or not 2 <= fewer <= self.levels:
            has = "real values" if self.levels is None else f"{self.levels}"
            raise ValueError(
                f"{where}: expected from 2 to as many levels as there are, {has}, got {fewer}"
            )
        return self.levels

    def _changed(self, change: Change) -> Any:
        """The examples after a change of their values, which may depend on their rows."""
        if isinstance(self.x, Stored):
            return self.x.changed(change)
        return change(self.x, np.arange(len(self)))

    def __len__(self) -> int:
        return len(self.x)

    def __repr__(self) -> str:
        x, y = (None if a is None else f"{a.dtype}{a.shape}" for a in (self.x, self.y))
        more = "" if self.lengths is None else f", {self.num_values} values"
        more += "" if self.observed is None else f", {self.num_values} values observed"
        more += "" if self.rate is None else f", rate={self.rate}"
        more += "" if self.vocabulary is None else ", text"
        return f"Dataset({self.name!r}, {self.split!r}, x={x}, y={y}, levels={self.levels}{more})"
