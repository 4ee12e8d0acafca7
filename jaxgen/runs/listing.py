"""What there is to train: models, data sets, and the recipes of a folder."""

from pathlib import Path

from jaxgen import data, zoo
from jaxgen.runs.files import ExperimentFile
from jaxgen.zoo.registry import PARTS


def listing(folder: Path) -> str:
    """The names of models, data sets, and recipes in a folder's files, each with a line about it.

    Args:
        folder: of experiment files, which are executed.
    """
    experiments = [row for path in sorted(folder.glob("*.py")) for row in _recipes(path)]
    lines = []
    for title, rows in (
        ("models", [row for row in zoo.names() if row[0] not in PARTS]),
        ("data sets", data.names()),
        ("experiments", experiments),
    ):
        lines.append(f"{title}:" if rows else f"{title}: none in {folder.absolute()}/*.py")
        width = max((len(name) for name, _ in rows), default=0)
        lines += [f"  {name:{width}}  {text}" for name, text in rows]
    return "\n".join(lines)


def _recipes(path: Path) -> list[tuple[str, str]]:
    """The recipes of an experiment file, each with a line about it."""
    try:
        recipes = ExperimentFile.load(path).recipes
    except ValueError as error:
        return [(str(path), str(error).removeprefix(f"{path}: "))]
    return [(f"{path}:{name}", recipe.summary) for name, recipe in recipes.items()]
