"""Training metrics as lines of JSON."""

import json
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
    """The rows of a metrics file; a last line that was cut off by a kill is left out."""
    if path is None or not path.exists():
        return []
    rows = []
    for line in path.read_text().splitlines():
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return rows
