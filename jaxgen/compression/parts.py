"""Probabilities as whole numbers, which an encoder and a decoder share to the last of them.

They are rounded in the program that computes them. Outside of it, by NumPy, that took a tenth of
the time of coding with a small model.
"""

import math

import jax.numpy as jnp
from jax import Array

PRECISION = 24  # bits of a probability, those of constriction
WHOLE = 1 << PRECISION
# Parts of a level; and of what is never used, at both ends, so that no interval of a level touches
# one.
LEAST, SPARE = 1, 2

# More levels than this would share too few of the 2^24 parts.
MOST_LEVELS = 1 << 20


def parts_of(probabilities: Array) -> Array:
    """Probabilities of levels in parts of ``2^24``, at least 1 each, that add up to all but two.

    Args:
        probabilities: array ``(*batch, levels)``, not negative, of any positive sums.

    Returns:
        int32 array ``(*batch, levels)``; -1 for all levels where the probabilities are NaN,
        infinite, or all 0.

    >>> parts_of(jnp.array([[0.25, 0.75], [0.0, 1.0], [0.0, 0.0]])).tolist()
    [[4194287, 12582927], [1, 16777213], [-1, -1]]
    """
    levels = probabilities.shape[-1]
    whole = WHOLE - SPARE - LEAST * levels
    # Of a sum in single precision a few parts may be missing, or too many.
    slack = 64 + 4 * math.isqrt(levels)
    total = jnp.sum(probabilities, axis=-1, keepdims=True)
    found = jnp.floor(probabilities * ((whole - slack) / total)).astype(jnp.int32)
    # What is left goes to the likeliest, where it matters least.
    rest = whole - jnp.sum(found, axis=-1, keepdims=True)
    likeliest = jnp.argmax(probabilities, axis=-1, keepdims=True) == jnp.arange(levels)
    found = found + LEAST + jnp.where(likeliest, rest, 0)
    return jnp.where(jnp.isfinite(total) & (total > 0), found, -1)
