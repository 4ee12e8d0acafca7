"""The table of committed records, as Markdown.

    python -m jaxgen.evaluation.table experiments/records README.md

writes the table between the two ``<!-- results -->`` lines of a Markdown file. Numbers in documents
come from records, never from hands; a test compares the two.
"""

import json
import statistics
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

MARKER = "<!-- results -->"


def markdown_table(records: Path | str) -> str:
    """The records in a folder as the rows of a Markdown table, by data set and then by value.

    Records that differ in the seed alone share a row, see :func:`over_seeds`.
    """
    rows = over_seeds(json.loads(path.read_text()) for path in sorted(Path(records).glob("*.json")))
    rows.sort(key=lambda row: (row["data"], row["unit"], row["value"]))
    lines = [
        "| experiment | data | value | unit | estimator | examples | parameters | seeds | spread |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    return "\n".join([*lines, *map(_row, rows)])


def over_seeds(records: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """One row for the trainings of an experiment from several seeds.

    ``value`` and ``standard_error`` are their means, ``seeds`` says how many there are, and
    ``spread`` is the standard deviation of the values, None of a single one.

    >>> row = {"model": "a", "data": "b", "split": "test", "unit": "nats", "estimator": "exact"}
    >>> low, high = {"value": 1.0, "standard_error": 0.5}, {"value": 3.0, "standard_error": 0.5}
    >>> (both,) = over_seeds([row | low, row | high])
    >>> both["value"], both["standard_error"], both["seeds"], round(both["spread"], 3)
    (2.0, 0.5, 2, 1.414)
    """
    groups: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for record in records:
        same = tuple(record[name] for name in ("model", "data", "split", "unit", "estimator"))
        groups.setdefault(same, []).append(record)
    return [group[0] | _summary(group) for group in groups.values()]


def _summary(group: list[dict[str, Any]]) -> dict[str, Any]:
    values = [record["value"] for record in group]
    return {
        "value": statistics.fmean(values),
        "standard_error": statistics.fmean(record["standard_error"] for record in group),
        "seeds": len(values),
        "spread": statistics.stdev(values) if len(values) > 1 else None,
    }


def _row(row: dict[str, Any]) -> str:
    cells = [
        f"`{row['model']}`",
        f"`{row['data']}`, {row['split']}",
        f"{row['value']:.3f} ± {row['standard_error']:.3f}",
        row["unit"],
        row["estimator"],
        f"{row['num_examples']:,}",
        f"{row['num_parameters']:,}",
        str(row["seeds"]),
        "" if row["spread"] is None else f"{row['spread']:.3f}",
    ]
    return "| " + " | ".join(cells) + " |"


def insert_table(text: str, table: str) -> str:
    """The text with the table between its two markers.

    Raises:
        ValueError: if there are not exactly two.

    >>> insert_table(f"a {MARKER} old {MARKER} b", "new").split("\\n")[2]
    'new'
    """
    parts = text.split(MARKER)
    if len(parts) != 3:
        raise ValueError(f"expected two lines {MARKER}, got {len(parts) - 1}")
    return f"{parts[0]}{MARKER}\n\n{table}\n\n{MARKER}{parts[2]}"


if __name__ == "__main__":
    folder, document = sys.argv[1:]
    path = Path(document)
    path.write_text(insert_table(path.read_text(), markdown_table(folder)))
