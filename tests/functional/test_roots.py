"""Newton's method inside a bracket, where Newton's alone would fail."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.functional.roots import increasing_root


def arctangent(x):
    return jnp.arctan(x), -jnp.log1p(x**2)


def cube(x):
    return x**3, jnp.log(3.0 * x**2)


@jax.jit
def root_of_arctangent(y):
    low, high = jnp.full_like(y, -1e4), jnp.full_like(y, 1e3)
    return increasing_root(arctangent, y, low, high, high, residual=4.0)


def test_bisection_helps_where_a_step_leaves_the_bracket(x64):
    """From 1e3 the steps for an arctangent go further out each time."""
    expected = np.array([-1e3, -5.0, -1e-3, 0.0, 0.1, 3.0, 500.0])
    got = root_of_arctangent(jnp.arctan(expected))
    # A rounding of the value, over the slope.
    np.testing.assert_allclose(got, expected, atol=1e-15, rtol=1e-9)


def test_no_entry_depends_on_its_neighbours(x64):
    y = jnp.arctan(jnp.array([-1e3, 0.1, 500.0]))
    together = root_of_arctangent(y)
    alone = jnp.concatenate([root_of_arctangent(y[i : i + 1]) for i in range(3)])
    np.testing.assert_array_equal(together, alone)
    np.testing.assert_array_equal(jax.vmap(root_of_arctangent)(y), together)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
def test_where_the_slope_is_zero_it_is_a_bisection(dtype, x64):
    one = jnp.ones(1, dtype)
    root = increasing_root(cube, 0 * one, -one, 1.5 * one, 0 * one, residual=4.0)
    assert root.dtype == dtype
    assert abs(float(root[0])) ** 3 <= 4.0 * jnp.finfo(dtype).eps
