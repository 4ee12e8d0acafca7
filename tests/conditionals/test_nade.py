"""NADE and its kin against their equations, written out."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from jaxgen.conditionals import FVSBN, MADE, NADE, Growing
from jaxgen.testing import perturb, to_float64


def member(kind, *args, **options):
    return to_float64(perturb(kind(*args, rngs=nnx.Rngs(0), **options), jax.random.key(0)))


def sigmoid(x):
    return 1.0 / (1.0 + np.exp(-x))


def test_nade_is_its_equations(x64):
    nade = member(NADE, (5,), 2, width=3)
    x = np.random.default_rng(0).normal(size=5)
    order = np.array([3, 0, 4, 1, 2])
    got = nade(jnp.asarray(x), order=jnp.asarray(order))
    kernel, bias = np.asarray(nade.kernel[...]), np.asarray(nade.bias[...])
    for t, i in enumerate(order):
        hidden = sigmoid(bias + x[order[:t]] @ kernel[order[:t]])
        expected = nade.out_bias[...][i] + hidden @ nade.out_kernel[...][i]
        np.testing.assert_allclose(got[i], expected, rtol=1e-12)


def test_rho_scales_the_step_and_not_the_position(x64):
    nade = member(NADE, (3,), 1, width=2, rescale=True)
    order = jnp.array([2, 0, 1])
    x = jnp.asarray(np.random.default_rng(0).normal(size=3))
    hidden = sigmoid(nade.rho[...][1] * (nade.bias[...] + x[2] * nade.kernel[...][2]))
    expected = nade.out_bias[...][0] + hidden @ nade.out_kernel[...][0]
    np.testing.assert_allclose(nade(x, order=order)[0], expected, rtol=1e-12)


def test_growing_is_a_network_for_each_position(x64):
    growing = member(Growing, (4,), 2, width=3)
    x = np.random.default_rng(0).normal(size=4)
    got = growing(jnp.asarray(x))
    kernel, bias = growing.hidden.direct_kernel[...], growing.hidden.out_bias[...]
    for i in range(4):
        hidden = np.tanh(bias[i] + np.einsum("s,sh->h", x[:i], kernel[:i, i]))
        expected = growing.bias[...][i] + hidden @ growing.kernel[...][i]
        np.testing.assert_allclose(got[i], expected, rtol=1e-12)


def test_fvsbn_is_made_without_hidden_layers(x64):
    fvsbn = member(FVSBN, (4,), 1)
    made = member(MADE, (4,), 1, hidden=(), direct=True)
    x = jnp.asarray(np.random.default_rng(0).normal(size=(2, 4)))
    np.testing.assert_array_equal(fvsbn(x), made(x))
    assert isinstance(fvsbn, MADE)


def test_dropout_needs_a_key(x64):
    nade = member(NADE, (4,), 1, width=8, dropout=0.5)
    growing = member(Growing, (4,), 1, width=8, dropout=0.5)
    x = jnp.ones(4)
    for network in (nade, growing):
        one, other = (network(x, key=jax.random.key(k)) for k in (0, 1))
        assert not np.allclose(one, other)
        np.testing.assert_array_equal(network(x), network(x))
