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


def skew(x: Array) -> Array:
    """``(..., H, W, C) -> (..., H, W + H - 1, C)``: row ``i`` moves ``i`` columns to the right.

    So a diagonal from the lower left to the upper right becomes a column. What is not filled is
    zero.

    >>> skew(jnp.arange(1, 7).reshape(2, 3, 1))[..., 0].tolist()
    [[1, 2, 3, 0], [0, 4, 5, 6]]
    """
    *batch, height, width, channels = x.shape
    # A row that is H longer, read as one that is H - 1 longer, begins one column later each time.
    padded = jnp.pad(x, [(0, 0)] * (x.ndim - 2) + [(0, height), (0, 0)])
    flat = padded.reshape(*batch, height * (width + height), channels)
    return flat[..., :-height, :].reshape(*batch, height, width + height - 1, channels)


def unskew(x: Array) -> Array:
    """The inverse of :func:`skew`.

    >>> unskew(skew(jnp.arange(6).reshape(2, 3, 1)))[..., 0].tolist()
    [[0, 1, 2], [3, 4, 5]]
    """
    *batch, height, columns, channels = x.shape
    flat = x.reshape(*batch, height * columns, channels)
    padded = jnp.pad(flat, [(0, 0)] * (flat.ndim - 2) + [(0, height), (0, 0)])
    rows = padded.reshape(*batch, height, columns + 1, channels)
    return rows[..., : columns - height + 1, :]


def split_channels(x: Array) -> tuple[Array, Array]:
    """The first and the second half of the last axis; an odd axis gives the second half more."""
    half = x.shape[-1] // 2
    return x[..., :half], x[..., half:]


def merge_channels(first: Array, second: Array) -> Array:
    """The inverse of :func:`split_channels`."""
    return jnp.concatenate([first, second], axis=-1)


def split_alternating(x: Array) -> tuple[Array, Array]:
    """The entries at even and at odd places of the last axis.

    >>> [part.tolist() for part in split_alternating(jnp.arange(5))]
    [[0, 2, 4], [1, 3]]
    """
    return x[..., 0::2], x[..., 1::2]


def merge_alternating(even: Array, odd: Array) -> Array:
    """The inverse of :func:`split_alternating`."""
    size = even.shape[-1] + odd.shape[-1]
    filled = jnp.pad(odd, [(0, 0)] * (odd.ndim - 1) + [(0, even.shape[-1] - odd.shape[-1])])
    pairs = jnp.stack([even, filled], axis=-1)
    return pairs.reshape(*pairs.shape[:-2], 2 * even.shape[-1])[..., :size]


def checkerboard(height: int, width: int) -> np.ndarray:
    """A boolean mask ``(height, width, 1)``, True where row + column is even.

    >>> checkerboard(2, 2)[..., 0].tolist()
    [[True, False], [False, True]]
    """
    rows, columns = np.indices((height, width))
    return ((rows + columns) % 2 == 0)[..., None]


_LINES = {"checkerboard": (1, 1), "rows": (1, 0), "columns": (0, 1)}
PATTERNS = tuple(_LINES)


def alternate_tokens(height: int, width: int, pattern: str) -> tuple[np.ndarray, np.ndarray]:
    """The tokens of a grid in two interleaved parts, each as numbers in raster order.

    Args:
        height, width: the grid's.
        pattern: one of ``PATTERNS``: ``"checkerboard"``, or every other of the ``"rows"`` or
            ``"columns"``.

    >>> [part.tolist() for part in alternate_tokens(2, 2, "checkerboard")]
    [[0, 3], [1, 2]]
    """
    by_row, by_column = _LINES[pattern]
    rows, columns = np.indices((height, width))
    odd = (by_row * rows + by_column * columns).ravel() % 2
    return np.flatnonzero(odd == 0), np.flatnonzero(odd)
