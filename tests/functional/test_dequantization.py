"""Levels to real numbers and back, at the ends of their cells."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.functional.dequantization import dequantize, quantize, uniform_noise


@pytest.mark.parametrize("noise", [0.0, 1e-45, 1e-30, 0.5, 1.0 - 2.0**-24, 1.0])
def test_no_rounding_leaves_the_cell(noise):
    x = jnp.arange(256)
    value = dequantize(x, jnp.full(256, noise, jnp.float32))
    np.testing.assert_array_equal(quantize(value, 256), x)
    np.testing.assert_allclose(value, x + np.float32(noise), rtol=1e-6, atol=1e-37)
    # The top of the last cell and the bottom of the first are infinite under a logit.
    assert value[0] > 0
    assert value[-1] < 256


def test_its_derivative_is_one_at_the_ends_too():
    noise = jnp.array([0.0, 0.3, 1.0])
    slope = jax.grad(lambda noise: dequantize(jnp.array([0, 255, 255]), noise).sum())(noise)
    np.testing.assert_array_equal(slope, np.ones(3))


def test_uniform_noise_is_inside_the_open_interval():
    noise = uniform_noise(jax.random.key(0), (1_000_000,))
    assert noise.dtype == jnp.float32
    assert noise.min() > 0
    assert noise.max() < 1
    np.testing.assert_allclose(noise.mean(), 0.5, atol=0.002)
