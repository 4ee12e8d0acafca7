"""Checkpoints with Orbax: written in the background, committed atomically, read without code.

A checkpoint holds two trees of arrays, each as a flat mapping from a leaf's path to the array, and
one JSON object: ``model`` (what evaluation uses), ``state`` (all that resuming needs) and
``progress``. Loading one needs the objects it fills, so nothing is executed from it. The checksums
of the arrays are kept beside them.
"""

import contextlib
import gc
import io
import logging
import math
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Self, TypeVar

import jax
import jax.numpy as jnp

from jaxgen.training.checksums import checksums, differing
from jaxgen.training.processes import PeerError

T = TypeVar("T")
R = TypeVar("R")


class CheckpointError(ValueError):
    """A checkpoint is damaged, or holds another model or optimizer than the one to be filled."""


class DamagedError(CheckpointError):
    """A checkpoint cannot be read."""


class Checkpoints:
    """The checkpoints in a directory, the last and the best of them kept.

    Args:
        directory: where they are; made when the first one is written.
        keep_last: how many of the last ones are kept.
        keep_best: how many of those that were best in validation are kept beside.
        alone: whether this process reads them for itself; otherwise all of a training take part in
            everything.
    """

    def __init__(
        self, directory: Path | str, keep_last: int = 2, keep_best: int = 0, *, alone: bool = False
    ):
        import orbax.checkpoint as ocp
        from orbax.checkpoint.checkpoint_managers import AnyPreservationPolicy, BestN, LatestN

        # Orbax reports every save on the root handler, in the middle of a progress bar, and every
        # error from each of its threads, beside the one that it raises.
        logging.getLogger("absl").setLevel(logging.CRITICAL)
        self._ocp = ocp
        self._directory = Path(directory).absolute()
        together: dict[str, Any] = {}
        if alone and jax.process_count() > 1:
            this = jax.process_index()
            together = {
                "multiprocessing_options": ocp.options.MultiprocessingOptions(
                    primary_host=this, active_processes={this}, barrier_sync_key_prefix=f"{this}"
                )
            }
        self._manager = ocp.CheckpointManager(
            self._directory,
            item_handlers={
                "model": ocp.StandardCheckpointHandler(**together),
                "state": ocp.StandardCheckpointHandler(**together),
                "progress": ocp.JsonCheckpointHandler(**together),
                _SUMS: ocp.JsonCheckpointHandler(**together),
            },
            options=ocp.CheckpointManagerOptions(
                preservation_policy=AnyPreservationPolicy(
                    [LatestN(keep_last), BestN(get_metric_fn=_loss, reverse=True, n=keep_best)]
                ),
                create=not together,  # which asks all processes
                enable_async_checkpointing=True,
                **together,
            ),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: Any) -> None:
        self._manager.close()

    def latest(self) -> int | None:
        """The step of the newest complete checkpoint, or None."""
        return self._manager.latest_step()

    def save(
        self,
        step: int,
        *,
        model: Any,
        state: Any | None = None,
        progress: dict[str, Any] | None = None,
        valid_loss: float | None = None,
    ) -> None:
        """Writes a checkpoint in the background; a later call waits for it first.

        Without a state there is nothing to go on from: the model is final. The best ones are those
        of the least ``valid_loss``.

        Raises:
            CheckpointError: if it, or the one before, could not be written.
        """
        args = self._ocp.args
        trees = {"model": _flatten(model)}
        if state is not None:
            trees["state"] = _flatten(state)
        items: dict[str, Any] = {name: args.StandardSave(tree) for name, tree in trees.items()}
        items[_SUMS] = args.JsonSave({name: checksums(tree) for name, tree in trees.items()})
        if progress is not None:
            items["progress"] = args.JsonSave(progress)
        with self._writing():
            known = valid_loss is not None and math.isfinite(valid_loss)
            metrics = {"valid_loss": valid_loss if known else math.inf}
            self._manager.save(step, args=args.Composite(**items), metrics=metrics)

    def wait(self) -> None:
        """Returns when everything saved so far is on disk.

        Raises:
            CheckpointError: if it could not be written.
        """
        with self._writing():
            self._manager.wait_until_finished()

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        """Says in a line what kept a checkpoint from being written: a full disk as a rule, or the
        end of another process."""
        try:
            with _quiet_failure():
                yield
        except Exception as error:
            first, *_ = str(error).strip().splitlines() or [type(error).__name__]
            _require_peers(error)
            raise CheckpointError(
                f"cannot write a checkpoint to {self._directory}: {first}"
            ) from error

    def restore_state(
        self, state: T, progress: Sequence[str] = ()
    ) -> tuple[int, T, dict[str, Any]] | None:
        """The newest checkpoint that is whole: its step, state and progress; None without any.

        It is what training goes on from, so damaged ones behind it, of which a warning tells, are
        removed: their steps will be written again.

        Args:
            state: gives the structure.
            progress: the names that the progress must have.

        Raises:
            CheckpointError: if all are damaged, or one is of another structure.
        """

        def restore(step: int) -> tuple[int, T, dict[str, Any]]:
            restored = self._restore(step, "state", state, progress=self._ocp.args.JsonRestore())
            missing = [name for name in progress if name not in restored.progress]
            if missing:
                raise self._damaged(step, f"its progress lacks {', '.join(missing)}")
            return step, _unflatten(state, restored.state), restored.progress

        found = self._newest(restore)
        for step in self._manager.all_steps():
            if found is not None and step > found[0]:
                self._manager.delete(step)
        return found

    def restore_model(self, model: T) -> tuple[int, T] | None:
        """The newest checkpoint that is whole: its step and model; None without any.

        Args:
            model: gives the structure.

        Raises:
            CheckpointError: if all are damaged, or one is of another structure.
        """
        return self._newest(
            lambda step: (step, _unflatten(model, self._restore(step, "model", model).model))
        )

    def repair(self, step: int, model: Any, save: Callable[[int], None]) -> None:
        """Writes a checkpoint again, of which the state is whole, if its model is damaged.

        Args:
            step: of the checkpoint.
            model: gives the structure.
            save: saves that of a step, from the state.

        Raises:
            CheckpointError: if it cannot be written, or is of another structure.
        """
        try:
            self._restore(step, "model", model)
        except DamagedError as error:
            warnings.warn(f"{error}; it is written again from its training state", stacklevel=4)
            self._manager.delete(step)
            save(step)

    def _newest(self, restore: Callable[[int], R]) -> R | None:
        """The newest checkpoint that can be restored."""
        steps = sorted(self._manager.all_steps(), reverse=True)
        for step, *earlier in (steps[index:] for index in range(len(steps))):
            try:
                return restore(step)
            except DamagedError as error:
                if not earlier:
                    raise
                warnings.warn(f"{error}; that of step {earlier[0]} is used", stacklevel=5)
        return None

    def _damaged(self, step: int, why: str) -> DamagedError:
        return DamagedError(
            f"the checkpoint {self._directory / str(step)} cannot be read and seems damaged ({why})"
        )

    def _restore(self, step: int, item: str, like: Any, **others: Any) -> Any:
        expected = {
            name: self._ocp.utils.to_shape_dtype_struct(leaf)
            for name, leaf in _flatten(like).items()
        }
        args = self._ocp.args
        try:
            with _quiet_failure():
                stored = dict(self._manager.item_metadata(step)[item])
                old = _never_adapted(expected.keys() - stored.keys())
                wanted = {name: leaf for name, leaf in expected.items() if name not in old}
                wrong = _mismatch(wanted, stored)
                if wrong is None:
                    items = {item: args.StandardRestore(wanted), **others}
                    if (self._directory / str(step) / _SUMS).exists():  # not before December 2026
                        items[_SUMS] = args.JsonRestore()
                    restored = self._manager.restore(step, args=args.Composite(**items))
        except Exception as error:
            _require_peers(error)
            raise self._damaged(step, type(error).__name__) from error
        if wrong is not None:
            raise CheckpointError(
                f"the checkpoint {self._directory / str(step)} belongs to another {item}: {wrong}"
            )
        changed = differing(restored[item], (restored.get(_SUMS) or {}).get(item, {}))
        if changed is not None:
            raise self._damaged(step, f"{changed} has other numbers than were written")
        for name in old:
            leaf = _flatten(like)[name]
            restored[item][name] = jnp.ones_like(leaf) if name.endswith(_ADAPTED) else leaf
        return restored


_SUMS = "checksums"
_ADAPTED = ".adapted.value"


def _never_adapted(missing: Iterable[str]) -> set[str]:
    """Which leaves a checkpoint lacks because it was written when no layer said, as it does since
    November 2026, whether it has adapted to data: all of them had, as far as they could."""
    missing = set(missing)
    return {name for name in missing if name.rsplit(".", 2)[0] + _ADAPTED in missing}


def _require_peers(error: Exception) -> None:
    """Raises a PeerError if a checkpoint failed because of another process: all write and read
    together, and wait for each other."""
    if jax.process_count() > 1 and isinstance(error, jax.errors.JaxRuntimeError):
        first, *_ = str(error).splitlines()
        raise PeerError(
            f"another process died, or is no longer heard, at a checkpoint; those that are whole "
            f"are kept ({first})"
        ) from error


def _loss(metrics: dict[str, float]) -> float:
    return metrics["valid_loss"]


def _flatten(tree: Any) -> dict[str, Any]:
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {jax.tree_util.keystr(path, simple=True, separator="."): leaf for path, leaf in leaves}


def _unflatten(like: T, leaves: dict[str, Any]) -> T:
    return jax.tree.unflatten(jax.tree.structure(like), [leaves[name] for name in _flatten(like)])


def _mismatch(expected: dict[str, Any], stored: dict[str, Any]) -> str | None:
    """The first array of which there are two shapes, or only one; None if there is none."""
    for name in sorted(expected.keys() | stored.keys()):
        shapes = [
            f"shape {tuple(tree[name].shape)}" if name in tree else "nothing"
            for tree in (expected, stored)
        ]
        if shapes[0] != shapes[1]:
            return f"expected {shapes[0]} at {name}, got {shapes[1]}"
    return None


@contextlib.contextmanager
def _quiet_failure() -> Iterator[None]:
    """Drops what is printed while an exception passes, but keeps it otherwise.

    When one array of a checkpoint cannot be read, Orbax abandons the reading of all the others, and
    each of them reports that at length.
    """
    printed, hook = io.StringIO(), sys.unraisablehook
    sys.unraisablehook = lambda *args: None
    try:
        with contextlib.redirect_stderr(printed):
            try:
                yield
            except Exception as error:
                time.sleep(0.2)  # readers and writers report from their own threads
                _let_go(error)
                gc.collect()
                raise
    finally:
        sys.unraisablehook = hook
    sys.stderr.write(printed.getvalue())


def _let_go(error: BaseException | None) -> None:
    """Drops what the frames of an exception, and of those before it, hold: what was abandoned there
    reports that when it is deleted, be it at the end of the program."""
    while error is not None:
        traceback.clear_frames(error.__traceback__)
        error = error.__cause__ or error.__context__
