"""Training metrics as lines of JSON."""

import json
import warnings
from pathlib import Path
from typing import Any


class MetricsLog:
    """``metrics.jsonl``: one JSON object a line, each with its ``step``, flushed as it is written.

    Args:
        path: the file, or None to keep the rows in memory only.
        from_step: rows behind this step are dropped: an interrupted run had logged them after its
            last checkpoint, and will log them again.
    """

    def __init__(self, path: Path | None, from_step: int = 0):
        self.path = path
        self.rows = [row for row in read_metrics(path) if row["step"] <= from_step]
        if path is not None:
            # Written aside and renamed, so that a kill loses no row.
            draft = path.with_name(path.name + ".tmp")
            draft.write_text("".join(json.dumps(row) + "\n" for row in self.rows))
            draft.rename(path)

    def write(self, row: dict[str, Any]) -> None:
        """Appends a row."""
        self.rows.append(row)
        if self.path is not None:
            with self.path.open("a") as file:
                file.write(json.dumps(row) + "\n")


def read_metrics(path: Path | None) -> list[dict[str, Any]]:
    """The rows of a metrics file.

    A last line that was cut off by a kill is left out; of damaged lines before it, which are left
    out as well, a warning tells.
    """
    if path is None or not path.exists():
        return []
    lines = path.read_text(errors="replace").splitlines()
    rows = {number: _row(line) for number, line in enumerate(lines, start=1)}
    damaged = [str(number) for number, row in rows.items() if row is None and number < len(lines)]
    if damaged:
        warnings.warn(f"{path}: line {', '.join(damaged)} is damaged and left out", stacklevel=2)
    return [row for row in rows.values() if row is not None]


def _row(line: str) -> dict[str, Any] | None:
    """A line's row; None if it is none."""
    try:
        row = json.loads(line)
    except ValueError:
        return None
    return row if isinstance(row, dict) and isinstance(row.get("step"), int) else None
