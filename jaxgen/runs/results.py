"""The page of results: tables of committed records, in a Markdown document.

Between the lines ``<!-- results: PREFIX ... -->`` and ``<!-- end -->`` stand the records of the
data sets whose specs begin with a prefix; between ``<!-- strange: PREFIX ... -->`` and the end, how
well scores tell other data from them. Numbers in documents come from records, never from hands; a
test compares the two.
"""

import json
import re
import statistics
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from jaxgen.runs.files import ExperimentFile

_BLOCK = re.compile(r"(<!-- (results|strange): (.*?) -->\n).*?(<!-- end -->)", re.DOTALL)

_HEAD = ("experiment", "result", "estimator", "published", "parameters", "trained in", "")

# The scores of the tables of strange data, by what they are called there.
_SCORES = {
    "-log p": "negative_log_likelihood",
    "typicality": "typicality",
    "ratio": "likelihood_ratio",
    "complexity": "input_complexity",
    "goodness": "goodness_of_fit",
    "gradients": "gradient_norms",
    "the path": "latent_path",
}


def fill_results(text: str, experiments: Path | str) -> str:
    """A document with its tables of results written anew.

    Args:
        text: Markdown, with the lines that say which data sets a table is of.
        experiments: the folder of the experiment files, with ``records/`` and ``results.json``,
            which has by the names of runs what no record knows: what is published (``published``),
            how long training took (``trained``, of records that do not say) and a ``note``.

    Raises:
        ValueError: if there is no table to write, or records are left over that no table is of.
    """
    experiments = Path(experiments)
    rows = over_seeds(_read(experiments / "records"))
    strange = _read(experiments / "records" / "ood")
    about = json.loads((experiments / "results.json").read_text())
    names = _commands(experiments)
    left = {id(row) for row in [*rows, *strange]}

    def table(match: re.Match[str]) -> str:
        begin, kind, prefixes, end = match.groups()
        found = [
            row
            for row in (rows if kind == "results" else strange)
            if row["data"].startswith(tuple(prefixes.split()))
        ]
        left.difference_update(map(id, found))
        lines = _results(found, about, names) if kind == "results" else _strange(found, names)
        return "\n".join([begin, *lines, "", end])

    filled, count = _BLOCK.subn(table, text)
    if not count:
        raise ValueError("expected a line <!-- results: PREFIX ... --> before <!-- end -->")
    if left:
        over = sorted({row["data"] for row in [*rows, *strange] if id(row) in left})
        raise ValueError(f"expected a table for every record, got none for {', '.join(over)}")
    return filled


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


def _read(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]


def _commands(experiments: Path) -> dict[str, str]:
    """Of every run by its name, what ``jaxgen train`` is given: ``digits.py:glow``."""
    found: dict[str, str] = {}
    for path in sorted(experiments.glob("*.py")):
        file = ExperimentFile.load(path)
        found |= {file.recipe(name).name or name: f"{path.name}:{name}" for name in file.recipes}
    return found


def _results(
    rows: list[dict[str, Any]], about: Mapping[str, Any], names: Mapping[str, str]
) -> list[str]:
    def place(row: dict[str, Any]) -> tuple[Any, ...]:
        worse = -row["value"] if row["unit"] == "nats" else row["value"]
        return row["data"], _of_a_part(row), worse

    rows = sorted(rows, key=place)
    return _table(_HEAD, [_cells(row, about.get(row["model"], {}), names) for row in rows])


def _of_a_part(row: Mapping[str, Any]) -> bool:
    """Whether a record is of parts of examples given the rest, of which nothing is published."""
    return "given" in row["estimator"]


def _cells(row: dict[str, Any], about: Mapping[str, str], names: Mapping[str, str]) -> list[str]:
    notes = [about.get("note", "")]
    if row["seeds"] > 1:
        notes.append(f"mean of {row['seeds']} seeds, spread {row['spread']:.3f}")
    if row.get("elbo") is not None:
        notes.append(f"ELBO {row['elbo']:.3f} ± {row['elbo_standard_error']:.3f}")
    if row.get("active_units") is not None:
        notes.append(f"{row['active_units']} active units")
    seconds = row.get("training_seconds")
    return [
        f"`{names[row['model']]}`",
        f"{row['value']:.3f} ± {row['standard_error']:.3f} {row['unit']}",
        row["estimator"],
        "" if _of_a_part(row) else about.get("published", ""),
        f"{row['num_parameters']:,}",
        about.get("trained", "") if seconds is None else _duration(seconds),
        "; ".join(filter(None, notes)),
    ]


def _duration(seconds: float) -> str:
    """
    >>> _duration(41.4), _duration(600.0)
    ('41 s', '10.0 min')
    """
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.1f} min"


def _strange(rows: list[dict[str, Any]], names: Mapping[str, str]) -> list[str]:
    head = ("experiment", "against", *_SCORES)
    return _table(
        head,
        [
            [
                f"`{names[row['model']]}`",
                f"`{row['against']}`",
                *(_area(row["scores"].get(score)) for score in _SCORES.values()),
            ]
            for row in rows
        ],
    )


def _area(score: Mapping[str, Any] | None) -> str:
    return "" if score is None else f"{score['auroc'][0]:.3f}"


def _table(head: Iterable[str], rows: list[list[str]]) -> list[str]:
    head = list(head)
    lines = [head, ["---"] * len(head), *rows]
    return ["| " + " | ".join(cells) + " |" for cells in lines]
