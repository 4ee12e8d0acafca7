"""Hyperparameters that would fail late, the two ways to convolve, and weight normalisation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jaxgen.conditionals import MADE
from jaxgen.core import replace
from jaxgen.networks import MLP, ConvResNet
from jaxgen.networks.blocks import WeightNorm, conv


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"activation": "rellu"}, "unknown activation 'rellu': did you mean 'relu'"),
        ({"dropout": 2.0}, "expected a rate from 0 to less than 1 for dropout, got 2.0"),
        ({"dropout": -0.1}, "a rate from 0 to less than 1 for dropout, got -0.1"),
    ],
)
def test_networks_refuse_bad_hyperparameters_when_built(options, message):
    for build in (
        lambda: MLP(2, 2, **options, rngs=nnx.Rngs(0)),
        lambda: ConvResNet(2, 2, **options, rngs=nnx.Rngs(0)),
        lambda: MADE((2,), 1, **options, rngs=nnx.Rngs(0)),
    ):
        with pytest.raises(ValueError, match=message):
            build()


def test_layers_without_units_are_refused():
    with pytest.raises(ValueError, match=r"for hidden, got \(4, 0\)"):
        MLP(2, 2, hidden=(4, 0), rngs=nnx.Rngs(0))


@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_convolution_by_patches_is_the_native_one(size, x64):
    layer = conv(3, 4, size, rngs=nnx.Rngs(0))
    kernel = jax.random.normal(jax.random.key(0), layer.kernel.shape)
    layer.kernel = nnx.Param(kernel)
    x = jax.random.normal(jax.random.key(1), (2, 6, 5, 3))
    native = jax.lax.conv_general_dilated(
        x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    np.testing.assert_allclose(layer(x), native + layer.bias[...], atol=1e-12)
    assert layer(jnp.stack([x, x])).shape == (2, 2, 6, 5, 4)


def leaves(module):
    return [np.asarray(leaf) for leaf in jax.tree.leaves(module)]


def test_weight_norm_starts_as_the_convolution_and_keeps_a_length_of_its_own(x64):
    plain, normed = (conv(3, 4, 3, weight_norm=wn, rngs=nnx.Rngs(0)) for wn in (False, True))
    x = jax.random.normal(jax.random.key(1), (2, 6, 5, 3))
    np.testing.assert_allclose(normed(x), plain(x), rtol=1e-5, atol=1e-6)
    before = leaves(normed)
    longer = replace(normed, layer=replace(normed.layer, kernel=nnx.Param(3 * plain.kernel[...])))
    np.testing.assert_allclose(longer(x), normed(x), rtol=1e-5, atol=1e-6)
    louder = replace(normed, length=nnx.Param(2 * normed.length[...]))
    np.testing.assert_allclose(louder(x), 2 * plain(x), rtol=1e-5, atol=1e-6)
    for old, new in zip(before, leaves(normed), strict=True):
        np.testing.assert_array_equal(old, new)  # calling it changed nothing


def test_weight_norm_starts_at_zero_where_asked_and_leaves_it():
    net = ConvResNet(2, 3, width=4, weight_norm=True, rngs=nnx.Rngs(0))
    x = jax.random.normal(jax.random.key(1), (5, 4, 4, 2))

    def loss(net):
        y = net(x)
        return jnp.sum(jnp.cos(1.0 + y)), y

    @jax.jit
    def step(net):
        gradient, y = jax.grad(loss, has_aux=True)(net)
        return jax.tree.map(lambda leaf, slope: leaf - 0.1 * slope, net, gradient), gradient, y

    net, gradient, y = step(net)
    assert not np.any(y)
    assert np.abs(gradient.last.length[...]).min() > 0
    assert not np.any(gradient.last.layer.kernel[...])  # a direction of no length has no say yet
    _, gradient, _ = step(net)
    assert np.abs(gradient.last.layer.kernel[...]).min() > 0


@pytest.mark.parametrize("size", [None, 3])
def test_weight_norm_is_fitted_to_a_batch(size, x64):
    """Every feature gets mean 0 and the deviation asked for; the direction is left alone."""
    inner = nnx.Linear(3, 4, rngs=nnx.Rngs(0)) if size is None else conv(3, 4, 3, rngs=nnx.Rngs(0))
    layer = WeightNorm(jax.tree.map(lambda leaf: leaf.astype(float) + 0.2, inner))
    x = 3.0 + 2.0 * jax.random.normal(jax.random.key(1), (5, 6, 4, 3))
    fitted = layer.fitted(x, 0.1)
    y = np.asarray(fitted(x))
    np.testing.assert_allclose(y.mean((0, 1, 2)), 0.0, atol=1e-12)
    np.testing.assert_allclose(y.std((0, 1, 2)), 0.1, rtol=1e-9)
    np.testing.assert_array_equal(fitted.layer.kernel[...], layer.layer.kernel[...])
    np.testing.assert_allclose(fitted.folded()(x), y, atol=1e-12)


def test_weight_norm_keeps_the_length_of_a_feature_that_does_not_vary():
    layer = WeightNorm(nnx.Linear(2, 3, rngs=nnx.Rngs(0)))
    fitted = layer.fitted(jnp.ones((7, 2)))
    np.testing.assert_array_equal(fitted.length[...], layer.length[...])
    np.testing.assert_allclose(fitted(jnp.ones((7, 2))), 0.0, atol=1e-6)


def test_weight_norm_of_a_kernel_of_zeros_is_finite():
    net = jax.tree.map(jnp.zeros_like, conv(2, 3, 3, weight_norm=True, rngs=nnx.Rngs(0)))
    run = jax.jit(jax.value_and_grad(lambda net: jnp.sum(net(jnp.ones((1, 4, 4, 2))))))
    value, gradient = run(net)
    assert value == 0
    assert all(np.all(np.isfinite(leaf)) for leaf in leaves(gradient))
