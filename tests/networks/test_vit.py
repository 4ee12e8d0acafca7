"""The vision transformer: who sees whom, places, contexts."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from jaxgen.networks import VisionTransformer
from jaxgen.testing import perturb, to_float64


def vit(grid_shape, **options):
    return VisionTransformer(
        2,
        3,
        grid_shape=grid_shape,
        width=8,
        depth=1,
        heads=2,
        mlp_ratio=2,
        rngs=nnx.Rngs(0),
        **options,
    )


def test_it_starts_at_zero():
    assert np.all(vit((2, 2))(jnp.ones((3, 2, 2, 2))) == 0)


def test_every_output_sees_every_token(x64):
    network = perturb(to_float64(vit((4,))), jax.random.key(0))
    x = jax.random.normal(jax.random.key(1), (4, 2))
    assert np.all(jax.jit(jax.jacrev(network))(x) != 0)


def test_places_tell_tokens_apart_and_a_grid_is_its_sequence(x64):
    sequence = perturb(to_float64(vit((4,))), jax.random.key(0))
    grid = perturb(to_float64(vit((2, 2))), jax.random.key(0))
    x = jax.random.normal(jax.random.key(1), (3, 4, 2))
    run = jax.jit(lambda network, x: network(x))
    out = run(sequence, x)
    np.testing.assert_allclose(
        run(grid, x.reshape(3, 2, 2, 2)), out.reshape(3, 2, 2, 3), rtol=1e-12
    )
    assert np.abs(run(sequence, x[:, ::-1]) - out[:, ::-1]).max() > 1e-3


def test_contexts_reach_every_token(x64):
    network = perturb(to_float64(vit((4,), context_features=2)), jax.random.key(0))
    x = jax.random.normal(jax.random.key(1), (3, 4, 2))
    context = jax.random.normal(jax.random.key(2), (3, 2))
    assert network.context_shape == (2,)
    run = jax.jit(lambda network, x, context: network(x, context))
    out = run(network, x, context)
    assert np.all(np.abs(out - run(network, x, context + 1.0)).max(axis=-1) > 0)
    np.testing.assert_allclose(run(network, x[1], context[1]), out[1], rtol=1e-12)


def test_dropout_follows_its_key():
    network = perturb(vit((4,), dropout=0.5), jax.random.key(0))
    run = jax.jit(lambda network, key: network(jnp.ones((4, 2)), key=key))
    assert np.any(run(network, jax.random.key(0)) != run(network, None))
