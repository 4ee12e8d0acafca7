"""Checksums of arrays: whether a checkpoint gives back the numbers that were written.

Orbax checks what tells where an array is, and not the numbers of it.
"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

_BLOCK = 2**16  # entries at a time, which a processor's cache holds


def checksums(leaves: Mapping[str, Any]) -> dict[str, list[Any]]:
    """The dtype of every array, and the sum of what its bits and their places are hashed to.

    The sums are modulo 2^32: of four billion damages one is not seen. Where the numbers are plays
    no role: what is on accelerators, or on the devices of several processes, is summed there.

    >>> checksums({"scale": np.ones(2, np.float32), "count": jnp.zeros((), jnp.int32)})
    {'scale': ['float32', 2359784880], 'count': ['int32', 0]}
    """
    leaves = {name: _as_numbers(leaf) for name, leaf in leaves.items()}
    away = {name: leaf for name, leaf in leaves.items() if not _is_here(leaf)}
    found = dict(jax.device_get(_sums(away))) if away else {}
    for name, leaf in leaves.items():
        if name not in away:
            found[name] = _sum_here(np.asarray(leaf))
    return {name: [str(leaf.dtype), int(found[name])] for name, leaf in leaves.items()}


def differing(leaves: Mapping[str, Any], known: Mapping[str, list[Any]]) -> str | None:
    """The first array whose checksum is not the one that is known; None if there is none.

    Arrays that have become of another dtype, or of which none is known, are not compared.
    """
    for name, found in checksums(leaves).items():
        dtype, total = known.get(name, found)
        if dtype == found[0] and total != found[1]:
            return name
    return None


def _as_numbers(leaf: Any) -> jax.Array | np.ndarray:
    """An array; of a random key, of the integers that it consists of."""
    if not isinstance(leaf, jax.Array):
        return np.asarray(leaf)
    is_key = jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
    return jax.random.key_data(leaf) if is_key else leaf


def _is_here(leaf: Any) -> bool:
    if not isinstance(leaf, jax.Array):
        return True
    return leaf.is_fully_addressable and all(d.platform == "cpu" for d in leaf.devices())


def _unsigned(dtype: Any) -> Any:
    """The integers as which the bits of a dtype are seen, one or more for each number."""
    return {1: np.uint8, 2: np.uint16}.get(np.dtype(dtype).itemsize, np.uint32)


def _sum_here(array: np.ndarray) -> int:
    bits = np.ascontiguousarray(array).reshape(-1).view(_unsigned(array.dtype))
    total = 0
    for begin in range(0, bits.size, _BLOCK):
        block = bits[begin : begin + _BLOCK].astype(np.uint32)
        places = np.arange(begin, begin + len(block), dtype=np.uint64).astype(np.uint32)
        total += int(np.sum(_mixed(block, places), dtype=np.uint32))
    return total % 2**32


@jax.jit
def _sums(leaves: dict[str, jax.Array]) -> dict[str, jax.Array]:
    return {name: _sum_there(leaf) for name, leaf in leaves.items()}


def _sum_there(array: jax.Array) -> jax.Array:
    if jnp.issubdtype(array.dtype, jnp.complexfloating):
        array = jnp.stack([array.real, array.imag], axis=-1)
    elif array.dtype == jnp.bool_:
        array = array.astype(jnp.uint8)
    bits = jax.lax.bitcast_convert_type(array, _unsigned(array.dtype)).astype(jnp.uint32)
    # The place in C order, without a reshape: that would gather what is on several devices.
    places, stride = jnp.zeros((), jnp.uint32), 1
    for axis in reversed(range(bits.ndim)):
        along = jax.lax.broadcasted_iota(jnp.uint32, bits.shape, axis)
        places = places + along * jnp.uint32(stride % 2**32)
        stride *= bits.shape[axis]
    return jnp.sum(_mixed(bits, places), dtype=jnp.uint32)


def _mixed(bits: Any, places: Any) -> Any:
    """The end of MurmurHash3 (Appleby, 2011), of 32 bits, for NumPy and JAX."""
    found = bits + places * np.uint32(0x9E3779B9)
    found = (found ^ (found >> np.uint32(16))) * np.uint32(0x85EBCA6B)
    found = (found ^ (found >> np.uint32(13))) * np.uint32(0xC2B2AE35)
    return found ^ (found >> np.uint32(16))
