"""What ``--set KEY=VALUE`` says: where a value goes, and what it is."""

import ast
import json
from typing import Any


def inside(values: dict[str, Any], path: list[str], key: str) -> tuple[dict[str, Any], str]:
    """The dictionary that a path of names leads to, made where there is none, and the last name.

    Raises:
        ValueError: if something on the way is no dictionary; ``key`` is what it is called.

    >>> inside({"train": {"steps": 5}}, ["train", "steps"], "train.steps")
    ({'steps': 5}, 'steps')
    """
    for name in path[:-1]:
        inner = values.get(name)
        inner = {} if inner is None else inner
        if not isinstance(inner, dict):
            raise ValueError(f"{key}: expected a dictionary at {name!r}, got {inner!r}")
        values[name] = inner
        values = inner
    return values, path[-1]


def parsed(text: str) -> Any:
    """The value that a text stands for: of JSON, of Python, or else itself.

    Raises:
        ValueError: if it is nested too deeply, or is a list or a dictionary that neither can read.

    >>> parsed("1e-3"), parsed("null"), parsed("(1, 2)"), parsed("adam")
    (0.001, None, (1, 2), 'adam')
    """
    for parse in (json.loads, ast.literal_eval):
        try:
            return parse(text)
        except (ValueError, SyntaxError):
            continue
        except (MemoryError, RecursionError):  # what the two say of what is nested too deeply
            raise ValueError(f"expected a value less deeply nested, got {text[:20]}...") from None
    if text[:1] in ("[", "{", "("):
        raise ValueError(
            f"expected a list or dictionary in JSON, where text has double quotes and all of it "
            f"single ones from the shell, as in --set 'augment=[\"flip\"]', got {text[:40]}"
        )
    return text
