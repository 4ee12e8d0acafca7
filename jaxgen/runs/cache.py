"""Compiled programs that outlive the process which compiled them."""

import hashlib
import os
import platform
import warnings
from pathlib import Path

import jax

_WORTH_SECONDS = 0.1  # of compiling, for a program to be kept


def keep_programs(folder: str | Path | None = None) -> Path | None:
    """Keeps what is compiled from now on in a folder, where other processes find it.

    It is the setting ``jax_compilation_cache_dir`` of JAX, with a folder for each kind of machine:
    a program for one processor may not run on another. The command ``jaxgen`` does so unless it is
    told ``--no-cache``. What is in the folder can be deleted at any time.

    Args:
        folder: where (``~`` is the home); by default what the environment variable
            ``JAXGEN_CACHE`` says (nothing, to keep nothing), or ``jaxgen`` in ``XDG_CACHE_HOME`` or
            ``~/.cache``.

    Returns:
        The folder; None if nothing is kept, or if what JAX was told already stays as it is.

    Warns:
        UserWarning: if the folder that was asked for cannot be made. Without the default one, as in
            a home that cannot be written to, programs are compiled anew.

    >>> import tempfile
    >>> before = jax.config.jax_compilation_cache_dir
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     kept = keep_programs(folder)
    ...     jax.config.update("jax_compilation_cache_dir", before)
    >>> kept is None or kept.parent == Path(folder)
    True
    """
    asked = os.environ.get("JAXGEN_CACHE") if folder is None else str(folder)
    if asked == "" or jax.config.jax_compilation_cache_dir is not None:  # type: ignore[attr-defined]
        return None
    try:
        path = (_default() if asked is None else Path(asked)).expanduser().absolute() / _machine()
        path.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError) as error:  # no such home, or one that cannot be written to
        if asked is not None:
            warnings.warn(f"keep_programs: nothing is kept in {asked!r}: {error}", stacklevel=2)
        return None
    jax.config.update("jax_compilation_cache_dir", str(path))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", _WORTH_SECONDS)
    return path


def _default() -> Path:
    users_own = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return (users_own if users_own.is_absolute() else Path("~/.cache")) / "jaxgen"


def _machine() -> str:
    """A name for this kind of machine: its architecture, and a digest of what it can do."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        lines = []
    able = sorted({line for line in lines if line.startswith(("model name", "flags", "Features"))})
    digest = hashlib.sha256("\n".join([platform.processor(), *able]).encode()).hexdigest()
    return f"{platform.machine()}-{digest[:12]}"
