"""One training at a time in a directory."""

import contextlib
import contextvars
import datetime
import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path

try:
    import fcntl
except ImportError:  # not on Windows, where nothing is locked
    fcntl = None  # type: ignore[assignment]

# What this thread of execution has locked: who trains in a directory may call who locks it again.
_HELD: contextvars.ContextVar[frozenset[Path]] = contextvars.ContextVar("held", default=frozenset())


class InUseError(ValueError):
    """Another process trains in the directory."""


@contextlib.contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Keeps a directory, which is made if need be, for this process while the context lasts.

    The lock is the system's own on the file ``.lock``, so it ends with its process, however that
    ends, and holds between the machines that share a network file system. The file says who has it.

    Raises:
        InUseError: naming the process that holds it.
    """
    directory.mkdir(parents=True, exist_ok=True)
    path = directory.resolve()
    if is_held(directory):
        yield
        return
    token = _HELD.set(_HELD.get() | {path})
    try:
        with _lock_of(directory):
            yield
    finally:
        _HELD.reset(token)


def is_held(directory: Path) -> bool:
    """Whether this thread of execution has locked a directory."""
    return directory.resolve() in _HELD.get()


@contextlib.contextmanager
def _lock_of(directory: Path) -> Iterator[None]:
    """The system's lock of a directory, where there are any."""
    if fcntl is None:
        yield
        return
    with (directory / ".lock").open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise InUseError(
                f"{directory} is in use: {_holder(file.read())} trains there; wait for its end, or "
                f"choose another directory"
            ) from None
        since = datetime.datetime.now().astimezone().isoformat(timespec="seconds")
        holder = {"process": os.getpid(), "host": socket.gethostname(), "since": since}
        file.truncate(0)
        file.write(json.dumps(holder))
        file.flush()
        try:
            yield
        finally:
            file.truncate(0)  # the file stays: to remove it would open a gap between two others


def _holder(text: str) -> str:
    try:
        holder = json.loads(text)
        return f"process {holder['process']} on {holder['host']} (since {holder['since']})"
    except (ValueError, KeyError, TypeError):  # it has it, and has not said so yet
        return "another process"
