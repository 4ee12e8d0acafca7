"""Networks of vectors as networks of what a context is, entry by entry."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jaxgen.networks import MLP, ConvResNet, Flatten, Joint
from jaxgen.testing import perturb

KEY = jax.random.key(0)
IMAGE = np.random.default_rng(0).normal(size=(5, 2, 4, 3)).astype(np.float32)
C = np.random.default_rng(1).normal(size=(5, 2)).astype(np.float32)


def mlp(size, out=3, **options):
    return MLP(size, out, hidden=(6,), activation="tanh", rngs=nnx.Rngs(0), **options)


def conv(channels, **options):
    return ConvResNet(channels, 2, width=4, num_blocks=1, rngs=nnx.Rngs(0), **options)


def noisy(network):
    return perturb(network, KEY)


def test_entries_are_put_in_a_row():
    network = noisy(Flatten((2, 4, 3), mlp(24)))
    expected = network.network(IMAGE.reshape(5, 24))
    np.testing.assert_array_equal(network(IMAGE), expected)
    assert network.input_shape == (2, 4, 3)


@pytest.mark.parametrize("batch", [(), (0,), (2, 5)])
def test_any_batch(batch):
    image = np.zeros((*batch, 2, 4, 3), np.float32)
    vector = np.zeros((*batch, 26), np.float32)
    assert Flatten((2, 4, 3), mlp(24))(image).shape == (*batch, 3)
    network = conv(3, context_features=2)
    assert Joint((2, 4, 3), 2, network)(vector).shape == (*batch, 2, 4, 2)


def test_the_two_are_taken_apart_where_they_were_joined():
    seen = []

    def network(first, context, *, key=None):
        seen.append((first, context))
        return first

    joint = Joint((2, 4, 3), 2, network)
    assert joint.input_shape == (26,)
    joint(jnp.concatenate([IMAGE.reshape(5, 24), C], axis=-1))
    np.testing.assert_array_equal(seen[0][0], IMAGE)
    np.testing.assert_array_equal(seen[0][1], C)


NETWORKS = {
    "flatten": lambda **o: (Flatten((2, 4, 3), mlp(24, **o)), (IMAGE,)),
    "joint": lambda **o: (
        Joint((2, 4, 3), 2, conv(3, context_features=2, **o)),
        (np.concatenate([IMAGE.reshape(5, 24), C], axis=-1),),
    ),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_gradients_reach_every_parameter_and_input(name):
    network, inputs = NETWORKS[name]()
    loss = lambda network, *inputs: jnp.sum(jnp.sin(network(*inputs)))  # noqa: E731
    places = tuple(range(1 + len(inputs)))
    grads, *slopes = jax.jit(jax.grad(loss, places))(noisy(network), *inputs)
    for path, each in nnx.to_flat_state(nnx.state(grads, nnx.Param)):
        assert np.any(each[...]), path
    assert all(np.all(slope) for slope in slopes)


@pytest.mark.parametrize("name", NETWORKS)
def test_dropout_needs_a_key(name):
    network, inputs = NETWORKS[name](dropout=0.5)
    network = noisy(network)
    call = jax.jit(lambda key: network(*inputs, key=key))
    first, second = (call(jax.random.key(seed)) for seed in (0, 1))
    assert np.any(first != second)
    np.testing.assert_array_equal(call(None), call(None))
    np.testing.assert_array_equal(first, call(jax.random.key(0)))


@pytest.mark.parametrize(
    ("make", "error", "said"),
    [
        (lambda: Flatten(12, mlp(12)), TypeError, "Flatten: .*input_shape, got 12"),
        (lambda: Flatten((0, 2), mlp(12)), ValueError, "Flatten: .*input_shape, got"),
        (lambda: Flatten((2, 3), None), TypeError, "Flatten: expected a function for network"),
        (lambda: Joint((2, 3), 0, mlp(6)), ValueError, "Joint: .*for features, got 0"),
        (lambda: Joint((2, 3), 1.5, mlp(6)), TypeError, "Joint: .*for features, got 1.5"),
    ],
)
def test_refuses(make, error, said):
    with pytest.raises(error, match=said):
        make()
