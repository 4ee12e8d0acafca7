"""What latents are to the parts of a model with latents, and contexts beside them."""

import math

import jax.numpy as jnp
from jax import Array

from jaxgen.core import (
    Context,
    Shape,
    ShapeError,
    check_finite,
    check_levels,
    described,
    is_concrete,
)
from jaxgen.models.base import Model


def numbers(value: Array, levels: float | None) -> Array:
    """Levels in ``[-1, 1]``; what has no last level, and reals, as they are."""
    if levels is None or not math.isfinite(levels):
        return value if levels is None else value.astype(jnp.result_type(float))
    return 2.0 * value.astype(jnp.result_type(float)) / (levels - 1) - 1.0


def joined(model: Model, value: Array, c: Context, shape: Shape) -> Array:
    """The context of a model: a value, and behind its entries ``c`` where there is room."""
    if model.context_shape == shape or c is None:
        return value
    flat = value.reshape(*value.shape[: value.ndim - len(shape)], math.prod(shape))
    return jnp.concatenate([flat, jnp.broadcast_to(c, (*flat.shape[:-1], c.shape[-1]))], axis=-1)


def reads_beside(model: Model, shape: Shape, features: int | None, part: str, what: str) -> bool:
    """Whether a part reads a further context beside a value of this shape, or the value alone.

    Raises:
        ShapeError: if it reads neither.
    """
    own, entries = model.context_shape, math.prod(shape)
    if own == shape:
        return False
    if features is not None and own == (entries + features,):
        return True
    if features is not None:
        other = f"({entries + features},) with context_features={features}"
    else:
        other = f"({entries} + k,) with context_features=k"
    raise ShapeError(
        f"VAE: expected a {part} whose context is the {what}, of shape {shape}, or {other}, got a "
        f"{type(model).__name__} with context_shape {described(own)}"
    )


def reads_alone(prior: Model, features: int | None) -> bool:
    """Whether a prior reads a further context, or none.

    Raises:
        ShapeError: if it reads another one.
    """
    own = prior.context_shape
    if own is not None and own != (features,):
        k = "k" if features is None else features
        raise ShapeError(
            f"VAE: expected a prior without a context, or, with context_features={k}, of contexts "
            f"({k},), got a {type(prior).__name__} with context_shape {described(own)}; labels "
            f"come through Embedded"
        )
    return own is not None


def check_decoded(z: Array, levels: float | None, named: bool, where: str) -> None:
    """Refuses latents that have no data: beyond their levels, means of which are real numbers.

    Args:
        z: latents.
        levels: of discrete ones, or None.
        named: their levels are names, which have no means.
        where: the method, for the message.

    Raises:
        ValueError: saying what was expected, and what came.
    """
    check_finite(z, where, "z")
    real = jnp.issubdtype(z.dtype, jnp.floating)
    if levels is None or not is_concrete(z):
        return
    if named and real:
        raise ValueError(f"{where}: expected integer codes z, got {z.dtype}")
    if not real:
        check_levels(z, levels, where)
    elif z.size and (jnp.min(z) < 0 or jnp.max(z) > levels - 1):
        raise ValueError(
            f"{where}: expected latents z from 0 to {levels - 1}, levels or means of them, got "
            f"values from {float(jnp.min(z)):g} to {float(jnp.max(z)):g}"
        )
