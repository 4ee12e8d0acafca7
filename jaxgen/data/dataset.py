"""A validated data set, and the table of specs that ``load`` understands."""

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from jaxgen.core import check_array, checked_arguments, read_number, unknown
from jaxgen.core.stored import Change, Stored
from jaxgen.data.arrays import Loaded, sha256_of
from jaxgen.data.audio import load_audio
from jaxgen.data.checks import as_labels, as_lengths, check_levels, check_real, read_only
from jaxgen.data.digits import load_digits
from jaxgen.data.images import load_images
from jaxgen.data.levels import binarize, quantize
from jaxgen.data.npz import load_npz
from jaxgen.data.splits import SPLITS
from jaxgen.data.stored import load_npy
from jaxgen.data.tables import load_csv, load_parquet
from jaxgen.data.text import Vocabulary, load_text
from jaxgen.data.tfds import load_tfds
from jaxgen.data.toy import TOYS, load_toy


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

    def __post_init__(self) -> None:
        where = f"data set {self.name!r}, split {self.split!r}"
        if self.split not in SPLITS:
            raise unknown("split", self.split, SPLITS)
        for name, value in (("levels", self.levels), ("rate", self.rate)):
            object.__setattr__(self, name, read_number(value, int | None, name, where))
        if isinstance(self.x, Stored):
            if self.lengths is not None:
                raise ValueError(f"{where}: expected examples in memory with lengths")
            if self.y is not None:
                object.__setattr__(self, "y", read_only(as_labels(self.y, len(self.x), where)))
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
        if self.levels is None:
            check_real(x, where)
        else:
            check_levels(x, self.levels, where)
        object.__setattr__(self, "x", read_only(np.ascontiguousarray(x)))
        if self.y is not None:
            object.__setattr__(self, "y", read_only(as_labels(self.y, len(x), where)))
        if self.lengths is not None:
            object.__setattr__(self, "lengths", read_only(as_lengths(self.lengths, x, where)))

    @property
    def event_shape(self) -> tuple[int, ...]:
        """The shape of one example."""
        return self.x.shape[1:]

    @property
    def num_classes(self) -> int | None:
        """One more than the largest label; None without labels."""
        return None if self.y is None else int(self.y.max()) + 1

    @property
    def num_values(self) -> int:
        """How many values the examples have together, padding left out."""
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
        if isinstance(self.x, Stored):
            return replace(self, x=self.x.reshaped(event_shape))
        return replace(self, x=self.x.reshape(len(self), *event_shape))

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
        more += "" if self.rate is None else f", rate={self.rate}"
        more += "" if self.vocabulary is None else ", text"
        return f"Dataset({self.name!r}, {self.split!r}, x={x}, y={y}, levels={self.levels}{more})"


def _load_digits(rest: str, split: str) -> Loaded:
    if rest:
        raise ValueError(f"expected the spec 'digits', got 'digits:{rest}'; leave out ':{rest}'")
    return load_digits(split)


# What a loader returns are the fields of a data set from x on.
_LOADERS: dict[str, Callable[[str, str], tuple[Any, ...]]] = {
    "digits": _load_digits,
    "toy": load_toy,
    "npz": load_npz,
    "npy": load_npy,
    "images": load_images,
    "csv": load_csv,
    "parquet": load_parquet,
    "tfds": load_tfds,
    "audio": load_audio,
    "text": load_text,
}


@checked_arguments
def load(spec: str, split: str = "train") -> Dataset:
    """One split of a data set, by its spec.

    | spec | data |
    |---|---|
    | ``digits`` | scikit-learn's 8x8 digits with 17 levels (``jaxgen.data.digits``) |
    | ``toy:NAME`` | a density in the plane (``jaxgen.data.toy``) |
    | ``npz:PATH[:KEY]`` | arrays of a numpy archive (``jaxgen.data.npz``) |
    | ``npy:PATH`` | an array in a file, which is read as it is needed (``jaxgen.data.stored``) |
    | ``images:DIR[:SIDE]`` | a folder of pictures, likewise (``jaxgen.data.images``) |
    | ``csv:PATH[:LABEL]``, ``parquet:PATH[:LABEL]`` | tables (``jaxgen.data.tables``) |
    | ``tfds:NAME`` | a prepared TensorFlow Datasets data set (``jaxgen.data.tfds``) |
    | ``audio:PATH[:LABELS]`` | sound clips of an archive as mu-law codes (``jaxgen.data.audio``) |
    | ``text:PATH[:LENGTH[/EVERY]][:bytes]`` | pieces of a text file (``jaxgen.data.text``) |

    Of arrays on disk the dtype says the levels: bool has 2 and uint8 has 256, whatever values are
    there. So 0 and 1 in uint8 are grey images, reported in bits per dimension of 256 levels; store
    binary data as bool. Floats become float32, and are refused where that would lose their content.

    Args:
        spec: one of the forms above; ``names()`` lists them all.
        split: ``"train"``, ``"valid"`` or ``"test"``.

    Returns:
        The data set; the same spec and split give the same rows in the same order, always.

    Raises:
        ValueError: the spec or the split is unknown, or the data are not valid.
        FileNotFoundError: the data are not on this machine; nothing is ever downloaded.
        ImportError: a package that this data set needs is not installed.

    >>> load("digits")
    Dataset('digits', 'train', x=uint8(1437, 8, 8, 1), y=int32(1437,), levels=17)
    >>> load("toy:two_moons", "test")
    Dataset('toy:two_moons', 'test', x=float32(5000, 2), y=int32(5000,), levels=None)
    """
    if split not in SPLITS:
        raise unknown("split", split, SPLITS)
    kind, _, rest = spec.partition(":")
    if kind not in _LOADERS:
        raise unknown("data set", spec, [name for name, _ in names()])
    return Dataset(spec, split, *_LOADERS[kind](rest, split))


def names() -> list[tuple[str, str]]:
    """What ``load`` accepts: each spec with a line that describes it.

    Returns:
        Pairs (spec, description); in the last eight, the capitals are yours to fill in.

    >>> for spec, description in names()[:2]:
    ...     print(f"{spec:15} {description}")
    digits          1797 handwritten digits, 8x8 pixels with 17 levels
    toy:two_moons   two interleaved half circles of radius 1, noise 0.1
    """
    return [
        ("digits", "1797 handwritten digits, 8x8 pixels with 17 levels"),
        *((f"toy:{name}", draw.__doc__ or "") for name, draw in TOYS.items()),
        ("npz:PATH[:KEY]", "arrays of a numpy archive, in the current directory or JAXGEN_DATA"),
        ("npy:PATH", "an array in a file of any size, read as it is needed"),
        ("images:DIR[:SIDE]", "a folder of pictures, a class in each subfolder, read as needed"),
        ("csv:PATH[:LABEL]", "a table of numbers, with the labels in a column"),
        ("parquet:PATH[:LABEL]", "the same in a Parquet file"),
        ("tfds:NAME", "a prepared TensorFlow Datasets data set; TFDS_DATA_DIR names the folder"),
        ("audio:PATH[:LABELS]", "sound clips of a numpy archive, as 256 mu-law codes"),
        ("text:PATH[:LENGTH[/EVERY]][:bytes]", "pieces of a text file, as characters or bytes"),
    ]
