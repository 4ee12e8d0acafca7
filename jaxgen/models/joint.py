"""Contexts of a latent-variable model's parts: a value, and a further context behind it."""

import math

import jax.numpy as jnp
from jax import Array

from jaxgen.core import Context, Shape, ShapeError, described
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
