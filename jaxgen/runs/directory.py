"""Run directories: what belongs to which recipe, and how one is read back.

A run directory holds ``config.json``, ``data.json`` and ``splits.json`` (digests of what it is
trained on, and judged by), ``metrics.jsonl``, ``record.json``, ``checkpoints/`` and pictures.
Reading one rebuilds the model from names and numbers and fills in arrays; no code from it is
executed.
"""

import contextlib
import dataclasses
import json
import warnings
from pathlib import Path
from typing import Any, Self

import jax
import numpy as np

from jaxgen.core import Shape, unknown
from jaxgen.data import Dataset, Vocabulary
from jaxgen.models import Model
from jaxgen.runs.files import ExperimentFile
from jaxgen.runs.hub import located
from jaxgen.runs.recipe import Functions, Recipe
from jaxgen.training.augment import binarized_levels
from jaxgen.training.claims import claim, writing
from jaxgen.training.metrics import stopped_at, warn_unless_last
from jaxgen.training.saved import (
    VERSION,
    RunError,
    SavedModel,
    damaged,
    read_config,
    read_object,
    trained_model,
)

# The digests of the splits that the model is judged by, as they were when training began.
SPLITS = "splits.json"


@dataclasses.dataclass(frozen=True)
class Run:
    """A run directory: its recipe, and what the data were like that it was trained on.

    Args:
        path: the directory.
        recipe: what is trained there, with its name.
        event_shape, levels, num_classes, rate, vocabulary: of the training data.
        file: the name of the experiment file, if the model is defined there.
        columns: of the training data, if they are a table.
        classes: the names of their labels, if those have any.
    """

    path: Path
    recipe: Recipe
    event_shape: Shape
    levels: int | None
    num_classes: int | None
    rate: int | None
    vocabulary: Vocabulary | None = None
    file: str | None = None
    columns: tuple[str, ...] | None = None
    classes: tuple[str, ...] | None = None

    @classmethod
    def new(cls, path: Path, recipe: Recipe, data: Dataset, file: str | None) -> Self:
        """The run of a recipe on these training data, not yet written."""
        levels = data.levels if binarized_levels(recipe.augment) is None else 2
        about = (data.event_shape, levels, data.num_classes, data.rate, data.vocabulary)
        return cls(path, recipe, *about, file=file, columns=data.columns, classes=data.classes)

    @classmethod
    def read(cls, path: Path | str) -> Self:
        """The run that is in a directory, or at an address (:func:`~jaxgen.runs.hub.located`).

        Raises:
            RunError: if its ``config.json`` is missing or damaged, or a newer jaxgen wrote it.
        """
        path = located(path)
        config = read_config(path)
        if SavedModel.read(path) is not None:
            raise RunError(
                f"{path} holds a model without a recipe, as fit and save write it; jaxgen.load "
                f"gives it back, and commands are for runs of jaxgen train"
            )
        try:
            config = _current(config)
            shape = config["event_shape"]
            if not (isinstance(shape, list) and all(isinstance(side, int) for side in shape)):
                raise TypeError(f"event_shape: expected a list of int, got {shape!r}")
            config["levels"]
            numbers = {name: config.get(name) for name in ("levels", "num_classes", "rate")}
            for name, number in numbers.items():
                if not isinstance(number, int | None):
                    raise TypeError(f"{name}: expected int or None, got {number!r}")
            columns, classes = (
                None if config.get(each) is None else tuple(map(str, config[each]))
                for each in ("columns", "classes")
            )
            text = config.get("vocabulary")
            vocabulary = None if text is None else Vocabulary(**text)
            recipe = dataclasses.replace(Recipe.from_dict(config["recipe"]), name=config["name"])
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise damaged(path, error) from error
        more: dict[str, Any] = {
            "vocabulary": vocabulary,
            "file": config.get("file"),
            "columns": columns,
            "classes": classes,
        }
        return cls(path, recipe, tuple(shape), **numbers, **more)

    @property
    def name(self) -> str:
        """Of the run and its records."""
        return self.recipe.name or self.recipe.model

    def config(self) -> dict[str, Any]:
        """What ``config.json`` holds."""
        return {
            "version": VERSION,
            "name": self.name,
            "recipe": self.recipe.to_dict(),
            "event_shape": list(self.event_shape),
            "levels": self.levels,
            "num_classes": self.num_classes,
            "rate": self.rate,
            "vocabulary": None if self.vocabulary is None else dataclasses.asdict(self.vocabulary),
            "file": self.file,
            "columns": None if self.columns is None else list(self.columns),
            "classes": None if self.classes is None else list(self.classes),
        }

    def claim(self) -> None:
        """Writes the configuration into a new directory, or checks that the old one is equal.

        Before the first checkpoint there is nothing to lose, so a corrected one may come.

        Raises:
            RunError: if the directory cannot be written, or holds a run of another configuration.
        """

        def old(path: Path) -> dict[str, Any]:
            if (saved := SavedModel.read(path)) is not None:
                return saved.to_dict()
            run = Run.read(path)
            for name in (
                "num_classes",
                "columns",
                "classes",
            ):  # not written before runs knew of them
                if getattr(run, name) is None:
                    run = dataclasses.replace(run, **{name: getattr(self, name)})
            return run.config()

        claim(self.path, self.config(), old)

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
        """The trained model, see :func:`jaxgen.load`."""
        if isinstance(file, Path | str):
            file = ExperimentFile.load(file)
        own = None if file is None else file.functions
        model = self.build(own, event_shape)
        if event_shape not in (None, self.event_shape):
            trained, other = (
                [leaf.shape for leaf in jax.tree.leaves(each)] for each in (self.build(own), model)
            )
            if trained != other:
                raise RunError(
                    f"{self.path}: expected events of shape {self.event_shape}, as in training, "
                    f"got {event_shape}: another length is for models of signals or sequences of "
                    f"any length (WaveNet, a homogeneous Markov chain, a recurrent network), and "
                    f"the parameters of this {type(model).__name__} ({self.recipe.model}) do not "
                    f"fit it"
                )
        at, model = trained_model(self.path, model)
        if self.recipe.procedure == "gradient_descent":
            train = self.recipe.train
            warn_unless_last(self.path, at, train.steps, train.patience)
        return model

    def stopped_at(self) -> int | None:
        """The last step of a training that was not over then; None of one that is."""
        if self.recipe.procedure != "gradient_descent":
            return None
        settings = self.recipe.train
        return stopped_at(self.path / "metrics.jsonl", settings.steps, settings.patience)

    def class_of(self, label: str | int, model: Model) -> int:
        """The number of a class, said by its name, or by itself where no name is a number.

        Raises:
            ValueError: if there is none, or the model knows no classes.
        """
        if model.context_shape is None or self.num_classes is None:
            raise ValueError(f"label: expected a run of classes, got {self.path}")
        if str(label) in (names := self.classes or ()):
            return names.index(str(label))
        # Where names are numbers, a number is a name: folders 0, 3 and 7 hold no class 2.
        numbered = any(name.lstrip("-").isdecimal() for name in names)
        if numbered or not str(label).isdecimal() or int(label) >= self.num_classes:
            raise unknown("class", str(label), names or map(str, range(self.num_classes)))
        return int(label)

    def load_data(self, split: str) -> Dataset:
        """A split of the recipe's data as they are now.

        Raises:
            RunError: if it is text whose characters are numbered in another way.

        Warns:
            UserWarning: if the split is not as it was in training.
        """
        data = self.recipe.load_data(split)
        if self.vocabulary is not None and data.vocabulary != self.vocabulary:
            old, new = map(_characters, (self.vocabulary, data.vocabulary))
            gone, came = ("".join(sorted(each)) for each in (old - new, new - old))
            raise RunError(
                f"{self.path}: {self.recipe.data} has another vocabulary than in training (without "
                f"{gone!r}, with {came!r}), so its levels stand for other characters; put the file "
                f"of training back, or train again"
            )
        if self.has_changed(data):
            warnings.warn(
                f"{self.path}: the {split} split of {self.recipe.data} is not what it was in "
                f"training. Examples that the model was trained on may be in it now, and numbers "
                f"that mean something else; put the data back, or train again",
                stacklevel=3,
            )
        return data

    def has_changed(self, data: Dataset) -> bool:
        """Whether a split of the recipe's data is known to have been another in training."""
        if not (self.path / SPLITS).exists():  # written since November 2026
            return False
        known = read_object(self.path, SPLITS).get(data.split)
        return known is not None and known != data.sha256

    def keep_splits(self, valid: Dataset) -> None:
        """Writes down what the splits are that the model is judged by, of a training that starts.

        The training data themselves are in ``data.json``.

        Args:
            valid: the validation split, which has been loaded.
        """
        begun = any((self.path / "checkpoints").glob("[0-9]*"))
        if begun and (self.path / SPLITS).exists():
            return
        known = {"valid": valid.sha256}
        with contextlib.suppress(ValueError):  # there may be no test data
            known["test"] = self.recipe.load_data("test").sha256
        with writing(self.path):
            (self.path / SPLITS).write_text(json.dumps(known, indent=2) + "\n")

    def labels(self, model: Model, data: Dataset) -> np.ndarray | None:
        """The labels of examples, if the model is conditional on them, as it knows them.

        Raises:
            RunError: if one has a name that was none in training.
        """
        if model.context_shape is None or data.y is None:
            return None
        if data.classes in (None, self.classes):
            return data.y
        # Labels that were numbers alone in training are those numbers.
        known = self.classes or tuple(map(str, range(self.num_classes or 0)))
        try:
            return data.in_classes(known).y
        except ValueError as error:
            raise RunError(f"{self.path}: {error}") from None


def _characters(vocabulary: Vocabulary | None) -> set[str]:
    return set("" if vocabulary is None else vocabulary.characters or "")


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
