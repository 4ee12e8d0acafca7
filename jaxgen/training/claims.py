"""A run directory belongs to one training: one configuration, and one set of data."""

import contextlib
import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from jaxgen.training.checkpoints import Checkpoints
from jaxgen.training.digests import digests
from jaxgen.training.lock import is_held, locked
from jaxgen.training.objectives import Batch
from jaxgen.training.processes import by_the_first
from jaxgen.training.saved import ARRAYS, CONFIG, RunError, SavedModel, read_config, read_object

DATA = "data.json"  # what a run is trained on, by digest

_SHOWN = 3  # differences of two configurations
_HASH = re.compile("([0-9a-f]{12})[0-9a-f]{52}")


@contextlib.contextmanager
def kept_in(
    out: Path | None,
    about: Callable[[], SavedModel],
    data: Mapping[str, Batch | None],
    keep: tuple[int, int] = (2, 0),
) -> Iterator[Checkpoints | None]:
    """The checkpoints of a directory, which is this training's while the context lasts.

    Args:
        out: the directory; None to keep nothing.
        about: gives the configuration that claims it, unless the caller, who holds it, has.
        data: what is trained on, by the name of the split: a run goes on with the same data only.
        keep: how many of the last checkpoints, and of the best ones.

    Raises:
        RunError: if the directory cannot be written, or is of another configuration or other data.
        InUseError: if another process trains there.
        PeerError: in other processes of this training, if one of those was raised in the first.
    """
    if out is None:
        yield None
        return
    claimed = is_held(out)
    with contextlib.ExitStack() as lock:

        def enter() -> None:
            with writing(out):
                lock.enter_context(locked(out))
            if not claimed:
                config = about().to_dict()
                claim(out, config, lambda path: _in_todays_terms(read_config(path), config))
            _claim_data(out, digests(data))

        by_the_first(enter)
        with Checkpoints(out / "checkpoints", *keep) as checkpoints:
            yield checkpoints


def claim(path: Path, config: dict[str, Any], read: Callable[[Path], dict[str, Any]]) -> None:
    """Writes a configuration into a new directory, or checks that the old one is equal.

    Before the first checkpoint there is nothing to lose, so a corrected one may come.

    Args:
        path: the directory.
        config: in values of JSON.
        read: gives the old configuration of a path, in today's terms.

    Raises:
        RunError: if the directory cannot be written, or holds a saved model, or checkpoints of
            another configuration, or of one that is not known.
    """
    if (path / ARRAYS).exists():
        raise RunError(f"{path} holds a saved model; choose another directory, or remove it")
    if _has_checkpoints(path):
        if not (path / CONFIG).exists():
            raise RunError(
                f"{path} holds checkpoints without the {CONFIG} that says what they are of; put it "
                f"back, or choose another --out"
            )
        differences = _differences(_but_placement(read(path)), _but_placement(config))
        if differences:
            more = len(differences) - _SHOWN
            said = differences[:_SHOWN] + ([f"and {more} more"] if more > 0 else [])
            raise RunError(
                f"{path} holds a run of another configuration ({'; '.join(said)}); choose another "
                f"--out, or remove it"
            )
        return
    _write_object(path, CONFIG, config)


@contextlib.contextmanager
def writing(out: Path | str) -> Iterator[None]:
    """Says of a failure to write which file it was about."""
    try:
        yield
    except OSError as error:
        raise RunError(f"cannot write {out}: {error}") from error


def _claim_data(path: Path, digests: dict[str, Any]) -> None:
    """Writes down of what data a training is, or checks that the one there is of the same.

    A run of before November 2026 does not say, and goes on.

    Raises:
        RunError: if there are checkpoints of a training on other data, naming what differs.
    """
    if not _has_checkpoints(path):
        _write_object(path, DATA, digests)
    elif (path / DATA).exists():
        differences = _differences(read_object(path, DATA), digests)
        if differences:
            said = _HASH.sub(r"\1...", "; ".join(differences))
            raise RunError(
                f"the run in {path} was trained on other data ({said}); choose another directory, "
                f"or remove it"
            )


def _has_checkpoints(path: Path) -> bool:
    return any((path / "checkpoints").glob("[0-9]*"))


def _in_todays_terms(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """A configuration with the settings that it did not have yet, in November 2026."""
    training = old.get("training")
    settings = training.get("settings") if isinstance(training, dict) else None
    if not isinstance(training, dict) or not isinstance(settings, dict):
        return old
    later = {
        "steps": new["training"].get("settings", {}).get("steps"),
        "remat": False,
        "accumulate_steps": 1,
    }
    return {**old, "training": {**training, "settings": {**later, **settings}}}


def _but_placement(config: dict[str, Any]) -> dict[str, Any]:
    """A configuration without what decides about no number, but where and how a run goes on."""
    kept = dict(config)
    for name in ("recipe", "train", "training", "settings"):  # one in the other
        if isinstance(kept.get(name), dict):
            kept[name] = _but_placement(kept[name])
    for name in ("version", "sharding", "workers", "keep_last", "keep_best"):
        kept.pop(name, None)
    return kept


def _write_object(path: Path, name: str, values: dict[str, Any]) -> None:
    with writing(path):
        path.mkdir(parents=True, exist_ok=True)
        # Written aside and renamed, so that a kill leaves no half of it.
        draft = path / f"{name}.tmp"
        draft.write_text(json.dumps(values, indent=2) + "\n")
        draft.rename(path / name)


def _differences(old: Any, new: Any, path: str = "") -> list[str]:
    if isinstance(old, dict) and isinstance(new, dict):
        keys = sorted(old.keys() | new.keys())
        return [
            text
            for key in keys
            for text in _differences(old.get(key), new.get(key), f"{path}.{key}" if path else key)
        ]
    return [] if old == new else [f"{path}: {old} there, {new} now"]
