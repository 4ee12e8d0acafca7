"""The files that commands write: what cannot become one is refused before the work for it."""

import csv
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jaxgen.data.specs import place_of
from jaxgen.runs.directory import Run
from jaxgen.training.claims import writing
from jaxgen.training.saved import RunError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PICTURES = (".png", ".pdf", ".svg", ".jpg", ".jpeg", ".webp")
_DRAWN = (".npy", ".csv", ".wav", ".txt")  # what else a command may have written beside a run


def check_output(out: Path | str, *suffixes: str) -> None:
    """Refuses a file that could not be written, or whose name does not fit what is written.

    Args:
        out: the file.
        suffixes: how its name may end, if it has a suffix at all; anyhow if there are none.

    Raises:
        RunError: if it is a folder, or its own folder is not there, or not to be written in.
        ValueError: for another suffix.
    """
    path = Path(out)
    if suffixes and path.suffix.lower() not in ("", *suffixes):
        raise ValueError(f"expected the name of a file {' or '.join(suffixes)} to write, got {out}")
    why = None
    if path.is_dir():
        why = "it is a folder"
    elif not path.parent.is_dir():
        why = f"there is no folder {path.parent}"
    elif not os.access(path if path.exists() else path.parent, os.W_OK):
        why = "permission denied"
    if why is not None:
        raise RunError(f"cannot write {out}: {why}")


def check_spared(out: Path | str, *data: Path | None) -> None:
    """Refuses to write over data, or pictures and folders into a folder whose pictures are data.

    Args:
        out: the file or folder to be written.
        data: files and folders of what is read, see :func:`jaxgen.data.specs.place_of`.

    Raises:
        RunError: if it is one of them, or would become a part of one.
    """
    path = Path(out).resolve()
    becomes_data = path.suffix.lower() in ("", *PICTURES)
    for place in (each.resolve() for each in data if each is not None):
        same = path == place or (path.exists() and place.exists() and path.samefile(place))
        if same or (becomes_data and place.is_dir() and place in path.parents):
            raise RunError(f"cannot write {out}: {place} is read as data; choose another place")


def opened_for(
    run: Path | str, out: Path | str, *suffixes: str, data: str | Path | None = None
) -> Run:
    """A run whose model gives what is written into a file, which is checked first.

    Args:
        run: the run directory.
        out, suffixes: as in :func:`check_output`.
        data: what is read beside the run's own data, which are spared as well.

    Raises:
        RunError, ValueError: as there and in :func:`check_spared`, or if there is no run.
    """
    check_output(out, *suffixes)
    opened = Run.read(run)
    path, folder = Path(out).resolve(), opened.path.resolve()
    if path.exists() and folder in path.parents and path.suffix not in (*PICTURES, *_DRAWN):
        raise RunError(f"cannot write {out}: it is a part of the run; choose another place")
    given = None if data is None else place_of(str(data)) or Path(data)
    check_spared(out, given, place_of(opened.recipe.data))
    return opened


def write_table(out: Path | str, names: Sequence[str], rows: Iterable[Iterable[Any]]) -> None:
    """Writes rows, comma-separated, under the names of their columns.

    Raises:
        RunError: if it cannot be written.
    """
    with writing(out), Path(out).open("w", newline="") as target:
        table = csv.writer(target)
        table.writerow(names)
        table.writerows(rows)


def save_figure(figure: "Figure", out: Path | str) -> None:
    """Writes a picture, a PNG unless its name ends otherwise.

    Raises:
        RunError: if it cannot be written.
    """
    with writing(out):
        figure.savefig(out, dpi=120, format=None if Path(out).suffix else "png")
