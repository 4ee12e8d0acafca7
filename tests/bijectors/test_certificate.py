"""The certificate of fixed-point sampling, and its agreement with the incremental pass."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jaxgen.bijectors import MaskedAutoregressive
from jaxgen.conditionals import MADE, CausalTransformer
from jaxgen.core import ShapeError
from jaxgen.testing import perturb, to_float64

CONDITIONALS = {
    "made": lambda: MADE((2, 4), 2, hidden=(24,), context_features=2, rngs=nnx.Rngs(0)),
    "attention": lambda: CausalTransformer(
        (2, 2), (2,), 4, width=8, depth=1, heads=2, context_features=2, rngs=nnx.Rngs(0)
    ),
}
certified = jax.jit(MaskedAutoregressive.forward_with_certificate, static_argnames=("tolerance",))


@pytest.mark.parametrize("kind", CONDITIONALS)
def test_it_vouches_for_the_incremental_pass(kind, x64):
    layer = perturb(to_float64(MaskedAutoregressive(CONDITIONALS[kind]())), jax.random.key(0), 1.0)
    z = jax.random.normal(jax.random.key(1), (2, 3, *layer.event_shape))
    context = jnp.ones((3, 2))
    x, log_det = jax.jit(MaskedAutoregressive.forward_and_log_det)(layer, z, context)
    got, got_log_det, certificate = certified(layer, z, context)
    np.testing.assert_allclose(got, x, rtol=0, atol=1e-12)
    np.testing.assert_allclose(got_log_det, log_det, rtol=0, atol=1e-12)
    # With dependencies this strong it takes all passes, after which nothing can change any more.
    assert certificate.iterations == layer.conditional.num_positions


def test_a_tolerance_stops_earlier(x64):
    layer = MaskedAutoregressive(MADE((32,), 2, hidden=(64,), rngs=nnx.Rngs(0)))
    layer = perturb(to_float64(layer), jax.random.key(0), 0.3)
    z = jax.random.normal(jax.random.key(1), (4, 32))
    exact, _, all_of_it = certified(layer, z)
    expected = jax.jit(MaskedAutoregressive.forward)(layer, z)
    np.testing.assert_allclose(exact, expected, rtol=0, atol=1e-12)
    near, _, some = certified(layer, z, tolerance=1e-3)
    assert all_of_it.residual == 0.0
    assert some.iterations < all_of_it.iterations < 32
    assert 0.0 < some.residual <= 1e-3
    assert 0.0 < np.abs(near - exact).max() < 1e-2


def test_wrong_shapes_are_refused():
    layer = MaskedAutoregressive(MADE((3,), 2, hidden=(), context_features=1, rngs=nnx.Rngs(0)))
    where = "MaskedAutoregressive.forward_with_certificate"
    with pytest.raises(ShapeError, match=rf"{where}: expected shape \(\*batch, 3\), got \(2,\)"):
        layer.forward_with_certificate(jnp.zeros(2), jnp.zeros(1))
    with pytest.raises(ShapeError, match="generate_with_certificate: this is a conditional model"):
        layer.forward_with_certificate(jnp.zeros(3))
