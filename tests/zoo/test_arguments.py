"""Every argument of every constructor is explained, and what is common is written once."""

import inspect

import pytest

from jaxgen import zoo
from jaxgen.zoo.arguments import MEANINGS, explained

CONSTRUCTORS = [getattr(zoo, name) for name, _ in zoo.names()]


@pytest.mark.parametrize("constructor", CONSTRUCTORS, ids=lambda each: each.__name__)
def test_help_shows_every_argument_once_in_order(constructor):
    lines = inspect.getdoc(constructor).splitlines()
    section = lines[lines.index("Args:") + 1 :]
    section = section[: section.index("")]
    entries = [line.strip().partition(": ")[0] for line in section if line[4] != " "]
    shown = [name for entry in entries for name in entry.split(", ")]
    # Several arguments in one entry stand where the first of them does.
    assert sorted(shown) == sorted(inspect.signature(constructor).parameters)
    assert (shown[0], shown[-1]) == ("event_shape", "rngs")


@pytest.mark.parametrize("constructor", CONSTRUCTORS, ids=lambda each: each.__name__)
def test_the_event_comes_first_and_rngs_last(constructor):
    first, *rest = inspect.signature(constructor).parameters.values()
    assert first.name == "event_shape"
    assert {each.kind for each in rest} == {inspect.Parameter.KEYWORD_ONLY}
    assert [each.name for each in rest if each.default is each.empty] == ["rngs"]
    assert rest[-1].name == "rngs"


def test_the_zoo_exports_what_it_names():
    assert {name for name, _ in zoo.names()} == {*zoo.__all__} - {
        "build",
        "hyperparameters",
        "names",
    }


@pytest.mark.parametrize("constructor", CONSTRUCTORS, ids=lambda each: each.__name__)
def test_what_is_common_is_written_once(constructor):
    source = " ".join(inspect.getsource(constructor).split())
    assert [name for name in MEANINGS if f" {name}: {MEANINGS[name]}" in source] == []


def test_the_paper_s_own_meaning_wins():
    assert "``(height, width, channels)``; a position is a pixel" in zoo.pixelcnnpp.__doc__
    assert MEANINGS["event_shape"] not in zoo.pixelcnnpp.__doc__


def test_an_unexplained_argument_is_refused():
    def model(event_shape, *, temper, rngs):
        """A model."""

    with pytest.raises(TypeError, match="model: nothing says what temper means"):
        explained(model)
