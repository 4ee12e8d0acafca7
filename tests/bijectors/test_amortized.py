"""What planar and Sylvester flows share: how they start, and that they are posteriors."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jaxgen.bijectors import Chain, Planar, Scan, Sylvester
from jaxgen.bijectors.amortized import Amortized
from jaxgen.core import compute_in
from jaxgen.likelihoods import Normal
from jaxgen.models import Factorized, Flow
from jaxgen.testing import perturb, to_float64

KEY = jax.random.key(0)
D, FEATURES = 4, 8


def triangular(**options):
    first = Sylvester((D,), "triangular", **options)
    return Chain([first, Sylvester((D,), "triangular", reverse=True, **options)])


LAYERS = {
    "planar": lambda **options: Planar((D,), **options),
    "orthogonal": lambda **options: Sylvester((D,), rank=2, **options),
    "householder": lambda **options: Sylvester((D,), "householder", reflections=3, **options),
    "triangular": triangular,
}


def posterior(name, steps=4):
    rngs = nnx.Rngs(0)
    layer = LAYERS[name]
    flow = Scan(lambda rngs: layer(context_features=FEATURES, rngs=rngs), steps, rngs=rngs)
    encoder = nnx.Linear(FEATURES, 2 * D, rngs=rngs)
    return Flow(flow, base=Factorized(encoder, Normal(), (D,), context_shape=(FEATURES,)))


@pytest.mark.parametrize("features", [None, FEATURES])
@pytest.mark.parametrize("name", LAYERS)
def test_it_starts_near_the_identity_with_gradients_everywhere(name, features):
    layer = LAYERS[name](context_features=features, rngs=nnx.Rngs(0))
    rng = np.random.default_rng(0)
    z = jnp.asarray(rng.normal(size=(50, D)), jnp.float32)
    context = None if features is None else jnp.asarray(rng.normal(size=(50, features)))

    def loss(layer):
        x, log_det = layer.forward_and_log_det(z, context)
        return jnp.sum(jnp.sin(x)) + jnp.sum(log_det), (x, log_det)

    gradients, (x, log_det) = jax.jit(jax.grad(loss, has_aux=True))(layer)
    assert 0 < np.abs(x - z).max() < 0.1
    assert np.abs(log_det).max() < 0.1
    assert all(np.all(leaf != 0) for leaf in jax.tree.leaves(gradients))


@pytest.mark.parametrize("name", LAYERS)
def test_derivatives_of_the_inverse_in_the_parameters(name, x64):
    """Those of inverse(forward(z)), which is z whatever the parameters and the context, are 0."""
    layer = perturb(to_float64(LAYERS[name](context_features=2, rngs=nnx.Rngs(0))), KEY)
    rng = np.random.default_rng(0)
    z, context = jnp.asarray(rng.normal(size=(3, D))), jnp.asarray(rng.normal(size=(3, 2)))

    def round_trip(layer, context):
        x, forward = layer.forward_and_log_det(z, context)
        back, inverse = layer.inverse_and_log_det(x, context)
        return jnp.sum(jnp.sin(back)) + jnp.sum(forward + inverse)

    gradients = jax.jit(jax.grad(round_trip, (0, 1)))(layer, context)
    for leaf in jax.tree.leaves(gradients):
        np.testing.assert_allclose(leaf, 0.0, atol=1e-11)


@pytest.mark.parametrize("name", LAYERS)
def test_outside_of_jit_nothing_is_compiled_twice(name, compilations):
    layer = LAYERS[name](context_features=2, rngs=nnx.Rngs(0))
    x, other, context = jnp.ones((3, D)), jnp.zeros((3, D)), jnp.ones((3, 2))
    for method in (layer.forward_and_log_det, layer.inverse_and_log_det):
        method(x, context)
        compilations.clear()
        method(other, context)
        assert compilations == []


@pytest.mark.parametrize("name", LAYERS)
def test_a_posterior_samples_and_scores_with_gradients_to_all_parameters(name):
    model = posterior(name)
    context = jax.random.normal(KEY, (5, FEATURES))

    @jax.jit
    def free_energy(model):
        x, log_prob = model.sample_and_log_prob(KEY, 3, context)
        energy = jnp.sum((x - 1.0) ** 2, -1) / 2 + jnp.sum(jnp.cos(3.0 * x), -1)
        return jnp.mean(log_prob + energy), (x, log_prob)

    gradients, (x, log_prob) = jax.jit(jax.grad(free_energy, has_aux=True))(model)
    assert x.shape == (3, 5, D)
    assert log_prob.shape == (3, 5)
    for kind, leaves in (("bijector", gradients.bijector), ("base", gradients.base)):
        params = jax.tree.leaves(nnx.state(leaves, nnx.Param))
        assert params
        assert all(np.isfinite(leaf).all() and np.any(leaf != 0) for leaf in params), kind


@pytest.mark.parametrize("name", LAYERS)
def test_a_posterior_scores_its_samples_as_it_drew_them(name, x64):
    model = perturb(to_float64(posterior(name)), KEY)
    context = jax.random.normal(KEY, (5, FEATURES))
    x, log_prob = jax.jit(lambda m, c: m.sample_and_log_prob(KEY, 3, c))(model, context)
    scored = jax.jit(Flow.log_prob)(model, x, jnp.broadcast_to(context, (3, 5, FEATURES)))
    np.testing.assert_allclose(scored, log_prob, rtol=1e-9, atol=1e-9)
    # Each example has a flow of its own.
    others = jax.jit(Flow.log_prob)(model, x, jnp.broadcast_to(context[::-1], (3, 5, FEATURES)))
    assert np.abs(others - log_prob)[:, [0, 1, 3, 4]].min() > 1e-3


def test_the_layer_may_compute_in_half_precision():
    array = perturb(Amortized(jnp.ones((2, 3)), FEATURES, rngs=nnx.Rngs(0)), KEY)
    context = jnp.linspace(-1.0, 1.0, FEATURES)
    exact, half = array(context), compute_in(array, jnp.bfloat16)(context)
    assert half.dtype == jnp.float32
    np.testing.assert_allclose(half, exact, atol=0.02)
    assert np.any(half != exact)
