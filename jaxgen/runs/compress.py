"""Files of data, coded by a run's model, and back."""

import contextlib
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from jaxgen.compression.coding import decode, encoded
from jaxgen.compression.header import Header
from jaxgen.compression.measure import Size, size_of
from jaxgen.data import Dataset
from jaxgen.data.npz import load_array
from jaxgen.models import Model
from jaxgen.runs.directory import Run
from jaxgen.runs.files import ExperimentFile
from jaxgen.runs.outputs import opened_for
from jaxgen.training.claims import writing


def compress_run(
    run: Path | str,
    out: Path | str,
    *,
    split: str | None = None,
    num: int | None = None,
    data: Path | str | None = None,
    labels: Path | str | None = None,
    file: ExperimentFile | Path | str | None = None,
) -> Size:
    """Writes examples into a file from which the same run's model gives them back.

    Args:
        run: the run directory.
        out: the file.
        split: ``"train"``, ``"valid"`` or ``"test"``; the recipe's if None.
        num: so many examples, the first; None for all.
        data: an ``.npy`` or ``.npz`` file of examples, in place of those of the split.
        labels: such a file of contexts, for a model that takes any; None for the split's labels.
        file: the experiment file, for a model that is defined there; a path is executed.

    Returns:
        The size, beside the one that the model states.

    Raises:
        RunError: if there is no run, it is damaged, or the file cannot be written.
        ValueError: if the model cannot be coded, or the data do not fit it.
    """
    if num is not None and num < 0:
        raise ValueError(f"compress: expected 0 examples or more, got {num}")
    opened = opened_for(run, out, data=data)
    if data is not None and Path(data).suffix not in (".npy", ".npz"):
        raise ValueError(
            f"compress: expected an .npy or .npz file of examples as the model takes them, got "
            f"{data}; texts and pictures are coded in Python: jaxgen.compression.encode(model, x)"
        )
    rows = slice(num)
    own = opened.load_data(split or opened.recipe.eval_split) if data is None else None
    x = (load_array(Path(data)) if data is not None else own.x)[rows]  # type: ignore[union-attr]
    if own is not None and own.lengths is not None:
        padded = int(np.sum(own.lengths[rows] < own.event_shape[0]))
        if padded:
            warnings.warn(
                f"{padded} of {len(x)} examples of {own.name} end before the others; the padding "
                f"behind them is coded, too, and comes back",
                stacklevel=2,
            )
    model = _model(opened, file, own)
    context = _context(opened, model, own, split, labels, len(x), foreign=data is not None)
    with _in_a_line():
        coded = encoded(model, x, context)
        size = size_of(model, x, context, coded)
    with writing(out):
        Path(out).write_bytes(coded.data)
    return size


def decompress_run(
    run: Path | str,
    path: Path | str,
    out: Path | str,
    *,
    split: str | None = None,
    labels: Path | str | None = None,
    file: ExperimentFile | Path | str | None = None,
) -> str:
    """Writes the examples in a file of :func:`compress_run` as an ``.npy`` file.

    Args:
        run: the run directory.
        path: the file.
        out: the ``.npy`` file.
        split, labels, file: as there; split and labels play a role for a model of contexts only.

    Returns:
        What the file holds, in a line.

    Raises:
        RunError: if there is no run, it is damaged, or the file cannot be written.
        CompressionError: if the file is damaged, or another model, machine or version made it.
    """
    if Path(out).suffix != ".npy":
        raise ValueError(f"decompress: expected the name of an .npy file to write, got {out}")
    opened = opened_for(run, out, data=path)
    if not Path(path).is_file():
        raise ValueError(f"decompress: there is no file {path}")
    stored = Path(path).read_bytes()
    header, _ = Header.read(stored)
    needs = opened.recipe.crop is not None
    own = opened.load_data(split or opened.recipe.eval_split) if needs else None
    model = _model(opened, file, own)
    context = _context(opened, model, own, split, labels, header.number)
    with _in_a_line():
        x = decode(model, stored, context)
    with writing(out), Path(out).open("wb") as stream:
        np.save(stream, x)
    return f"{out}: {len(x)} examples of shape {x.shape[1:]}, {x.dtype}"


def _model(opened: Run, file: ExperimentFile | Path | str | None, data: Dataset | None) -> Model:
    """The run's model: of whole signals, where it was trained on pieces of them."""
    whole = data is not None and opened.recipe.crop is not None
    return opened.load(file, data.event_shape if data is not None and whole else None)


def _context(
    opened: Run,
    model: Model,
    data: Dataset | None,
    split: str | None,
    labels: Path | str | None,
    num: int,
    *,
    foreign: bool = False,
) -> np.ndarray | None:
    """The contexts of the first examples, if the model takes any."""
    if labels is not None:
        return load_array(Path(labels))[:num]
    if model.context_shape is None:
        return None
    if foreign:
        raise ValueError(
            f"{opened.path}: its model needs a context for each of {num} examples, which are not "
            f"the run's own; give a file of them: --labels"
        )
    if data is None:
        data = opened.load_data(split or opened.recipe.eval_split)
    found = opened.labels(model, data)
    if found is None or len(found) < num:
        there = 0 if found is None else len(found)
        raise ValueError(
            f"{opened.path}: its model needs a context for each of {num} examples, got {there} "
            f"labels of the data; give a file of them: --labels"
        )
    return found[:num]


@contextlib.contextmanager
def _in_a_line() -> Iterator[None]:
    """What is wrong with a model, or missing, as an error of the command's user."""
    try:
        yield
    except (ImportError, TypeError) as error:
        raise ValueError(str(error)) from error
