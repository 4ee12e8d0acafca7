"""``npz:PATH[:KEY]``: arrays from a numpy ``.npz`` archive; pickles are refused.

- With a key: that one array, cut into 80/10/10 as ``shuffled_rows`` does.
- Without a key: the arrays ``train``, ``valid``, ``test``, or ``train_x``, ``valid_x``, ``test_x``.
  If there is no validation array, it is the last tenth of train, and train is the rest. If no array
  is named after a split, ``x``, or else the only array in the file, is taken as if it had been the
  key.
- Labels, where they exist: ``train_y`` beside ``train`` or ``train_x``, ``y`` beside ``x``,
  ``KEY_y`` beside ``KEY``.

A relative path is looked up in the current directory, then in the folder that the environment
variable JAXGEN_DATA names. Dtypes are converted as ``jaxgen.data.arrays`` says: uint8 has 256
levels, 0 and 1 alone too, so store binary data as bool; floats become float32, and are refused
where that would lose their content.
"""

import contextlib
import os
import tokenize
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from jaxgen.core import unknown
from jaxgen.data.arrays import Loaded, as_events
from jaxgen.data.splits import SPLITS, last_tenth, shuffled_rows


def load_npz(path_and_key: str, split: str) -> Loaded:
    """One split of an archive.

    Args:
        path_and_key: ``PATH`` or ``PATH:KEY``.
        split: ``"train"``, ``"valid"`` or ``"test"``.

    Returns:
        x (n, *event_shape), y (n,) or None, levels or None.

    Raises:
        FileNotFoundError: no such file; the places tried are named.
        ValueError: the file is damaged or no archive, has no such array, or its arrays do not fit.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "images.npz"
    >>> np.savez(path, train=np.zeros((50, 4, 4), np.uint8), test=np.zeros((9, 4, 4), np.uint8))
    >>> x, y, levels = load_npz(str(path), "valid")
    >>> x.shape, y, levels
    ((5, 4, 4, 1), None, 256)
    """
    given_path, _, key = path_and_key.partition(":")
    path = find(given_path)
    with open_archive(path) as file:
        if key or not (split_keys := _split_keys(file)):
            return _one_array(file, path, key or _only_key(file, path), split)
        return _split_arrays(file, path, split_keys, split)


def find(given: str) -> Path:
    """The existing file that a path of a spec means.

    Args:
        given: an absolute path, or one relative to the current directory or to ``$JAXGEN_DATA``.

    Returns:
        The path of the file.

    Raises:
        ValueError: the path is empty.
        FileNotFoundError: there is no such file in the places that were tried.

    >>> find("/absent.npz")
    Traceback (most recent call last):
    ...
    FileNotFoundError: expected a file, found none at /absent.npz
    """
    if not given:
        raise ValueError("expected a path, as in npz:PATH, npz:PATH:KEY or npy:PATH, got no path")
    path = Path(given).expanduser()
    if path.is_absolute():
        tried, advice = [path], ""
    elif root := os.environ.get("JAXGEN_DATA"):
        tried = [Path.cwd() / path, Path(root).expanduser() / path]
        advice = "; the second place is the folder in the environment variable JAXGEN_DATA"
    else:
        tried = [Path.cwd() / path]
        advice = "; to look in another folder too, name it in the environment variable JAXGEN_DATA"
    for candidate in tried:
        if candidate.is_file():
            return candidate
    raise FileNotFoundError(
        f"expected a file, found none at {' or '.join(str(place) for place in tried)}{advice}"
    )


def load_array(path: Path) -> np.ndarray:
    """The array of an ``.npy`` file; of an ``.npz`` archive ``x``, or the only one, as it is.

    Raises:
        OSError: no such file.
        ValueError: it is damaged, pickled, or has several arrays.
    """
    if not path.is_file():
        raise FileNotFoundError(f"expected a file, found none at {path}")
    with path.open("rb") as stream:
        is_archive = stream.read(2) == b"PK"
        stream.seek(0)
        if not is_archive:
            try:
                return np.load(stream, allow_pickle=False)
            except _DAMAGE as error:
                raise _damaged(path, error, ".npy file or .npz archive") from error
    with open_archive(path) as file:
        return read_array(file, path, _only_key(file, path))


@contextlib.contextmanager
def open_archive(path: Path) -> Iterator[np.lib.npyio.NpzFile]:
    """An archive, open while the context lasts.

    Raises:
        ValueError: the file is damaged, or no archive.
    """
    # Opened here, not by np.load, which leaves the file open when it turns out to be damaged.
    with path.open("rb") as stream:
        try:
            file = np.load(stream, allow_pickle=False)
        except _DAMAGE as error:
            raise _damaged(path, error) from error
        if not isinstance(file, np.lib.npyio.NpzFile):
            raise ValueError(
                f"{path}: expected an .npz archive, got a single array; "
                f"store it with np.savez(path, x=np.load({path.name!r}))"
            )
        with file:
            yield file


def read_array(file: np.lib.npyio.NpzFile, path: Path, key: str) -> np.ndarray:
    """The array of this name, which the archive has.

    Raises:
        ValueError: it is damaged, or pickled.
    """
    try:
        return file[key]
    except _DAMAGE as error:
        raise _damaged(path, error) from error


# What numpy lets through for a truncated, corrupted, foreign or pickled file; a header may claim
# petabytes, or be no Python literal.
_DAMAGE = (
    ValueError,
    OSError,
    EOFError,
    MemoryError,
    RecursionError,
    SyntaxError,
    tokenize.TokenError,
    zipfile.BadZipFile,
    zlib.error,
)


def _damaged(path: Path, error: Exception, what: str = ".npz archive") -> ValueError:
    return ValueError(
        f"{path}: expected an {what} of plain arrays (no pickled objects), got a file that "
        f"numpy cannot read ({error}); fetch or store it again"
    )


def _split_keys(file: np.lib.npyio.NpzFile) -> dict[str, str]:
    """The array of each split that has one."""
    names = {split: (split, f"{split}_x") for split in SPLITS}
    return {s: next(k for k in ks if k in file) for s, ks in names.items() if set(ks) & set(file)}


def _only_key(file: np.lib.npyio.NpzFile, path: Path) -> str:
    keys = list(file)
    if "x" in keys:
        return "x"
    if len(keys) == 1:
        return keys[0]
    raise ValueError(
        f"{path}: expected arrays named train, valid and test (or train_x, ...), or x, or only one "
        f"array, got {', '.join(keys) or 'none'}; name the one to use: npz:{path.name}:KEY"
    )


def _labels(file: np.lib.npyio.NpzFile, path: Path, key: str, num: int) -> np.ndarray | None:
    label_key = "y" if key == "x" else f"{key.removesuffix('_x')}_y"
    if label_key not in file:
        return None
    y = read_array(file, path, label_key)
    if y.shape[:1] != (num,):  # here, because the rows are about to be picked from both
        raise ValueError(
            f"{path}: expected {num} labels in {label_key!r}, one for each row of {key!r}, got "
            f"shape {y.shape}; store them row by row"
        )
    return y


def _one_array(file: np.lib.npyio.NpzFile, path: Path, key: str, split: str) -> Loaded:
    if key not in file:
        raise unknown(f"array of {path}", key, file)
    arrays, levels = as_events({key: read_array(file, path, key)}, str(path))
    x = arrays[key]
    y = _labels(file, path, key, len(x))
    rows = shuffled_rows(len(x), split)
    return x[rows], None if y is None else y[rows], levels


def _split_arrays(
    file: np.lib.npyio.NpzFile, path: Path, keys: dict[str, str], split: str
) -> Loaded:
    from_train = split == "valid" and "valid" not in keys
    source = "train" if from_train else split
    if source not in keys:
        raise ValueError(
            f"{path}: expected an array {source!r} or '{source}_x' for the split {split!r}, got "
            f"{', '.join(file)}; add it, or name one array to cut 80/10/10: npz:{path.name}:KEY"
        )
    # All splits are read even when one is asked for: the number of levels belongs to the data set.
    arrays, levels = as_events(
        {s: read_array(file, path, key) for s, key in keys.items()}, str(path)
    )
    x = arrays[source]
    y = _labels(file, path, keys[source], len(x))
    if source == "train" and "valid" not in keys:
        rows = last_tenth(len(x), split)
        x, y = x[rows], None if y is None else y[rows]
    return x, y, levels
