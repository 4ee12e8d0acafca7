"""How a model is made to fit data, by name: for recipes, which are plain data."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from jaxgen.core import unknown
from jaxgen.models import Model
from jaxgen.training.augment import as_seen
from jaxgen.training.checks import check_data, check_inputs
from jaxgen.training.counting import check_counted, count, counted_network
from jaxgen.training.descent import FitResult
from jaxgen.training.loop import fit
from jaxgen.training.objectives import Batch, Objective, negative_log_likelihood
from jaxgen.training.optimizers import Optimizer
from jaxgen.training.settings import TrainSettings
from jaxgen.training.stopping import Callback


@dataclasses.dataclass(frozen=True)
class Task:
    """What every procedure is given: a model, data, and how the model is to be judged.

    ``optimizer`` takes the place of the one that the settings name; None for theirs. ``callbacks``
    are called with every row that is logged.
    """

    model: Model
    train: Batch
    valid: Batch
    settings: TrainSettings
    objective: Objective
    optimizer: Optimizer | None = None
    callbacks: Sequence[Callback] = ()


class Procedure(Protocol):
    """A way to train: :meth:`check` refuses what it cannot train on before anything is written."""

    def check(self, task: Task) -> None:
        """Raises a ValueError that says what was expected and what came."""

    def run(self, task: Task, out: Path, *, progress: bool) -> FitResult:
        """Trains into a run directory, or goes on with what is there."""


@dataclasses.dataclass(frozen=True)
class GradientDescent:
    """:func:`~jaxgen.training.fit`: stochastic gradient descent on the objective."""

    def check(self, task: Task) -> None:
        seen = as_seen(task.objective, task.train)
        check_inputs(task.model, seen, task.valid, task.settings, task.optimizer)

    def run(self, task: Task, out: Path, *, progress: bool) -> FitResult:
        return fit(
            task.model,
            task.train,
            task.valid,
            task.settings,
            out=out,
            objective=task.objective,
            optimizer=task.optimizer,
            callbacks=task.callbacks,
            progress=progress,
        )


@dataclasses.dataclass(frozen=True)
class Counting:
    """:func:`~jaxgen.training.counting.count`: tables of relative frequencies.

    Args:
        pseudo_counts: strengths of the prior; the one that scores best in validation is taken.
    """

    pseudo_counts: Sequence[float]

    def __post_init__(self) -> None:
        counts = self.pseudo_counts
        numbers = isinstance(counts, Sequence) and all(isinstance(c, int | float) for c in counts)
        if not numbers or not counts:
            raise ValueError(f"pseudo_counts: expected at least one number, got {counts!r}")

    def check(self, task: Task) -> None:
        if task.objective is not negative_log_likelihood:
            raise ValueError("counting maximises the likelihood; it takes no other objective")
        check_counted(task.train, task.valid)
        counted_network(task.model)
        check_data(task.model, task.train, task.valid)

    def run(self, task: Task, out: Path, *, progress: bool) -> FitResult:
        return count(task.model, task.train, task.valid, self.pseudo_counts, out=out)


_PROCEDURES: dict[str, type[GradientDescent] | type[Counting]] = {
    "gradient_descent": GradientDescent,
    "counting": Counting,
}


def named_procedure(name: str, arguments: Mapping[str, Any]) -> Procedure:
    """The procedure of this name with these arguments.

    Raises:
        ValueError: for an unknown procedure, naming the nearest, or arguments that it does not
            take.

    >>> named_procedure("counting", {"pseudo_counts": [0.5, 1.0]})
    Counting(pseudo_counts=[0.5, 1.0])
    """
    if name not in _PROCEDURES:
        raise unknown("procedure", name, _PROCEDURES)
    procedure = _PROCEDURES[name]
    known = [field.name for field in dataclasses.fields(procedure)]
    if sorted(arguments) != sorted(known):
        raise ValueError(
            f"procedure_args: {name} takes {', '.join(known) or 'none'}, got "
            f"{', '.join(arguments) or 'none'}"
        )
    return procedure(**arguments)
