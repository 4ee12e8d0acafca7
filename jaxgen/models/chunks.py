"""A function of examples over many of them, some at a time."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import numpy as np
from jax import Array
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from jaxgen.core import ShapeError, check_array, described
from jaxgen.core.stored import in_memory
from jaxgen.models.base import Model


def checked_examples(
    model: Model,
    x: Any,
    context: Any = None,
    *,
    where: str,
    **parts: Any,
) -> tuple[Any, Any, dict[str, Any]]:
    """Examples, their contexts and whatever else there is one of for each, as arrays that fit.

    Args:
        model: any model.
        x: array ``(n, *event_shape)``.
        context: array ``(n, *context_shape)``, or None.
        where: the function that asks, for the errors.
        parts: other arrays of ``n`` rows, by name, or None.

    Raises:
        TypeError: if the model is none, or an array holds no numbers.
        ShapeError: if the shapes do not fit.
        ValueError: if there is no example.
    """
    if not isinstance(model, Model):
        raise TypeError(f"{where}: expected a model, got {described(model)}")
    x = check_array(x, where)
    if x.ndim != 1 + len(model.event_shape):
        expected = ", ".join(["n", *map(str, model.event_shape)])
        raise ShapeError(f"{where}: expected x of shape ({expected}), got {x.shape}")
    if not len(x):
        raise ValueError(f"{where}: expected at least one example, got none")
    given = {"context": context} | parts
    for name, part in given.items():
        if part is None:
            continue
        given[name] = part = check_array(part, where, name)
        if part.ndim == 0 or len(part) != len(x):
            raise ShapeError(
                f"{where}: expected {name} for each of {len(x)} examples, got shape {part.shape}"
            )
    context = given.pop("context")
    if context is not None:
        model.check_context(in_memory(context))
        if not np.isfinite(np.asarray(in_memory(context))).all():
            raise ValueError(f"{where}: the contexts hold NaN or infinite values")
    return x, context, given


class Chunks:
    """Rows a chunk at a time, all of one size, so that nothing is compiled for a last small one.

    The last is filled up by the first rows, and what comes of these is dropped.

    Args:
        total: how many rows there are.
        size: of a chunk, rounded up to a multiple of the devices.
        mesh: devices over whose axis ``"data"`` the rows of a chunk are cut; None to leave that to
            JAX.

    >>> [rows.tolist() for rows in Chunks(5, 2)]
    [[0, 1], [2, 3], [4, 0]]
    """

    def __init__(self, total: int, size: int, mesh: Mesh | None = None):
        self._total, self._mesh = total, mesh if mesh is not None and mesh.size > 1 else None
        parts = 1 if self._mesh is None else self._mesh.shape["data"]
        self._size = -(-min(size, total) // parts) * parts

    def __iter__(self) -> Iterator[np.ndarray]:
        for start in range(0, self._total, self._size):
            yield np.arange(start, start + self._size) % self._total

    def cut(self, tree: Any) -> Any:
        """Arrays of a chunk's rows, on the devices."""
        if self._mesh is None:
            return tree
        return jax.device_put(tree, NamedSharding(self._mesh, PartitionSpec("data")))

    def joined(self, parts: Sequence[Any]) -> Any:
        """What came of every chunk, in any structure of arrays, for all rows."""
        return jax.tree.map(lambda *values: np.concatenate(values)[: self._total], *parts)


def on_host(tree: Any) -> Any:
    """Arrays as float64 of NumPy's, be parts of them with other processes."""

    def numbers(values: Array) -> np.ndarray:
        if isinstance(values, Array) and not values.is_fully_addressable:
            values = multihost_utils.process_allgather(values, tiled=True)
        return np.asarray(values, np.float64)

    return jax.tree.map(numbers, tree)


def in_chunks(
    function: Callable[[Array, Array | None, Array], Any],
    x: np.ndarray | Array,
    context: np.ndarray | Array | None,
    key: Array,
    batch_size: int,
    mesh: Mesh | None = None,
) -> Any:
    """What a function gives for all examples, computed for ``batch_size`` of them at a time.

    Args:
        function: of examples, their contexts and a key, to arrays with a leading axis of examples,
            in any structure. Every chunk has a key of its own.
        x, context: arrays of ``n`` rows, at least one; no context if None.
        key: from which the keys of the chunks are made.
        batch_size: examples in a chunk.
        mesh: devices over which they are cut, see :class:`Chunks`.

    Returns:
        The same structure of float64 arrays of ``n`` rows.

    >>> x = np.arange(3.0)
    >>> in_chunks(lambda x, _, key: 2.0 * x, x, None, jax.random.key(0), 2).tolist()
    [0.0, 2.0, 4.0]
    """
    parts, whole = [], Chunks(len(x), batch_size, mesh)
    for index, rows in enumerate(whole):
        chunk, part = whole.cut((x[rows], None if context is None else context[rows]))
        values = function(chunk, part, jax.random.fold_in(key, index))
        parts.append(on_host(values))
    return whole.joined(parts)
