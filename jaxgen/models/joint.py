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


def features_of(shape: Shape) -> int:
    """The size of the context vector of a prior."""
    if len(shape) != 1:
        raise ShapeError(
            f"VAE: expected a prior whose context is a vector (k,), got one of {shape}; labels "
            f"come through Embedded"
        )
    return shape[0]


def joined(model: Model, value: Array, c: Context, shape: Shape) -> Array:
    """The context of a model: a value, and behind its entries ``c`` where there is room."""
    if model.context_shape == shape or c is None:
        return value
    flat = value.reshape(*value.shape[: value.ndim - len(shape)], math.prod(shape))
    return jnp.concatenate([flat, jnp.broadcast_to(c, (*flat.shape[:-1], c.shape[-1]))], axis=-1)


def room_beside(model: Model, shape: Shape, part: str, what: str) -> int:
    """How many features of a further context a part takes beside a value of this shape."""
    own = model.context_shape
    if own == shape:
        return 0
    more = 0 if own is None or len(own) != 1 else own[0] - math.prod(shape)
    if more < 1:
        raise ShapeError(
            f"VAE: expected a {part} whose context is the {what}, of shape {shape} (or, with a "
            f"further context of k features, ({math.prod(shape)} + k,)), got a "
            f"{type(model).__name__} with context_shape {described(own)}"
        )
    return more


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
