"""The table of committed records, as Markdown.

    python -m jaxgen.evaluation.table experiments/records README.md

writes the table between the two ``<!-- results -->`` lines of a Markdown file. Numbers in documents
come from records, never from hands; a test compares the two.
"""

import json
import sys
from pathlib import Path
from typing import Any

MARKER = "<!-- results -->"


def markdown_table(records: Path | str) -> str:
    """The records in a folder as the rows of a Markdown table, by data set and then by value."""
    rows = [json.loads(path.read_text()) for path in sorted(Path(records).glob("*.json"))]
    rows.sort(key=lambda row: (row["data"], row["unit"], row["value"]))
    lines = [
        "| experiment | data | value | unit | estimator | examples | parameters | seed |",
        "|---|---|---|---|---|---|---|---|",
    ]
    return "\n".join([*lines, *map(_row, rows)])


def _row(record: dict[str, Any]) -> str:
    cells = [
        f"`{record['model']}`",
        f"`{record['data']}`, {record['split']}",
        f"{record['value']:.3f} ± {record['standard_error']:.3f}",
        record["unit"],
        record["estimator"],
        f"{record['num_examples']:,}",
        f"{record['num_parameters']:,}",
        str(record["seed"]),
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
