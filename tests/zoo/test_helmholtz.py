"""The Helmholtz machine: latents of bits, and the rates that stand for them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jaxgen import zoo
from jaxgen.testing import perturb

KEY = jax.random.key(0)
BITS = np.array([[0, 1, 1, 0], [1, 0, 0, 0]])


def machine():
    model = zoo.helmholtz((4,), layer_sizes=(3, 2), rngs=nnx.Rngs(0))
    return perturb(model, KEY, 1.0)


def test_the_way_to_rates_of_bits_and_back():
    model = machine()
    centre = model.infer(BITS)
    assert centre.shape == (2, 3)
    assert np.all((centre > 0) & (centre < 1))
    drawn = jax.jit(jax.vmap(lambda key: model.infer(BITS, key=key)))(jax.random.split(KEY, 4000))
    assert jnp.issubdtype(drawn.dtype, jnp.integer)
    np.testing.assert_allclose(drawn.mean(0), centre, atol=5 * np.sqrt(0.25 / 4000))
    back = model.decode(centre)
    assert back.shape == (2, 4)
    assert np.all((back > 0) & (back < 1))
    np.testing.assert_allclose(model.reconstruct(BITS), back, rtol=1e-6)


def test_bits_are_decoded_as_the_rates_0_and_1():
    model, z = machine(), np.array([[0, 1, 1], [1, 0, 1]])
    np.testing.assert_array_equal(model.decode(z), model.decode(z.astype(np.float32)))
    for bad in (2, -1):
        with pytest.raises(ValueError, match=r"VAE.decode: expected levels from 0 to 1, got"):
            model.decode(np.array([0, 1, bad]))
