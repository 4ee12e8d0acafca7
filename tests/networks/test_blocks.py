"""Hyperparameters that would fail late, and the two ways to convolve."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jaxgen.conditionals import MADE
from jaxgen.networks import MLP, ConvResNet
from jaxgen.networks.blocks import conv


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"activation": "rellu"}, "unknown activation 'rellu': did you mean 'relu'"),
        ({"dropout": 2.0}, r"dropout: expected a rate in \[0, 1\), got 2.0"),
        ({"dropout": -0.1}, r"dropout: expected a rate in \[0, 1\), got -0.1"),
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
    with pytest.raises(ValueError, match=r"at least one unit, got widths \(4, 0\)"):
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
