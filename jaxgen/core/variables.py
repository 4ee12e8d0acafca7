"""Leaves of modules: what is trained, what is not, and how many there are."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array

from jaxgen.core.arguments import checked_arguments, described
from jaxgen.core.updates import M, replace


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


def adapt_once(module: M, **values: Array | np.ndarray) -> M:
    """A copy whose leaves of these names have these values, unless it has been adapted before.

    That is written down in the module's own buffer ``adapted``, 0 or 1, and so saved, stacked and
    frozen with it. Frozen leaves stay frozen.

    Args:
        module: a module with a buffer ``adapted``.
        **values: what data give for each leaf; cast to the leaf's dtype.

    Returns:
        The new module, which counts as adapted.
    """
    leaves = vars(module)
    adapted = leaves["adapted"][...]
    changes = {}
    for name, value in values.items():
        leaf = leaves[name]
        kept = jnp.where(adapted > 0, leaf[...], jnp.asarray(value, leaf[...].dtype))
        changes[name] = type(leaf)(kept)
    return replace(module, adapted=Buffer(jnp.ones_like(adapted)), **changes)


@checked_arguments
def freeze(model: M, where: Callable[[str, nnx.Param], bool] | str | None = None) -> M:
    """A copy of ``model`` with parameters turned into buffers, so that training leaves them alone.

    A layer that adapts itself to data (:class:`~jaxgen.bijectors.ActNorm`) counts as adapted when
    a part of it is frozen.

    Args:
        model: any module.
        where: which parameters: a predicate of ``(dotted path, parameter)``, or the beginning of
            the path (``"bijector.layers.0"``); all of them if None.

    Returns:
        The new model. It computes the same numbers.

    Raises:
        TypeError: if the model is no module, or ``where`` is something else.
        ValueError: if nothing matches.

    >>> frozen = freeze(nnx.Linear(2, 3, rngs=nnx.Rngs(0)), "bias")
    >>> type(frozen.bias).__name__, type(frozen.kernel).__name__
    ('Buffer', 'Param')
    """

    if not (where is None or callable(where) or isinstance(where, str)):
        raise TypeError(
            f"freeze: expected a function (path, parameter) -> bool, the beginning of a path or "
            f"None for where, got {described(where)}"
        )

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
                if (adapted := vars(submodule).get("adapted")) is not None:
                    setattr(submodule, "adapted", Buffer(jnp.ones_like(adapted[...])))  # noqa: B010
    if count == 0:
        paths = [".".join(map(str, p)) for p, _ in nnx.to_flat_state(nnx.state(model, nnx.Param))]
        raise ValueError(f"freeze matched no parameter; the parameters are {', '.join(paths)}")
    return copy


def partition(module: M) -> tuple[nnx.State, Callable[[nnx.State], M]]:
    """The parameters of a module, and the function that builds it again from other ones."""
    graphdef, params, *rest = nnx.split(module, nnx.Param, ...)
    return params, lambda params: nnx.merge(graphdef, params, *rest)


@checked_arguments
def num_parameters(model: nnx.Module) -> int:
    """The number of trained numbers in a model; a TypeError if it is no module."""
    return sum(leaf.size for leaf in jax.tree.leaves(nnx.state(model, nnx.Param)))


def needs_calibration(module: nnx.Module) -> bool:
    """Whether a part of a module has statistics that its ``calibrate`` takes from data."""
    return any(getattr(part, "needs_calibration", False) for _, part in nnx.iter_modules(module))
