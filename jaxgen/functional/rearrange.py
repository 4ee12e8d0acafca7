"""Rearrangements and splits of arrays: volume preserving, log-determinant zero."""

import jax.numpy as jnp
import numpy as np
from jax import Array


def squeeze(x: Array, factor: int = 2) -> Array:
    """``(..., H, W, C) -> (..., H/f, W/f, f*f*C)``: each f x f block of pixels becomes channels.

    The channels of a block stand in raster order of the pixels (RealNVP, Dinh et al. 2017).

    >>> squeeze(jnp.arange(4.0).reshape(2, 2, 1)).tolist()
    [[[0.0, 1.0, 2.0, 3.0]]]
    """
    *batch, height, width, channels = x.shape
    x = x.reshape(*batch, height // factor, factor, width // factor, factor, channels)
    x = jnp.swapaxes(x, -4, -3)
    return x.reshape(*batch, height // factor, width // factor, factor * factor * channels)


def unsqueeze(x: Array, factor: int = 2) -> Array:
    """The inverse of :func:`squeeze`."""
    *batch, height, width, channels = x.shape
    x = x.reshape(*batch, height, width, factor, factor, channels // factor**2)
    x = jnp.swapaxes(x, -4, -3)
    return x.reshape(*batch, height * factor, width * factor, channels // factor**2)


def split_channels(x: Array) -> tuple[Array, Array]:
    """The first and the second half of the last axis; an odd axis gives the second half more."""
    half = x.shape[-1] // 2
    return x[..., :half], x[..., half:]


def merge_channels(first: Array, second: Array) -> Array:
    """The inverse of :func:`split_channels`."""
    return jnp.concatenate([first, second], axis=-1)


def checkerboard(height: int, width: int) -> np.ndarray:
    """A boolean mask ``(height, width, 1)``, True where row + column is even.

    >>> checkerboard(2, 2)[..., 0].tolist()
    [[True, False], [False, True]]
    """
    rows, columns = np.indices((height, width))
    return ((rows + columns) % 2 == 0)[..., None]
