"""Linear maps, and rearrangements."""

import distrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jaxgen.bijectors import Conv1x1, HouseholderMatrix, LUMatrix
from jaxgen.functional import linear, rearrange
from jaxgen.testing import perturb


@pytest.mark.parametrize("size", [1, 2, 5])
def test_lu_round_trip(size, x64):
    weight = jax.random.normal(jax.random.key(size), (size, size))
    parts = linear.lu_decompose(weight)
    np.testing.assert_allclose(linear.lu_compose(*parts), weight, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(parts[4].sum(), np.linalg.slogdet(weight)[1], rtol=1e-9)


@pytest.mark.parametrize("size", [1, 2, 7, 130])  # the last by a library's solver
def test_the_inverse_of_a_triangle_and_its_derivatives(size, x64):
    entries = jax.random.normal(jax.random.key(size), (3, size, size)) / size
    lower = entries + 2.0 * jnp.eye(size)  # what lies above the diagonal is not looked at

    def through(inverse):
        return jax.jit(jax.vmap(jax.value_and_grad(lambda lower: jnp.sum(inverse(lower) ** 2))))

    got = through(linear.triangular_inverse)(lower)
    expected = through(lambda lower: jnp.linalg.inv(jnp.tril(lower)))(lower)
    for one, other in zip(got, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("size", [1, 2, 5])
def test_lu_is_inverted_by_its_triangles(size, x64):
    weight = jax.random.normal(jax.random.key(size), (size, size))
    inverse = linear.lu_inverse(*linear.lu_decompose(weight))
    np.testing.assert_allclose(inverse @ weight, np.eye(size), atol=1e-12)


def test_lu_ignores_what_lies_off_the_triangles(x64):
    weight = jax.random.normal(jax.random.key(0), (4, 4))
    permutation, lower, upper, sign, log_diagonal = linear.lu_decompose(weight)
    noise = jax.random.normal(jax.random.key(1), (4, 4))
    other = linear.lu_compose(
        permutation, lower + jnp.triu(noise), upper + jnp.tril(noise), sign, log_diagonal
    )
    np.testing.assert_allclose(other, weight, rtol=1e-9, atol=1e-9)


def test_lu_convolution_is_distrax_up_to_the_permutation(x64):
    conv = perturb(Conv1x1((2, 2, 3), rngs=nnx.Rngs(0)), jax.random.key(0))
    matrix: LUMatrix = conv.matrix
    lower = jnp.tril(matrix.lower[...], -1) + jnp.eye(3)
    upper = jnp.triu(matrix.upper[...], 1) + jnp.diag(
        matrix.sign[...] * jnp.exp(matrix.log_diagonal[...])
    )
    reference = distrax.LowerUpperTriangularAffine((lower @ upper).T, jnp.zeros(3))
    x = jax.random.normal(jax.random.key(1), (5, 2, 2, 3))
    z, log_det = conv.inverse_and_log_det(x)
    # W = (L U)[permutation], so x W takes the entries of x in the opposite permutation.
    inverse = jnp.argsort(matrix.permutation[...].astype(int))
    expected = x[..., inverse] @ (lower @ upper)
    np.testing.assert_allclose(z, expected, rtol=1e-9, atol=1e-9)
    summed = np.asarray(reference.forward_log_det_jacobian(jnp.ones(3)))
    np.testing.assert_allclose(
        np.linalg.slogdet(np.asarray(reference.matrix))[1], summed, rtol=1e-9
    )
    np.testing.assert_allclose(log_det, 4 * np.linalg.slogdet(lower @ upper)[1], rtol=1e-9)


def test_householder_is_the_product_of_its_reflections(x64):
    vectors = np.random.default_rng(0).normal(size=(6, 4))
    vectors[3] = -2.0 * vectors[2]  # a repeated reflection undoes itself
    product = np.eye(4)
    for v in vectors:
        product = product @ (np.eye(4) - 2.0 * np.outer(v, v) / (v @ v))
    got = linear.householder(jnp.asarray(vectors))
    np.testing.assert_allclose(got, product, atol=1e-12)
    np.testing.assert_allclose(got @ got.T, np.eye(4), atol=1e-12)


def test_householder_is_inverted_by_its_transpose_without_a_numerical_inverse(x64):
    conv = perturb(Conv1x1((3,), HouseholderMatrix, rngs=nnx.Rngs(0)), jax.random.key(0))
    weight, log_det = conv.matrix.weight_and_log_det()
    inverse, inverse_log_det = conv.matrix.inverse_and_log_det()
    np.testing.assert_array_equal(inverse, weight.T)
    assert log_det == inverse_log_det == 0.0
    assert "lu" not in str(jax.make_jaxpr(lambda c, z: c.forward(z))(conv, jnp.ones(3)))


def test_no_reflections_are_refused():
    with pytest.raises(ValueError, match="for reflections, got 0"):
        HouseholderMatrix(3, 0, rngs=nnx.Rngs(0))


def test_squeeze_keeps_each_block_in_raster_order():
    x = jnp.arange(32.0).reshape(4, 4, 2)
    z = rearrange.squeeze(x)
    assert z.shape == (2, 2, 8)
    np.testing.assert_array_equal(z[1, 0], np.concatenate([x[2, 0], x[2, 1], x[3, 0], x[3, 1]]))
    np.testing.assert_array_equal(rearrange.unsqueeze(z), x)


def test_odd_split_gives_the_second_part_more():
    first, second = rearrange.split_channels(jnp.arange(5))
    assert (first.tolist(), second.tolist()) == ([0, 1], [2, 3, 4])
