"""When training ends, and with which parameters: validation, callbacks, signals."""

import dataclasses
import math
import signal
import threading
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from jaxgen.training.settings import TrainSettings

# Called with every logged row; one that returns True ends the training.
Callback = Callable[[dict[str, Any]], Any]


@dataclasses.dataclass
class Best:
    """The parameters that were best in validation, and how long ago."""

    params: nnx.State
    value: float | None = None
    step: int = 0
    misses: int = 0
    last: float | None = None  # of the newest validation

    def update(self, value: float, step: int, params: nnx.State) -> None:
        """Takes note of a validation."""
        self.last = value
        if math.isfinite(value) and (self.value is None or value < self.value):
            # A copy: the state's own arrays are donated to the next dispatch.
            self.params = jax.tree.map(jnp.copy, params)
            self.value, self.step, self.misses = value, step, 0
        else:
            self.misses += 1

    def stop(self, settings: TrainSettings) -> bool:
        """Whether patience has run out."""
        return settings.patience is not None and self.misses >= settings.patience


class Interrupt:
    """Turns the first Ctrl-C, or SIGTERM, into a request to stop after the current dispatch.

    ``signal`` is its number then, 0 before.
    """

    def __init__(self) -> None:
        self.signal = 0

    def __enter__(self) -> "Interrupt":
        # Only the main thread may install handlers.
        numbers = (signal.SIGINT, signal.SIGTERM)
        main = threading.current_thread() is threading.main_thread()
        self._previous = {n: signal.signal(n, self._handle) for n in numbers} if main else {}
        return self

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self.signal = number
        self._restore()  # the second one is not held back

    def _restore(self) -> None:
        for number, handler in self._previous.items():
            # One that was not installed from Python cannot be put back from there.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)

    def __exit__(self, *exception: Any) -> None:
        self._restore()


def check_callbacks(callbacks: Sequence[Callback]) -> None:
    """Refuses what is no sequence of functions.

    Raises:
        ValueError: saying what came.
    """
    if not isinstance(callbacks, Sequence) or not all(map(callable, callbacks)):
        raise ValueError(f"callbacks: expected functions of a row, in a list, got {callbacks!r}")


def told_to_stop(callbacks: Sequence[Callback], row: dict[str, Any]) -> bool:
    """Calls every one of them with a copy of the row; True if one of them returned True."""
    answers = [callback(dict(row)) for callback in callbacks]
    # Only a truth value counts: what a function happens to return otherwise says nothing.
    return any(isinstance(answer, bool | np.bool_) and bool(answer) for answer in answers)
