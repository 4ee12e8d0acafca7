"""An experiment: a model, a data set and settings, as plain data."""

import ast
import dataclasses
import json
import types
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Self

from flax import nnx

from jaxgen import zoo
from jaxgen.core import Shape, unknown
from jaxgen.models import Dequantized, Embedded, Model
from jaxgen.networks import Embedding
from jaxgen.training.settings import TrainSettings, check_types

EVAL_SPACES = ("data", "logit")


@dataclasses.dataclass(frozen=True)
class Experiment:
    """What ``jaxgen train`` runs. It holds names and numbers only, so a run can be loaded again
    without executing anything.

    Args:
        model: a constructor of :mod:`jaxgen.zoo`, by name.
        data: a data set, see :func:`jaxgen.data.load`.
        model_args: hyperparameters of the constructor.
        event_shape: another shape of the data's examples, such as that of images which are stored
            as vectors; None for their own.
        class_features: trains p(x | label): the data's labels reach the model through an embedding
            of this size; None for an unconditional model.
        dequantize: wraps a flow for integer levels, with uniform noise.
        dequantizer_args: hyperparameters of :func:`jaxgen.zoo.dequantizer`, which replaces the
            uniform noise by a conditional flow (variational dequantization); None for uniform.
        window: for signals: training and validation see them in windows of so many values, see
            :meth:`jaxgen.data.Dataset.windows`; the record is of whole signals, so the model's
            parameters must fit any length. None for whole signals throughout.
        pseudo_counts: of a ``markov`` model of levels: its tables are counted, not trained, backing
            off to fewer parents, with that one of these strengths of the prior which scores best in
            validation; see :meth:`jaxgen.conditionals.Markov.estimate`. None for training.
        train: the settings of training.
        eval_split: the split that the record is about.
        eval_samples: importance samples for a model without an exact likelihood; 1 for the ELBO.
        eval_space: ``"data"``, or ``"logit"`` for the density of dequantized data in logit space,
            see :func:`jaxgen.evaluation.in_logit_space`.

    >>> experiment = Experiment(model="maf", data="toy:two_moons")
    >>> experiment.override(["steps=10", "model_args.layers=2"]).train.steps
    10
    """

    model: str
    data: str
    model_args: dict[str, Any] = dataclasses.field(default_factory=dict)
    event_shape: list[int] | None = None
    class_features: int | None = None
    dequantize: bool = False
    dequantizer_args: dict[str, Any] | None = None
    window: int | None = None
    pseudo_counts: list[float] | None = None
    train: TrainSettings = dataclasses.field(default_factory=TrainSettings)
    eval_split: str = "test"
    eval_samples: int = 1
    eval_space: str = "data"

    def __post_init__(self) -> None:
        check_types(self)
        if self.eval_space not in EVAL_SPACES:
            raise unknown("eval_space", self.eval_space, EVAL_SPACES)
        if self.dequantizer_args is not None and not self.dequantize:
            raise ValueError("dequantizer_args: expected dequantize=True with them, got False")
        if self.pseudo_counts is not None and (self.model != "markov" or not self.pseudo_counts):
            raise ValueError(
                f"pseudo_counts: expected at least one number, for the model 'markov', got "
                f"{self.pseudo_counts} for {self.model!r}"
            )

    def build(
        self, event_shape: Shape, levels: int | None, num_classes: int | None = None
    ) -> Model:
        """The untrained model for events of this shape, number of levels and number of classes."""
        rngs = nnx.Rngs(self.train.seed)
        arguments = dict(self.model_args)
        if self.class_features is not None:
            arguments["context_features"] = self.class_features
        model = _build(self.model, event_shape, arguments, rngs)
        if self.dequantize:
            if levels is None:
                raise ValueError(
                    f"dequantize is for integer levels, but {self.data} has real values"
                )
            noise = None
            if self.dequantizer_args is not None:
                noise = _build("dequantizer", event_shape, self.dequantizer_args, rngs)
            model = Dequantized(model, levels, noise)
        if self.class_features is None:
            return model
        if num_classes is None:
            raise ValueError(f"class_features is for labelled data, but {self.data} has no labels")
        return Embedded(model, Embedding(num_classes, self.class_features, rngs=rngs))

    def to_dict(self) -> dict[str, Any]:
        """As nested dictionaries of JSON values."""
        return json.loads(json.dumps(dataclasses.asdict(self)))

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

    def override(self, assignments: Iterable[str]) -> Self:
        """A copy with ``key=value`` settings applied.

        A key is a field, ``train.<setting>`` or ``model_args.<hyperparameter>``; the prefixes may
        be left out. A value is a Python or JSON literal, or else a string.

        Raises:
            ValueError: for an unknown key, naming the nearest one.
        """
        values = self.to_dict()
        for assignment in assignments:
            key, equals, text = assignment.partition("=")
            if not equals:
                raise ValueError(f"expected key=value, got {assignment!r}")
            target, name = self._locate(key.strip(), values)
            target[name] = _parse(text.strip())
        return type(self).from_dict(values)

    def _locate(self, key: str, values: dict[str, Any]) -> tuple[dict[str, Any], str]:
        groups = {
            "": [f.name for f in dataclasses.fields(self) if f.name not in ("train", "model_args")],
            "train.": [field.name for field in dataclasses.fields(TrainSettings)],
            "model_args.": list(zoo.hyperparameters(values["model"])),
        }
        for prefix, names in groups.items():
            name = key.removeprefix(prefix)
            if name in names:
                return (values[prefix[:-1]] if prefix else values), name
        # Like with like: what was meant by a bare name is nearer without its prefix.
        known = [prefix * ("." in key) + name for prefix, names in groups.items() for name in names]
        raise unknown("configuration key", key, dict.fromkeys(known))


def load_experiment(path: Path | str) -> Experiment:
    """The one :class:`Experiment` that a Python file defines. The file is executed.

    Raises:
        ValueError: if there is no such file, or it does not define exactly one.
    """
    path = Path(path)
    if not path.is_file():
        nearby = sorted(str(p) for p in path.parent.glob("*.py")) if path.parent.is_dir() else []
        raise unknown("experiment", str(path), nearby)
    module = types.ModuleType(path.stem)
    module.__file__ = str(path)
    exec(compile(path.read_text(), str(path), "exec"), module.__dict__)
    found = [value for value in vars(module).values() if isinstance(value, Experiment)]
    if len(found) != 1:
        raise ValueError(f"{path}: expected exactly one Experiment, found {len(found)}")
    return found[0]


def _build(name: str, event_shape: Shape, arguments: dict[str, Any], rngs: nnx.Rngs) -> Model:
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


def _parse(text: str) -> Any:
    for parse in (json.loads, ast.literal_eval):
        try:
            return parse(text)
        except (ValueError, SyntaxError):
            continue
    return text
