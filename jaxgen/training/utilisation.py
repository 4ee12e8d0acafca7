"""Model-FLOPs utilisation: which share of a device's peak a training makes use of.

What a step has to compute, whatever is computed again to save memory, is three times the products
of matrices of a pass: once forwards, twice for the gradient (Chowdhery et al. 2022).
"""

import functools
import math
from typing import Any

import jax
from jax.extend import core
from jax.sharding import Mesh

from jaxgen.models import Model
from jaxgen.training.objectives import Batch, Objective
from jaxgen.training.settings import TrainSettings
from jaxgen.training.steps import at_step

# Operations a second of dense products, from the manufacturers' data sheets.
PEAKS = {
    "NVIDIA A100-SXM4-40GB": {"float32": 19.5e12, "bfloat16": 312e12},
    "NVIDIA A100-SXM4-80GB": {"float32": 19.5e12, "bfloat16": 312e12},
    "NVIDIA H100 80GB HBM3": {"float32": 67e12, "bfloat16": 989e12},
    "NVIDIA H200": {"float32": 67e12, "bfloat16": 989e12},
    "TPU v4": {"bfloat16": 275e12},
    "TPU v5 lite": {"bfloat16": 197e12},
    "TPU v5": {"bfloat16": 459e12},
}


class Utilisation:
    """The share of their peak that devices reach, from examples a second.

    Known for devices of :data:`PEAKS`, in the dtype that networks compute in: float32 unless the
    setting ``compute_dtype`` says otherwise, which is slower than a GPU's peak if products are
    rounded less.

    Args:
        model, train, objective, settings, mesh: of the training.
    """

    def __init__(
        self, model: Model, train: Batch, objective: Objective, settings: TrainSettings, mesh: Mesh
    ):
        kind = mesh.devices.flat[0].device_kind
        self._peak = PEAKS.get(kind, {}).get(settings.compute_dtype or "float32")
        self._size, self._devices = settings.batch_size, mesh.size
        self._pass = functools.partial(_pass, objective, model, train, settings)

    def of(self, rate: float) -> dict[str, float]:
        """Of so many examples a second, by the name that it is logged by; nothing if unknown."""
        if self._peak is None:
            return {}
        done = 3.0 * self._operations * rate / self._size
        return {"utilisation": float(f"{done / (self._peak * self._devices):.3g}")}

    @functools.cached_property
    def _operations(self) -> float:
        return self._pass()


def _pass(objective: Objective, model: Model, train: Batch, settings: TrainSettings) -> float:
    def rows(array: Any) -> jax.ShapeDtypeStruct:
        dtype = jax.dtypes.canonicalize_dtype(array.dtype)
        return jax.ShapeDtypeStruct((settings.batch_size, *array.shape[1:]), dtype)

    batch = jax.tree.map(rows, train)
    traced = jax.make_jaxpr(at_step(objective))(model, batch, jax.random.key(0), 0)
    return matrix_operations(traced.jaxpr)


def matrix_operations(jaxpr: core.Jaxpr) -> float:
    """Floating-point operations of the products of matrices and the convolutions of a program.

    Two for each product that is summed; a loop of unknown length counts once.

    >>> import jax.numpy as jnp
    >>> program = jax.make_jaxpr(lambda a, b: a @ b)(jnp.ones((2, 3)), jnp.ones((3, 4)))
    >>> matrix_operations(program.jaxpr)
    48.0
    """
    return sum(map(_of_equation, jaxpr.eqns))


def _of_equation(equation: core.JaxprEqn) -> float:
    name, params = equation.primitive.name, equation.params
    inputs: list[Any] = [variable.aval for variable in equation.invars]
    outputs: list[Any] = [variable.aval for variable in equation.outvars]
    if name == "dot_general":
        (contracted, _), _ = params["dimension_numbers"]
        return 2.0 * outputs[0].size * math.prod(inputs[0].shape[axis] for axis in contracted)
    if name == "conv_general_dilated":
        features = params["dimension_numbers"].rhs_spec[0]
        return 2.0 * outputs[0].size * math.prod(inputs[1].shape) / inputs[1].shape[features]
    if name == "convolve":  # of jaxgen.functional.convolution
        return 2.0 * outputs[0].size * math.prod(inputs[1].shape[:3])
    if name == "cond":
        return max(matrix_operations(branch.jaxpr) for branch in params["branches"])
    times = params["length"] if name == "scan" else 1
    inner = [getattr(value, "jaxpr", value) for value in params.values()]
    return times * sum(matrix_operations(each) for each in inner if isinstance(each, core.Jaxpr))
