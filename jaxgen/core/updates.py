"""Functional updates: modules are never changed, only copied with something exchanged."""

import operator
from collections.abc import Callable
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
from flax import nnx

from jaxgen.core.arguments import checked_arguments

M = TypeVar("M", bound=nnx.Pytree)
T = TypeVar("T")  # a pytree


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


def unstack(stacked: T) -> tuple[T, ...]:
    """What is stacked along a leading axis of every leaf, one by one.

    >>> unstack({"a": jnp.arange(2), "b": jnp.zeros((2, 3))})[1]["a"].item()
    1
    """
    count = len(jax.tree.leaves(stacked)[0])
    return tuple(jax.tree.map(operator.itemgetter(i), stacked) for i in range(count))


@checked_arguments
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
        TypeError: if the model is no module.
        ValueError: if the dtype is not a floating one, or the model has no networks.

    >>> half = compute_in(nnx.Linear(2, 3, rngs=nnx.Rngs(0)), jnp.bfloat16)
    >>> half(jnp.ones(2)).dtype, half.kernel[...].dtype
    (dtype(bfloat16), dtype('float32'))
    """
    if dtype is not None:
        try:
            known = jnp.dtype(dtype)
        except TypeError:  # of a name, or of an object, that is no dtype
            known = None
        if known is None or not jnp.issubdtype(known, jnp.floating):
            raise ValueError(
                f"compute_in: expected a floating dtype (as 'bfloat16') or None for dtype, got "
                f"{repr(dtype) if known is None else known}"
            )
        dtype = known
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


@checked_arguments
def rematerialize(model: M) -> M:
    """A copy of ``model`` whose stacks keep less for the gradient, and compute it again.

    Of each layer of a stack only what it is given is kept; what happens inside of it is computed a
    second time when the gradient needs it. So the memory of training is that of one layer and of
    the inputs of all, at the price of about one more pass. Values and gradients are the same.

    Args:
        model: any module. Its stacks are the submodules with an attribute ``remat``:
            :class:`~jaxgen.bijectors.Scan`, transformers, and those of one's own that say so. (The
            convolutional networks of windows do so always.)

    Returns:
        The new model, with the same parameters.

    Raises:
        TypeError: if the model is no module.
        ValueError: if it has no stacks.

    >>> from jaxgen.bijectors import ActNorm, Scan
    >>> stack = rematerialize(Scan(lambda rngs: ActNorm((3,)), 5, rngs=nnx.Rngs(0)))
    >>> stack.forward(jnp.ones((2, 3))).shape
    (2, 3)
    """
    found = False

    def change(module: nnx.Module) -> None:
        nonlocal found
        if "remat" in vars(module):
            setattr(module, "remat", True)  # noqa: B010
            found = True

    copy = map_modules(model, change)
    if not found:
        raise ValueError(
            f"rematerialize: {type(model).__name__} has no stacks, that is no submodules with an "
            f"attribute `remat`"
        )
    return copy
