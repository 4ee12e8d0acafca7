"""The specs that ``load`` understands: a word for the kind of data, and where they are."""

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jaxgen.core import checked_arguments, unknown
from jaxgen.data.arrays import Loaded
from jaxgen.data.audio import load_audio
from jaxgen.data.dataset import Dataset
from jaxgen.data.digits import load_digits
from jaxgen.data.images import folder_of, load_images, place_and_side
from jaxgen.data.npz import find, load_npz
from jaxgen.data.splits import SPLITS
from jaxgen.data.stored import load_npy
from jaxgen.data.tables import load_csv, load_parquet
from jaxgen.data.text import load_text
from jaxgen.data.tfds import load_tfds
from jaxgen.data.toy import TOYS, load_toy


def _load_digits(rest: str, split: str) -> Loaded:
    if rest:
        raise ValueError(f"expected the spec 'digits', got 'digits:{rest}'; leave out ':{rest}'")
    return load_digits(split)


# What a loader returns are the fields of a data set: from x on, or by name.
_LOADERS: dict[str, Callable[[str, str], tuple[Any, ...] | dict[str, Any]]] = {
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
        suffix = Path(spec).suffix[1:]
        if suffix in _LOADERS and Path(spec).is_file():
            raise ValueError(f"unknown data set {spec!r}: did you mean '{suffix}:{spec}'?")
        forms = [name for name, _ in names()]
        raise unknown("data set", kind, [*_LOADERS, *forms], ", ".join(forms))
    loaded = _LOADERS[kind](rest, split)
    if isinstance(loaded, dict):
        return Dataset(spec, split, **loaded)
    return Dataset(spec, split, *loaded)


def place_of(spec: str) -> Path | None:
    """The file or folder that a spec names; None for data without any, or where it is not there.

    >>> place_of("digits"), place_of("csv:absent.csv:label")
    (None, None)
    """
    kind, _, rest = spec.partition(":")
    with contextlib.suppress(FileNotFoundError, ValueError):
        if kind == "images":
            return folder_of(place_and_side(rest)[0])
        if kind in ("npz", "npy", "csv", "parquet", "audio", "text"):
            return find(rest.partition(":")[0])
    return None


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
