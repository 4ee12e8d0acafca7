"""The variational autoencoder of the zoo: the positions of its decoder are pixels."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jaxgen import zoo
from jaxgen.testing import perturb

KEY = jax.random.key(0)
COLOURS = np.array(list(itertools.product(range(4), repeat=3)))
NETWORKS = {"mlp": {"hidden": (6,)}, "conv": {"network": "conv", "widths": (3,)}}


@pytest.mark.parametrize("network", NETWORKS)
def test_the_channels_of_a_pixel_are_coupled(network):
    model = zoo.vae(
        (4, 4, 3), levels=4, components=2, latents=2, **NETWORKS[network], rngs=nnx.Rngs(0)
    )
    decoder = perturb(model, KEY, 1.0).decoder
    assert decoder.grid_shape == (4, 4)
    images = np.zeros((64, 4, 4, 3), int)
    images[:, 1, 2] = COLOURS
    log_p = jax.jit(lambda d: d.log_prob(images, jnp.ones(2)))(decoder)
    pixel = np.asarray(jax.nn.softmax(log_p)).reshape(4, 4, 4)
    second = pixel.sum(-1)
    given_first = second / second.sum(-1, keepdims=True)
    assert np.ptp(given_first, axis=0).max() > 0.02
    given_both = pixel / pixel.sum(-1, keepdims=True)
    assert np.ptp(given_both, axis=(0, 1)).max() > 0.02


@pytest.mark.parametrize("network", NETWORKS)
def test_one_channel_or_one_axis_has_positions_of_its_own(network):
    options = {"latents": 2, **NETWORKS[network], "rngs": nnx.Rngs(0)}
    assert zoo.vae((4, 4, 1), **options).decoder.grid_shape == (4, 4)
    if network == "mlp":
        assert zoo.vae((5,), **options).decoder.grid_shape == (5,)
