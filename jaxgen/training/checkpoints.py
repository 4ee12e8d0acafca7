"""Checkpoints with Orbax: written in the background, committed atomically, read without code.

A checkpoint holds two trees of arrays, each as a flat mapping from a leaf's path to the array, and
one JSON object: ``model`` (what evaluation uses), ``state`` (all that resuming needs) and
``progress``. Loading one needs the objects it fills, so nothing is executed from it.
"""

import logging
from pathlib import Path
from typing import Any, Self, TypeVar

import jax

T = TypeVar("T")


class Checkpoints:
    """The checkpoints in a directory, the last two of them kept.

    Args:
        directory: where they are; made when the first one is written.
    """

    def __init__(self, directory: Path | str, keep: int = 2):
        import orbax.checkpoint as ocp

        # Orbax reports every save on the root handler, in the middle of a progress bar.
        logging.getLogger("absl").setLevel(logging.ERROR)
        self._ocp = ocp
        self._manager = ocp.CheckpointManager(
            Path(directory).absolute(),
            options=ocp.CheckpointManagerOptions(
                max_to_keep=keep, create=True, enable_async_checkpointing=True
            ),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: Any) -> None:
        self._manager.close()

    def latest(self) -> int | None:
        """The step of the newest complete checkpoint, or None."""
        return self._manager.latest_step()

    def save(self, step: int, *, model: Any, state: Any, progress: dict[str, Any]) -> None:
        """Writes a checkpoint in the background; a later call waits for it first."""
        args = self._ocp.args
        self._manager.save(
            step,
            args=args.Composite(
                model=args.StandardSave(_flatten(model)),
                state=args.StandardSave(_flatten(state)),
                progress=args.JsonSave(progress),
            ),
        )

    def wait(self) -> None:
        """Returns when everything saved so far is on disk."""
        self._manager.wait_until_finished()

    def restore_state(self, step: int, state: T) -> tuple[T, dict[str, Any]]:
        """The state and the progress of a checkpoint; ``state`` gives the structure."""
        args = self._ocp.args
        restored = self._manager.restore(
            step,
            args=args.Composite(
                state=args.StandardRestore(self._abstract(state)), progress=args.JsonRestore()
            ),
        )
        return _unflatten(state, restored.state), restored.progress

    def restore_model(self, step: int, model: T) -> T:
        """The model of a checkpoint; ``model`` gives the structure."""
        args = self._ocp.args
        restored = self._manager.restore(
            step, args=args.Composite(model=args.StandardRestore(self._abstract(model)))
        )
        return _unflatten(model, restored.model)

    def _abstract(self, tree: Any) -> dict[str, Any]:
        return {
            name: self._ocp.utils.to_shape_dtype_struct(leaf)
            for name, leaf in _flatten(tree).items()
        }


def _flatten(tree: Any) -> dict[str, Any]:
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {jax.tree_util.keystr(path, simple=True, separator="."): leaf for path, leaf in leaves}


def _unflatten(like: T, leaves: dict[str, Any]) -> T:
    return jax.tree.unflatten(jax.tree.structure(like), [leaves[name] for name in _flatten(like)])
