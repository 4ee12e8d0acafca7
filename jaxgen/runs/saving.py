"""Models on disk: ``model.safetensors``, which holds arrays, and ``config.json``.

What is read back is arrays and plain data. A constructor of the zoo is called by its name, with
numbers and words as arguments; nothing else that a file names is looked up, and nothing executed.
"""

import dataclasses
import json
import tempfile
from pathlib import Path
from typing import Any

from flax import nnx

from jaxgen import zoo
from jaxgen.core import Shape, described
from jaxgen.models import Model
from jaxgen.runs.directory import Run
from jaxgen.runs.files import ExperimentFile
from jaxgen.runs.hub import PRETRAINED, located
from jaxgen.runs.recipe import Recipe
from jaxgen.training.claims import writing
from jaxgen.training.saved import (
    ARRAYS,
    CONFIG,
    RunError,
    SavedModel,
    damaged,
    write_arrays,
)


def save(model: nnx.Module, folder: Path | str, *, overwrite: bool = False) -> None:
    """Writes a model into a folder, from which :func:`load` gives it back to the bit.

    One that was put together by hand, as an :class:`~jaxgen.models.Embedded` is, is loaded with
    ``like=`` a model of the same structure.

    Args:
        model: any model, or other module; a trained one, a frozen one, an ensemble.
        folder: made by this, or empty.
        overwrite: replaces the model that was saved there before.

    Raises:
        TypeError: if it is no module.
        ValueError: if the folder holds something else, or a model and ``overwrite`` is not set; or
            the model's numbers are not known (under ``jit``), or no numbers.
        RunError: if it cannot be written.

    >>> import tempfile
    >>> model = zoo.maf((2,), layers=1, hidden=(8,), rngs=nnx.Rngs(0))
    >>> folder = Path(tempfile.mkdtemp()) / "maf"
    >>> save(model, folder)
    >>> sorted(path.name for path in folder.iterdir())
    ['config.json', 'model.safetensors']
    >>> float(load(folder).log_prob([0.5, -1.0]) - model.log_prob([0.5, -1.0]))
    0.0
    """
    if not isinstance(model, nnx.Module):
        raise TypeError(f"save: expected a model, got {type(model).__name__}")
    folder = Path(folder).absolute()
    _require_free(folder, overwrite)
    saved = SavedModel.of(model)
    with writing(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        # Written aside and renamed, so that what is there is a whole model at any time.
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".saving-") as aside:
            new, old = Path(aside) / "new", Path(aside) / "old"
            new.mkdir()
            # What a disk or a copy does to the arrays is found when they are loaded.
            saved = dataclasses.replace(saved, sha256=write_arrays(model, new / ARRAYS))
            (new / CONFIG).write_text(json.dumps(saved.to_dict(), indent=2) + "\n")
            if folder.exists():
                folder.rename(old)
            try:
                new.rename(folder)
            except OSError:
                if old.exists():
                    old.rename(folder)
                raise


def load(
    run: Path | str,
    *,
    event_shape: Shape | None = None,
    file: ExperimentFile | Path | str | None = None,
    like: Any = None,
) -> Any:
    """The model of a folder: one that was saved there, or trained there.

    Of a run it is the model with the averaged parameters that were best in validation. A model
    that was built by a constructor of the zoo, or a recipe, is built again; any other takes a model
    of its structure, ``like``.

    Args:
        run: the folder of :func:`save`; or the run directory of ``jaxgen train`` or of
            ``fit(out=...)``; or ``hf://OWNER/NAME``, a model on the Hugging Face Hub.
        event_shape: for a run of a recipe whose model's parameters fit events of any length
            (WaveNet, a homogeneous Markov chain, a recurrent network), another shape than that of
            training.
        file: the experiment file, for a run whose model is defined there; a path is executed.
        like: a model of the same structure, whose numbers play no role; for a model that was not
            built by the zoo or a recipe.

    Returns:
        The model, with the dtypes that were saved.

    Raises:
        RunError: if there is no run, it is damaged, a newer jaxgen wrote it, its parameters do not
            fit the event shape or ``like``, or it needs an experiment file or ``like``.
        ImportError: for a model on the Hub, if ``huggingface_hub`` is not installed.

    >>> import tempfile
    >>> from jaxgen.models import Dequantized
    >>> def build(seed):
    ...     flow = zoo.maf((2,), layers=1, hidden=(8,), bounds=(0, 4), rngs=nnx.Rngs(seed))
    ...     return Dequantized(flow, 4)
    >>> folder = Path(tempfile.mkdtemp()) / "dequantized"
    >>> save(build(0), folder)
    >>> load(folder, like=build(1)).levels
    4
    """
    if like is not None and not isinstance(like, nnx.Module):
        raise TypeError(
            f"load: expected a model, or a part of one, for like, got {described(like)}; give an "
            f"instance of a class"
        )
    folder = located(run)
    saved = SavedModel.read(folder)
    if saved is None:
        if like is not None:
            raise RunError(f"{folder}: a run of a recipe is loaded without like")
        return Run.read(folder).load(file, None if event_shape is None else tuple(event_shape))
    for name, value in (("event_shape", event_shape), ("file", file)):
        if value is not None:
            raise RunError(f"{folder}: {name} is for runs of recipes; this model was saved")
    return saved.load(_built(saved, folder) if like is None else like, folder)


def pretrained(name: str) -> Any:
    """A trained model that is installed with jaxgen; nothing is downloaded.

    Args:
        name: one of :func:`pretrained_names`, which are those of rows in the table of results.

    Raises:
        ValueError: for an unknown name, naming the nearest.

    >>> pretrained("maf_two_moons").event_shape
    (2,)
    """
    return load(PRETRAINED + name)


def _built(saved: SavedModel, folder: Path) -> Model:
    """The model as its constructor or recipe builds it."""
    origin = saved.origin
    if origin is None:
        raise RunError(
            f"{folder}: its {saved.structure['attributes'].get('')} was built by hand, not by "
            f"jaxgen.zoo or a recipe; give a model of the same structure: like=..."
        )
    try:
        shape = tuple(origin["event_shape"])
        if "recipe" in origin:
            recipe = Recipe.from_dict(origin["recipe"])
            return recipe.build(shape, origin["levels"], origin["num_classes"])
        arguments = {name: _tuples(value) for name, value in origin["arguments"].items()}
        return zoo.build(origin["constructor"], shape, arguments, rngs=nnx.Rngs(0))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise damaged(folder, error) from error


def _tuples(value: Any) -> Any:
    """JSON's lists as tuples, which modules keep."""
    return tuple(_tuples(each) for each in value) if isinstance(value, list) else value


def _require_free(folder: Path, overwrite: bool) -> None:
    """Refuses a folder that holds something."""
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return
    if not folder.is_dir() or {path.name for path in folder.iterdir()} != {CONFIG, ARRAYS}:
        raise ValueError(f"{folder}: expected a new or empty folder to save into, got one in use")
    if not overwrite:
        raise ValueError(f"{folder} holds a saved model; overwrite=True replaces it")
