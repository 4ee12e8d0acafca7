"""PixelCNN: what it sees, channel by channel, against the masks of the paper."""

import jax
import numpy as np
import pytest
from flax import nnx

from jaxgen.conditionals import PixelCNN
from jaxgen.conditionals.pixelcnn import causal
from jaxgen.core import ShapeError
from jaxgen.functional.windows import windows
from jaxgen.testing import perturb, to_float64

KEY = jax.random.key(0)


def network(grid=(3, 4, 3), depth=1, **options):
    options = {"width": 6, "first_size": 3, "out_width": 4} | options
    return to_float64(perturb(PixelCNN(grid, 1, depth=depth, rngs=nnx.Rngs(0), **options), KEY))


def jacobian(net):
    """The largest derivatives over many inputs, at some of which a rectifier rests."""
    size = net.num_positions
    x = 2.0 * jax.random.normal(KEY, (40, *net.grid_shape))
    return np.abs(jax.vmap(jax.jacrev(net))(x)).reshape(40, size, size).max(0)


@pytest.mark.parametrize("depth", [1, 2])
def test_the_receptive_field_is_what_the_masks_say(depth, x64):
    net = network(depth=depth)
    np.testing.assert_array_equal(jacobian(net) > 0, net.dependencies())


def test_channels_of_a_pixel_depend_in_their_order(x64):
    table = network().dependencies().reshape(12, 3, 12, 3)
    for pixel in range(12):
        np.testing.assert_array_equal(table[pixel, :, pixel], np.tri(3, k=-1, dtype=bool))


def test_the_blind_spot_is_that_of_the_paper(x64):
    """However deep, a pixel sees nothing further right than it is above."""
    seen = network((4, 5, 1), depth=6).dependencies()
    rows, columns = np.divmod(np.arange(20), 5)
    for i in range(20):
        above = rows[i] - rows
        blind = (above >= 1) & (columns - columns[i] > above)
        assert not np.any(seen[i, blind])
        assert np.all(seen[i, (above >= 1) & (columns - columns[i] <= above)])


def test_it_is_the_masked_convolution_of_the_whole_window(x64):
    """One layer, against a convolution whose kernel holds zeros where the mask does."""
    net = network((4, 5, 2), depth=1)
    x = jax.random.normal(KEY, (4, 5, 2))
    first = net.first
    kernel = np.zeros((3, 3, 2, 12))
    kernel.reshape(9, 2, 12)[:5] = np.asarray(first.kernel[...]).reshape(5, 2, 12)
    # Group 0 sees nothing of the pixel, group 1 its first channel.
    kernel[1, 1, :, :6] = 0.0
    kernel[1, 1, 1] = 0.0
    expected = jax.lax.conv_general_dilated(
        x[None], kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    got = first(windows(x, (*causal(3), (0, 0))))
    np.testing.assert_allclose(got, expected[0] + first.bias[...], atol=1e-12)


def test_the_wavefront_needs_fewer_passes(x64):
    net = network((3, 6, 1))
    assert net.parallel_depth() == 6 + 2 * 2


@pytest.mark.parametrize(
    ("grid", "options", "error", "message"),
    [
        ((4, 4), {}, ShapeError, r"expected a grid \(height, width, channels\), got \(4, 4\)"),
        ((4, 4, 1), {"first_size": 4}, ValueError, "expected odd windows of 3 or more, got 4"),
        ((4, 4, 1), {"kernel_size": 1}, ValueError, "expected odd windows of 3 or more, got 1"),
    ],
)
def test_mistakes_are_refused(grid, options, error, message):
    with pytest.raises(error, match=message):
        PixelCNN(grid, 1, **options, rngs=nnx.Rngs(0))
