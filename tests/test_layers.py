"""The floors of the house: a module imports from its own package and from floors below, only."""

import ast
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

import jaxgen

PACKAGE = Path(jaxgen.__file__).parent

FLOORS = {
    "functional": 0,
    "core": 1,
    "networks": 2,
    "conditionals": 3,
    "transforms": 3,
    "likelihoods": 3,
    "bijectors": 4,
    "models": 5,
    "zoo": 6,
    "testing": 7,
    "data": 7,
    "evaluation": 7,
    "training": 7,
    "compression": 7,
    "runs": 8,
    "estimators": 8,
    "cli": 9,
    "__main__": 10,  # nothing but a call of the command line
}
# The root package is a facade that everything else may be reached through, but only core is
# imported by it; what it exports itself is therefore on core's floor.
ROOT = "jaxgen"
# On floor 7 the house has a stair: a record names its data set, a run trains, loads and evaluates.
STAIRS = {("evaluation", "data"), ("training", "data")}

# Libraries that are imported only where they are used, inside a function (or for type checkers).
LAZY = ("distrax", "tensorflow_probability", "tensorflow_datasets", "sklearn", "matplotlib")
LAZY += (
    "orbax",
    "array_record",
    "safetensors",
    "constriction",
    "grain",
    "PIL",
    "pyarrow",
    "tensorboardX",
    "huggingface_hub",
)
# Its classes are scikit-learn's; it is itself loaded when it is asked for.
OF_A_LIBRARY = ("jaxgen.estimators", "sklearn")
# Floor 0 knows arrays only.
NOT_IN_FUNCTIONAL = ("flax", "optax", "distrax", "jaxgen.core")
# The only places that know distrax, with what is in them.
DISTRAX = ("jaxgen.likelihoods", "jaxgen.bijectors.distrax")


def module_name(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def modules() -> dict[str, str]:
    """The source of every module, by its name."""
    return {module_name(path): path.read_text() for path in sorted(PACKAGE.rglob("*.py"))}


def place(module: str) -> str:
    """The package or module of a floor that a module belongs to."""
    return module.split(".")[1] if "." in module else ROOT


def floor(name: str) -> int:
    return FLOORS["core"] if name == ROOT else FLOORS[name]


def imports(module: str, source: str, known: set[str]) -> Iterator[tuple[str, int, bool]]:
    """Every import of a module: what is imported, in which line, and whether it is lazy.

    ``from jaxgen import zoo`` imports ``jaxgen.zoo``, and ``from jaxgen import load`` imports
    ``jaxgen``; relative imports are resolved.
    """
    is_package = any(other.startswith(module + ".") for other in known)
    package = module if is_package else module.rpartition(".")[0]

    def visit(node: ast.AST, lazy: bool) -> Iterator[tuple[str, int, bool]]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import):
                for alias in child.names:
                    yield alias.name, child.lineno, lazy
            elif isinstance(child, ast.ImportFrom):
                base = child.module or ""
                if child.level:
                    above = package.split(".")[: len(package.split(".")) - child.level + 1]
                    base = ".".join([*above, *([base] if base else [])])
                for alias in child.names:
                    full = f"{base}.{alias.name}"
                    yield (full if full in known else base), child.lineno, lazy
            else:
                inside = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
                typing = isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test)
                yield from visit(child, lazy or inside or typing)

    yield from visit(ast.parse(source), False)


def violations(sources: dict[str, str]) -> list[str]:
    """What breaks the rules, as ``module:line: what``."""
    known = set(sources)
    found = []
    for module, source in sources.items():
        here = place(module)
        for target, line, lazy in imports(module, source, known):
            where = f"{module}:{line}: imports {target}"
            library = target.partition(".")[0]
            if here == "functional" and target.startswith(NOT_IN_FUNCTIONAL):
                found.append(f"{where}, but floor 0 knows arrays only")
            elif library in LAZY and not lazy and (module[:17], library) != OF_A_LIBRARY:
                found.append(f"{where} at the top of the module")
            elif library == "distrax" and not module.startswith(DISTRAX):
                found.append(f"{where}, but only {' and '.join(DISTRAX)} may")
            elif library == "jaxgen":
                there = place(target)
                if there == here or (here, there) in STAIRS:
                    continue
                # The facade names every package, but imports them only when asked for them.
                if here == ROOT and lazy:
                    continue
                below = ROOT if here == ROOT else here
                if floor(there) > floor(below) or (floor(there) == floor(below) and there != ROOT):
                    if (here, there) == (ROOT, "core"):
                        continue
                    found.append(f"{where}, floor {floor(there)} from floor {floor(below)}")
    return found


def private_uses(sources: dict[str, str]) -> list[str]:
    """Private names of other modules, classes and objects, as ``module:line: what``."""
    found = []
    for module, source in sources.items():
        for node in ast.walk(ast.parse(source)):
            where = f"{module}:{getattr(node, 'lineno', 0)}"
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("jaxgen"):
                found += [f"{where}: {a.name}" for a in node.names if is_private(a.name)]
            elif isinstance(node, ast.Attribute) and is_private(node.attr):
                owner = ast.unparse(node.value)
                # A class may look into its own instances: self, what copies it, and its parents.
                if owner not in ("self", "cls", "super()"):
                    found.append(f"{where}: {owner}.{node.attr}")
    return found


# Public in spite of it: the methods of a named tuple leave the other names to its fields, and the
# exit without a goodbye is of POSIX.
_PUBLIC = ("_replace", "_exit")


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.endswith("__") and name not in _PUBLIC


def test_private_names_stay_private():
    assert private_uses(modules()) == []


def test_the_checker_sees_private_names_of_others():
    source = """
    from jaxgen.models.flow import _use
    from jaxgen.core import __version__

    class Model:
        def score(self, other):
            super()._init()
            return self._own + other._score(self.model._parts)
    """
    found = private_uses({"jaxgen.bad": textwrap.dedent(source)})
    assert [line.partition(": ")[2] for line in found] == [
        "_use",
        "other._score",
        "self.model._parts",
    ]


def test_every_module_has_a_floor():
    assert {place(module) for module in modules()} <= {*FLOORS, ROOT}


def test_every_floor_keeps_to_the_floors_below():
    assert violations(modules()) == []


def test_the_checker_sees_the_imports_that_are_there():
    """A checker that resolved nothing would pass everything."""
    sources = modules()
    found = {
        (place(module), place(target))
        for module, source in sources.items()
        for target, _, _ in imports(module, source, set(sources))
        if target.startswith("jaxgen")
    }
    assert {
        ("bijectors", "functional"),
        ("conditionals", "networks"),
        ("models", "bijectors"),
        ("zoo", "models"),
        ("training", "data"),
        ("cli", "runs"),
        ("runs", "zoo"),
        (ROOT, "core"),
    } <= found


BAD = {
    "upwards": ("jaxgen.networks.bad", "from jaxgen.bijectors import Chain"),
    "upwards, by a submodule": ("jaxgen.core", "import jaxgen.models.flow"),
    "upwards, through the root": ("jaxgen.models.bad", "from jaxgen import training"),
    "upwards, relative": ("jaxgen.zoo.bad", "from ..training import loop"),
    "upwards, inside a function": ("jaxgen.core", "def f():\n    from jaxgen.zoo import maf"),
    "upwards, for type checkers": (
        "jaxgen.functional.bad",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from jaxgen.models import Flow",
    ),
    "sideways": ("jaxgen.transforms", "from jaxgen.likelihoods import Normal"),
    "sideways, against the stairs": ("jaxgen.data.bad", "from jaxgen.training import fit"),
    "the root imports the house": ("jaxgen", "from jaxgen.models import Flow"),
    "Flax in floor 0": ("jaxgen.functional.bad", "from flax import nnx"),
    "optax in floor 0, lazily": ("jaxgen.functional.bad", "def f():\n    import optax"),
    "core in floor 0": ("jaxgen.functional.bad", "from jaxgen.core import Shape"),
    "distrax at the top": ("jaxgen.likelihoods", "import distrax"),
    "distrax elsewhere": ("jaxgen.models.bad", "def f():\n    import distrax"),
    "matplotlib at the top": ("jaxgen.evaluation.bad", "from matplotlib import pyplot"),
    "orbax in a class body": ("jaxgen.training.bad", "class C:\n    import orbax.checkpoint"),
}


@pytest.mark.parametrize("name", BAD)
def test_the_checker_catches(name):
    module, source = BAD[name]
    found = violations({**modules(), module: textwrap.dedent(source)})
    assert len(found) == 1, found
    assert found[0].startswith(f"{module}:")
