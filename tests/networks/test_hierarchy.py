"""The networks of a hierarchy of latents: resolutions, what is read, what they start from."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jaxgen import ShapeError
from jaxgen.networks import FeaturePyramid, FirstState, Readout, Update
from jaxgen.networks.hierarchy import Bottleneck, resolutions
from jaxgen.testing import perturb

KEY = jax.random.key(0)
X = np.random.default_rng(0).normal(size=(2, 5, 3, 1)).astype(np.float32)


def pyramid(**options):
    return FeaturePyramid((5, 3, 1), (1, 0, 2), width=8, **options, rngs=nnx.Rngs(0))


@pytest.mark.parametrize("batch", [(), (0,), (2, 3)])
def test_any_batch(batch):
    features = jax.eval_shape(pyramid(), np.zeros((*batch, 5, 3, 1), np.float32))
    assert [each.shape for each in features] == [
        (*batch, *grid, 8) for grid in ((2, 1), (2, 1), (5, 3))
    ]
    update = Update([(2, 1), (3, 2), (5, 3)], 2, width=8, num_layers=3, rngs=nnx.Rngs(0))
    states = (np.zeros((*batch, 2, 1, each), np.float32) for each in (8, 2))
    assert jax.eval_shape(update, *states).shape == (*batch, 5, 3, 8)


def test_resolutions_end_in_one_pixel():
    assert resolutions((5, 2), 4) == [(5, 2), (3, 1), (2, 1), (1, 1)]
    for count in (0, 5):
        with pytest.raises(ShapeError, match=f"from 1 to 4 resolutions of 5 x 2 .*got {count}"):
            resolutions((5, 2), count)


def test_pixels_are_means_of_those_that_there_are():
    """Without blocks, and a first layer that leaves the image as it is."""
    net = pyramid(num_blocks=0)
    kernel = jnp.zeros((3, 3, 1, 8)).at[1, 1].set(1.0)
    net.first.kernel = nnx.Param(kernel)
    small, _, large = net(X)
    np.testing.assert_allclose(large, np.broadcast_to(X, (2, 5, 3, 8)), rtol=1e-6)
    once = [[X[:, i : i + 2, j : j + 2].mean((1, 2)) for j in (0, 2)] for i in (0, 2, 4)]
    twice = [np.mean([once[i][j] for i in rows for j in (0, 1)], 0) for rows in ((0, 1), (2,))]
    np.testing.assert_allclose(small[..., 0, 0], np.stack(twice, 1)[..., 0], rtol=1e-5)


def test_a_pixel_of_the_state_goes_to_those_below_it():
    update = Update([(2, 1), (3, 2)], 1, width=4, num_layers=1, rngs=nnx.Rngs(0))
    h = np.arange(8.0, dtype=np.float32).reshape(2, 1, 4)
    update.added[0] = nnx.Param(jnp.ones((3, 2, 4)))
    got = update(h, jnp.zeros((2, 1, 1)))
    expected = 1.0 + h[[0, 0, 1]][:, [0, 0]]
    np.testing.assert_allclose(got, expected)  # the block starts at zero


def test_the_variance_of_what_is_inserted_is_shared_by_the_layers():
    size = {}
    for layers in (1, 100):
        update = Update([(1, 1)], 64, width=256, num_layers=layers, rngs=nnx.Rngs(0))
        z = jax.random.normal(KEY, (50, 1, 1, 64))
        size[layers] = float(jnp.std(update(jnp.zeros((50, 1, 1, 256)), z)))
    assert size[1] == pytest.approx(1.0, rel=0.1)
    assert size[100] == pytest.approx(0.1, rel=0.1)


def test_what_starts_at_zero():
    options = {"activation": "gelu", "dropout": 0.0, "rngs": nnx.Rngs(0)}
    h = jax.random.normal(KEY, (2, 5, 3, 8))
    np.testing.assert_array_equal(Bottleneck(8, 2, (5, 3), **options)(h), np.zeros((2, 5, 3, 2)))
    readout = Readout((5, 3, 8), 2, rngs=nnx.Rngs(0))
    np.testing.assert_array_equal(readout(h), np.zeros((2, 5, 3, 2)))
    np.testing.assert_array_equal(FirstState((5, 3, 8), rngs=nnx.Rngs(0))(), np.zeros((5, 3, 8)))


@pytest.mark.parametrize("context", [None, 2])
def test_all_of_the_image_and_the_context_are_read(context):
    net = perturb(pyramid(context_features=context), KEY)
    c = None if context is None else jnp.ones((2, 2))
    of_x, of_c = jax.jit(jax.grad(lambda x, c: net(x, c)[0].sum(), argnums=(0, 1)))(
        X, jnp.zeros(()) if c is None else c
    )
    assert np.all(of_x != 0)
    assert c is None or np.all(of_c != 0)


def test_dropout_is_of_its_key_alone():
    net = perturb(pyramid(dropout=0.5), KEY)
    none, one, other = (net(X, key=key)[0] for key in (None, *jax.random.split(KEY)))
    assert np.any(one != none)
    assert np.any(one != other)
    np.testing.assert_array_equal(one, net(X, key=jax.random.split(KEY)[0])[0])


def test_an_unknown_activation_is_refused():
    with pytest.raises(ValueError, match="Available"):
        pyramid(activation="no such")
