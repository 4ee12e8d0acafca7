"""The network from a small image to a map over a large one."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from jaxgen.networks import Upsampling
from jaxgen.testing import perturb


def test_each_pixel_is_at_its_place():
    """A pixel reaches its own block and, by the convolutions, what is beside it."""
    net = Upsampling((3, 4, 1), 2, 2, width=8, num_blocks=0, rngs=nnx.Rngs(0))
    net = perturb(net, jax.random.key(0))
    image = jax.random.normal(jax.random.key(1), (5, 3, 4, 1))
    changed = (net(image.at[:, 1, 1].add(1.0)) != net(image)).any((0, -1))
    rows, columns = jnp.arange(6), jnp.arange(8)
    # The block is at rows and columns 2 and 3; two 3 x 3 convolutions reach two pixels further.
    expected = (rows[:, None] <= 5) & (columns <= 5)
    np.testing.assert_array_equal(changed, expected)


def test_it_starts_at_zero():
    net = Upsampling((2, 2, 3), 3, 4, width=4, num_blocks=1, rngs=nnx.Rngs(0))
    np.testing.assert_array_equal(net(jnp.ones((2, 2, 3))), np.zeros((6, 6, 4)))
