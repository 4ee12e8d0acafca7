"""Experiment files: recipes by name, and functions of their own beside them."""

import dataclasses
import inspect
import re
import sys
from pathlib import Path

import pytest

from jaxgen import zoo
from jaxgen.runs import ExperimentFile, Recipe, load_recipe

EXPERIMENTS = sorted((Path(__file__).parents[2] / "experiments").glob("*.py"))
HEADER = '"""Doc."""\nfrom jaxgen.runs import Recipe\n'
ONE = "recipe = Recipe(model='maf', data='toy:rings')\n"
SEVERAL = """
maf = Recipe(model='maf', data='toy:rings', name='maf_rings')
_hidden = Recipe(model='nice', data='toy:rings')
more = {f'maf{n}': Recipe(model='maf', data='toy:rings', model_args={'layers': n}) for n in (1, 2)}
numbers = {'one': 1}

def build(event_shape, levels, num_classes, rngs):
    pass
"""


def write(folder, source, name="maf_rings.py"):
    path = folder / name
    path.write_text(HEADER + source)
    return path


def test_the_only_recipe_goes_by_the_files_name(tmp_path):
    path = write(tmp_path, ONE + "assert __file__.endswith('maf_rings.py')")
    recipe, file = load_recipe(path)
    assert recipe == Recipe(model="maf", data="toy:rings", name="maf_rings")
    assert file.path == path
    assert load_recipe(f"{path}:recipe")[0].name == "recipe"


def test_several_recipes_are_chosen_by_name(tmp_path):
    path = write(tmp_path, SEVERAL, "rings.py")
    file = ExperimentFile.load(str(path))
    assert list(file.recipes) == ["maf", "maf1", "maf2"]
    assert set(file.functions) == {"build"}
    assert file.recipe("maf").name == "maf_rings"  # its own
    recipe, _ = load_recipe(f"{path}:maf2")
    assert (recipe.name, recipe.model_args) == ("maf2", {"layers": 2})


def test_a_module_beside_the_file(tmp_path, monkeypatch):
    monkeypatch.setattr("sys.path", sys.path.copy())
    (tmp_path / "parts_beside_a_recipe.py").write_text("def build(*args, **options):\n    pass\n")
    path = write(tmp_path, "from parts_beside_a_recipe import build\n" + ONE)
    assert set(ExperimentFile.load(path).functions) == {"build"}


WRONG = {
    "no recipe": (HEADER, "", "expected one Recipe, or FILE:NAME to choose one; there are none"),
    "several, none chosen": (SEVERAL, "", "there are .*rings.py:maf, .*:maf1, .*:maf2"),
    "another name": (SEVERAL, ":mav1", "unknown recipe of .*rings.py 'mav1': did you mean 'maf1'"),
    "a wrong type": (
        "\nRecipe(model='maf', data=1)",
        "",
        r"maf_rings.py: cannot be loaded: line 4: ValueError: data: expected str, got 1",
    ),
    "a syntax error": ("x = (", "", "cannot be loaded: SyntaxError: "),
    "a missing module": ("import no_such_module", "", "line 3: ModuleNotFoundError: No module"),
    "an exit": ("raise SystemExit(3)", "", "line 3: SystemExit: 3"),
    "no recipe of a name": ("recipes = {'a': 3}", ":a", "'a': Available: none"),
}


@pytest.mark.parametrize("name", WRONG)
def test_load_recipe_refuses(tmp_path, name):
    source, chosen, said = WRONG[name]
    with pytest.raises(ValueError, match=said):
        load_recipe(f"{write(tmp_path, source)}{chosen}")


def test_one_bad_recipe_leaves_the_others(tmp_path):
    path = write(tmp_path, ONE + "bad = Recipe(model='no', data='no', procedure='no')")
    assert load_recipe(f"{path}:recipe")[0].model == "maf"


def test_a_file_is_loaded_by_either_way_to_say_it(tmp_path):
    path = write(tmp_path, SEVERAL)
    assert set(ExperimentFile.load(f"{path}:maf1").functions) == {"build"}


def test_load_recipe_names_the_nearest_file(tmp_path):
    for name in ("maf_rings.py", "other.py"):
        write(tmp_path, ONE, name)
    given = tmp_path / "maf_ring.py"
    said = f"unknown experiment file '{given}': did you mean '{tmp_path / 'maf_rings.py'}'"
    with pytest.raises(ValueError, match=re.escape(said)):
        load_recipe(given)
    with pytest.raises(ValueError, match="unknown experiment file"):
        load_recipe(tmp_path / "absent" / "maf.py")


def ours() -> dict[str, Recipe]:
    """The project's own recipes."""
    loaded = [ExperimentFile.load(path) for path in EXPERIMENTS]
    return {
        f"{file.path.stem}:{name}": file.recipe(name) for file in loaded for name in file.recipes
    }


@pytest.mark.parametrize("name", ours())
def test_the_projects_recipes_name_hyperparameters_of_their_models(name):
    recipe = ours()[name]
    known = zoo.hyperparameters(recipe.model)
    assert set(recipe.model_args) <= set(known)
    required = {name for name, default in known.items() if default is inspect.Parameter.empty}
    assert required <= set(recipe.model_args)
    assert recipe.summary.endswith(".")
    assert dataclasses.replace(recipe, name=None, summary="") == Recipe.from_dict(recipe.to_dict())


def test_the_projects_runs_have_names_of_their_own():
    names = [recipe.name for recipe in ours().values()]
    assert len(set(names)) == len(names)


def test_a_file_may_define_classes(tmp_path):
    """Dataclasses look their annotations up in their module, by its name."""
    source = (
        "from __future__ import annotations\nimport dataclasses\nfrom jaxgen.runs import Recipe\n"
        "@dataclasses.dataclass\nclass Size:\n    width: int = 4\n" + ONE
    )
    path = tmp_path / "sized.py"
    path.write_text(source)
    assert ExperimentFile.load(path).functions["Size"]().width == 4
