"""What a module is apart from its numbers: as plain data, compared, and filled with numbers again.

The numbers of a module are arrays, which any format can hold; the rest is classes and attributes.
They cannot be made from a file without executing what it names, but they can be described, and a
module that is built again can be checked against the description.
"""

import dataclasses
import functools
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from jaxgen.core.variables import Buffer

M = TypeVar("M", bound=nnx.Pytree)

# How a leaf is described: the kind of variable, its dtype, its shape.
_KINDS: dict[str, type[nnx.Variable]] = {"Param": nnx.Param, "Buffer": Buffer}
# What a constructor leaves behind says how a module was built, and not what it is.
_NOT_DESCRIBED = ("origin",)
# How a module computes is no part of what it is either, but is kept: see compute_in, rematerialize.
_COMPUTING = ("dtype", "remat", "unroll")


def leaves_by_path(tree: Any) -> dict[str, Any]:
    """The variables of a module, or the arrays that are none, by their dotted paths.

    >>> list(leaves_by_path(nnx.Linear(2, 3, rngs=nnx.Rngs(0))))
    ['bias', 'kernel']
    """
    leaves = jax.tree_util.tree_leaves_with_path(tree, is_leaf=_is_variable)
    return {jax.tree_util.keystr(path, simple=True, separator="."): leaf for path, leaf in leaves}


def attributes(module: nnx.Pytree) -> dict[str, Any]:
    """The attributes of a module, without what Flax keeps there for itself."""
    return {k: v for k, v in vars(module).items() if not k.startswith("_pytree__")}


def array_of(leaf: Any) -> Any:
    """The array in a variable, which may be abstract, or that is one."""
    return jax.tree.leaves(leaf)[0]


def describe(module: nnx.Pytree) -> dict[str, Any]:
    """What a module is apart from its numbers, in values of JSON.

    Args:
        module: any module; its leaves may be abstract.

    Returns:
        ``leaves``: the kind, dtype and shape of every leaf, by its dotted path; and
        ``attributes``: the class of every module, and the values of its other attributes.

    >>> described = describe(nnx.Linear(2, 3, rngs=nnx.Rngs(0)))
    >>> described["leaves"]["kernel"], described["attributes"]["out_features"]
    (['Param', 'float32', [2, 3]], 3)
    """
    leaves = {
        path: [_kind(leaf), str(array_of(leaf).dtype), list(array_of(leaf).shape)]
        for path, leaf in leaves_by_path(module).items()
    }
    return {"leaves": leaves, "attributes": dict(_described("", module))}


def first_difference(expected: Mapping[str, Any], got: Mapping[str, Any]) -> str | None:
    """The first leaf or attribute in which two descriptions differ; None if there is none.

    That a leaf is trained or not, what dtypes there are, and how a stack is run, is no difference:
    :func:`fill` takes them from the description. Nor is an attribute that only one of them has, as
    after a class has got one more: where that matters, classes differ, or leaves.

    >>> narrow, wide = (describe(nnx.Linear(2, n, rngs=nnx.Rngs(0))) for n in (3, 4))
    >>> first_difference(narrow, wide)
    'bias: expected shape (3,), got shape (4,)'
    """
    for name in sorted(expected["leaves"].keys() | got["leaves"].keys()):
        ours, theirs = (_shape_said(each["leaves"].get(name)) for each in (expected, got))
        if ours != theirs:
            return f"{name}: expected {ours}, got {theirs}"
    for name in sorted(expected["attributes"].keys() & got["attributes"].keys()):
        ours, theirs = (each["attributes"][name] for each in (expected, got))
        if ours != theirs and name.rpartition(".")[2] not in _COMPUTING:
            return f"{name or 'the model'}: expected {ours!r}, got {theirs!r}"
    return None


def fill(like: M, description: Mapping[str, Any], arrays: Mapping[str, Any]) -> M:
    """A module of the structure of ``like`` with other numbers, dtypes, and frozen parts.

    Args:
        like: gives classes and attributes; its own numbers play no role.
        description: of the module to be made, of which ``like`` is one.
        arrays: its arrays, by their dotted paths.

    Returns:
        The new module.

    >>> linear = nnx.Linear(2, 3, rngs=nnx.Rngs(0))
    >>> arrays = {path: leaf[...] for path, leaf in leaves_by_path(linear).items()}
    >>> filled = fill(nnx.Linear(2, 3, rngs=nnx.Rngs(1)), describe(linear), arrays)
    >>> bool((filled.kernel[...] == linear.kernel[...]).all())
    True
    """
    new = []
    for path, leaf in leaves_by_path(like).items():
        if isinstance(leaf, nnx.Variable):
            kind = description["leaves"][path][0]
            new.append(_KINDS.get(kind, type(leaf))(arrays[path]))
        else:
            new.append(arrays[path])
    module = jax.tree.unflatten(jax.tree.structure(like, is_leaf=_is_variable), new)
    for parts, submodule in nnx.iter_modules(module):
        for attribute in vars(submodule).keys() & _COMPUTING:
            name = ".".join(map(str, (*parts, attribute)))
            if name in description["attributes"]:
                value = description["attributes"][name]
                as_it_is = attribute != "dtype" or value is None
                setattr(submodule, attribute, value if as_it_is else jnp.dtype(value))
    return module


def plain(value: Any) -> Any:
    """A value in JSON's terms; of what is not data, no more than its name.

    >>> plain({"a": (1, jnp.bfloat16), "b": plain})
    {'a': [1, 'bfloat16'], 'b': 'plain'}
    """
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else repr(value)
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, np.dtype) or (isinstance(value, type) and issubclass(value, np.generic)):
        return jnp.dtype(value).name
    if isinstance(value, tuple | list):
        return [plain(each) for each in value]
    if isinstance(value, Mapping):
        return {str(name): plain(each) for name, each in value.items()}
    if isinstance(value, functools.partial):
        return [plain(value.func), plain(value.args), plain(value.keywords)]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
        return {"class": type(value).__qualname__, **fields}
    named: Callable[..., Any] | type = value if hasattr(value, "__qualname__") else type(value)
    return named.__qualname__


def _is_variable(value: Any) -> bool:
    return isinstance(value, nnx.Variable)


def _kind(leaf: Any) -> str:
    return type(leaf).__name__ if _is_variable(leaf) else "array"


def _shape_said(leaf: list[Any] | None) -> str:
    return "nothing" if leaf is None else f"shape {tuple(leaf[2])}"


def _described(path: str, value: Any) -> Iterator[tuple[str, Any]]:
    """The attributes of a module and of those in it, by their dotted paths."""
    if not isinstance(value, nnx.Pytree):
        yield path, plain(value)
        return
    yield path, type(value).__qualname__
    for name, attribute in sorted(attributes(value).items()):
        if name in _NOT_DESCRIBED or isinstance(attribute, nnx.Variable | jax.Array):
            continue
        yield from _described(f"{path}.{name}" if path else name, attribute)
