"""Values and gradients of the elementwise maps, also where they are hardest."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import registry

from jaxgen.functional import elementwise


def value_and_slopes(function, x):
    """A map's value and log-derivative, and the derivatives of both."""
    run = jax.jit(jax.vmap(lambda x: (function(x), jax.jacfwd(function)(x))))
    (value, log_derivative), (slope, second) = run(x)
    return value, log_derivative, slope, second


@pytest.mark.parametrize("alpha", [0.05, 1e-6])
def test_logit_is_finite_and_exact_on_the_closed_interval(alpha, x64):
    x = jnp.array([0.0, 1e-12, 100.0, 256.0 - 1e-9, 256.0])
    z, log_derivative, slope, second = value_and_slopes(
        lambda x: elementwise.logit_inverse(x, 0.0, 256.0, alpha), x
    )
    for array in (z, log_derivative, slope, second):
        assert np.all(np.isfinite(array))
    np.testing.assert_allclose(np.log(slope), log_derivative, rtol=1e-9)
    np.testing.assert_allclose(z[0], np.log(alpha) - np.log1p(-alpha), rtol=1e-9)
    np.testing.assert_allclose(z[-1], -z[0], rtol=1e-9)
    back, _ = elementwise.logit_forward(z, 0.0, 256.0, alpha)
    np.testing.assert_allclose(back, x, atol=1e-8)


def test_logit_keeps_its_top_end_in_single_precision():
    z, _ = elementwise.logit_inverse(jnp.float32(256.0), 0.0, 256.0, 1e-6)
    np.testing.assert_allclose(z, np.log1p(-1e-6) - np.log(1e-6), rtol=1e-5)


@pytest.mark.parametrize("z", [-1e3, -30.0, 0.0, 30.0, 1e3])
def test_tails_of_tanh_and_logit(z):
    for forward in (
        elementwise.tanh_forward,
        lambda z: elementwise.logit_forward(z, 0.0, 1.0, 0.0),
    ):
        value, log_derivative, slope, second = value_and_slopes(forward, jnp.array([z]))
        for array in (value, log_derivative, slope, second):
            assert np.all(np.isfinite(array))
        factor = 2.0 if forward is elementwise.tanh_forward else 1.0
        if abs(z) >= 30:  # log|dx/dz| is a straight line there, though dx/dz underflows
            np.testing.assert_allclose(second, -factor * np.sign(z), rtol=1e-6)
            constant = 2 * np.log(2.0) if factor == 2.0 else 0.0
            np.testing.assert_allclose(log_derivative, constant - factor * abs(z), rtol=1e-6)


def test_soft_clamp_is_bounded_and_the_identity_near_zero():
    values = elementwise.soft_clamp(jnp.array([-1e3, 1e-4, 1e3]), 3.0)
    np.testing.assert_allclose(values, [-3.0, 1e-4, 3.0], rtol=1e-6)
    slope = jax.grad(elementwise.soft_clamp)(0.0, 3.0)
    assert slope == 1.0


@pytest.mark.parametrize("name", registry.TRANSFORMS)
def test_transform_is_a_bijection_that_starts_as_the_identity(name, x64):
    transform = registry.TRANSFORMS[name]()
    map_forward, map_inverse = jax.jit(transform.forward), jax.jit(transform.inverse)
    rng = np.random.default_rng(0)
    z = jnp.asarray(rng.normal(size=(4, 3, 2)))
    count = transform.num_params((2,))
    identity, log_derivative = map_forward(z, jnp.zeros((4, 3, count)))
    np.testing.assert_allclose(identity, z, rtol=1e-14, atol=1e-14)
    np.testing.assert_allclose(log_derivative, np.zeros(z.shape), atol=1e-14)
    params = jnp.asarray(rng.normal(size=(4, 3, count)) * 3)
    x, forward = map_forward(z, params)
    back, inverse = map_inverse(x, params)
    np.testing.assert_allclose(back, z, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(forward, -inverse, rtol=1e-9)
    slope = jax.jit(jax.grad(lambda z: transform.forward(z, params)[0].sum()))(z)
    np.testing.assert_allclose(np.log(slope), forward, rtol=1e-9, atol=1e-9)


def test_entries_of_a_position_have_their_own_parameters():
    transform = registry.TRANSFORMS["affine"]()
    params = jnp.arange(4.0)  # (shift, raw) of the first entry, then of the second
    x, _ = transform.forward(jnp.zeros(2), params)
    assert x.tolist() == [0.0, 2.0]
