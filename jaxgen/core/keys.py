"""Random keys of constructors, counted in Python."""

import jax
import numpy as np
from flax import nnx
from jax import Array


class Counted(nnx.RngStream):
    """The keys of an ``nnx.RngStream``, whose count is a number of Python's.

    Flax keeps the count as an array, and under a trace each step of it costs a hundred times what
    the key does.
    """

    def __init__(self, key: Array, count: int = 0, *, tag: str = "default"):
        super().__init__(key, tag=tag)
        self.drawn = count

    def __call__(self) -> Array:
        key = jax.random.fold_in(self.key[...], np.uint32(self.drawn))
        self.drawn += 1
        return key


def rngs_of(**streams: Counted) -> nnx.Rngs:
    """Streams by their names, as what constructors take."""
    rngs = nnx.Rngs()
    for name, stream in streams.items():
        setattr(rngs, name, stream)
    return rngs


def rngs_from(key: Array) -> nnx.Rngs:
    """What ``nnx.Rngs(key)`` is, for a key that is traced.

    >>> key = jax.random.key(0)
    >>> bool(rngs_from(key).params() == nnx.Rngs(key).params())
    True
    """
    return rngs_of(default=Counted(key))
