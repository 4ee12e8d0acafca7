"""Random numbers on the host: the bits of JAX's default generator, and what is made of them.

The generator is Threefry-2x32 with twenty rounds (Salmon et al. 2011): the bits of a key at a
place are a function of the two alone. So one program draws a piece of any array, and what a few
keys need, NumPy computes at once. The bits are those of :mod:`jax.random`.
"""

import concurrent.futures
import dataclasses
import functools
import itertools
import math
from collections.abc import Callable
from typing import Any, Self

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.random import threefry2x32_p

# Of so many numbers is a piece, and the program that draws one.
_PIECE = 2**16


def random_split(params: Any, keys: Any) -> Any:
    """The keys ``(*batch, *shape, 2)`` that come of keys, in words."""
    words = _threefry(keys[..., None, :], *_counters(math.prod(params["shape"])))
    return np.stack(words, -1).reshape(*keys.shape[:-1], *params["shape"], 2)


def random_fold_in(params: Any, keys: Any, data: Any) -> Any:
    """The keys that come of keys and numbers."""
    return np.stack(_threefry(keys, np.uint32(0), np.asarray(data, np.uint32)), -1)


def random_bits(params: Any, keys: Any) -> Any:
    """Words ``(*batch, *shape)``; None for many of them, or for other than 32 bits."""
    size = math.prod(params["shape"])
    if params["bit_width"] != 32 or size > _PIECE:
        return None
    words = _threefry(keys[..., None, :], *_counters(size))
    return np.bitwise_xor(*words).reshape(*keys.shape[:-1], *params["shape"])


def _threefry(keys: Any, high: Any, low: Any) -> tuple[Any, Any]:
    """Two words for each counter of two words."""
    schedule = keys[..., 0], keys[..., 1], keys[..., 0] ^ keys[..., 1] ^ np.uint32(0x1BD11BDA)
    x, y = high + schedule[0], low + schedule[1]
    for block in range(5):
        for turn in ((13, 15, 26, 6), (17, 29, 16, 24))[block % 2]:
            x = x + y
            y = x ^ ((y << np.uint32(turn)) | (y >> np.uint32(32 - turn)))
        x = x + schedule[(block + 1) % 3]
        y = y + schedule[(block + 2) % 3] + np.uint32(block + 1)
    return x, y


def _counters(size: int) -> tuple[Any, Any]:
    counts = np.arange(size, dtype=np.uint64)
    return (counts >> np.uint64(32)).astype(np.uint32), counts.astype(np.uint32)


_STAGES: dict[str, Callable[[Any, Any], Any]] = {
    "erf_inv": lambda x, _: jax.lax.erf_inv(x),
    "mul": jnp.multiply,
    "max": jnp.maximum,
    "min": jnp.minimum,
}


@dataclasses.dataclass(frozen=True)
class Draws:
    """Uniform numbers and what is done to them, which is put off until they are looked at.

    It is then done in one pass, piece by piece: the parameters of a large model are too many for a
    pass of each equation.
    """

    keys: Any  # words (*batch, 2); each key has numbers of its own
    shape: tuple[int, ...]
    bounds: tuple[Any, ...]  # from, and below
    stages: tuple[str, ...] = ()
    scalars: tuple[Any, ...] = ()

    def then(self, name: str, shape: tuple[int, ...], others: list[Any]) -> Self | None:
        """The draws after an equation with scalars; None if it cannot be put off."""
        scalars = [np.asarray(each) for each in others]
        spread = any(each.ndim and any(each.strides) for each in scalars)
        if name not in _STAGES or len(scalars) > 1 or spread or shape != self.shape:
            return None
        scalar = scalars[0].flat[0] if scalars else np.float32(0.0)
        new = (*self.stages, name), (*self.scalars, scalar)
        return dataclasses.replace(self, stages=new[0], scalars=new[1])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        keys = self.keys.reshape(-1, 2)
        rows = np.empty((len(keys), math.prod(self.shape[self.keys.ndim - 1 :])), np.float32)
        scalars = np.asarray(self.scalars, np.float32)

        def fill(place: tuple[int, int]) -> None:
            row, at = place
            words = (*keys[row], np.uint32(at >> 32), np.uint32(at & 0xFFFFFFFF))
            piece = rows[row, at : at + _PIECE]
            piece[:] = np.asarray(_piece(words, self.bounds, scalars, self.stages))[: len(piece)]

        places = itertools.product(range(len(keys)), range(0, rows.shape[1], _PIECE))
        with concurrent.futures.ThreadPoolExecutor() as pool:
            list(pool.map(fill, places))  # which raises what a piece has raised
        return rows.reshape(self.shape)


@functools.partial(jax.jit, static_argnames="stages")
def _piece(words: Any, bounds: Any, scalars: Any, stages: tuple[str, ...]) -> Any:
    """The draws of so many counters from one on, the upper word of which is the same.

    The words are those of the key and of the first counter. The multiplication and the addition
    that make numbers uniform between bounds round once, as in ``jax.random.uniform``; NumPy's would
    round twice.
    """
    *above, start = words
    low = start + jnp.arange(_PIECE, dtype=jnp.uint32)
    bits = jnp.bitwise_xor(*threefry2x32_p.bind(*(jnp.full_like(low, w) for w in above), low))
    least, most = bounds
    one = jnp.float32(1.0)
    unit = jax.lax.bitcast_convert_type((bits >> 9) | one.view(jnp.uint32), jnp.float32) - one
    x = jnp.maximum(least, unit * (most - least) + least)
    for stage, scalar in zip(stages, scalars, strict=True):
        x = _STAGES[stage](x, scalar)
    return x
