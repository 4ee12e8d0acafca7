"""Floor 1: what every module shares: fixed leaves, functional updates, shape checks and errors."""

import difflib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array

M = TypeVar("M", bound=nnx.Module)
Shape = tuple[int, ...]


class ShapeError(ValueError):
    """An array of the wrong rank, shape or kind met a module."""


class Buffer(nnx.Variable):
    """A leaf that is not trained: running statistics, a permutation, the signs of an LU matrix.

    It is a leaf of the pytree like a parameter, and stored as floats so that casts treat all leaves
    alike; but it is read through ``stop_gradient``, and the optimizer, weight decay and the moving
    average pass it by, because they ask for ``nnx.Param``.
    """

    def get_value(self, **kwargs: Any) -> Any:
        value = super().get_value(**kwargs)
        # Flax puts a description in place of the array when it prints a module.
        return jax.lax.stop_gradient(value) if isinstance(value, jax.Array) else value


def replace(module: M, **attributes: Any) -> M:
    """A copy of ``module`` with some attributes exchanged; the original is left as it was."""
    copy = jax.tree.map(lambda leaf: leaf, module)
    for name, value in attributes.items():
        if not hasattr(copy, name):
            raise AttributeError(f"{type(module).__name__} has no attribute {name!r}")
        setattr(copy, name, value)
    return copy


def map_modules(module: M, change: Callable[[nnx.Module], None]) -> M:
    """A copy of ``module`` on which ``change`` was called for every submodule, itself included."""
    copy = jax.tree.map(lambda leaf: leaf, module)
    for _, submodule in nnx.iter_modules(copy):
        change(submodule)
    return copy


def freeze(model: M, where: Callable[[str, nnx.Param], bool] | str | None = None) -> M:
    """A copy of ``model`` with parameters turned into buffers, so that training leaves them alone.

    Args:
        model: any module.
        where: which parameters: a predicate of ``(dotted path, parameter)``, or the beginning of
            the path (``"bijector.layers.0"``); all of them if None.

    Returns:
        The new model. It computes the same numbers.

    Raises:
        ValueError: if nothing matches.

    >>> frozen = freeze(nnx.Linear(2, 3, rngs=nnx.Rngs(0)), "bias")
    >>> type(frozen.bias).__name__, type(frozen.kernel).__name__
    ('Buffer', 'Param')
    """

    def chosen(path: str, param: nnx.Param) -> bool:
        if where is None or callable(where):
            return where is None or where(path, param)
        return (path + ".").startswith(where + ".")

    copy = jax.tree.map(lambda leaf: leaf, model)
    count = 0
    for path, submodule in nnx.iter_modules(copy):
        for name, value in list(vars(submodule).items()):
            dotted = ".".join(map(str, (*path, name)))
            if isinstance(value, nnx.Param) and chosen(dotted, value):
                setattr(submodule, name, Buffer(value[...]))
                count += 1
    if count == 0:
        paths = [".".join(map(str, p)) for p, _ in nnx.to_flat_state(nnx.state(model, nnx.Param))]
        raise ValueError(f"freeze matched no parameter; the parameters are {', '.join(paths)}")
    return copy


def needs_calibration(module: nnx.Module) -> bool:
    """Whether a part of a module has statistics that its ``calibrate`` takes from data."""
    return any(getattr(part, "needs_calibration", False) for _, part in nnx.iter_modules(module))


def compute_in(model: M, dtype: Any) -> M:
    """A copy of ``model`` whose networks compute in another dtype, bfloat16 as a rule.

    Parameters stay as they are, and so do transforms, log-determinants and likelihoods, which take
    a network's outputs in float32 or better: only the matrix products and convolutions inside the
    networks are cheaper and coarser. The result is a density like any other, close to that of
    ``model``. Both directions of a flow run the same networks, so a coupling is inverted as exactly
    as before; an autoregressive layer is, too, where both directions run the same pass
    (``method="naive"`` or ``"jacobi"``), and to the rounding of ``dtype`` where they do not
    (``"incremental"``). A value that comes back one float32 rounding off can be rounded to another
    ``dtype`` number at the next network, rarely.

    Args:
        model: any module. Its networks are the submodules with an attribute ``dtype``: Flax's
            layers, and networks of one's own that say so.
        dtype: a floating dtype; None goes back to the parameters' own.

    Returns:
        The new model, with the same parameters.

    Raises:
        ValueError: if the dtype is not a floating one, or the model has no networks.

    >>> half = compute_in(nnx.Linear(2, 3, rngs=nnx.Rngs(0)), jnp.bfloat16)
    >>> half(jnp.ones(2)).dtype, half.kernel[...].dtype
    (dtype(bfloat16), dtype('float32'))
    """
    if dtype is not None:
        dtype = jnp.dtype(dtype)
        if not jnp.issubdtype(dtype, jnp.floating):
            raise ValueError(f"compute_in: expected a floating dtype or None, got {dtype}")
    count = 0

    def change(module: nnx.Module) -> None:
        nonlocal count
        if "dtype" in vars(module):
            setattr(module, "dtype", dtype)  # noqa: B010
            count += 1

    copy = map_modules(model, change)
    if count == 0:
        raise ValueError(
            f"compute_in: {type(model).__name__} has no networks, that is no submodules with an "
            f"attribute `dtype`"
        )
    return copy


def partition(module: M) -> tuple[nnx.State, Callable[[nnx.State], M]]:
    """The parameters of a module, and the function that builds it again from other ones."""
    graphdef, params, *rest = nnx.split(module, nnx.Param, ...)
    return params, lambda params: nnx.merge(graphdef, params, *rest)


def num_parameters(model: nnx.Module) -> int:
    """The number of trained numbers in a model."""
    return sum(leaf.size for leaf in jax.tree.leaves(nnx.state(model, nnx.Param)))


def float_dtype(dtype: Any) -> jnp.dtype:
    """The dtype that log-densities of values of this dtype are computed in: float32 or better."""
    return jnp.promote_types(dtype, jnp.float32)


def is_concrete(value: Array | np.ndarray) -> bool:
    """Whether the numbers in an array can be looked at: False under ``jit``, ``grad``, ``vmap``.

    Ask before ``jnp.asarray``, which makes a traced array of a constant where anything is traced.
    """
    return not isinstance(value, jax.core.Tracer)


def check_levels(value: Array | np.ndarray, levels: int, where: str) -> None:
    """Refuses anything but integers from 0 to ``levels - 1``.

    Under a trace only the dtype can be seen.
    """
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
    value: Array | np.ndarray, count: int, where: str, what: str, advice: str
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


def split_key(key: Array | None, num: int) -> Sequence[Array | None]:
    """``num`` independent keys, or as many times None: no key means evaluation."""
    return [None] * num if key is None else list(jax.random.split(key, num))


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


def check_context(
    context: Array | None, context_shape: Shape | None, batch: Shape, where: str
) -> Array | None:
    """The context as an array ``(*batch, *context_shape)``, or None where none is expected.

    A context with fewer batch axes is broadcast, so one context can serve a whole batch.
    """
    if context_shape is None:
        return None
    if context is None:
        expected = ", ".join(["*batch", *map(str, context_shape)])
        raise ShapeError(
            f"{where}: this is a conditional model; expected a context of shape ({expected}), got "
            f"None"
        )
    context = jnp.asarray(context)
    own = batch_shape(context, context_shape, f"{where}, context")
    try:
        return jnp.broadcast_to(context, batch + context_shape)
    except ValueError:
        raise ShapeError(
            f"{where}: the context's batch shape {own} does not broadcast to the data's {batch}"
        ) from None


def unknown(
    what: str, got: str, available: Iterable[str], described: str | None = None
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
    near = difflib.get_close_matches(got, available, n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    listed = ", ".join(available) if described is None else described
    return ValueError(f"unknown {what} {got!r}: {hint}Available: {listed}.")


def common_context(where: str, *shapes: Shape | None) -> Shape | None:
    """The one context shape that the parts of a module expect; None if none of them does."""
    wanted = {shape for shape in shapes if shape is not None}
    if len(wanted) > 1:
        raise ShapeError(f"{where}: its parts expect contexts of different shapes: {wanted}")
    return wanted.pop() if wanted else None


@contextmanager
def within(layer: str) -> Iterator[None]:
    """Names the enclosing layer in a shape error raised further in."""
    try:
        yield
    except ShapeError as error:
        raise ShapeError(f"in {layer}: {error}") from None
