"""Floor 7: the conformance kit, for the members of jaxgen and for yours.

Each check takes a member and some data, perturbs the parameters (a fresh network ends in a zero
layer and would pass anything), and raises ``AssertionError`` naming the promise that was broken,
with the numbers. It returns what it checked and what it had to skip, and why.

>>> import jax.numpy as jnp
>>> from jaxgen.bijectors import ActNorm
>>> report = check_bijector(ActNorm((2,)), jnp.array([[0.0, 1.0], [2.0, -1.0]]))
>>> report["log-determinant"]
'passed'

In single precision, JAX's default, the tolerance is 1e-3; run the check inside
``jax.enable_x64(True)`` on float64 data for one of 1e-9.
"""

from jaxgen.testing.bijectors import check_bijector
from jaxgen.testing.compare import tolerance_of
from jaxgen.testing.conditionals import check_conditional
from jaxgen.testing.members import cast, check_attributes, perturb, to_float64
from jaxgen.testing.models import check_model
from jaxgen.testing.precision import PrecisionReport, PrecisionRow, precision_report

__all__ = [
    "PrecisionReport",
    "PrecisionRow",
    "cast",
    "check_attributes",
    "check_bijector",
    "check_conditional",
    "check_model",
    "perturb",
    "precision_report",
    "to_float64",
    "tolerance_of",
]
