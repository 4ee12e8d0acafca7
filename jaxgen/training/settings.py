"""The settings of a training run."""

import dataclasses
import math
import types
from collections.abc import Callable
from typing import Any, get_args, get_origin, get_type_hints

import numpy as np


@dataclasses.dataclass(frozen=True)
class TrainSettings:
    """How a model is trained.

    Args:
        steps: optimizer steps.
        batch_size: examples in a batch.
        learning_rate: its peak, in the schedule; 0 leaves the parameters as they are.
        schedule: ``"cosine"`` (to zero at the last step) or ``"constant"``.
        warmup_steps: steps of linear warm-up from zero.
        optimizer: ``"sgd"``, ``"momentum"``, ``"muon"`` (orthogonalised momentum for matrices, with
            decay ``beta``, NAdam with ``b1`` and ``b2`` for the rest), or the name of an optax
            ``scale_by_*`` transformation: ``"adam"``, ``"adamax"``, ``"rms"``, ``"rss"``
            (Adagrad), ``"adadelta"``, ``"lion"`` and so on. In an experiment file also the name of
            a function of its own, see :class:`jaxgen.runs.Recipe`.
        optimizer_args: its arguments.
        weight_decay: decoupled, of kernels only, in units of the learning rate (AdamW).
        clip_norm: the largest norm of the gradient; None for no clipping.
        ema_decay: decay of the moving average of the parameters that is evaluated and returned; it
            is ramped up over the first steps. 0 turns it off.
        eval_every: steps between validations; the best validated parameters are what is returned.
        patience: validations without an improvement before training stops; None never stops early.
        checkpoint_every: steps between checkpoints. Each holds the parameters that were best in
            validation so far, besides all that resuming takes.
        keep_last: how many of the last checkpoints are kept.
        keep_best: how many of those whose validation was best are kept beside them.
        steps_per_dispatch: steps that run on the device without coming back to Python; the
            intervals above are rounded up to a multiple of it.
        init_batch_size: examples that a data-dependent initialisation sees.
        compute_dtype: what the networks compute in while they are trained, ``"bfloat16"`` for an
            accelerator (see :func:`jaxgen.compute_in`): parameters, gradients, log-determinants and
            losses stay as they are, and so do validation and the model that is returned. None for
            the parameters' own dtype.
        remat: whether stacks of layers keep only what goes from one layer to the next, and compute
            the rest again for the gradient (see :func:`jaxgen.rematerialize`): less memory, more
            time, the same gradients.
        accumulate_steps: parts of a batch that are gone through one after the other, their
            gradients averaged: the memory of one part, the step of the whole. It divides the
            batch. A part draws noise of its own, and batch normalisation sees one part.
        sharding: where parameters lie: ``"data"`` (on every device), ``"fsdp"`` (cut over the
            devices, as the batch is), or the shape ``[data, model]`` of a mesh; see
            :mod:`jaxgen.training.sharding`. It changes no number but by the order of sums, and a
            run may go on with another one.
        workers: processes that read data which stay on disk, beside the threads of this one; for
            examples that take Python long to make, such as large pictures. A script that asks for
            them trains under ``if __name__ == "__main__":``.
        seed: of the weights, the batches and the noise, below 2**32.

    Raises:
        ValueError: for a value that means nothing, naming the setting and what was expected.

    >>> TrainSettings(patience=0)
    Traceback (most recent call last):
        ...
    ValueError: patience: expected at least 1, or None to never stop early, got 0
    """

    steps: int = 2000
    batch_size: int = 128
    learning_rate: float = 1e-3
    schedule: str = "cosine"
    warmup_steps: int = 0
    optimizer: str = "adam"
    optimizer_args: dict[str, Any] = dataclasses.field(default_factory=dict)
    weight_decay: float = 0.0
    clip_norm: float | None = 1.0
    ema_decay: float = 0.99
    eval_every: int = 500
    patience: int | None = None
    checkpoint_every: int = 1000
    keep_last: int = 2
    keep_best: int = 0
    steps_per_dispatch: int = 50
    init_batch_size: int = 1024
    compute_dtype: str | None = None
    remat: bool = False
    accumulate_steps: int = 1
    sharding: str | list[int] = "data"
    workers: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        if isinstance(self.sharding, tuple):
            object.__setattr__(self, "sharding", list(self.sharding))
        check_types(self)
        for name, (fits, expected) in _RANGES.items():
            value = getattr(self, name)
            if value is not None and not fits(value):
                raise ValueError(f"{name}: expected {expected}, got {value!r}")
        if self.schedule not in ("cosine", "constant"):
            raise ValueError(f"schedule: expected 'cosine' or 'constant', got {self.schedule!r}")
        if self.compute_dtype not in (None, "bfloat16", "float32"):
            raise ValueError(
                f"compute_dtype: expected 'bfloat16', 'float32', or None for the parameters' own, "
                f"got {self.compute_dtype!r}"
            )
        if self.batch_size % self.accumulate_steps:
            raise ValueError(
                f"accumulate_steps: expected a divisor of the batch of {self.batch_size}, got "
                f"{self.accumulate_steps}"
            )
        if not _is_sharding(self.sharding):
            raise ValueError(
                f"sharding: expected 'data', 'fsdp', or the shape [data, model] of a mesh, got "
                f"{self.sharding!r}"
            )
        if not 0 <= self.warmup_steps <= self.steps:
            raise ValueError(
                f"warmup_steps: expected 0 to {self.steps} (steps), got {self.warmup_steps}"
            )


def _is_sharding(value: str | list[int]) -> bool:
    if isinstance(value, str):
        return value in ("data", "fsdp")
    return len(value) == 2 and all(type(size) is int and size >= 1 for size in value)


Range = tuple[Callable[[Any], bool], str]  # whether a value fits, and what is expected

# Steps are counted in int32.
_COUNT: Range = (lambda value: 1 <= value < 2**31, "at least 1, and below 2**31")
_NOT_NEGATIVE: Range = (lambda value: 0 <= value < math.inf, "a finite number, 0 or more")
_RANGES: dict[str, Range] = {
    "steps": _COUNT,
    "batch_size": _COUNT,
    "learning_rate": _NOT_NEGATIVE,
    "weight_decay": _NOT_NEGATIVE,
    "clip_norm": (
        lambda value: 0 < value < math.inf,
        "a finite number above 0, or None for no clipping",
    ),
    "ema_decay": (lambda value: 0 <= value < 1, "a number in [0, 1)"),
    "eval_every": _COUNT,
    "patience": (lambda value: value >= 1, "at least 1, or None to never stop early"),
    "checkpoint_every": _COUNT,
    "keep_last": _COUNT,
    "keep_best": (lambda value: 0 <= value < 2**31, "0 or more, and below 2**31"),
    "steps_per_dispatch": _COUNT,
    "init_batch_size": _COUNT,
    "accumulate_steps": _COUNT,
    "workers": (lambda value: 0 <= value < 1024, "0 to 1023"),
    # Without double precision, jax takes the seeds 0 and 2**32 for the same.
    "seed": (lambda value: 0 <= value < 2**32, "one that is not negative, and below 2**32"),
}


def check_types(settings: Any) -> None:
    """Refuses a dataclass of which a field is not of its type; an int passes for a float.

    Numbers of NumPy become Python's, which JSON has.

    Raises:
        ValueError: naming the field.
    """
    for name, hint in get_type_hints(type(settings)).items():
        value = _python(getattr(settings, name))
        object.__setattr__(settings, name, value)
        kinds = get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
        kinds = tuple(get_origin(kind) or kind for kind in kinds)
        accepted = (*kinds, int) if float in kinds else kinds
        if not isinstance(value, accepted) or (isinstance(value, bool) and bool not in kinds):
            expected = " or ".join(kind.__name__.replace("NoneType", "None") for kind in kinds)
            raise ValueError(f"{name}: expected {expected}, got {value!r}")


def _python(value: Any) -> Any:
    """A value, or one in dictionaries, as a number of Python's if it is one of NumPy's."""
    if isinstance(value, dict):
        return {key: _python(each) for key, each in value.items()}
    return value.item() if isinstance(value, np.generic) else value
