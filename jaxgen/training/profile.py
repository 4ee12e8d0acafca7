"""A trace of what the device does in some steps of a training."""

from pathlib import Path
from typing import Any

import jax


class Trace:
    """A callback of :func:`~jaxgen.training.fit` that writes a trace of JAX's profiler.

    It begins behind the first dispatch, in which everything is compiled, and ends with the dispatch
    in which as many steps are over; ``xprof FOLDER``, TensorBoard's profile plugin and Perfetto
    show it.

    Args:
        folder: of the trace.
        steps: how many, at least.

    >>> trace = Trace("profile", 50)
    """

    def __init__(self, folder: Path | str, steps: int):
        if steps < 1:
            raise ValueError(f"profile: expected a step or more, got {steps}")
        self._folder, self._steps = Path(folder), steps
        self._first: int | None = None
        self._runs = False

    def __call__(self, row: dict[str, Any]) -> None:
        if self._first is None:
            self._first, self._runs = row["step"], True
            jax.profiler.start_trace(self._folder)
        elif self._runs and row["step"] >= self._first + self._steps:
            self._end()

    def _end(self) -> None:
        jax.profiler.stop_trace()
        self._runs = False

    def __enter__(self) -> "Trace":
        return self

    def __exit__(self, *exception: Any) -> None:
        if self._runs:
            self._end()
