"""The files that commands write: what cannot become one is refused before the work for it."""

import csv
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jaxgen.training.claims import writing
from jaxgen.training.saved import RunError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PICTURES = (".png", ".pdf", ".svg", ".jpg", ".jpeg", ".webp")


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
