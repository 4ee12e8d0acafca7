"""What methods are given: shapes, dtypes, contexts, levels, keys, ways to sample, checked."""

import difflib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxgen.core.arguments import Shape, described
from jaxgen.core.arrays import check_array, check_finite, check_key

Context = Array | None  # None where a model or a network is unconditional
Order = Array | None  # of generation; None for a network's own
Key = Array | None  # turns dropout on; None means evaluation
Mask = Array | np.ndarray  # booleans: what is observed, of NumPy where it can be looked at

# The ways to run the sequential direction, see jaxgen.functional.autoregressive.
METHODS = ("auto", "incremental", "naive", "jacobi", "block", "wavefront")


class ShapeError(ValueError):
    """An array of the wrong rank, shape or kind met a module."""


class ColumnError(ValueError):
    """Something is wrong with a column of rows; it is called by its number, or its name.

    >>> error = ColumnError(1, "expected levels from 0 to 2, got 7")
    >>> print(error, error.named(["age", "grade"]), sep="\\n")
    column 1: expected levels from 0 to 2, got 7
    column 'grade': expected levels from 0 to 2, got 7
    """

    def __init__(self, column: int | str, problem: str):
        name = repr(column) if isinstance(column, str) else column
        super().__init__(f"column {name}: {problem}")
        self.column, self.problem = column, problem

    def named(self, names: Sequence[str] | None) -> "ColumnError":
        """The same with the column's name, if it has one."""
        if names is None or isinstance(self.column, str) or self.column >= len(names):
            return self
        return ColumnError(names[self.column], self.problem)


@contextmanager
def naming_columns(names: Sequence[str] | None) -> Iterator[None]:
    """Errors about a column say its name, if these are the names."""
    try:
        yield
    except ColumnError as error:
        raise error.named(names) from None


def unknown(
    what: str, got: Any, available: Iterable[str], described: str | None = None
) -> ValueError:
    """The error to raise for an unknown name: it says the nearest match and what is available.

    Args:
        what: the kind of thing that was named, e.g. ``"split"``.
        got: the name that was given.
        available: the names that would have been accepted.
        described: what to say of ``available`` where it is too long to list.

    >>> print(unknown("split", "tran", ["train", "valid", "test"]))
    unknown split 'tran': did you mean 'train'? Available: train, valid, test.
    """
    available = list(available)
    near = difflib.get_close_matches(got, available, n=5) if isinstance(got, str) else []
    # Letters that changed places are the likeliest slip of all.
    near.sort(key=lambda name: sorted(name) != sorted(got))
    hint = f"did you mean {near[0]!r}? " if near else ""
    listed = ", ".join(available) or "none" if described is None else described
    return ValueError(f"unknown {what} {got!r}: {hint}Available: {listed}.")


def check_method(method: str) -> None:
    """Refuses an unknown way to run the sequential direction, naming the nearest one."""
    if not isinstance(method, str) or method not in METHODS:
        raise unknown("sampling method", method, METHODS)


@contextmanager
def within(layer: str) -> Iterator[None]:
    """Names the enclosing layer in a shape error raised further in."""
    try:
        yield
    except ShapeError as error:
        raise ShapeError(f"in {layer}: {error}") from None


def batch_shape(value: Array | np.ndarray, event_shape: Shape, where: str) -> Shape:
    """The leading axes of an array whose trailing axes must be ``event_shape``.

    >>> batch_shape(jnp.zeros((5, 2)), (2,), "Flow.log_prob")
    (5,)
    """
    batch_ndims = value.ndim - len(event_shape)
    if batch_ndims < 0 or value.shape[batch_ndims:] != event_shape:
        expected = ", ".join(["*batch", *map(str, event_shape)])
        raise ShapeError(f"{where}: expected shape ({expected}), got {value.shape}")
    return value.shape[:batch_ndims]


def check_event(event_shape: Shape, ndims: Sequence[int], where: str, advice: str = "") -> Shape:
    """The event's shape as a tuple, refused unless it is of one of these ranks: 1, 3 or both.

    >>> check_event([8, 8, 3], (3,), "glow")
    (8, 8, 3)
    """
    if len(event_shape) not in ndims:
        names = {1: "a vector (D,)", 3: "an image (height, width, channels)"}
        expected = " or ".join(names[each] for each in ndims)
        raise ShapeError(f"{where}: expected {expected}, got {tuple(event_shape)}{advice}")
    return tuple(event_shape)


def check_grid(grid_shape: Shape, axes: Sequence[str], where: str) -> Shape:
    """The grid as a tuple, which must have these axes.

    >>> check_grid([2, 3], ("height", "width"), "LMConv")
    (2, 3)
    """
    grid_shape = tuple(grid_shape)
    if len(grid_shape) != len(axes):
        named = ", ".join(axes) + "," * (len(axes) == 1)
        raise ShapeError(f"{where}: expected a grid ({named}), got {grid_shape}")
    return grid_shape


def check_context(
    context: Context, context_shape: Shape | None, batch: Shape, where: str
) -> Array | None:
    """The context as an array ``(*batch, *context_shape)``, or None where none is expected.

    A context with fewer batch axes is broadcast, so one context can serve a whole batch. A real one
    is float32 or better, and finite: given a context that is not, a discrete model would draw
    events that look like any other. Under a trace only the shape can be seen.
    """
    if context is not None:
        context = check_array(context, where, "context")
        check_finite(context, where, "context")
    if context_shape is None:
        return None
    if context is None:
        expected = ", ".join(["*batch", *map(str, context_shape)])
        raise ShapeError(
            f"{where}: this is a conditional model; expected a context of shape ({expected}), got "
            f"None"
        )
    context = at_least_single(jnp.asarray(context))
    whole = jnp.issubdtype(context.dtype, jnp.integer)
    if batch and context_shape and context.shape == batch and whole:
        raise ShapeError(
            f"{where}: expected a context of shape (*batch, {', '.join(map(str, context_shape))}), "
            f"got {context.dtype}{context.shape}, a number for each example; labels are given as "
            f"their one-hot, jax.nn.one_hot(labels, n), or to an Embedded model"
        )
    own = batch_shape(context, context_shape, f"{where}, context")
    try:
        return jnp.broadcast_to(context, batch + context_shape)
    except ValueError:
        raise ShapeError(
            f"{where}: the context's batch shape {own} does not broadcast to the data's {batch}"
        ) from None


def check_order(order: Any, size: int, where: str) -> Array:
    """A generation order as an array: a permutation of ``size`` positions, as far as can be seen.

    >>> check_order(np.array([1, 0, 2]), 3, "MADE").tolist()
    [1, 0, 2]
    """
    order = check_array(order, where, "order")
    known = np.asarray(order) if is_concrete(order) else None
    order = jnp.asarray(order)
    if order.shape != (size,) or not jnp.issubdtype(order.dtype, jnp.integer):
        raise ShapeError(
            f"{where}: expected an order of {size} integers, got {order.dtype}{order.shape}"
        )
    if known is not None and sorted(known.tolist()) != list(range(size)):
        raise ShapeError(
            f"{where}: the order is not a permutation of 0..{size - 1}, got {known.tolist()}"
        )
    return order


def common_context(where: str, *shapes: Shape | None) -> Shape | None:
    """The one context shape that the parts of a module expect; None if none of them does."""
    wanted = {shape for shape in shapes if shape is not None}
    if len(wanted) > 1:
        raise ShapeError(f"{where}: its parts expect contexts of different shapes: {wanted}")
    return wanted.pop() if wanted else None


def float_dtype(dtype: Any) -> jnp.dtype:
    """The dtype that log-densities of values of this dtype are computed in: float32 or better."""
    return jnp.promote_types(dtype, jnp.float32)


def at_least_single(value: Any) -> Any:
    """An array, of jax or numpy, in float32 where it is of half precision; else as it is.

    >>> at_least_single(jnp.zeros(2, jnp.float16)).dtype.name
    'float32'
    """
    half = jnp.issubdtype(value.dtype, jnp.floating) and jnp.finfo(value.dtype).bits < 32
    return value.astype(jnp.float32) if half else value


def is_concrete(value: Array | np.ndarray) -> bool:
    """Whether the numbers in an array can be looked at: False under ``jit``, ``grad``, ``vmap``.

    Ask before ``jnp.asarray``, which makes a traced array of a constant where anything is traced.
    """
    return not isinstance(value, jax.core.Tracer)


def check_levels(value: Array | np.ndarray, levels: float, where: str) -> None:
    """Refuses anything but integers from 0 to ``levels - 1``; booleans are 0 and 1.

    Under a trace only the dtype can be seen.
    """
    value = value.astype(np.uint8) if value.dtype == bool else value
    advice = "; quantize the data, or use a model of real values"
    _check_integers(value, levels, where, "levels", advice)


def check_labels(value: Array | np.ndarray, num_classes: int, where: str) -> None:
    """Refuses anything but integer class labels from 0 to ``num_classes - 1``.

    Under a trace only the dtype can be seen.
    """
    _check_integers(value, num_classes, where, "labels", "; number the classes")


def take_class(table: Array, labels: Array, where: str) -> Array:
    """The rows of a table ``(num_classes, ...)`` for integer labels ``(*batch,)``.

    Labels outside the range are refused where they can be seen; under a trace they give NaN, and
    never another class's row.
    """
    check_labels(labels, len(table), where)
    # Negative labels would count from the end of the table.
    labels = jnp.where(labels < 0, len(table), labels)
    return jnp.take(table, labels, axis=0, mode="fill", fill_value=jnp.nan)


def _check_integers(
    value: Array | np.ndarray, count: float, where: str, what: str, advice: str
) -> None:
    if not jnp.issubdtype(value.dtype, jnp.integer):
        raise ValueError(
            f"{where}: expected integer {what} 0..{count - 1}, got {value.dtype}{advice}"
        )
    if is_concrete(value) and value.size:
        # numpy, because inside a scan jax would trace even the minimum of a concrete array
        values = np.asarray(value)
        low, high = int(values.min()), int(values.max())
        if low < 0 or high >= count:
            raise ValueError(
                f"{where}: expected {what} from 0 to {count - 1}, got values from {low} to {high}"
            )


def unpack_params(params: Array, position_shape: Shape, params_per_value: int) -> Array:
    """Parameters ``(*grid, num_params)`` of positions as ``(*grid, *position, per value)``.

    This is the one place that knows the layout of what a network gives for a position; and that
    takes it to float32 or better, whatever the network computes in.
    """
    params = params.astype(float_dtype(params.dtype))
    return params.reshape(*params.shape[:-1], *position_shape, params_per_value)


def check_params(
    value: Any, params: Any, num_params: Callable[[Shape], int], where: str, name: str = "value"
) -> tuple[Any, Any]:
    """Values ``(*grid, *position)`` and parameters ``(*grid, num_params)``, checked as arrays.

    Args:
        value: the values; how many axes they have more than the parameters is the position's rank.
        params: the parameters.
        num_params: how many there are for a position of this shape.
        where: the method, for the message.
        name: of the values.
    """
    value, params = check_array(value, where, name), check_array(params, where, "params")
    if not jnp.issubdtype(params.dtype, jnp.floating) or not params.ndim:
        raise ShapeError(f"{where}: expected real params with a last axis, got {described(params)}")
    grid, position = value.shape[: params.ndim - 1], value.shape[params.ndim - 1 :]
    expected = (*grid, num_params(position))
    try:
        np.broadcast_shapes(grid, params.shape[:-1])
        fits = params.shape[-1] == expected[-1]
    except ValueError:
        fits = False
    if not fits:
        raise ShapeError(
            f"{where}: expected params of shape {expected} for {name} of shape {value.shape}, got "
            f"{params.shape}"
        )
    return value, params


def split_key(key: Key, num: int) -> Sequence[Array | None]:
    """``num`` independent keys, or as many times None: no key means evaluation."""
    if key is None:
        return [None] * num
    check_key(key, "dropout")
    return list(jax.random.split(key, num))
