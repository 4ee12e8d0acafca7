"""What the checks do to a member first, and what it may keep as an attribute."""

import dataclasses
import functools
import math
import types
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array

from jaxgen.bijectors import Bijector
from jaxgen.conditionals import Conditional
from jaxgen.core import (
    Buffer,
    Context,
    Shape,
    ShapeError,
    batch_shape,
    check_array,
    check_context,
    check_finite,
    checked_arguments,
    described,
    needs_calibration,
    partition,
    unknown,
)
from jaxgen.models import Model
from jaxgen.testing.compare import PASSED, Report

M = TypeVar("M", bound=nnx.Pytree)


@checked_arguments
def perturb(module: M, key: Array, scale: float = 0.3) -> M:
    """A copy with seeded Gaussian noise added to every parameter.

    The noise has standard deviation ``scale``, for matrices and kernels divided by the square root
    of the number of their inputs, so that maps stay well conditioned at any width.

    Args:
        module: any module; it is left as it was.
        key: random key; the same key gives the same noise.
        scale: the noise of a bias, in units of the parameter.

    Returns:
        The new module; its buffers are the old ones.

    >>> made = perturb(nnx.Linear(2, 3, rngs=nnx.Rngs(0)), jax.random.key(0))
    >>> bool(jnp.all(made.bias[...] != 0))
    True
    """
    params, rebuild = partition(module)
    leaves, tree = jax.tree.flatten(params)
    sizes = [leaf.size for leaf in leaves]
    # Compiling is what noise costs: more than is needed is drawn, so that few programs do, and
    # NumPy adds it, which compiles none.
    noise = np.asarray(jax.random.normal(key, (max(4096, 1 << sum(sizes).bit_length()),)))
    parts = np.split(noise, np.cumsum(sizes, dtype=int))[:-1]
    new = []
    for leaf, own in zip(leaves, parts, strict=True):
        inputs = max(math.prod(leaf.shape[:-1]), 1)
        own = own.reshape(leaf.shape) * (scale / inputs**0.5)
        new.append(np.asarray(leaf) + own.astype(leaf.dtype))
    return rebuild(jax.tree.unflatten(tree, jax.device_put(new)))


@checked_arguments
def cast(module: M, dtype: Any) -> M:
    """A copy with every parameter in another floating dtype; buffers stay as they are.

    >>> cast(nnx.Linear(2, 3, rngs=nnx.Rngs(0)), jnp.bfloat16).kernel[...].dtype
    dtype(bfloat16)
    """
    params, rebuild = partition(module)
    new = jax.tree.map(lambda leaf: np.asarray(leaf).astype(dtype), params)
    return rebuild(jax.device_put(new))


@checked_arguments
def to_float64(module: M) -> M:
    """A copy with every parameter in double precision.

    Raises:
        RuntimeError: if JAX would silently keep single precision.

    >>> with jax.enable_x64(True):
    ...     print(to_float64(nnx.Linear(2, 3, rngs=nnx.Rngs(0))).kernel[...].dtype)
    float64
    """
    if jnp.result_type(float) != jnp.float64:
        raise RuntimeError(
            "to_float64: double precision is off, so JAX would keep float32; call it inside "
            "`with jax.enable_x64(True):`"
        )
    return cast(module, jnp.float64)


def flat_batch(
    part: Bijector | Conditional | Model, x: Any, context: Any, event_shape: Shape
) -> tuple[Array, Array | None]:
    """The data as ``(batch, *event_shape)``, with a context for each of them.

    Raises:
        ShapeError: for events or contexts of another shape, for a context that the part does not
            declare, and for none where it declares one.
        ValueError: for no example, and for numbers that are not finite.
    """
    x, batch = flat_events(x, event_shape, "the data to check at")
    name = type(part).__name__
    if part.context_shape is None and context is not None:
        raise ShapeError(
            f"{name}: expected None for context, as its context_shape is None, got "
            f"{described(context)}; set context_shape on a part that reads a context"
        )
    context = check_context(context, part.context_shape, batch, name)
    if context is not None and part.context_shape is not None:
        context = context.reshape(-1, *part.context_shape)
    return x, context


def flat_events(x: Any, event_shape: Shape, where: str, name: str = "x") -> tuple[Array, Shape]:
    """Events as ``(n, *event_shape)``, an example or more of finite numbers; and their batch."""
    x = check_array(x, where, name)
    batch = batch_shape(x, event_shape, where)
    if not all(batch):
        raise ValueError(f"{where}: expected an example or more, got shape {x.shape}")
    check_finite(x, where, name)
    return jnp.asarray(x).reshape(-1, *event_shape), batch


def prepare(module: M, dtype: Any, *, perturbed: bool, seed: int, unused: Sequence[str]) -> M:
    """The member as it is checked: its attributes in order, in the data's dtype, perturbed.

    Raises:
        ValueError: for data that are not real, and for a name in ``unused`` of no parameter.
        AssertionError: for an attribute that must not be one.
    """
    if not jnp.issubdtype(dtype, jnp.floating):
        raise ValueError(f"{type(module).__name__}: expected real data to check it at, got {dtype}")
    check_attributes(module)
    names = [name for name, _ in _named(module, nnx.Param)]
    for prefix in unused:
        if not any(_begins(name, prefix) for name in names):
            raise unknown(f"parameter of {type(module).__name__} in unused:", prefix, names)
    module = cast(module, dtype)
    return perturb(module, jax.random.key(seed)) if perturbed else module


@checked_arguments
def check_attributes(module: nnx.Pytree) -> None:
    """Walks a module and refuses whatever must not be an attribute.

    A raw array would be trained, or fixed into the compiled program; random state makes a module
    impure; a list, dict or set is mutable and does not hash; a lambda or a local function differs
    for every instance, so every instance compiles again. Array leaves are ``nnx.Param`` or
    ``jaxgen.Buffer``, of a floating dtype.

    Raises:
        AssertionError: naming the attribute's path, what it is, and what to use instead.

    >>> check_attributes(nnx.Linear(2, 3, rngs=nnx.Rngs(0)))
    """
    _walk(module, type(module).__name__, set())


def _walk(value: Any, path: str, seen: set[int]) -> None:
    if isinstance(value, nnx.Variable):
        _check_variable(value, path)
    elif isinstance(value, nnx.Rngs | nnx.RngStream):
        raise AssertionError(f"{path}: holds random state; pass keys to methods instead")
    elif isinstance(value, nnx.Pytree):
        if id(value) not in seen:
            seen.add(id(value))
            for name, attribute in vars(value).items():
                if not name.startswith("_pytree__"):
                    _walk(attribute, f"{path}.{name}", seen)
    elif isinstance(value, jax.Array | np.ndarray):
        raise AssertionError(
            f"{path}: a raw array of shape {value.shape}; make it a jaxgen.Buffer (fixed) or an "
            f"nnx.Param (trained)"
        )
    elif isinstance(value, list | dict | set):
        raise AssertionError(
            f"{path}: a {type(value).__name__}; use a tuple, nnx.List or nnx.Dict instead"
        )
    elif isinstance(value, tuple):
        for index, entry in enumerate(value):
            _walk(entry, f"{path}[{index}]", seen)
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        for field in dataclasses.fields(value):
            _walk(getattr(value, field.name), f"{path}.{field.name}", seen)
    else:
        _check_static(value, path)


def _check_variable(variable: nnx.Variable, path: str) -> None:
    if not isinstance(variable, nnx.Param | Buffer):
        raise AssertionError(
            f"{path}: a {type(variable).__name__}; array leaves are nnx.Param or jaxgen.Buffer"
        )
    dtype = variable.get_value().dtype
    if not jnp.issubdtype(dtype, jnp.floating):
        raise AssertionError(
            f"{path}: a {type(variable).__name__} of {dtype}; store floats and cast on use, so "
            f"that jax.grad and dtype casts accept the module"
        )


def _check_static(value: Any, path: str) -> None:
    local = isinstance(value, types.FunctionType) and (
        value.__name__ == "<lambda>" or "<locals>" in value.__qualname__
    )
    if local or isinstance(value, functools.partial):
        what = getattr(value, "__qualname__", "a functools.partial")
        raise AssertionError(
            f"{path}: {what} differs for every instance, so each compiles anew; use a function "
            f"defined at a module's top level"
        )
    try:
        hash(value)
    except TypeError:
        raise AssertionError(
            f"{path}: a {type(value).__name__}, which cannot be hashed, as static attributes must"
        ) from None


@contextmanager
def unchanged(module: nnx.Module, what: str) -> Iterator[None]:
    """Fails if the body exchanged a leaf of the module; used while tracing, where no copy is made.

    A method that changes something must return a new object instead.
    """
    before = jax.tree.leaves(module)
    yield
    after = jax.tree.leaves(module)
    if len(before) != len(after) or any(a is not b for a, b in zip(before, after, strict=True)):
        raise AssertionError(f"{what} changed the {type(module).__name__}; return a new one")


def adaptations(member: Bijector | Model) -> dict[str, Callable[..., Any]]:
    """``initialize`` and, where there is anything to calibrate, ``calibrate``.

    Calibration is the same walk as initialisation, so without a statistic in it there is nothing to
    see.
    """
    found: dict[str, Callable[..., Any]] = {"initialize": member.initialize}
    return found | ({"calibrate": member.calibrate} if needs_calibration(member) else {})


def check_structure(new: nnx.Module, old: nnx.Module, what: str) -> None:
    """Another structure would compile every program again, and fit no optimizer state."""
    structures = [jax.tree.structure(module) for module in (new, old)]
    if len(set(structures)) > 1:
        raise AssertionError(
            f"{what} returned a {type(new).__name__} of another structure; only the values of its "
            f"leaves may differ"
        )


def check_adapted_once(new: nnx.Module, again: nnx.Module, what: str) -> None:
    """What has numbers from data keeps them, so that training on goes on from what there is."""
    states = (nnx.to_flat_state(nnx.state(module)) for module in (new, again))
    for (path, once), (_, twice) in zip(*states, strict=True):
        if not np.array_equal(once[...], twice[...], equal_nan=True):
            raise AssertionError(
                f"{what}, called again with other data, changed {'.'.join(map(str, path))}; a "
                f"module adapts once: keep a Buffer that says whether it has"
            )


def other_contexts(context: Array) -> Array:
    """The contexts ``(n, *context_shape)`` of other examples, which are such as a part may get."""
    return jnp.roll(context, 1, axis=0)


def check_context_used(own: Any, other: Any, context: Context, where: str) -> Report:
    """That something changes with the context, where a part declares one.

    Args:
        own: arrays that were computed with ``context``.
        other: the same with :func:`other_contexts`.
        context: ``(n, *context_shape)``, or None.
        where: what was run, for the message.
    """
    if context is None:
        return {}
    if np.array_equal(context, np.roll(context, 1, axis=0)):
        return {"contexts": "skipped: all examples have the same context"}
    pairs = zip(jax.tree.leaves(own), jax.tree.leaves(other), strict=True)
    for got, expected in (map(np.asarray, pair) for pair in pairs):
        # A batch may round an example otherwise where it stands elsewhere.
        slack = (1e-12 if got.dtype == np.float64 else 1e-5) * (1.0 + np.abs(expected))
        if not np.all(np.abs(got - expected) <= slack):
            return {"contexts": PASSED}
    raise AssertionError(
        f"{where}: expected it to depend on the context, of shape {context.shape[1:]}, got the "
        f"same with that of another example; a part that reads none leaves context_shape at None"
    )


def check_gradients(gradients: nnx.Module, unused: Sequence[str], where: str) -> None:
    """Gradients are finite, reach every parameter, and leave the buffers alone.

    Args:
        gradients: a module of gradients, as ``jax.grad`` of a function of a module gives it.
        unused: the beginnings of the paths of parameters that need not get one.
        where: what was differentiated, for the message.
    """
    for kind in (nnx.Param, Buffer):
        for name, variable in _named(gradients, kind):
            gradient = np.asarray(jax.tree.leaves(variable)[0], np.float64)
            if not np.all(np.isfinite(gradient)):
                raise AssertionError(f"{where}: the gradient of {name} is not finite")
            if kind is Buffer and np.any(gradient != 0):
                raise AssertionError(f"{where}: the buffer {name} gets a gradient")
            exempt = any(_begins(name, prefix) for prefix in unused)
            if kind is nnx.Param and gradient.size and not exempt and not np.any(gradient):
                raise AssertionError(
                    f"{where}: the gradient of the parameter {name} is zero everywhere; if it is "
                    f"genuinely unused, name it in `unused`"
                )


def _named(module: nnx.Pytree, kind: type[nnx.Variable]) -> list[tuple[str, nnx.Variable]]:
    """The leaves of a kind, by their paths."""
    leaves = nnx.to_flat_state(nnx.state(module, kind))
    return [(".".join(map(str, path)), variable) for path, variable in leaves]


def _begins(name: str, prefix: str) -> bool:
    """Whether a path is this one, or within it."""
    return (name + ".").startswith(prefix + ".")
