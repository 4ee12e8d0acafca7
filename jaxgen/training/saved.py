"""Models that were built in Python, on disk: what ``config.json`` says, and the arrays."""

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any, Self, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from jaxgen.core import (
    array_of,
    describe,
    fill,
    first_difference,
    is_concrete,
    leaves_by_path,
    plain,
)
from jaxgen.training.checkpoints import CheckpointError, Checkpoints
from jaxgen.training.metrics import warn_unless_last

M = TypeVar("M", bound=nnx.Module)

CONFIG = "config.json"
ARRAYS = "model.safetensors"  # of a saved model, beside its configuration

_FORMAT = "jaxgen model"
VERSION = 1  # of what directories hold; a reader refuses what is newer than itself


class RunError(ValueError):
    """A run directory is missing, damaged, in the way, or of another configuration."""


def read_config(path: Path) -> dict[str, Any]:
    """What the ``config.json`` of a directory holds.

    Raises:
        RunError: if it is missing or damaged, or a newer jaxgen wrote it.
    """
    if not (path / CONFIG).is_file():
        raise RunError(f"{path} is not a run directory: it has no {CONFIG}")
    config = read_object(path, CONFIG)
    version = config.get("version", 1)  # not there before December 2026
    if not isinstance(version, int):
        raise damaged(path, TypeError(f"version: expected int, got {version!r}"))
    if version > VERSION:
        raise RunError(
            f"{path} was written by a newer jaxgen, in format {version}, and this one reads "
            f"formats up to {VERSION}; run: pip install --upgrade jaxgen"
        )
    return config


def damaged(path: Path, error: Exception, name: str = CONFIG) -> RunError:
    """The error to raise for a ``config.json``, or another file, in which something is wrong."""
    return RunError(f"{path / name} is damaged: {type(error).__name__}: {error}")


def read_object(path: Path, name: str) -> dict[str, Any]:
    """The JSON object in a file of a directory.

    Raises:
        RunError: if it is missing or damaged.
    """
    try:
        found = json.loads((path / name).read_text())
    # Lists in lists in lists end in a RecursionError.
    except (OSError, RecursionError, ValueError) as error:
        raise damaged(path, error, name) from error
    if not isinstance(found, dict):
        got = type(found).__name__
        raise damaged(path, TypeError(f"expected a JSON object, got {got}"), name)
    return found


@dataclasses.dataclass(frozen=True)
class SavedModel:
    """The configuration of a saved model, or of a run of :func:`~jaxgen.training.fit`.

    Args:
        origin: how the model was built, if by a constructor of the zoo or a recipe; None if it
            takes a model of its structure to be loaded.
        structure: what it is apart from its numbers, see :func:`jaxgen.core.describe`.
        training: what was trained how; empty for a model that was saved.
        sha256: of the file of arrays of a model that was saved, in hexadecimal digits; None where
            there is none, or it is not known.
    """

    origin: dict[str, Any] | None
    structure: dict[str, Any]
    training: dict[str, Any] = dataclasses.field(default_factory=dict)
    sha256: str | None = None

    @classmethod
    def of(cls, model: nnx.Module, **training: Any) -> Self:
        """The configuration of a model.

        Args:
            model: what is saved or trained.
            **training: the settings, the objective and so on, of which the names are kept where
                they are objects.
        """
        origin = vars(model).get("origin")
        about = None if origin is None else json.loads(origin)
        return cls(about, describe(model), {k: plain(v) for k, v in training.items()})

    @classmethod
    def read(cls, path: Path) -> Self | None:
        """The configuration in a directory; None if there is one of another kind.

        Raises:
            RunError: if it is missing or damaged.
        """
        config = read_config(path)
        if config.get("format") != _FORMAT:
            return None
        try:
            structure = config["structure"]
            for kind, dtype, shape in structure["leaves"].values():
                jax.ShapeDtypeStruct(tuple(shape), jnp.dtype(dtype)), str(kind)
            structure["attributes"].items()
            origin, training = config["origin"], config["training"]
            if not isinstance(origin, dict | None) or not isinstance(training, dict):
                raise TypeError(f"origin: expected an object or null, got {origin!r}")
            sha256 = config.get("sha256")  # which older folders have not
            if not isinstance(sha256, str | None):
                raise TypeError(f"sha256: expected a string, got {sha256!r}")
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise damaged(path, error) from error
        return cls(origin, structure, training, sha256)

    def to_dict(self) -> dict[str, Any]:
        """What ``config.json`` holds."""
        fields = dataclasses.asdict(self)
        if self.sha256 is None:
            del fields["sha256"]
        return {"format": _FORMAT, "version": VERSION, **fields}

    def load(self, like: M, path: Path) -> M:
        """The module that is kept in a directory.

        Args:
            like: a module of the same structure, whose numbers play no role.
            path: the directory.

        Raises:
            RunError: if ``like`` is another, no model is there yet, or it is damaged; or it has
                numbers which JAX only has with double precision.
        """
        difference = first_difference(self.structure, describe(like))
        if difference is not None:
            raise RunError(f"{path}: another model is saved there; {difference}")
        shaped = {}
        for name, (_, dtype, shape) in self.structure["leaves"].items():
            if jax.dtypes.canonicalize_dtype(dtype) != dtype:
                raise RunError(
                    f"{path}: expected jax_enable_x64 to be set, because {name} was saved in "
                    f"{dtype}, got single precision"
                )
            shaped[name] = jax.ShapeDtypeStruct(tuple(shape), dtype)
        if (path / ARRAYS).exists():
            arrays = _read_arrays(path / ARRAYS, shaped)
            if self.sha256 is not None and self.sha256 != _sha256(path / ARRAYS):
                raise RunError(
                    f"{path / ARRAYS} is damaged: expected the sha256 that {CONFIG} has, "
                    f"{self.sha256[:12]}..., got another; copy or save the model again"
                )
            return fill(like, self.structure, arrays)
        if not self.training:
            raise RunError(f"{path} is damaged: its {ARRAYS} is missing")
        model = fill(
            like, self.structure, {n: jnp.zeros(s.shape, s.dtype) for n, s in shaped.items()}
        )
        at, model = trained_model(path, model)
        settings = self.training.get("settings")  # of gradient descent, not of counting
        if isinstance(settings, dict) and "steps" in settings:  # which older runs have not
            warn_unless_last(path, at, settings["steps"], settings.get("patience"))
        return model


def write_arrays(module: nnx.Module, path: Path) -> str:
    """Writes the arrays of a module as a safetensors file.

    Returns:
        The sha256 of the file, in hexadecimal digits.

    Raises:
        ValueError: if there are leaves whose numbers are not known, or that are no numbers.
        OSError: if the file cannot be written.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import save_file

    arrays = {name: _numbers(name, leaf) for name, leaf in leaves_by_path(module).items()}
    path.touch()
    readable = path.stat().st_mode  # by whom a new file is; the library makes it its owner's alone
    try:
        save_file(arrays, path)
    except SafetensorError as error:
        raise OSError(str(error)) from error
    path.chmod(readable)
    return _sha256(path)


def trained_model(path: Path, like: M) -> tuple[int | None, M]:
    """The step of the newest checkpoint in a run directory, and the model of the newest whole one.

    ``like`` gives the structure.

    A run that was exported has the arrays of the model alone, and no step.

    Raises:
        RunError: if there is none, or it is damaged or another model's.
    """
    if (path / ARRAYS).exists():
        exported = dataclasses.replace(SavedModel.of(like), sha256=read_config(path).get("sha256"))
        return None, exported.load(like, path)
    missing = RunError(
        f"{path}: no checkpoint has been written yet, and there is no {ARRAYS} of an exported "
        f"model; train it first, or fetch or export it again"
    )
    if not (path / "checkpoints").is_dir():
        raise missing
    with Checkpoints(path / "checkpoints", alone=True) as checkpoints:
        try:
            latest, found = checkpoints.latest(), checkpoints.restore_model(like)
        except CheckpointError as error:
            raise RunError(str(error)) from error
    if found is None:
        raise missing
    return latest, found[1]


def _numbers(name: str, leaf: Any) -> np.ndarray:
    array = array_of(leaf)
    if not is_concrete(array) or not isinstance(array, jax.Array | np.ndarray):
        raise ValueError(f"{name}: expected an array to save, got {type(array).__name__}")
    if jnp.issubdtype(array.dtype, jax.dtypes.extended):
        raise ValueError(f"{name}: expected numbers to save, got {array.dtype}")
    return np.array(array, order="C")  # in one piece, as the format asks


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read_arrays(path: Path, expected: dict[str, jax.ShapeDtypeStruct]) -> dict[str, jax.Array]:
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        arrays = load_file(path)
    # numpy's and the library's own, for a file that is cut off or another
    except (OSError, SafetensorError, KeyError, ValueError, AttributeError) as error:
        raise RunError(f"{path} is damaged: {type(error).__name__}: {error}") from error
    for name, leaf in expected.items():
        got = arrays.get(name)
        if got is None or got.shape != leaf.shape or got.dtype != leaf.dtype:
            what = "nothing" if got is None else f"{got.dtype}{got.shape}"
            raise RunError(
                f"{path} is damaged: expected {leaf.dtype}{leaf.shape} at {name}, got {what}"
            )
    if more := sorted(arrays.keys() - expected.keys()):
        raise RunError(
            f"{path} belongs to another model than {CONFIG} beside it says: expected "
            f"{len(expected)} arrays, got {more[0]} and others, {len(arrays)} in all"
        )
    return {name: jnp.asarray(arrays[name]) for name in expected}
