"""Planar flows have the paper's map, are invertible whatever the parameters, and say so exactly."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jaxgen import ShapeError
from jaxgen.bijectors import Planar
from jaxgen.functional.sylvester import planar_forward, planar_inverse, sylvester_forward
from jaxgen.testing import perturb, to_float64

Z = np.random.default_rng(0).normal(size=(50, 4))
CONTEXT = np.random.default_rng(1).normal(size=(50, 2))
both = jax.jit(lambda b, z, c: (b.forward_and_log_det(z, c), b.inverse_and_log_det(z, c)))


def planar(scale=1.0, **options):
    """With random parameters of this scale."""
    layer = Planar((4,), **options, rngs=nnx.Rngs(0))
    return perturb(to_float64(layer), jax.random.key(0), scale)


def papers(planar, z, context=None):
    """Equations 10 to 12, and those of the appendix for u, at one point."""

    def own(part):
        array = np.asarray(part.array[...])
        if context is None:
            return array
        return array + (context @ np.asarray(part.layer.kernel[...])).reshape(array.shape)

    w, u, b = (own(part) for part in (planar.w, planar.u, planar.b))
    u = u + np.log(np.e - 1) * w / (w @ w)  # where the paper counts it from
    u_hat = u + (-1 + np.log1p(np.exp(w @ u)) - w @ u) * w / (w @ w)
    psi = (1 - np.tanh(w @ z + b) ** 2) * w
    return z + u_hat * np.tanh(w @ z + b), np.log(np.abs(1 + u_hat @ psi))


def test_it_is_the_papers_map(x64):
    layer = planar()
    x, log_det = both(layer, Z, None)[0]
    expected = [papers(layer, z) for z in Z]
    np.testing.assert_allclose(x, [each for each, _ in expected], rtol=1e-12)
    np.testing.assert_allclose(log_det, [each for _, each in expected], rtol=1e-10)


def test_each_context_has_a_map_of_its_own(x64):
    layer = planar(context_features=2)
    x, log_det = both(layer, Z, CONTEXT)[0]
    expected = [papers(layer, *each) for each in zip(Z, CONTEXT, strict=True)]
    np.testing.assert_allclose(x, [each for each, _ in expected], rtol=1e-12)
    np.testing.assert_allclose(log_det, [each for _, each in expected], rtol=1e-10)


@pytest.mark.parametrize("scale", [1.0, 10.0])
def test_log_determinants_are_those_of_the_jacobians(scale, x64):
    layer = planar(scale)
    for direction, (_, log_det) in zip(
        (layer.forward, layer.inverse), both(layer, Z, None), strict=True
    ):
        jacobian = jax.jit(jax.vmap(jax.jacrev(direction)))(Z)
        sign, expected = np.linalg.slogdet(jacobian)
        assert np.all(sign > 0)
        np.testing.assert_allclose(log_det, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("along", [-1e3, -20.0, 1.0, 1e3])
def test_any_parameters_are_invertible(along, dtype, x64):
    """Also where the free u points against w, so that next to a plane all is pressed together."""
    w = np.array([1.0, -2.0, 0.5, 0.0])
    u = along * w / (w @ w) + np.array([2.0, 1.0, 0.0, -1.0])
    params = [jnp.asarray(part, dtype) for part in (w, u, 0.1)]
    x = Z * np.geomspace(1e-3, 1e3, len(Z))[:, None]
    x = np.concatenate([x, [[-0.1, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 5.0]]]).astype(dtype)
    z, inverse = jax.jit(planar_inverse)(x, *params)
    back, forward = jax.jit(planar_forward)(z, *params)
    assert back.dtype == forward.dtype == dtype
    # A rounding of what is added, as steep as the map is.
    size = (1.0 + np.abs(x).max(-1, keepdims=True) + np.abs(u).max()) * max(1.0, along)
    assert np.max(np.abs(back - x) / size) < 8 * np.finfo(dtype).eps
    # z is known to a rounding over the least slope, the log-determinant no better.
    np.testing.assert_allclose(inverse, -forward, rtol=0.01, atol=1e-4)
    slopes = jax.grad(lambda *all: jnp.sum(planar_inverse(*all)[1]), range(4))(x, *params)
    assert all(np.isfinite(slope).all() for slope in slopes)


def test_it_is_a_sylvester_flow_of_one_column(x64):
    q = np.array([[0.6], [0.0], [-0.8], [0.0]])
    outer, inner, shift = np.array([[0.8]]), np.array([[-0.9]]), np.array([0.3])
    w, gap = q[:, 0] * inner[0], 1.0 + outer[0, 0] * inner[0, 0]
    # The u whose constrained one is Q R: m(w.u) = gap - 1.
    along = np.log(np.expm1(gap)) - np.log(np.e - 1)
    got = planar_forward(Z, w, along * w / (w @ w), shift[0])
    for ours, expected in zip(got, sylvester_forward(Z, q, outer, inner, shift), strict=True):
        np.testing.assert_allclose(ours, expected, rtol=1e-12, atol=1e-15)


def test_mistakes():
    with pytest.raises(ShapeError, match=r"Planar: expected a vector \(D,\), got \(2, 2, 1\)"):
        Planar((2, 2, 1), rngs=nnx.Rngs(0))
    layer = Planar((3,), context_features=2, rngs=nnx.Rngs(0))
    with pytest.raises(ShapeError, match=r"expected a context of shape \(\*batch, 2\), got None"):
        layer.forward(jnp.zeros(3))
    with pytest.raises(ShapeError, match=r"expected shape \(\*batch, 2\), got \(3,\)"):
        layer.inverse(jnp.zeros(3), jnp.zeros(3))
