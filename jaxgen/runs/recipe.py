"""A recipe: a model, data, an objective, a procedure and settings, as plain data."""

import dataclasses
import inspect
import json
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Self

import optax
from flax import nnx

from jaxgen import data as datasets
from jaxgen import zoo
from jaxgen.core import Shape, replace, unknown
from jaxgen.data import Dataset
from jaxgen.models import Dequantized, Embedded, Model
from jaxgen.networks import Embedding
from jaxgen.runs.assignments import inside, parsed
from jaxgen.training.augment import augmented, binarized_levels, named_augmentations
from jaxgen.training.objectives import Objective, named_objective
from jaxgen.training.optimizers import optimizer_names
from jaxgen.training.procedures import Procedure, named_procedure
from jaxgen.training.settings import TrainSettings, check_types
from jaxgen.zoo.registry import PARTS

EVAL_SPACES = ("data", "logit")

# The fields that decide about the untrained model, apart from its seed.
_OF_THE_MODEL = (
    "model",
    "data",
    "model_args",
    "class_features",
    "dequantize",
    "dequantizer_args",
)

# The functions of an experiment file, by name.
Functions = Mapping[str, Callable[..., Any]]


@dataclasses.dataclass(frozen=True)
class Recipe:
    """What ``jaxgen train`` runs.

    It holds names and numbers only, so a run can be loaded again without executing anything.

    A model, an objective and an optimizer are names of jaxgen's, or of functions that the
    experiment file defines beside the recipe::

        def build(event_shape, levels, num_classes, rngs, **model_args): ...  # a Model
        def objective(model, batch, key, **objective_args): ...               # a loss
        def optimizer(settings): ...                     # an optax.GradientTransformation

    Such a run takes the file again to be loaded.

    Args:
        model: a constructor of :mod:`jaxgen.zoo`, or the file's own, by name.
        data: a data set, see :func:`jaxgen.data.load`.
        model_args: hyperparameters of the constructor; ``levels``, if it has one, is that of the
            data unless it is given.
        event_shape: of images that are stored as vectors, say; None for the data's own.
        class_features: trains p(x | label): the data's labels reach the model through an embedding
            of this size; None for an unconditional model, or one that takes labels itself.
        dequantize: wraps a flow for integer levels, with uniform noise.
        dequantizer_args: hyperparameters of :func:`jaxgen.zoo.dequantizer`, which replaces the
            uniform noise by a conditional flow (variational dequantization); None for uniform.
        crop: for signals: training and validation see them in pieces of so many values
            (:meth:`jaxgen.data.Dataset.crops`); the record is of whole signals, so the model's
            parameters must fit any length. None for whole signals throughout.
        quantize: the data in so many levels, fewer than they have (bit depth); None for their own.
        augment: what is done to training examples, drawn anew in every step, one after the other:
            ``"flip"`` (left for right), ``"crop"`` or ``"crop:PADDING"`` (moved by some pixels),
            ``"binarize"`` or ``"binarize:LEVELS"`` (grey as the probability of a one, drawn once
            for validation and the record); see :mod:`jaxgen.training.augment`.
        objective: what training minimises, see :mod:`jaxgen.training.objectives`.
        objective_args: its arguments.
        procedure: ``"gradient_descent"``, or ``"counting"`` of tables; see
            :mod:`jaxgen.training.procedures`.
        procedure_args: its arguments.
        train: the settings of training.
        eval_split: the split that the record is about.
        eval_samples: importance samples for a model without an exact likelihood; 1 for the ELBO.
        eval_space: ``"data"``, or ``"logit"`` for the density of dequantized data in logit space,
            see :func:`jaxgen.evaluation.in_logit_space`.
        name: of the run and its record; None for that of the experiment.
        summary: a line about it, which ``jaxgen list`` shows.

    >>> recipe = Recipe(model="maf", data="toy:two_moons")
    >>> recipe.override(["steps=10", "layers=2", "optimizer_args.b1=0.5"]).train.optimizer_args
    {'b1': 0.5}
    """

    model: str
    data: str
    model_args: dict[str, Any] = dataclasses.field(default_factory=dict)
    event_shape: list[int] | None = None
    class_features: int | None = None
    dequantize: bool = False
    dequantizer_args: dict[str, Any] | None = None
    crop: int | None = None
    quantize: int | None = None
    augment: list[str] = dataclasses.field(default_factory=list)
    objective: str = "negative_log_likelihood"
    objective_args: dict[str, Any] = dataclasses.field(default_factory=dict)
    procedure: str = "gradient_descent"
    procedure_args: dict[str, Any] = dataclasses.field(default_factory=dict)
    train: TrainSettings = dataclasses.field(default_factory=TrainSettings)
    eval_split: str = "test"
    eval_samples: int = 1
    eval_space: str = "data"
    name: str | None = None
    summary: str = ""

    def __post_init__(self) -> None:
        check_types(self)
        if self.eval_space not in EVAL_SPACES:
            raise unknown("eval_space", self.eval_space, EVAL_SPACES)
        if self.dequantizer_args is not None and not self.dequantize:
            raise ValueError("dequantizer_args: expected dequantize=True with them, got False")
        if self.eval_samples < 1:
            raise ValueError(f"eval_samples: expected at least 1, got {self.eval_samples}")
        named_augmentations(self.augment)  # which refuses what it does not know

    def load_data(self, split: str) -> Dataset:
        """A split of the data as the model knows them: of the recipe's shape and levels."""
        return self.as_known(datasets.load(self.data, split))

    def as_known(self, data: Dataset) -> Dataset:
        """Other data, in the same way."""
        data = self._shaped(data)
        return data if binarized_levels(self.augment) is None else data.binarized()

    def load_examples(self, split: str) -> Dataset:
        """A split of the data as augmentations take them, which may be grey."""
        return self._shaped(datasets.load(self.data, split))

    def _shaped(self, data: Dataset) -> Dataset:
        try:
            data = data if self.event_shape is None else data.reshaped(tuple(self.event_shape))
        except TypeError as error:  # a setting of another kind, and no mistake in a program
            raise ValueError(str(error)) from None
        data = data if self.quantize is None else data.quantized(self.quantize)
        if (grey := binarized_levels(self.augment)) not in (None, data.levels):
            raise ValueError(f"augment: binarize: expected {grey} levels, got those of {data}")
        return data

    def build(
        self,
        event_shape: Shape,
        levels: int | None,
        num_classes: int | None = None,
        own: Functions | None = None,
    ) -> Model:
        """The untrained model for events of this shape, number of levels and number of classes.

        Args:
            event_shape, levels, num_classes: of the data.
            own: the functions of the experiment file, by name.
        """
        rngs = nnx.Rngs(self.train.seed)
        arguments = dict(self.model_args)
        if self.class_features is not None:
            arguments["context_features"] = self.class_features
        build = self.own_model(own)
        if build is None:
            if not self.dequantize and "levels" in zoo.hyperparameters(self.model):
                arguments.setdefault("levels", levels)
            model = _from_zoo(self.model, event_shape, arguments, rngs)
            if levels is None and model.levels is not None and math.isfinite(model.levels):
                raise ValueError(
                    f"{self.model}: expected levels=None among model_args, as {self.data} has real "
                    f"values, got a model of {model.levels} levels"
                )
            if levels is not None and model.levels is not None and model.levels < levels:
                raise ValueError(
                    f"{self.model}: expected levels={levels} among model_args, as {self.data} has "
                    f"so many, got a model of {model.levels}"
                )
        else:
            model = _called(
                self.model, build, tuple(event_shape), levels, num_classes, rngs, **arguments
            )
            if not isinstance(model, Model):
                raise ValueError(f"{self.model}: expected it to build a Model, got {model!r}")
        if self.dequantize:
            if levels is None:
                raise ValueError(
                    f"dequantize is for integer levels, but {self.data} has real values"
                )
            noise = None
            if self.dequantizer_args is not None:
                noise = _from_zoo("dequantizer", event_shape, self.dequantizer_args, rngs)
            model = Dequantized(model, levels, noise)
        if self.class_features is not None:
            if num_classes is None:
                raise ValueError(
                    f"class_features is for labelled data, but {self.data} has no labels"
                )
            model = Embedded(model, Embedding(num_classes, self.class_features, rngs=rngs))
        if build is not None or model.origin is not None:
            return model
        origin = {
            "recipe": {k: v for k, v in self.to_dict().items() if k in _OF_THE_MODEL},
            "event_shape": list(event_shape),
            "levels": levels,
            "num_classes": num_classes,
        }
        return replace(model, origin=json.dumps(origin))

    def own_model(self, own: Functions | None) -> Callable[..., Any] | None:
        """The experiment file's function that builds the model; None for a model of the zoo."""
        ours = [name for name, _ in zoo.names() if name not in PARTS]
        return _own("model", self.model, own, ours)

    def own_optimizer(self, own: Functions | None) -> optax.GradientTransformation | None:
        """The experiment file's optimizer; None if the settings name one of jaxgen's."""
        make = _own("optimizer", self.train.optimizer, own, optimizer_names())
        return None if make is None else _called(self.train.optimizer, make, self.train)

    def resolve_objective(self, own: Functions | None = None) -> Objective:
        """What training minimises, as a function."""
        objective = named_objective(self.objective, self.objective_args, own)
        if not self.augment:
            return objective
        return augmented(objective, named_augmentations(self.augment))

    def resolve_procedure(self) -> Procedure:
        """How the model is trained."""
        return named_procedure(self.procedure, self.procedure_args)

    def to_dict(self) -> dict[str, Any]:
        """What decides about the trained model and its record: all but ``name`` and ``summary``.

        The values, in nested dictionaries, are JSON's.
        """
        values = json.loads(json.dumps(dataclasses.asdict(self)))
        return {key: value for key, value in values.items() if key not in ("name", "summary")}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """The inverse of :meth:`to_dict`.

        Raises:
            ValueError: for an unknown key, naming the nearest one, or a value of the wrong type.
        """
        _require_known(values, cls, "configuration key")
        for name in ("model", "data"):
            if name not in values:
                raise ValueError(f"expected a configuration with the key {name!r}, got none")
        train = values.get("train", {})
        _require_known(train, TrainSettings, "training setting")
        return cls(**{**values, "train": TrainSettings(**train)})

    def override(self, assignments: Iterable[str], own: Functions | None = None) -> Self:
        """A copy with ``key=value`` settings applied.

        A key is a field, ``train.<setting>`` or ``model_args.<hyperparameter>``; these two prefixes
        may be left out. Behind a field that holds a dictionary, further dots lead into it:
        ``optimizer_args.b1=0.9``. A value is a Python or JSON literal, or else a string.

        Raises:
            ValueError: for an unknown key, naming the nearest one.
        """
        values = self.to_dict()
        for assignment in assignments:
            key, equals, text = assignment.partition("=")
            if not equals:
                raise ValueError(f"expected key=value, got {assignment!r}")
            target, name = self._locate(key.strip(), values, own)
            target[name] = parsed(text.strip())
        return dataclasses.replace(
            type(self).from_dict(values), name=self.name, summary=self.summary
        )

    def _locate(
        self, key: str, values: dict[str, Any], own: Functions | None
    ) -> tuple[dict[str, Any], str]:
        """The dictionary that a key is in, and its name there."""
        groups = {
            "": [field for field in values if field not in ("train", "model_args")],
            "train.": [field.name for field in dataclasses.fields(TrainSettings)],
            "model_args.": self._hyperparameters(values["model"], own),
        }
        for prefix, names in groups.items():
            first, *path = key.removeprefix(prefix).split(".")
            if first in names:
                return inside(values[prefix[:-1]] if prefix else values, [first, *path], key)
        # Like with like: what was meant by a bare name is nearer without its prefix.
        known = [prefix * ("." in key) + name for prefix, names in groups.items() for name in names]
        raise unknown("configuration key", key, dict.fromkeys(known))

    def _hyperparameters(self, model: str, own: Functions | None) -> list[str]:
        build = dataclasses.replace(self, model=model).own_model(own)
        if build is None:
            return list(zoo.hyperparameters(model))
        # Behind the event's shape, the levels, the number of classes and the random numbers.
        own_args = list(inspect.signature(build).parameters.values())[4:]
        named = [arg.name for arg in own_args if arg.kind is not arg.VAR_KEYWORD]
        return list(dict.fromkeys([*named, *self.model_args]))


def _own(
    what: str, name: str, own: Functions | None, ours: Iterable[str]
) -> Callable[..., Any] | None:
    """The file's function of this name, unless it is a name of jaxgen's."""
    if own is None or name in ours:
        return None
    if name not in own:
        raise unknown(what, name, [*ours, *own])
    return own[name]


def _called(name: str, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Calls a function of the file, unless it does not take these arguments."""
    try:
        inspect.signature(function).bind(*args, **kwargs)
    except TypeError as error:
        raise ValueError(f"{name}: cannot be called as {name}(...): {error}") from error
    return function(*args, **kwargs)


def _from_zoo(name: str, event_shape: Shape, arguments: dict[str, Any], rngs: nnx.Rngs) -> Model:
    try:
        return zoo.build(name, event_shape, arguments, rngs=rngs)
    except TypeError as error:  # a hyperparameter of the wrong type
        raise ValueError(f"cannot build {name} with {arguments}: {error}") from error


def _require_known(values: dict[str, Any], cls: type, kind: str) -> None:
    if not isinstance(values, dict):
        raise ValueError(f"expected {kind}s with their values, got {values!r}")
    names = [field.name for field in dataclasses.fields(cls)]
    for key in values:
        if key not in names:
            raise unknown(kind, key, names)
