"""The network of Flow++: its equations by hand, what it sees, and contexts that are images."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jaxgen.core import ShapeError
from jaxgen.networks import ConvResNet, GatedResNet

KEY = jax.random.key(0)


def gated(num_blocks=1, **options):
    options = {"grid_shape": (1, 12), "width": 4, "heads": 2, **options}
    return GatedResNet(2, 3, num_blocks=num_blocks, **options, rngs=nnx.Rngs(0))


def perturb(net):
    """Noise of numpy's on every parameter: there is nothing to compile."""
    rng = np.random.default_rng(0)

    def noisy(leaf):
        inputs = max(int(np.prod(leaf.shape[:-1])), 1)
        noise = 0.3 * rng.normal(size=leaf.shape) / np.sqrt(inputs)
        return jnp.asarray(np.asarray(leaf) + noise, jnp.result_type(float))

    return jax.tree.map(noisy, net)


def run(net, *arguments, **options):
    return jax.jit(lambda net: net(*arguments, **options))(net)


def concat_elu(x):
    return np.concatenate([np.where(x > 0, x, np.expm1(x)), np.where(x < 0, -x, np.expm1(-x))], -1)


def gate(x):
    value, gate = np.split(x, 2, axis=-1)
    return value / (1.0 + np.exp(-gate))


def norm(x, layer):
    x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-6)
    return x * layer.scale[...] + layer.bias[...]


def centre(layer, x):
    """A 3 x 3 convolution of an image of one pixel: the kernel's centre."""
    return x @ np.asarray(layer.kernel[...])[1, 1] + layer.bias[...]


def affine(layer, x):
    return x @ np.asarray(layer.kernel[...]) + layer.bias[...]


def test_one_pixel_by_hand(x64):
    """A single pixel attends to itself alone, so what it finds is its own value."""
    net = perturb(gated(2, grid_shape=(1, 1), context_features=3))
    x, context = np.random.default_rng(0).normal(size=(2, 3))[:, :2], np.array([0.3, -1.0, 2.0])
    h = centre(net.first, x)
    for index in range(2):
        block = jax.tree.map(lambda leaf, i=index: leaf[i], net.blocks)
        inner = centre(block.conv, concat_elu(h)) + affine(block.project, concat_elu(context))
        h = norm(h + gate(affine(block.gate, concat_elu(inner))), block.norm)
        value = affine(block.qkv, h + np.asarray(net.positions[...])[0, 0])[..., 8:]
        h = norm(h + gate(affine(block.out, value)), block.norm_attention)
    expected = centre(net.last, concat_elu(h))
    got = run(net, x[:, None, None, :], context)
    np.testing.assert_allclose(got[:, 0, 0], expected, rtol=1e-9)


def dependency(net):
    """Whether each of the 12 pixels' outputs depends on each pixel's inputs, (out, in)."""
    x = np.random.default_rng(0).normal(size=(1, 12, 2))
    jacobian = jax.jit(jax.jacrev(lambda x: net(x)))(x)
    return np.abs(jacobian).sum((0, 2, 3, 5)) > 0


def test_attention_sees_every_pixel_and_convolutions_their_window(x64):
    assert np.all(dependency(perturb(gated())))
    near = dependency(perturb(gated(attention=False)))
    distance = np.abs(np.subtract.outer(np.arange(12), np.arange(12)))
    np.testing.assert_array_equal(near, distance <= 3)  # three convolutions of 3 x 3


def test_learned_positions_tell_pixels_apart(x64):
    x = jnp.ones((1, 12, 2))
    with_positions = run(perturb(gated()), x)[0, 3:-3]
    without = run(perturb(gated(attention=False)), x)[0, 3:-3]
    assert np.ptp(with_positions, axis=0).min() > 1e-6
    np.testing.assert_allclose(np.ptp(without, axis=0), 0.0, atol=1e-12)


@pytest.mark.parametrize("attention", [True, False])
def test_it_starts_at_zero_and_learns(attention):
    x = jax.random.normal(KEY, (5, 1, 12, 2))

    def loss(net):
        y = net(x)
        return jnp.sum(jnp.cos(1.0 + y)), y

    gradient, y = jax.jit(jax.grad(loss, has_aux=True))(gated(attention=attention))
    assert not np.any(y)
    assert np.abs(gradient.last.kernel[...])[1].min() > 0  # the images are one row high


def test_dropout_needs_a_key():
    net = perturb(gated(dropout=0.5))
    x = jnp.ones((1, 12, 2))
    noisy = jax.jit(lambda net, key: net(x, key=key))
    first, again, other = (noisy(net, jax.random.key(seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 1e-3
    np.testing.assert_array_equal(run(net, x), run(perturb(gated()), x))


@pytest.mark.parametrize(
    "make",
    [
        lambda **options: gated(2, grid_shape=(2, 3), **options),
        lambda **options: ConvResNet(2, 3, width=4, **options, rngs=nnx.Rngs(0)),
    ],
    ids=["gated", "conv"],
)
def test_a_context_is_a_vector_or_an_image(make, x64):
    """A constant image is the vector; any other one is seen where it is."""
    vector = perturb(make(context_features=2))
    image = perturb(make(context_features=2, context_grid=(2, 3)))
    assert (vector.context_shape, image.context_shape) == ((2,), (2, 3, 2))
    rng = np.random.default_rng(0)
    x, context = rng.normal(size=(4, 2, 3, 2)), rng.normal(size=(4, 2))
    constant = np.broadcast_to(context[:, None, None, :], (4, 2, 3, 2))
    expected = run(vector, x, context)
    np.testing.assert_allclose(run(image, x, constant), expected, rtol=1e-12)
    changed = constant.copy()
    changed[:, 1, 2] += 1.0
    assert np.abs(run(image, x, changed) - expected).max() > 1e-3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"heads": 3}, "heads that divide the width 4, got 3"),
        ({"grid_shape": None}, "pass grid_shape, or attention=False"),
        ({"num_blocks": 0}, "at least one block, got 0"),
        ({"dropout": 1.0}, "a rate from 0 to less than 1 for dropout, got 1.0"),
        ({"context_grid": (1, 12)}, r"context_grid \(1, 12\) without features"),
    ],
)
def test_bad_hyperparameters_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        gated(**options)


def test_images_of_another_size_are_refused():
    with pytest.raises(ShapeError, match=r"images of \(1, 12\) pixels, got \(1, 1\)"):
        gated()(jnp.ones((1, 1, 2)))
