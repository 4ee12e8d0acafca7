"""Mu-law companding: exact round trips, both ends, symmetry, gradients, numpy and jax alike."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.functional import companding

CODES = np.arange(256)
PCM = np.arange(-(2**15), 2**15)


def test_every_code_comes_back():
    np.testing.assert_array_equal(companding.encode(companding.decode(CODES)), CODES)
    in_float32 = companding.encode(companding.decode(jnp.asarray(CODES)))
    np.testing.assert_array_equal(in_float32, CODES)
    np.testing.assert_array_equal(companding.from_pcm(companding.to_pcm(CODES)), CODES)


def test_the_curve_is_the_published_one():
    x = np.linspace(-1, 1, 1001)
    expected = np.sign(x) * np.log(1 + 255 * np.abs(x)) / np.log(256)
    np.testing.assert_allclose(companding.compress(x), expected, atol=1e-12)
    np.testing.assert_allclose(companding.expand(expected), x, atol=1e-12)


def test_a_code_is_the_nearest_of_256():
    """In the compressed domain, where the codes are evenly spaced."""
    x = PCM / 2**15
    centres = 2 * CODES / 255 - 1
    distance = np.abs(companding.compress(x) - centres[companding.encode(x)])
    assert distance.max() <= 1 / 255 + 1e-12


def test_ends_and_silence():
    assert companding.encode(np.array([-1.0, 0.0, 1.0])).tolist() == [0, companding.SILENCE, 255]
    assert companding.encode(np.array([-3.0, 1.5, np.inf])).tolist() == [0, 255, 255]
    np.testing.assert_allclose(companding.decode(np.array([0, 255])), [-1.0, 1.0], rtol=1e-15)
    assert companding.to_pcm(np.array([0, 255])).tolist() == [-32768, 32767]


def test_codes_of_16_bits_rise_and_use_all_levels():
    codes = companding.from_pcm(PCM.astype(np.int16))
    assert codes.dtype == np.uint8
    assert set(np.diff(codes.astype(int))) == {0, 1}
    assert (codes[0], codes[-1]) == (0, 255)
    # Loud samples share a code with many neighbours, quiet ones with few.
    counts = np.bincount(codes)
    assert (counts[1], counts[128], counts[254]) == (1370, 6, 1370)
    assert np.abs(companding.to_pcm(codes).astype(int) - PCM).max() <= 32768 * 0.022


def test_the_two_sides_mirror_each_other():
    x = np.linspace(0.001, 1, 997)
    np.testing.assert_array_equal(companding.compress(-x), -companding.compress(x))
    np.testing.assert_allclose(companding.decode(CODES), -companding.decode(255 - CODES))


def test_jax_agrees_but_for_the_borders_of_codes():
    x = PCM / 2**15
    of_jax = jax.jit(companding.encode)(jnp.asarray(x, jnp.float32))
    assert of_jax.dtype == jnp.uint8
    difference = np.abs(np.asarray(of_jax, int) - companding.encode(x))
    assert difference.max() <= 1
    assert difference.mean() < 1e-3


def test_gradients_at_the_ends_and_at_silence(x64):
    x = jnp.array([-1.0, -0.3, 0.0, 0.3, 1.0])
    slope = jax.vmap(jax.grad(companding.compress))(x)
    np.testing.assert_allclose(slope, 255 / (1 + 255 * np.abs(x)) / np.log(256), rtol=1e-12)
    back = jax.vmap(jax.grad(companding.expand))(companding.compress(x))
    np.testing.assert_allclose(slope * back, 1.0, rtol=1e-12)


def test_dtypes_are_kept():
    assert companding.compress(jnp.zeros(2, jnp.float32)).dtype == jnp.float32
    assert companding.expand(jnp.zeros(2, jnp.bfloat16)).dtype == jnp.bfloat16
    assert companding.decode(np.zeros(2, np.uint8)).dtype == np.float64


def test_refuses_sound_of_other_depths():
    with pytest.raises(TypeError, match="expected int16, got int32"):
        companding.from_pcm(np.zeros(3, np.int32))
