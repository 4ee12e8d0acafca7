"""Our couplings, masked autoregressive flow and LU map beside those of distrax and TFP.

The same functions are given to both libraries; what is compared is everything around them.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jaxgen.bijectors import Conv1x1, Coupling, MaskedAutoregressive
from jaxgen.conditionals import MADE
from jaxgen.core import Buffer, replace
from jaxgen.functional import elementwise, linear
from jaxgen.networks import MLP
from jaxgen.testing import cast, perturb

SIZE, HALF = 5, 2
TOLERANCES = {"float32": 1e-6, "float64": 1e-12}


@pytest.fixture(params=[pytest.param("float32", marks=pytest.mark.slow), "float64"])
def tolerance(request):
    with jax.enable_x64(request.param == "float64"):
        yield TOLERANCES[request.param]


def prepared(module):
    """Off its start at the identity, and in the default dtype."""
    return cast(perturb(module, jax.random.key(0), 0.3), jnp.result_type(float))


def data():
    return jnp.asarray(np.random.default_rng(1).normal(size=(50, SIZE)), jnp.result_type(float))


def compare(ours, forward, inverse, tolerance):
    """Both directions of ours against functions that give (value, log-determinant)."""
    x = data()
    for ours_map, theirs_map, name in (
        (ours.forward_and_log_det, forward, "forward"),
        (ours.inverse_and_log_det, inverse, "inverse"),
    ):
        value, log_det = ours_map(x)
        expected, expected_log_det = theirs_map(x + 0)
        assert value.dtype == expected.dtype
        np.testing.assert_allclose(value, expected, atol=tolerance, rtol=tolerance, err_msg=name)
        np.testing.assert_allclose(
            log_det, expected_log_det, atol=tolerance * SIZE, rtol=tolerance, err_msg=name
        )


def coupling():
    make = lambda n, m: MLP(n, m, hidden=(8,), activation="tanh", rngs=nnx.Rngs(0))  # noqa: E731
    return prepared(Coupling((SIZE,), make))


def shift_and_log_scale(ours, kept):
    params = ours.network(kept).reshape(*kept.shape[:-1], SIZE - HALF, 2)
    return params[..., 0], elementwise.soft_clamp(params[..., 1], ours.transform.bound)


def test_coupling_beside_distrax(tolerance):
    distrax = pytest.importorskip("distrax")
    ours = coupling()

    def conditioner(masked):
        shift, log_scale = shift_and_log_scale(ours, masked[..., :HALF])
        padding = [(0, 0)] * (masked.ndim - 1) + [(HALF, 0)]
        return jnp.pad(shift, padding), jnp.pad(log_scale, padding)

    theirs = distrax.MaskedCoupling(
        jnp.arange(SIZE) < HALF,
        conditioner,
        lambda params: distrax.ScalarAffine(params[0], log_scale=params[1]),
    )
    compare(ours, theirs.forward_and_log_det, theirs.inverse_and_log_det, tolerance)


def test_coupling_beside_tfp(tolerance):
    tfp = pytest.importorskip("tensorflow_probability").substrates.jax
    ours = coupling()

    def theirs():  # a new one for each call: TFP would remember what it mapped
        return tfp.bijectors.RealNVP(
            num_masked=HALF,
            shift_and_log_scale_fn=lambda kept, _: shift_and_log_scale(ours, kept),
        )

    compare(ours, *tfp_maps(theirs), tolerance)


def test_maf_beside_tfp(tolerance):
    tfp = pytest.importorskip("tensorflow_probability").substrates.jax
    made = MADE((SIZE,), 2, hidden=(12,), activation="tanh", rngs=nnx.Rngs(0))
    ours = prepared(MaskedAutoregressive(made))

    def network(x):
        params = ours.conditional(x)
        return params[..., 0], elementwise.soft_clamp(params[..., 1], ours.transform.bound)

    def theirs():
        return tfp.bijectors.MaskedAutoregressiveFlow(network)

    compare(ours, *tfp_maps(theirs), tolerance)


def tfp_maps(make):
    return (
        lambda x: (make().forward(x), make().forward_log_det_jacobian(x)),
        lambda y: (make().inverse(y), make().inverse_log_det_jacobian(y)),
    )


def test_lu_beside_distrax(tolerance):
    distrax = pytest.importorskip("distrax")
    dtype = jnp.result_type(float)
    # Diagonally dominant, so that solving loses no digits.
    entries = np.random.default_rng(2).normal(size=(SIZE, SIZE)) * 0.2 + 2 * np.eye(SIZE)
    theirs = distrax.LowerUpperTriangularAffine(jnp.asarray(entries, dtype), jnp.zeros(SIZE, dtype))
    conv = prepared(Conv1x1((SIZE,), rngs=nnx.Rngs(0)))
    # Their z = A x is our z = x W with W = A^T, which is taken apart anew.
    parts = linear.lu_decompose(theirs.matrix.T)
    permutation, lower, upper, sign, log_diagonal = parts
    matrix = conv.matrix
    for name, value in (("lower", lower), ("upper", upper), ("log_diagonal", log_diagonal)):
        matrix = replace(matrix, **{name: nnx.Param(value)})
    for name, value in (("permutation", permutation.astype(dtype)), ("sign", sign)):
        matrix = replace(matrix, **{name: Buffer(value)})
    ours = replace(conv, matrix=matrix)
    compare(ours, theirs.inverse_and_log_det, theirs.forward_and_log_det, tolerance)
