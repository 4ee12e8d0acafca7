"""The residual multilayer perceptron, entry by entry."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jaxgen.networks import ResidualMLP
from jaxgen.testing import perturb

X = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
C = np.random.default_rng(1).normal(size=(5, 2)).astype(np.float32)


def build(**options):
    network = ResidualMLP(3, 4, width=6, num_blocks=2, rngs=nnx.Rngs(0), **options)
    return perturb(network, jax.random.key(1))


def linear(layer, x):
    return x @ np.asarray(layer.kernel[...]) + np.asarray(layer.bias[...])


@pytest.mark.parametrize("features", [None, 2])
def test_against_the_formula(features):
    network = build(context_features=features)
    context = None if features is None else C
    h = linear(network.first, X if features is None else np.concatenate([X, C], -1))
    for block in network.blocks:
        change = linear(block.second, np.maximum(linear(block.first, np.maximum(h, 0)), 0))
        if features is not None:
            change = change / (1 + np.exp(-linear(block.gate, C)))
        h = h + change
    np.testing.assert_allclose(network(X, context), linear(network.last, h), rtol=2e-5, atol=2e-5)


def test_starts_at_zero():
    network = ResidualMLP(3, 4, width=6, rngs=nnx.Rngs(0))
    assert not np.any(network(X))


def test_a_context_may_serve_a_batch():
    network = build(context_features=2)
    np.testing.assert_allclose(
        network(X, C[0]), network(X, jnp.broadcast_to(C[0], C.shape)), rtol=1e-5, atol=1e-5
    )


def test_dropout_needs_a_key():
    network = build(dropout=0.5)
    first, second = (network(X, key=jax.random.key(s)) for s in (0, 1))
    assert np.any(first != second)
    np.testing.assert_array_equal(network(X), network(X))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"activation": "rely"}, "did you mean 'relu'"),
        ({"dropout": 1.0}, "a rate from 0 to less than 1"),
        ({"width": 0}, "for width, got 0"),
    ],
)
def test_refuses(options, said):
    with pytest.raises(ValueError, match=said):
        ResidualMLP(3, 4, rngs=nnx.Rngs(0), **{"width": 4, **options})
