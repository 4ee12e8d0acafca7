"""Softplus and the logarithm of the logistic function, beside those of JAX, which are slower."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.functional.logistic import log_sigmoid, softplus

PAIRS = [
    pytest.param(softplus, jax.nn.softplus, id="softplus"),
    pytest.param(log_sigmoid, jax.nn.log_sigmoid, id="log_sigmoid"),
]
X = np.concatenate([np.linspace(-50.0, 50.0, 201), [-800.0, -1e-300, 0.0, 1e-300, 800.0]])


@pytest.mark.parametrize(("ours", "other"), PAIRS)
def test_values_and_derivatives_are_those_of_jax(ours, other, x64):
    x = jnp.asarray(X)
    for derivatives in range(4):
        np.testing.assert_allclose(
            jax.vmap(ours)(x), jax.vmap(other)(x), rtol=1e-12, atol=1e-14, err_msg=str(derivatives)
        )
        ours, other = jax.grad(ours), jax.grad(other)


@pytest.mark.parametrize(("ours", "other"), PAIRS)
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_single_precision_is_kept_in_both_tails(ours, other, dtype):
    x = jnp.asarray(X, dtype)
    value = ours(x)
    assert value.dtype == dtype
    np.testing.assert_allclose(
        np.asarray(value, np.float64),
        np.asarray(other(x.astype(jnp.float32)), np.float64),
        rtol=4 * float(jnp.finfo(dtype).eps),
        atol=1e-37,
    )


@pytest.mark.parametrize(("ours", "other"), PAIRS)
def test_infinite_and_missing_numbers(ours, other):
    x = jnp.array([-jnp.inf, jnp.inf, jnp.nan])
    np.testing.assert_array_equal(ours(x), other(x))
    np.testing.assert_array_equal(jax.vmap(jax.grad(ours))(x), jax.vmap(jax.grad(other))(x))


@pytest.mark.parametrize("ours", [softplus, log_sigmoid])
def test_a_gradient_goes_both_ways(ours):
    x = jnp.linspace(-3.0, 3.0, 7)
    np.testing.assert_allclose(jax.jacfwd(ours)(x), jax.jacrev(ours)(x), rtol=1e-6, atol=1e-7)
