"""PixelCNN: what it sees, channel by channel, against the masks of the paper."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jaxgen.conditionals import PixelCNN
from jaxgen.core import ShapeError
from jaxgen.functional.masks import wave_numbers
from jaxgen.functional.windows import causal
from jaxgen.testing import perturb, to_float64

KEY = jax.random.key(0)


def network(grid=(3, 4, 3), depth=1, **options):
    options = {"width": 6, "first_size": 3, "out_width": 4} | options
    return to_float64(perturb(PixelCNN(grid, 1, depth=depth, rngs=nnx.Rngs(0), **options), KEY))


def jacobian(net):
    """The largest derivatives over many inputs, at some of which a rectifier rests."""
    size = net.num_positions
    x = 2.0 * jax.random.normal(KEY, (40, *net.grid_shape))
    return np.abs(jax.jit(jax.vmap(jax.jacrev(net)))(x)).reshape(40, size, size).max(0)


class Scaled(PixelCNN):
    """A user's network, which is another of fixed order on other inputs."""

    def __call__(self, x, context=None, order=None, *, key=None):
        return super().__call__(2.0 * x - 1.0, context, order, key=key)


def test_it_may_be_subclassed():
    options = {"width": 4, "depth": 1, "first_size": 3, "out_width": 4, "rngs": nnx.Rngs(0)}
    net = perturb(Scaled((2, 2, 1), 1, **options), KEY)
    x = jax.random.normal(KEY, (2, 2, 1))
    expected = jax.jit(PixelCNN.__call__)(net, 2.0 * x - 1.0)
    np.testing.assert_array_equal(jax.jit(Scaled.__call__)(net, x), expected)


def test_a_context_may_be_a_list(x64):
    net = network((2, 2, 1), context_features=2)
    x, context = jnp.zeros((2, 2, 1), net.last.bias[...].dtype), [0.5, -1.0]
    listed = jax.jit(lambda net: net.prefill(x, 2, context))(net)
    array = jax.jit(lambda net: net.prefill(x, 2, jnp.array(context)))(net)
    jax.tree.map(np.testing.assert_array_equal, listed, array)


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
    got = first(causal(3, middle=True).everywhere(x))
    np.testing.assert_allclose(got, expected[0] + first.bias[...], atol=1e-12)


@pytest.mark.parametrize("size", [3, 5])
def test_the_wavefront_needs_fewer_passes(size, x64):
    net = network((3, 6, 1), first_size=size)
    depth = 6 + 2 * (size // 2 + 1)
    assert net.parallel_depth() == depth
    numbers = wave_numbers(np.arange(18), net.dependencies())
    for number, wave in enumerate(net._waves(0)):
        np.testing.assert_array_equal(wave[wave < 18], np.flatnonzero(numbers == number))


@pytest.mark.parametrize(
    ("channels", "kernel_size"), [(1, 3), pytest.param(2, 5, marks=pytest.mark.slow)]
)
def test_what_is_drawn_together_is_what_is_drawn_one_by_one(channels, kernel_size, x64):
    """From a step on, against the steps one after the other."""
    net = network((3, 7, channels), depth=2, first_size=3, kernel_size=kernel_size)
    size = net.num_positions
    noise = jax.random.normal(KEY, (size, 2))

    def emit(t, params):
        value = noise[t] + params[..., 0]
        return value, (value, t)

    x = jax.jit(lambda net: net.generate(emit, (2,), method="naive", dtype=float)[0])(net)
    sequence = net.to_sequence(x, np.arange(size))

    @functools.partial(jax.jit, static_argnums=1)
    def together(net, start):
        first = sequence[start - 1] if start else jnp.zeros(2)
        return net.run(net.prefill(x, start), emit, first, start)

    for start in (0, 1, size // 2, size - channels, size):
        drawn, times = together(net, start)
        np.testing.assert_allclose(drawn, sequence[start:], atol=1e-12)
        np.testing.assert_array_equal(times, np.arange(start, size))


def test_pixels_that_need_nothing_of_each_other_are_drawn_together(x64):
    """As many emissions, one after the other, as the order is deep."""
    net = network((3, 7, 2))
    program = jax.make_jaxpr(
        lambda net: net.generate(lambda t, params: (params[..., 0], params), ())
    )(net)
    lengths = [each.params["length"] for each in program.eqns if each.primitive.name == "scan"]
    assert lengths == [net.parallel_depth()]


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
