"""The affine transform's two scales: values and gradients, also far out."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.transforms import Affine

RAW = np.array([-1e3, -40.0, -1.5, 0.0, 0.7, 40.0, 1e3])


def params(raw, shift=0.5):
    return jnp.stack([jnp.full(raw.shape, shift), jnp.asarray(raw)], axis=-1)


def test_sigmoid_scale_is_jets(x64):
    raw, x = RAW[1:-1], np.linspace(-2.0, 3.0, 5)
    z, log_derivative = Affine(None, "sigmoid").inverse(x, params(raw))
    scale = 2.0 / (1.0 + np.exp(-raw))
    np.testing.assert_allclose(z, (x - 0.5) * scale, rtol=1e-13)
    np.testing.assert_allclose(log_derivative, np.log(scale), rtol=1e-13)


@pytest.mark.parametrize(
    "transform",
    [Affine(None, "sigmoid"), Affine(3.0, "sigmoid"), Affine(3.0)],
    ids=["sigmoid", "sigmoid bounded", "exp bounded"],
)
def test_identity_at_zero_and_finite_gradients_far_out(transform, x64):
    x, log_derivative = transform.forward(jnp.arange(3.0), jnp.zeros((3, 2)))
    np.testing.assert_array_equal(x, np.arange(3.0))
    np.testing.assert_array_equal(log_derivative, np.zeros(3))

    def z_and_log_derivative(raw):
        return jnp.stack(transform.inverse(jnp.asarray(2.0), params(raw)))

    values, slopes = (
        jax.vmap(lambda raw: (z_and_log_derivative(raw),))(RAW)[0],
        jax.vmap(jax.jacfwd(z_and_log_derivative))(RAW),
    )
    assert np.all(np.isfinite(values))
    assert np.all(np.isfinite(slopes))
    numeric = (z_and_log_derivative(RAW[2:5] + 1e-6) - z_and_log_derivative(RAW[2:5] - 1e-6)) / 2e-6
    np.testing.assert_allclose(slopes[2:5], numeric.T, rtol=1e-6)


def test_the_sigmoid_never_stretches_the_density_more_than_twice(x64):
    z, log_derivative = Affine(None, "sigmoid").inverse(jnp.ones(RAW.shape), params(RAW, 0.0))
    assert np.all((z >= 0.0) & (z <= 2.0))
    np.testing.assert_allclose(log_derivative[-1], np.log(2.0), rtol=1e-13)
    # far in the other tail the scale itself underflows, its logarithm does not
    np.testing.assert_allclose(log_derivative[0], np.log(2.0) - 1e3, rtol=1e-13)


def test_a_bound_holds_for_what_enters_the_sigmoid(x64):
    _, log_derivative = Affine(1.0, "sigmoid").inverse(jnp.ones(2), params(RAW[[0, -1]]))
    np.testing.assert_allclose(
        log_derivative, np.log(2.0 / (1.0 + np.exp([1.0, -1.0]))), rtol=1e-13
    )


def test_unknown_scales_are_refused():
    with pytest.raises(ValueError, match="unknown scale 'sigmoids': did you mean 'sigmoid'"):
        Affine(scale="sigmoids")
