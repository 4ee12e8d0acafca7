"""Docstrings as the pages show them: reStructuredText's roles and formulas in Markdown."""

import importlib
import inspect
import re
from functools import cache
from typing import Any

import griffe

_ROLE = re.compile(r":(class|func|meth|mod|attr|data):`~?(?:([^`<]+?) <)?([^`<>]+)>?`")
_INLINE = re.compile(r":math:`([^`]+)`", re.DOTALL)
_BLOCK = re.compile(r"^( *)\.\. math:: *(.*)\n((?:\1   .*\n|\s*\n)*)", re.MULTILINE)


class Roles(griffe.Extension):
    """Rewrites every docstring as it is loaded."""

    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        if obj.docstring is not None:
            obj.docstring.value = in_markdown(as_shown(obj) or obj.docstring.value)


def as_shown(obj: griffe.Object) -> str | None:
    """The docstring of a constructor as ``help`` shows it, with the arguments that all share."""
    if not (obj.is_function and obj.path.startswith("jaxgen.zoo.")):
        return None
    from jaxgen import zoo

    found = getattr(zoo, obj.name, None)
    return inspect.getdoc(found) if obj.name in zoo.__all__ and callable(found) else None


def in_markdown(text: str) -> str:
    """A docstring with Markdown's links and formulas."""
    text = _BLOCK.sub(_formula, text + "\n")
    text = _INLINE.sub(lambda match: f"${' '.join(match[1].split())}$", text)
    return _ROLE.sub(_link, text).rstrip("\n")


def _formula(match: re.Match[str]) -> str:
    indent, first, rest = match.groups()
    lines = [line.strip() for line in (first, *rest.splitlines()) if line.strip()]
    return "\n".join(f"{indent}{line}" for line in ("", "$$", *lines, "$$", "")) + "\n"


def _link(match: re.Match[str]) -> str:
    role, shown, target = match.groups()
    name = shown or (target if role == "mod" else target.rpartition(".")[2])
    known = target in packages() if role == "mod" else target in public_names()
    return f"[`{name}`][{target}]" if known else f"`{name}`"


@cache
def packages() -> frozenset[str]:
    """The packages that have a page of their own."""
    import jaxgen

    return frozenset(f"jaxgen.{name}" for name in vars(jaxgen)["_SUBMODULES"])


@cache
def public_names() -> frozenset[str]:
    """What the pages of the reference are about."""
    found = set()
    for package in packages():
        module = importlib.import_module(package)
        found |= {f"{package}.{name}" for name in getattr(module, "__all__", ())}
    return frozenset(found)
