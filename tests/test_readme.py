"""The Python of README.md runs as it is shown, each block on its own."""

import re
from pathlib import Path

import matplotlib
import pytest

README = Path(__file__).parents[1] / "README.md"


def blocks(text: str) -> list[tuple[int, str]]:
    """Each block of Python in Markdown, with the line that it starts in."""
    return [
        (text[: match.start(1)].count("\n") + 1, match[1])
        for match in re.finditer(r"^```python[^\n]*\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    ]


BLOCKS = blocks(README.read_text())


def test_there_is_something_to_run():
    assert BLOCKS
    assert any("import jaxgen" in block or "from jaxgen" in block for _, block in BLOCKS)


def test_blocks_are_found_with_their_lines():
    text = "# A\n```python\na = 1\n\nb = 2\n```\ntext\n```bash\nls\n```\n```python\nc = 3\n```\n"
    assert blocks(text) == [(3, "a = 1\n\nb = 2\n"), (12, "c = 3\n")]


@pytest.mark.parametrize(("line", "block"), BLOCKS, ids=[f"line {line}" for line, _ in BLOCKS])
def test_block_runs(line, block, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with matplotlib.rc_context({"backend": "agg"}):
        # As many empty lines in front as put the lines of the README into a traceback.
        exec(compile("\n" * (line - 1) + block, str(README), "exec"), {"__name__": "__main__"})
