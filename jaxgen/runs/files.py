"""Experiment files: Python files that define recipes, and functions of their own beside them."""

import dataclasses
import sys
import traceback
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

from jaxgen.core import unknown
from jaxgen.data import names
from jaxgen.runs.recipe import Recipe


@dataclasses.dataclass(frozen=True)
class ExperimentFile:
    """What an experiment file defines.

    Args:
        path: the file.
        recipes: its recipes by name: every variable that is a :class:`Recipe`, and every entry of a
            dictionary of them, in the file's order.
        functions: its public functions by name: a model's ``build``, an objective, an optimizer.
            Those that it imports from elsewhere count, those of jaxgen do not.
    """

    path: Path
    recipes: dict[str, Recipe]
    functions: dict[str, Callable[..., Any]]

    @classmethod
    def load(cls, path: Path | str) -> Self:
        """Executes a file, said as ``FILE`` or ``FILE:NAME``.

        It may import modules that are beside it; installed ones of the same name come first.

        Raises:
            ValueError: if there is no such file, or it fails, saying where.
        """
        path = Path(_split(path)[0])
        if not path.is_file():
            raise unknown("experiment file", str(path), _experiments_beside(path))
        if path.suffix != ".py":
            raise ValueError(f"expected an experiment file, of Python (.py), got {path}")
        module = types.ModuleType(str(path))  # a name that no import has
        module.__file__ = str(path)
        sys.modules[module.__name__] = module  # where dataclasses look for what annotations name
        if (beside := str(path.parent.resolve())) not in sys.path:
            sys.path.append(beside)
        try:
            exec(compile(path.read_text(), str(path), "exec"), module.__dict__)
        except (Exception, SystemExit) as error:
            raise ValueError(f"{path}: cannot be loaded: {_said(error, path)}") from error
        public = {name: value for name, value in vars(module).items() if not name.startswith("_")}
        functions = {name: value for name, value in public.items() if _is_own(value)}
        return cls(path, dict(_recipes(public)), functions)

    def recipe(self, name: str | None = None) -> Recipe:
        """The recipe of this name, or the only one; its own ``name`` is set.

        Raises:
            ValueError: for another name, naming the nearest; and without one, if the file does not
                define exactly one recipe.
        """
        if name is None and len(self.recipes) == 1:
            recipe, name = next(iter(self.recipes.values())), self.path.stem
        elif name is None:
            several = ", ".join(f"{self.path}:{name}" for name in self.recipes) or "none"
            raise ValueError(
                f"{self.path}: expected one Recipe, or FILE:NAME to choose one; there are {several}"
            )
        elif name in self.recipes:
            recipe = self.recipes[name]
        else:
            raise unknown(f"recipe of {self.path}", name, self.recipes or ["none"])
        return dataclasses.replace(recipe, name=recipe.name or name)


def _is_own(value: Any) -> bool:
    """Whether a recipe may mean it: a function, of the file or of a module beside jaxgen."""
    home = getattr(value, "__module__", None) or ""
    return callable(value) and home.partition(".")[0] not in ("jaxgen", "typing", "builtins")


def line_of(error: BaseException, path: Path) -> int | None:
    """The line of an experiment file in which an exception was raised; None if not from there."""
    lines = [
        frame.lineno
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename == str(path)
    ]
    return lines[-1] if lines else None


def _said(error: BaseException, path: Path) -> str:
    """What went wrong, in a line, and in which line of the file."""
    line = line_of(error, path)
    where = "" if line is None else f"line {line}: "
    return f"{where}{type(error).__name__}: {error}"


def _experiments_beside(path: Path) -> list[str]:
    """The files of a folder that speak of recipes; nothing is executed."""
    if not path.parent.is_dir():
        return []
    files = (each for each in sorted(path.parent.glob("*.py")) if each.is_file())
    return [str(each) for each in files if "Recipe" in each.read_text(errors="replace")]


def _recipes(variables: dict[str, Any]) -> Iterator[tuple[str, Recipe]]:
    for name, value in variables.items():
        if isinstance(value, Recipe):
            yield name, value
        elif isinstance(value, dict):
            yield from ((str(k), v) for k, v in value.items() if isinstance(v, Recipe))


def load_recipe(experiment: Path | str) -> tuple[Recipe, ExperimentFile]:
    """The recipe that ``FILE`` or ``FILE:NAME`` says, and the file it is from. It is executed.

    Raises:
        ValueError: if there is no such file or recipe.
    """
    path, name = _split(experiment)
    kind = str(experiment).partition(":")[0]
    if kind in {spec.partition(":")[0] for spec, _ in names()} and not Path(path).exists():
        raise ValueError(
            f"expected FILE[:NAME], a Python file that defines a Recipe, got data; write one with "
            f"'from jaxgen.runs import Recipe' and 'recipe = Recipe(MODEL, {str(experiment)!r})', "
            f"where MODEL is tabular for a table; jaxgen list names all"
        )
    file = ExperimentFile.load(path)
    return file.recipe(name), file


def experiment_path(experiment: Path | str) -> Path:
    """The file that ``FILE`` or ``FILE:NAME`` says."""
    return Path(_split(experiment)[0])


def _split(experiment: Path | str) -> tuple[str, str | None]:
    """``FILE:NAME`` as the two of them, ``FILE`` with None."""
    path, colon, name = str(experiment).rpartition(":")
    if not (colon and path) or Path(experiment).is_file():
        return str(experiment), None
    return path, name or None
