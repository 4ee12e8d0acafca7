"""Models at addresses: on the Hugging Face Hub, and those that come with jaxgen.

| address | what it is |
|---|---|
| ``hf://OWNER/NAME``, ``hf://OWNER/NAME@REVISION`` | an exported model on the Hub |
| ``pretrained:NAME`` | one of those that are installed with jaxgen |
| anything else | a folder |

The Hub is asked through ``huggingface_hub``, with its cache, its token and its environment
variables (``HF_HOME``, ``HF_TOKEN``, ``HF_ENDPOINT``, ``HF_HUB_OFFLINE``).
"""

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jaxgen.core import unknown
from jaxgen.training.saved import ARRAYS, CONFIG, RunError

_HUB = "hf://"
PRETRAINED = "pretrained:"
_REPOSITORY = re.compile(r"([\w.-]+/[\w.-]+)(?:@([\w./-]+))?")
_INSTALLED = Path(__file__).parents[1] / "pretrained"

# What there may be beside the configuration and the arrays.
_BESIDE = ("README.md", "record.json", "splits.json", "samples.png", "samples.txt")


def pretrained_names() -> list[str]:
    """The names of the models that are installed with jaxgen."""
    return sorted(path.parent.name for path in _INSTALLED.glob(f"*/{CONFIG}"))


def located(address: Path | str) -> Path:
    """The folder of a model at an address.

    Raises:
        ValueError: for an unknown pretrained name, naming the nearest.
        ImportError: if ``huggingface_hub`` is needed and not installed.
        RunError: if an address of the Hub is none, or what is there cannot be had.

    >>> located("runs/glow").parts
    ('runs', 'glow')
    """
    text = str(address)
    if text.startswith(PRETRAINED):
        name = text.removeprefix(PRETRAINED)
        if name not in pretrained_names():
            raise unknown("pretrained model", name, pretrained_names())
        return _INSTALLED / name
    if isinstance(address, str) and text.startswith(_HUB):
        return _fetched(text)
    return Path(address)


def push(
    folder: Path | str, repository: str, *, private: bool = False, message: str | None = None
) -> str:
    """Uploads an exported model to the Hub, into a repository that is made if there is none.

    Args:
        folder: what :func:`~jaxgen.runs.export_run` wrote.
        repository: ``hf://OWNER/NAME``, or ``OWNER/NAME``.
        private: whether a new repository is for its owner only.
        message: of the commit.

    Returns:
        The address to load it from.

    Raises:
        RunError: if the folder is no exported model, the repository's name is none, or the Hub
            refuses it.
        ImportError: if ``huggingface_hub`` is not installed.
    """
    folder, address = Path(folder), repository
    if not address.startswith(_HUB):
        address = _HUB + address
    name, revision = _parts(address)
    if revision is not None:
        raise RunError(f"{repository}: expected OWNER/NAME to push to, got a revision too")
    if missing := [each for each in (CONFIG, ARRAYS) if not (folder / each).is_file()]:
        raise RunError(
            f"{folder}: expected an exported model to push, got a folder without "
            f"{' and '.join(missing)}; run: jaxgen export RUN {folder}"
        )
    hub = _hub()
    with _said(address):
        api = hub.HfApi(library_name="jaxgen")
        api.create_repo(name, private=private, exist_ok=True)
        api.upload_folder(
            repo_id=name,
            folder_path=folder,
            allow_patterns=[CONFIG, ARRAYS, *_BESIDE],
            commit_message=message or f"Upload {folder.name}",
        )
    return address


def _fetched(address: str) -> Path:
    name, revision = _parts(address)
    hub = _hub()
    with _said(address):
        found = hub.snapshot_download(
            name,
            revision=revision,
            allow_patterns=[CONFIG, ARRAYS, *_BESIDE],
            library_name="jaxgen",
        )
    if not (Path(found) / CONFIG).is_file():
        raise RunError(f"{address}: expected a model that jaxgen exported, found no {CONFIG}")
    return Path(found)


def _parts(address: str) -> tuple[str, str | None]:
    """The repository of an address, and its revision."""
    match = _REPOSITORY.fullmatch(address.removeprefix(_HUB))
    if match is None:
        raise RunError(f"expected {_HUB}OWNER/NAME or {_HUB}OWNER/NAME@REVISION, got {address!r}")
    return match[1], match[2]


def _hub() -> Any:
    try:
        import huggingface_hub
    except ImportError as error:
        raise ImportError(
            "models on the Hugging Face Hub need huggingface_hub, which is not installed; run: "
            'pip install "jaxgen[hub]"'
        ) from error
    return huggingface_hub


@contextlib.contextmanager
def _said(address: str) -> Iterator[None]:
    """What the Hub, or the way there, refuses, in one line with the address."""
    try:
        yield
    except (OSError, ValueError, RuntimeError) as error:  # of HTTP, of names, of connections
        first = " ".join(str(error).split())
        raise RunError(f"{address}: {type(error).__name__}: {first}") from error
