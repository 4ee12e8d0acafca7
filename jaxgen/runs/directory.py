"""Run directories: what belongs to which recipe, and how one is read back.

A run directory holds ``config.json``, ``metrics.jsonl``, ``record.json``, ``checkpoints/`` and
pictures. Reading one rebuilds the model from names and numbers and fills in arrays; no code from
it is executed.
"""

import contextlib
import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import numpy as np

from jaxgen.core import Shape
from jaxgen.data import Dataset
from jaxgen.models import Model
from jaxgen.runs.files import ExperimentFile
from jaxgen.runs.recipe import Functions, Recipe
from jaxgen.training.checkpoints import CheckpointError, Checkpoints


class RunError(ValueError):
    """A run directory is missing, damaged, in the way, or of another configuration."""


@dataclasses.dataclass(frozen=True)
class Run:
    """A run directory: its recipe, and what the data were like that it was trained on.

    Args:
        path: the directory.
        recipe: what is trained there, with its name.
        event_shape, levels, num_classes, rate: of the training data.
        file: the name of the experiment file, if the model is defined there.
    """

    path: Path
    recipe: Recipe
    event_shape: Shape
    levels: int | None
    num_classes: int | None
    rate: int | None
    file: str | None = None

    @classmethod
    def new(cls, path: Path, recipe: Recipe, data: Dataset, file: str | None) -> Self:
        """The run of a recipe on these training data, not yet written."""
        about = (data.event_shape, data.levels, data.num_classes, data.rate)
        return cls(path, recipe, *about, file=file)

    @classmethod
    def read(cls, path: Path | str) -> Self:
        """The run that is in a directory.

        Raises:
            RunError: if its ``config.json`` is missing or damaged.
        """
        source = Path(path) / "config.json"
        if not source.is_file():
            raise RunError(f"{path} is not a run directory: it has no config.json")
        try:
            config = _current(json.loads(source.read_text()))
            shape = config["event_shape"]
            if not (isinstance(shape, list) and all(isinstance(side, int) for side in shape)):
                raise TypeError(f"event_shape: expected a list of int, got {shape!r}")
            config["levels"]
            numbers = {name: config.get(name) for name in ("levels", "num_classes", "rate")}
            for name, number in numbers.items():
                if not isinstance(number, int | None):
                    raise TypeError(f"{name}: expected int or None, got {number!r}")
            recipe = dataclasses.replace(Recipe.from_dict(config["recipe"]), name=config["name"])
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise RunError(f"{source} is damaged: {type(error).__name__}: {error}") from error
        return cls(Path(path), recipe, tuple(shape), **numbers, file=config.get("file"))

    @property
    def name(self) -> str:
        """Of the run and its records."""
        return self.recipe.name or self.recipe.model

    def config(self) -> dict[str, Any]:
        """What ``config.json`` holds."""
        return {
            "name": self.name,
            "recipe": self.recipe.to_dict(),
            "event_shape": list(self.event_shape),
            "levels": self.levels,
            "num_classes": self.num_classes,
            "rate": self.rate,
            "file": self.file,
        }

    def claim(self) -> None:
        """Writes the configuration into a new directory, or checks that the old one is equal.

        Before the first checkpoint there is nothing to lose, so a corrected one may come.

        Raises:
            RunError: if the directory cannot be written, or holds a run of another configuration.
        """
        if any((self.path / "checkpoints").glob("[0-9]*")):
            if not (self.path / "config.json").exists():
                raise RunError(
                    f"{self.path} holds checkpoints without the config.json that says what they "
                    f"are of; put it back, or choose another --out"
                )
            old = Run.read(self.path)
            if old.num_classes is None:  # not written before runs knew of classes
                old = dataclasses.replace(old, num_classes=self.num_classes)
            differences = _differences(old.config(), self.config())
            if differences:
                raise RunError(
                    f"{self.path} holds a run of another configuration ({'; '.join(differences)}); "
                    f"choose another --out, or remove it"
                )
            return
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            # Written aside and renamed, so that a kill leaves no half of it.
            draft = self.path / "config.json.tmp"
            draft.write_text(json.dumps(self.config(), indent=2) + "\n")
            draft.rename(self.path / "config.json")
        except OSError as error:
            raise RunError(f"cannot write to {self.path}: {error}") from error

    def build(self, own: Functions | None = None, event_shape: Shape | None = None) -> Model:
        """The untrained model, of the training data's event shape unless another is given.

        Raises:
            RunError: if the model is defined in an experiment file, and its functions are missing.
        """
        if self.file is not None and own is None:
            raise RunError(
                f"{self.path}: its model {self.recipe.model!r} is defined in an experiment file, "
                f"{self.file}; give that file to load it: file=..., or --file on the command line"
            )
        shape = self.event_shape if event_shape is None else event_shape
        return self.recipe.build(shape, self.levels, self.num_classes, own)

    def load(
        self, file: ExperimentFile | Path | str | None = None, event_shape: Shape | None = None
    ) -> Model:
        """The trained model, see :func:`load`."""
        if isinstance(file, Path | str):
            file = ExperimentFile.load(file)
        model = self.build(None if file is None else file.functions, event_shape)
        if not (self.path / "checkpoints").is_dir():
            raise RunError(f"{self.path}: no checkpoint has been written yet; train it first")
        with Checkpoints(self.path / "checkpoints") as checkpoints:
            try:
                found = checkpoints.restore_model(model)
            except CheckpointError as error:
                raise RunError(str(error)) from error
        if found is None:
            raise RunError(f"{self.path}: no checkpoint has been written yet; train it first")
        return found[1]


def load(
    run: Path | str,
    *,
    event_shape: Shape | None = None,
    file: ExperimentFile | Path | str | None = None,
) -> Model:
    """The trained model of a run directory: the averaged parameters that were best in validation.

    Args:
        run: the run directory.
        event_shape: for a model whose parameters fit events of any length (WaveNet, a homogeneous
            Markov chain, a recurrent network), another shape than that of training.
        file: the experiment file, for a model that is defined there; a path is executed.

    Raises:
        RunError: if there is no run, it is damaged, its parameters do not fit the event shape, or
            it needs its experiment file.
    """
    shape = None if event_shape is None else tuple(event_shape)
    return Run.read(run).load(file, shape)


def labels_of(model: Model, data: Dataset) -> np.ndarray | None:
    """The labels of the examples, if the model is conditional on them."""
    return None if model.context_shape is None else data.y


@contextlib.contextmanager
def writing(out: Path | str) -> Iterator[None]:
    """Says of a failure to write which file it was about."""
    try:
        yield
    except OSError as error:
        raise RunError(f"cannot write {out}: {error}") from error


def _current(config: dict[str, Any]) -> dict[str, Any]:
    """A configuration in today's terms: until November 2026 recipes were called experiments, a crop
    a window, and counting was known by its pseudo-counts."""
    if "experiment" not in config:
        return config
    recipe = dict(config["experiment"])
    counts = recipe.pop("pseudo_counts", None)
    if counts is not None:
        recipe.update(procedure="counting", procedure_args={"pseudo_counts": counts})
    if "window" in recipe:
        recipe["crop"] = recipe.pop("window")
    return {**{k: v for k, v in config.items() if k != "experiment"}, "recipe": recipe}


def _differences(old: Any, new: Any, path: str = "") -> list[str]:
    if isinstance(old, dict) and isinstance(new, dict):
        keys = sorted(old.keys() | new.keys())
        return [
            text
            for key in keys
            for text in _differences(old.get(key), new.get(key), f"{path}.{key}" if path else key)
        ]
    return [] if old == new else [f"{path}: {old} there, {new} now"]
