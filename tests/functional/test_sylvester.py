"""The scalar map of planar and Sylvester flows, its inverse, and orthonormal columns."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.functional import sylvester

# From all but flat at 0 to steep there.
GAPS = np.array([2.3e-16, 1e-12, 1e-6, 0.01, 0.5, 1.0, 1.5, 2.0, 10.0, 1e3, 1e6])[:, None]
C = np.array([0.0, 1e-30, 1e-14, 1e-9, 1e-5, 1e-3, 0.1, 1.0, 3.0, 10.0, 50.0, 1e3, 1e6])
C = np.concatenate([-C, C])
bend, unbend = jax.jit(sylvester.bend), jax.jit(sylvester.unbend)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_inverse_is_one_to_rounding(dtype, x64):
    c, gaps = C.astype(dtype), np.maximum(GAPS, np.finfo(dtype).eps).astype(dtype)
    h = unbend(c, gaps)
    assert h.dtype == dtype
    back, log_slope = bend(h, gaps)
    error = np.abs(back - c) / (1.0 + np.abs(c))
    assert error.max() <= 4 * np.finfo(dtype).eps
    assert np.isfinite(log_slope).all()


def test_the_slope_is_the_derivative_where_differences_would_cancel(x64):
    h = np.array([-800.0, -20.0, -1.0, -1e-7, 0.0, 1e-9, 0.3, 19.0, 800.0])
    _, log_slope = bend(h, GAPS)
    # Of 1 + (gap - 1) (1 - tanh^2), without the 1 that cancels.
    expected = np.tanh(h) ** 2 + GAPS / np.cosh(np.minimum(np.abs(h), 300.0)) ** 2
    np.testing.assert_allclose(log_slope, np.log(expected), rtol=1e-12, atol=1e-15)
    slope = jax.grad(lambda h, gap: bend(h, gap)[0])
    got = np.log(jax.vmap(jax.vmap(slope, (0, None)), (None, 0))(h, GAPS[3:9, 0]))
    np.testing.assert_allclose(got, log_slope[3:9], rtol=1e-12, atol=1e-13)


def test_derivatives_of_the_inverse(x64):
    """Against finite differences, in reverse, forward, and twice."""
    step, slopes = 1e-5, jax.jit(jax.grad(sylvester.unbend, (0, 1)))
    curvature = jax.jit(jax.grad(lambda c, gap: slopes(c, gap)[0], (0, 1)))
    for c, gap in ((0.7, 0.2), (-3.0, 0.01), (1.5, 4.0)):
        expected = [
            (unbend(c + step, gap) - unbend(c - step, gap)) / (2 * step),
            (unbend(c, gap + step) - unbend(c, gap - step)) / (2 * step),
        ]
        np.testing.assert_allclose(slopes(c, gap), expected, rtol=1e-6)
        np.testing.assert_allclose(jax.jacfwd(unbend, (0, 1))(c, gap), expected, rtol=1e-6)
        expected = [
            (slopes(c + step, gap)[0] - slopes(c - step, gap)[0]) / (2 * step),
            (slopes(c, gap + step)[0] - slopes(c, gap - step)[0]) / (2 * step),
        ]
        np.testing.assert_allclose(curvature(c, gap), expected, rtol=1e-6)


def gram_schmidt(matrix):
    columns = []
    for v in matrix.T:
        for _ in range(2):  # the second time for what rounding left
            v = v - sum((v @ q) * q for q in columns)
        columns.append(v / np.linalg.norm(v))
    return np.stack(columns, axis=1)


@pytest.mark.parametrize("shape", [(1, 1), (5, 1), (5, 3), (4, 4)])
def test_columns_are_those_of_gram_and_schmidt(shape, x64):
    """With their signs, so that no column jumps to its negative as the matrix moves."""
    matrix = np.random.default_rng(0).normal(size=(2, 20, *shape))
    q = jax.jit(sylvester.orthonormal)(matrix)
    expected = np.reshape([gram_schmidt(m) for m in matrix.reshape(-1, *shape)], q.shape)
    np.testing.assert_allclose(q, expected, atol=1e-10)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_columns_are_orthonormal_to_rounding_however_oblique_they_were(dtype, x64):
    rng = np.random.default_rng(0)
    matrix = np.ones((6, 4)) + 1e-4 * rng.normal(size=(6, 4))
    q = np.asarray(sylvester.orthonormal(jnp.asarray(matrix, dtype)), np.float64)
    np.testing.assert_allclose(q.T @ q, np.eye(4), atol=8 * np.finfo(dtype).eps)
