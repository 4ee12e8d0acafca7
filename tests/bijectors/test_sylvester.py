"""Sylvester flows have the paper's map for each basis, and are inverted to rounding."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jaxgen import ShapeError
from jaxgen.bijectors import Sylvester
from jaxgen.functional.sylvester import orthonormal, sylvester_forward, sylvester_inverse
from jaxgen.testing import perturb, to_float64

Z = np.random.default_rng(0).normal(size=(20, 5))
CONTEXT = np.random.default_rng(1).normal(size=(20, 2))
LAYERS = {
    "orthogonal": functools.partial(Sylvester, (4,)),
    "orthogonal, fewer": functools.partial(Sylvester, (5,), rank=2),
    "householder": functools.partial(Sylvester, (4,), "householder"),
    "householder, few": functools.partial(Sylvester, (4,), "householder", reflections=3),
    "triangular": functools.partial(Sylvester, (4,), "triangular"),
    "triangular, reverse": functools.partial(Sylvester, (4,), "triangular", reverse=True),
}
both = jax.jit(lambda b, z, c: (b.forward_and_log_det(z, c), b.inverse_and_log_det(z, c)))
forward, inverse = jax.jit(sylvester_forward), jax.jit(sylvester_inverse)


def layer_of(name, scale=1.0, **options):
    """With random parameters of this scale."""
    layer = LAYERS[name](**options, rngs=nnx.Rngs(0))
    return perturb(to_float64(layer), jax.random.key(0), scale)


def own(part, context):
    """A parameter of one context."""
    array = np.asarray(part.array[...])
    if context is None:
        return array
    return array + (context @ np.asarray(part.layer.kernel[...])).reshape(array.shape)


def triangle(entries, size):
    matrix, entries = np.zeros((size, size)), iter(entries)
    for i in range(size):
        for j in range(i, size):
            matrix[i, j] = np.tanh(next(entries)) if i == j else next(entries)
    return matrix


def papers_basis(layer, context):
    size = layer.event_shape[0]
    if layer.basis == "triangular":
        return np.eye(size)[::-1] if layer.reverse else np.eye(size)
    vectors = own(layer.vectors, context)
    if layer.basis == "orthogonal":
        q, r = np.linalg.qr(vectors)
        return q * np.sign(np.diag(r))
    reflections = [np.eye(size) - 2 * np.outer(v, v) / (v @ v) for v in vectors]
    return functools.reduce(np.matmul, reflections)


def papers(layer, z, context=None):
    """The paper's map at one point, and the determinant of its Jacobian as a dense matrix."""
    size, rank = layer.event_shape[0], layer.rank
    q = papers_basis(layer, context)
    np.testing.assert_allclose(q.T @ q, np.eye(rank), atol=1e-12)
    outer, inner = (triangle(own(part, context), rank) for part in (layer.outer, layer.inner))
    h = inner @ q.T @ z + own(layer.shift, context)
    jacobian = np.eye(size) + q @ outer @ np.diag(1 - np.tanh(h) ** 2) @ inner @ q.T
    return z + q @ outer @ np.tanh(h), np.linalg.slogdet(jacobian)[1]


@pytest.mark.parametrize("features", [None, 2])
@pytest.mark.parametrize("name", LAYERS)
def test_it_is_the_papers_map(name, features, x64):
    layer = layer_of(name, context_features=features)
    z = Z[:, : layer.event_shape[0]]
    contexts = [None] * len(z) if features is None else CONTEXT
    x, log_det = both(layer, z, None if features is None else CONTEXT)[0]
    expected = [papers(layer, *each) for each in zip(z, contexts, strict=True)]
    np.testing.assert_allclose(x, [value for value, _ in expected], rtol=1e-10)
    np.testing.assert_allclose(log_det, [value for _, value in expected], rtol=1e-9)


@pytest.mark.parametrize("scale", [1.0, 5.0])
@pytest.mark.parametrize("name", LAYERS)
def test_log_determinants_are_those_of_the_jacobians(name, scale, x64):
    layer = layer_of(name, scale)
    value = Z[:, : layer.event_shape[0]]
    for direction, (_, log_det) in zip(
        (layer.forward, layer.inverse), both(layer, value, None), strict=True
    ):
        jacobian = jax.jit(jax.vmap(jax.jacrev(direction)))(value)
        sign, expected = np.linalg.slogdet(jacobian)
        assert np.all(sign > 0)
        np.testing.assert_allclose(log_det, expected, rtol=1e-9, atol=1e-9)


def extreme(product, dtype, size=6, rank=4):
    """Matrices for which every product of diagonal entries is about this number."""
    rng = np.random.default_rng(1)
    q = orthonormal(jnp.asarray(rng.normal(size=(size, rank)), dtype))
    upper = np.triu(rng.normal(size=(2, rank, rank)), 1) / 2
    signs = np.diag([1.0, -1.0, 1.0, -1.0])
    outer, inner = upper[0] + signs, upper[1] + product * signs
    return q, *(jnp.asarray(part, dtype) for part in (outer, inner, rng.normal(size=rank) / 10))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("product", [-1.0, -1.0 + 1e-6, -0.99, 1.0])
def test_any_diagonal_is_invertible(product, dtype, x64):
    """Also where rounding takes it to the border, and far out, where all is a shift."""
    parts = extreme(product, dtype)
    q, _, inner, shift = (np.asarray(part, np.float64) for part in parts)
    # Where every h is 0, and a diagonal of the Jacobian about 1 + product.
    flat = q @ np.linalg.solve(inner, -shift)
    x = np.random.default_rng(2).normal(size=(60, 6)) * np.geomspace(1e-3, 1e3, 60)[:, None]
    x = np.concatenate([x, flat[None], np.zeros((1, 6))]).astype(dtype)
    z, inverse_log_det = inverse(x, *parts)
    back, forward_log_det = forward(z, *parts)
    assert back.dtype == forward_log_det.dtype == dtype
    size = 1.0 + np.abs(x).max(-1, keepdims=True)
    assert np.max(np.abs(back - x) / size) < 16 * np.finfo(dtype).eps
    np.testing.assert_allclose(inverse_log_det, -forward_log_det, rtol=0.01, atol=0.01)
    slopes = jax.grad(lambda *all: jnp.sum(sylvester_inverse(*all)[1]), range(5))(x, *parts)
    assert all(np.isfinite(slope).all() for slope in slopes)


def test_far_out_the_round_trip_is_exact(x64):
    layer = layer_of("orthogonal, fewer", 3.0)
    z = Z + 1e3 * np.sign(Z)
    x, log_det = both(layer, z, None)[0]
    back, inverse_log_det = both(layer, x, None)[1]
    np.testing.assert_allclose(back, z, rtol=1e-14)
    np.testing.assert_allclose(inverse_log_det, -log_det, atol=1e-9)


def test_what_is_orthogonal_to_the_basis_stays(x64):
    layer = layer_of("orthogonal, fewer")
    q = np.asarray(layer.matrices()[0])
    rest = np.eye(5) - q @ q.T
    for moved in (layer.forward(Z), layer.inverse(Z)):
        np.testing.assert_allclose(moved @ rest, Z @ rest, atol=1e-14)
        assert np.abs(moved - Z).max() > 0.1


def test_parameters_may_lack_the_batch_or_have_one(x64):
    parts = extreme(0.5, np.float64)
    z = np.random.default_rng(2).normal(size=(2, 3, 6))
    one, log_det = forward(z, *parts)
    assert log_det.shape == (2, 3)
    tiled = [jnp.broadcast_to(part, (2, 3, *part.shape)) for part in parts]
    for function, value in ((forward, z), (inverse, one)):
        for got, expected in zip(function(value, *tiled), function(value, *parts), strict=True):
            np.testing.assert_allclose(got, expected, rtol=1e-12, atol=1e-14)


MISTAKES = {
    "basis": ({"basis": "ortogonal"}, ValueError, "unknown basis .*did you mean 'orthogonal'"),
    "rank": ({"rank": 4}, ShapeError, r"a rank of at most 3 for events \(3,\), got 4"),
    "no rank": ({"rank": 0}, ValueError, "for rank, got 0"),
    "rank of reflections": (
        {"basis": "householder", "rank": 2},
        ValueError,
        "expected rank for the basis 'orthogonal' alone, got rank=2 for 'householder'",
    ),
    "reflections": (
        {"reflections": 2},
        ValueError,
        "expected reflections for the basis 'householder' alone",
    ),
    "reverse": ({"reverse": True}, ValueError, "expected reverse for the basis 'triangular' alone"),
    "image": ({"event_shape": (2, 2, 1)}, ShapeError, r"expected a vector \(D,\), got \(2, 2, 1\)"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes(name):
    options, error, match = MISTAKES[name]
    with pytest.raises(error, match=match):
        Sylvester(**{"event_shape": (3,), "rngs": nnx.Rngs(0)} | options)


def test_contexts_that_do_not_fit():
    layer = Sylvester((3,), context_features=2, rngs=nnx.Rngs(0))
    with pytest.raises(ShapeError, match=r"expected a context of shape \(\*batch, 2\), got None"):
        layer.inverse(jnp.zeros(3))
    with pytest.raises(ShapeError, match=r"expected shape \(\*batch, 2\), got \(5, 3\)"):
        layer.forward(jnp.zeros((5, 3)), jnp.zeros((5, 3)))
