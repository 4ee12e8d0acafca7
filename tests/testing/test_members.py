"""What a check is given is refused at once, by name, where it is not what it is taken for."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jaxgen.bijectors import ActNorm, MaskedAutoregressive
from jaxgen.conditionals import MADE
from jaxgen.core import ShapeError
from jaxgen.models import Flow
from jaxgen.testing import (
    check_attributes,
    check_bijector,
    check_conditional,
    check_model,
    perturb,
    precision_report,
)

X = jnp.array([[0.5, -1.0, 0.3], [1.2, 0.4, -0.8]])
CONTEXT = jnp.array([[1.0, 0.2], [-0.3, 0.5]])


def made(num_params=2, **options):
    return MADE((3,), num_params, hidden=(4,), rngs=nnx.Rngs(0), **options)


CHECKS = [
    pytest.param(check_bijector, MaskedAutoregressive, id="bijector"),
    pytest.param(check_conditional, lambda network: network, id="conditional"),
    pytest.param(check_model, lambda network: Flow(MaskedAutoregressive(network)), id="model"),
]


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (lambda: check_bijector(ActNorm, X), "check_bijector: expected a Bijector for bijector"),
        (lambda: check_conditional(MADE, X), "check_conditional: expected a Conditional"),
        (lambda: check_model(Flow, X), "check_model: expected a Model for model"),
        (lambda: precision_report(Flow, X), "precision_report: expected a Model for model"),
        (lambda: check_attributes(Flow), "check_attributes: expected a Pytree for module"),
        (lambda: perturb(Flow, jax.random.key(0)), "perturb: expected a Pytree for module"),
    ],
    ids=["bijector", "conditional", "model", "precision", "attributes", "perturb"],
)
def test_class_in_place_of_an_instance_is_refused(call, expected):
    with pytest.raises(TypeError, match=f"{expected}.*, got the class .*, no instance of it"):
        call()


@pytest.mark.parametrize(("check", "part"), CHECKS)
def test_data_that_are_not_finite_are_refused(check, part):
    with pytest.raises(ValueError, match="the data to check at: expected finite numbers"):
        check(part(made()), X * jnp.nan)


@pytest.mark.parametrize(("check", "part"), CHECKS)
def test_context_that_is_not_declared_is_refused(check, part):
    with pytest.raises(ShapeError, match="expected None for context, as its context_shape is None"):
        check(part(made()), X, CONTEXT)


@pytest.mark.parametrize(("check", "part"), CHECKS)
@pytest.mark.parametrize(
    ("context", "expected"),
    [
        (None, r"expected a context of shape \(\*batch, 2\), got None"),
        (CONTEXT[:, :1], r"context: expected shape \(\*batch, 2\), got \(2, 1\)"),
        (jnp.ones((3, 2)), r"context's batch shape \(3,\) does not broadcast to the data's \(2,\)"),
        (CONTEXT * jnp.nan, "expected finite numbers for context"),
    ],
    ids=["none", "features", "batch", "nan"],
)
def test_context_that_is_not_the_declared_one_is_refused(check, part, context, expected):
    with pytest.raises(ValueError, match=expected):
        check(part(made(context_features=2)), X, context)


@pytest.mark.parametrize(("check", "part"), CHECKS)
def test_unused_that_is_no_parameter_is_refused(check, part):
    part = part(made())
    with pytest.raises(ValueError, match=r"unknown parameter of .* in unused: 'biasses'.*biases\."):
        check(part, X, unused=("biasses",))
    with pytest.raises(TypeError, match="each entry a string, for unused, got 'biases'"):
        check(part, X, unused="biases")


@pytest.mark.parametrize(
    "dense",
    [np.ones((6, 6), bool), np.ones((3, 3)), "full"],
    ids=["positions", "floats", "text"],
)
def test_dense_that_is_no_matrix_of_the_positions_is_refused(dense):
    with pytest.raises(ShapeError, match=r"MADE: expected True, .* matrix \(3, 3\) for dense, got"):
        check_conditional(made(), X, dense=dense)
