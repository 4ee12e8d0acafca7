"""The pages of the documentation run as they are shown, and lead where they say."""

import re
from pathlib import Path

import matplotlib
import pytest
import yaml

from jaxgen import zoo

ROOT = Path(__file__).parents[1]
PAGES = sorted((ROOT / "docs").glob("*.md"))
# That of scale has tests of its own, of devices and hosts.
RUN = [page for page in PAGES if "```python" in page.read_text() and page.stem != "scale"]

_BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
# A number that someone measured: with an error, or in a unit of what is measured.
_MEASURED = re.compile(r"±|AUROC [\d.]|\d\s*(nats|bits|ms\b|minutes|times (as|faster|slower))")
_LINK = re.compile(r"\]\((?!https?:)([^)#\s]*)(#[^)\s]*)?\)")


@pytest.mark.parametrize("page", RUN, ids=lambda page: page.stem)
def test_the_blocks_of_a_page_run_in_order(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text, names = page.read_text(), {"__name__": "__main__"}
    with matplotlib.rc_context({"backend": "agg"}):
        for match in _BLOCK.finditer(text):
            line = text[: match.start(1)].count("\n")
            # As many empty lines in front as put the lines of the page into a traceback.
            exec(compile("\n" * line + match[1], str(page), "exec"), names)


@pytest.mark.parametrize("page", [*PAGES, ROOT / "README.md", ROOT / "CONTRIBUTING.md"])
def test_links_lead_to_files(page):
    for target, _ in _LINK.findall(page.read_text()):
        assert not target or (page.parent / target).exists(), target


@pytest.mark.parametrize("page", [*PAGES, ROOT / "README.md"], ids=lambda page: page.stem)
def test_prose_states_no_measured_number(page):
    """They stand in the page of results alone, which is written from records."""
    if page.stem == "results":
        return
    prose = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    assert not _MEASURED.findall(prose)


def test_every_constructor_is_in_the_reference():
    page = (ROOT / "docs" / "reference" / "zoo.md").read_text()
    for name in zoo.__all__:
        assert re.search(rf"\b{name}\b", page), name


def test_every_page_is_in_the_navigation():
    class Loader(yaml.SafeLoader):
        """Passes over what names Python objects."""

    Loader.add_multi_constructor("tag:yaml.org,2002:python/", lambda *args: None)
    nav = yaml.load((ROOT / "mkdocs.yml").read_text(), Loader)["nav"]

    def files(entry):
        if isinstance(entry, str):
            return [entry]
        inner = entry.values() if isinstance(entry, dict) else entry
        return [file for each in inner for file in files(each)]

    docs = ROOT / "docs"
    there = {str(page.relative_to(docs)) for page in docs.rglob("*.md")}
    assert sorted(files(nav)) == sorted(there)


def test_readme_is_short():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 120
