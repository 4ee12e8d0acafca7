"""``images:DIR[:SIDE]``: pictures in a folder, read when they are needed.

- The splits are the subfolders ``train``, ``valid`` and ``test``; without ``valid`` it is the last
  tenth of the shuffled training pictures. Without ``train`` all pictures are shuffled and cut into
  80/10/10, see :func:`jaxgen.data.splits.shuffled_rows`.
- Where pictures lie in subfolders, those are their classes, numbered in alphabetical order.
- All must be of one size and mode, grey or colour; with ``SIDE`` each is cut to the square in its
  middle, and resized to ``SIDE`` by ``SIDE``.
"""

import hashlib
import os
from pathlib import Path
from typing import Any

import numpy as np

from jaxgen.core.stored import Stored
from jaxgen.data.splits import shuffled_rows

_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff")


class StoredImages(Stored):
    """Pictures by their paths, as uint8 arrays ``(n, height, width, channels)``.

    Args:
        paths: the files.
        side: of the square that each is cut and resized to; None for all as they are.

    Raises:
        ValueError: if the first is no picture.
    """

    def __init__(self, paths: list[Path], side: int | None = None):
        self._paths, self._side = paths, side
        super().__init__((len(paths), *self._open(0, None).shape), np.uint8)

    @property
    def paths(self) -> list[Path]:
        """The file of each picture."""
        rows = range(len(self._paths)) if self._rows is None else self._rows.tolist()
        return [self._paths[row] for row in rows]

    def read(self, rows: np.ndarray) -> np.ndarray:
        found = np.empty((len(rows), *self._shape[1:]), np.uint8)
        for index, row in enumerate(rows.tolist()):
            found[index] = self._open(row, self._shape[1:])
        return found

    def digest(self) -> Any:
        digest = hashlib.sha256(f"images{self.shape}".encode())
        for path in self.paths:
            digest.update(path.name.encode())
            digest.update(hashlib.sha256(path.read_bytes()).digest())
        return digest

    def _open(self, row: int, shape: tuple[int, ...] | None) -> np.ndarray:
        from PIL import Image, ImageOps

        path = self._paths[row]
        try:
            with Image.open(path) as picture:
                picture.load()
                whole = ImageOps.exif_transpose(picture)
        except (OSError, SyntaxError, ValueError) as error:
            raise ValueError(f"{path}: expected a picture, got {error}") from None
        if whole.mode[0] in "IF":
            raise ValueError(f"{path}: expected 8 bits for each colour, got more; convert it first")
        if whole.has_transparency_data and whole.convert("RGBA").getchannel("A").getextrema() != (
            255,
            255,
        ):
            raise ValueError(f"{path}: expected no transparent pixels, got some; flatten it first")
        grey = whole.mode in ("1", "L", "LA")
        channels = 1 if grey else 3
        if shape is not None and channels != shape[-1]:
            kinds = {1: "grey", 3: "colour"}
            raise ValueError(
                f"{path}: expected a picture in {kinds[shape[-1]]}, as the first is, got one in "
                f"{kinds[channels]}; convert one or the other"
            )
        whole = whole.convert("L" if grey else "RGB")
        if self._side is not None:
            whole = ImageOps.fit(whole, (self._side, self._side), Image.Resampling.LANCZOS)
        array = np.asarray(whole, np.uint8).reshape(whole.height, whole.width, channels)
        if shape is not None and array.shape != shape:
            raise ValueError(
                f"{path}: expected a picture of {shape[1]} x {shape[0]}, as the first is, got "
                f"{whole.width} x {whole.height}; images:DIR:SIDE cuts and resizes all to a square"
            )
        return array


def load_images(given: str, split: str) -> dict[str, Any]:
    """One split of a folder of pictures.

    Args:
        given: ``DIR`` or ``DIR:SIDE``; a relative one is looked up in the current directory, then
            in the folder that the environment variable JAXGEN_DATA names.
        split: ``"train"``, ``"valid"`` or ``"test"``.

    Returns:
        The fields of a data set by name: x (n, height, width, channels), stored; 256 levels; and
        where pictures lie in subfolders, y (n,) and the names of the classes.

    Raises:
        FileNotFoundError: if there is no such folder.
        ValueError: if it has no pictures, or none for this split, or ``SIDE`` is no number.
    """
    place, side = place_and_side(given)
    folder = folder_of(place)
    if side == 0:
        raise ValueError(f"images:{given}: expected a side of a pixel or more, got 0")
    if (folder / "train").is_dir():
        paths = _pictures(folder / ("train" if split == "valid" else split))
        if split != "test" and not (folder / "valid").is_dir():
            order = np.random.default_rng(0).permutation(len(paths))
            cut = len(paths) - len(paths) // 10
            paths = [paths[row] for row in (order[:cut] if split == "train" else order[cut:])]
        elif split == "valid":
            paths = _pictures(folder / "valid")
        root = folder / "train"
    else:
        paths, root = _pictures(folder), folder
        if not paths:
            raise ValueError(f"{folder}: expected pictures, found none")
        paths = [paths[row] for row in shuffled_rows(len(paths), split)]
    if not paths:
        raise ValueError(f"images:{given}: expected pictures for the split {split!r}, got none")
    # The classes are those of the training pictures, whatever a split has of them.
    classes = sorted(p.name for p in root.iterdir() if p.is_dir() and p.name[0] != ".")
    labels = None
    if classes:
        folders = [path.parent.name for path in paths]
        strange = [path for path, name in zip(paths, folders, strict=True) if name not in classes]
        if strange:
            raise ValueError(
                f"images:{given}: expected pictures in the folder of a class ({', '.join(classes)})"
                f", got {strange[0]}"
            )
        filled = {path.parent.name for path in _pictures(root)}
        if empty := [name for name in classes if name not in filled]:
            raise ValueError(
                f"images:{given}: expected pictures of every class, got none of {empty[0]!r}; "
                f"remove its folder, or no example would ever tell what it is"
            )
        labels = np.array([classes.index(name) for name in folders], np.int32)
    names = {"y": labels, "classes": tuple(classes)} if classes else {}
    return {"x": StoredImages(paths, side), "levels": 256, **names}


def place_and_side(given: str) -> tuple[str, int | None]:
    """``DIR:SIDE`` as the two of them, ``DIR`` with None.

    >>> place_and_side("photos:32"), place_and_side("C:/photos")
    (('photos', 32), ('C:/photos', None))
    """
    place, _, size = given.rpartition(":")
    return (place, int(size)) if place and size.isdigit() else (given, None)


def pictures_of(folder: Path, side: int | None) -> StoredImages:
    """All pictures of a folder and its subfolders, in alphabetical order.

    Raises:
        ValueError: if there are none.
    """
    paths = _pictures(folder)
    if not paths:
        raise ValueError(f"{folder}: expected pictures, found none")
    return StoredImages(paths, side)


def folder_of(given: str) -> Path:
    """The folder that a path means, which may be one in JAXGEN_DATA.

    Raises:
        FileNotFoundError: if there is none.
    """
    root = os.environ.get("JAXGEN_DATA")
    tried = [Path(given).expanduser(), *([] if root is None else [Path(root) / given])]
    for folder in tried:
        if given and folder.is_dir():
            return folder
    places = " or ".join(str(folder.absolute()) for folder in tried)
    hint = "" if root is not None else "; JAXGEN_DATA names another folder to look in"
    raise FileNotFoundError(f"images:{given}: expected a folder, found none at {places}{hint}")


def _pictures(folder: Path) -> list[Path]:
    """The pictures of a folder and its subfolders, in alphabetical order."""
    if not folder.is_dir():
        raise ValueError(f"{folder}: expected a folder of pictures, found none")
    found = (path for path in folder.rglob("*") if path.suffix.lower() in _SUFFIXES)
    # What other systems leave behind begins with a dot.
    return sorted(
        p for p in found if not any(part[0] == "." for part in p.relative_to(folder).parts)
    )
