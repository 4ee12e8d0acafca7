"""The sums that a checkpoint keeps of its arrays: the same wherever these are."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.training.checksums import _sum_here, _sums, checksums, differing

NUMBERS = 100 * np.random.default_rng(0).normal(size=(8, 5, 3))
DTYPES = ("float32", "int32", "int8", "uint16", "bfloat16", "float16", "bool", "complex64")


@pytest.mark.parametrize("dtype", DTYPES)
def test_both_ways_to_sum_agree(dtype):
    """That of NumPy, and the program for arrays that are elsewhere."""
    array = jnp.asarray(NUMBERS).astype(dtype)
    for each in (array, array[:1, :1, :1], array[0, 0, 0], array[:0]):
        assert _sum_here(np.asarray(each)) == int(_sums({"x": each})["x"])


def test_a_large_array_is_summed_in_blocks():
    array = np.random.default_rng(0).normal(size=3_000_001).astype(np.float32)
    assert _sum_here(array) == int(_sums({"x": jnp.asarray(array)})["x"])


def test_a_change_or_an_exchange_is_seen():
    array = NUMBERS.astype(np.float32)
    known = checksums({"x": array})
    assert differing({"x": array.copy()}, known) is None
    bits = array.copy()
    bits.view(np.uint32)[3, 2, 1] ^= 1
    swapped = array.copy()
    swapped[0, 0, :2] = swapped[0, 0, 1::-1]
    for other in (bits, swapped, np.negative(array)):
        assert differing({"x": other}, known) == "x"
    # Of another dtype, or not known, they are not compared.
    assert differing({"x": array.astype(np.float64), "y": bits}, known) is None


def test_a_random_key_is_its_integers():
    key = jax.random.key(3)
    assert checksums({"key": key}) == checksums({"key": jax.random.key_data(key)})


def test_numbers_on_a_mesh_are_the_same_numbers():
    mesh = jax.make_mesh((1,), ("data",))
    placed = jax.device_put(
        NUMBERS.astype(np.float32), jax.sharding.NamedSharding(mesh, jax.P("data"))
    )
    assert checksums({"x": placed}) == checksums({"x": NUMBERS.astype(np.float32)})
