"""A function of examples over many of them, some at a time."""

from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np
from jax import Array

from jaxgen.core import ShapeError, check_array, described
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
        model.check_context(context)
        if not np.isfinite(np.asarray(context)).all():
            raise ValueError(f"{where}: the contexts hold NaN or infinite values")
    return x, context, given


def chunks(total: int, size: int) -> Iterator[np.ndarray]:
    """The rows of every chunk, all of one size, so that nothing is compiled for a last small one.

    The last is filled up by the first rows; what comes of these is to be dropped.

    >>> [rows.tolist() for rows in chunks(5, 2)]
    [[0, 1], [2, 3], [4, 0]]
    """
    size = min(size, total)
    for start in range(0, total, size):
        yield np.arange(start, start + size) % total


def in_chunks(
    function: Callable[[Array, Array | None, Array], Any],
    x: np.ndarray | Array,
    context: np.ndarray | Array | None,
    key: Array,
    batch_size: int,
) -> Any:
    """What a function gives for all examples, computed for ``batch_size`` of them at a time.

    Args:
        function: of examples, their contexts and a key, to arrays with a leading axis of examples,
            in any structure. Every chunk has a key of its own.
        x, context: arrays of ``n`` rows, at least one; no context if None.
        key: from which the keys of the chunks are made.
        batch_size: examples in a chunk.

    Returns:
        The same structure of float64 arrays of ``n`` rows.

    >>> x = np.arange(3.0)
    >>> in_chunks(lambda x, _, key: 2.0 * x, x, None, jax.random.key(0), 2).tolist()
    [0.0, 2.0, 4.0]
    """
    parts = []
    for index, rows in enumerate(chunks(len(x), batch_size)):
        part = None if context is None else context[rows]
        values = function(x[rows], part, jax.random.fold_in(key, index))
        parts.append(jax.tree.map(lambda value: np.asarray(value, np.float64), values))
    return jax.tree.map(lambda *values: np.concatenate(values)[: len(x)], *parts)
