"""Training metrics as lines of JSON."""

import json
import math
import warnings
from pathlib import Path
from typing import Any

import jax

# What depends on the machine, and on what else it does; all other numbers a training repeats.
MEASURED = ("seconds", "examples_per_second", "utilisation", "device_gib")


class MetricsLog:
    """``metrics.jsonl``: one JSON object a line, each with its ``step``, flushed as it is written.

    A number that is not finite, which JSON has not, is null there.

    Args:
        path: the file, or None to keep the rows in memory only.
        from_step: rows behind this step are dropped: an interrupted run had logged them after its
            last checkpoint, and will log them again.
        writes: whether this process does; of several, one.
    """

    def __init__(self, path: Path | None, from_step: int = 0, writes: bool = True):
        self.path = path if writes else None
        self.rows = [row for row in read_metrics(path) if row["step"] <= from_step]
        # A checkpoint comes after the row of its step, so that one was whole.
        if path is not None and from_step and (not self.rows or self.rows[-1]["step"] < from_step):
            last = f"step {self.rows[-1]['step']}" if self.rows else "its beginning"
            warnings.warn(
                f"{path}: the rows from {last} to step {from_step}, of the last checkpoint, are "
                f"missing or damaged; training goes on without them",
                stacklevel=4,
            )
        if self.path is not None:
            # Written aside and renamed, so that a kill loses no row.
            draft = self.path.with_name(self.path.name + ".tmp")
            draft.write_text("".join(map(_line, self.rows)))
            draft.rename(self.path)

    def write(self, row: dict[str, Any]) -> None:
        """Appends a row."""
        self.rows.append(row)
        if self.path is not None:
            with self.path.open("a") as file:
                file.write(_line(row))


def memory_in_use() -> dict[str, float]:
    """The most memory that a device of this process has used so far, in GiB; nothing on CPU."""
    used = [
        (device.memory_stats() or {}).get("peak_bytes_in_use") for device in jax.local_devices()
    ]
    known = [each for each in used if each is not None]
    return {"device_gib": round(max(known) / 2**30, 3)} if known else {}


def read_metrics(path: Path | None) -> list[dict[str, Any]]:
    """The rows of a metrics file.

    A last line that was cut off by a kill, without its end, is left out; of other damaged lines,
    which are left out as well, a warning tells. A null is a NaN.
    """
    if path is None or not path.exists():
        return []
    text = path.read_text(errors="replace")
    lines = text.splitlines()
    whole = len(lines) if text.endswith("\n") else len(lines) - 1
    rows = {number: _row(line) for number, line in enumerate(lines, start=1)}
    damaged = [str(number) for number, row in rows.items() if row is None and number <= whole]
    if damaged:
        warnings.warn(f"{path}: line {', '.join(damaged)} is damaged and left out", stacklevel=2)
    return [row for row in rows.values() if row is not None]


def stopped_at(path: Path, steps: int, patience: int | None) -> int | None:
    """The last step of a training by gradient descent that was not over then; None if it was.

    Args:
        path: its file of metrics.
        steps, patience: its settings.
    """
    return _stopped_at(read_metrics(path), steps, patience)


def _stopped_at(rows: list[dict[str, Any]], steps: int, patience: int | None) -> int | None:
    if not rows or rows[-1]["step"] >= steps:
        return None
    best, misses = math.inf, 0  # as training counts them: patience ends one, too
    for loss in (row["valid_loss"] for row in rows if row.get("valid_loss") is not None):
        best, misses = (loss, 0) if loss < best else (best, misses + 1)
    return None if patience is not None and misses >= patience else rows[-1]["step"]


def warn_unless_last(folder: Path, at: int | None, steps: int, patience: int | None) -> None:
    """Says, two calls above, that a model is not of the end of its training.

    Args:
        folder: of the training.
        at: the step of the newest checkpoint; None for a model without any.
        steps, patience: settings of the training.
    """
    rows = read_metrics(folder / "metrics.jsonl")
    step = _stopped_at(rows, steps, patience)
    if step is not None:
        warnings.warn(
            f"{folder}: training is not over: it had come to step {step} of {steps}, and this is "
            f"a checkpoint on the way; the same command goes on",
            stacklevel=4,
        )
        return
    last = max((row["step"] for row in rows), default=0)
    if at is not None and at < last:
        warnings.warn(
            f"{folder}: the model is that of step {at}, although training came to step {last}, "
            f"of which the checkpoint is missing; the same command trains on to there",
            stacklevel=4,
        )


def _row(line: str) -> dict[str, Any] | None:
    """A line's row; None if it is none."""
    try:
        row = json.loads(line)
    except ValueError:
        return None
    if not isinstance(row, dict) or not isinstance(row.get("step"), int):
        return None
    return {key: math.nan if value is None else value for key, value in row.items()}


def _line(row: dict[str, Any]) -> str:
    values = {
        key: None if isinstance(value, float) and not math.isfinite(value) else value
        for key, value in row.items()
    }
    return json.dumps(values, allow_nan=False) + "\n"
