"""The checks that the methods of every bijector share, put around them when a class is made.

Of the bijector they see what its contract says: its shapes and what it accepts as data.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.interpreters import partial_eval as pe

from jaxgen.core import (
    Context,
    Shape,
    ShapeError,
    at_least_single,
    batch_shape,
    check_array,
    check_context,
    check_key,
    described,
    float_dtype,
    is_concrete,
)


def checked_direction(
    method: Callable[..., tuple[Array, Array]],
) -> Callable[..., tuple[Array, Array]]:
    """Wraps one of the two methods of a subclass with the checks that all share."""
    name = method.__name__
    forward = name.startswith("forward")
    side, other, argument = ("base", "data", "z") if forward else ("data", "base", "x")

    @functools.wraps(method)
    def checked(
        self: Any, value: Any, context: Context = None, **options: Any
    ) -> tuple[Array, Array]:
        where = f"{type(self).__name__}.{name}"
        value = check_array(value, where, argument)
        batch = _batch_of(self, value, side, where)
        context = check_context(context, self.context_shape, batch, where)
        if side == "data" and is_concrete(value):
            self.check_data(value)
        if options.get("key") is not None:
            check_key(options["key"], where)
        value, context = _of_one_dtype(jnp.asarray(value), context)
        returned = method(self, value, context, **options)
        if not isinstance(returned, tuple) or len(returned) != 2:
            raise TypeError(
                f"{where}: expected it to return two arrays, values and their log-determinant, got "
                f"{described(returned)}"
            )
        result, log_det = returned
        shape = self.side_shape(other)
        expected = value.shape if shape is None else (*batch, *shape)
        if jnp.shape(result) != expected:
            raise ShapeError(
                f"{where}: expected it to return values of shape {expected}, got "
                f"{jnp.shape(result)}"
            )
        log_det = jnp.asarray(log_det)
        of_all = log_det.shape == () != batch and _depends_on_value(method, self, value, context)
        if log_det.shape not in (batch, ()) or of_all:
            raise ShapeError(
                f"{where}: its log-determinant must be summed over the event, shape {batch}, got "
                f"{log_det.shape}"
            )
        log_det = log_det.astype(float_dtype(log_det.dtype))
        return result, jnp.broadcast_to(log_det, batch)

    return checked


def _depends_on_value(
    method: Callable[..., Any], bijector: Any, value: Array, context: Array | None
) -> bool:
    """Whether one log-determinant for a whole batch is computed from it: a sum over too much."""
    if type(bijector).__module__.startswith("jaxgen."):
        return False  # ours are tested, and such a log-determinant is a constant
    program = jax.make_jaxpr(lambda value: method(bijector, value, context)[1])(value)
    return pe.dce_jaxpr(program.jaxpr, [True])[1][0]


def checked_adapt(method: Callable[..., Any]) -> Callable[..., Any]:
    """Wraps ``initialize`` and ``calibrate``, whose data stay in the library that they are of."""
    name = method.__name__

    @functools.wraps(method)
    def checked(self: Any, x: Any, context: Context = None) -> Any:
        where = f"{type(self).__name__}.{name}"
        x = check_array(x, where)
        batch, x = _batch_of(self, x, "data", where), at_least_single(x)
        return method(self, x, check_context(context, self.context_shape, batch, where))

    return checked


def _of_one_dtype(value: Array, context: Context) -> tuple[Array, Array | None]:
    """Values and real contexts in the same dtype, float32 or better: loops carry one."""
    value = at_least_single(value)
    if context is None or not jnp.issubdtype(context.dtype, jnp.floating):
        return value, context
    dtype = jnp.promote_types(value.dtype, context.dtype)
    return value.astype(dtype), context.astype(dtype)


def _batch_of(layer: Any, value: Array | np.ndarray, side: str, where: str) -> Shape:
    """The batch shape of real values of the right shape on one side of a bijector."""
    if not jnp.issubdtype(value.dtype, jnp.floating):
        raise ShapeError(
            f"{where}: expected real values, got {value.dtype}; for integer levels wrap the flow "
            f"in jaxgen.models.Dequantized"
        )
    shape = layer.side_shape(side)
    if shape is not None:
        return batch_shape(value, shape, where)
    if value.ndim < layer.event_ndims:
        raise ShapeError(
            f"{where}: expected at least {layer.event_ndims} axes (the event), got shape "
            f"{value.shape}"
        )
    return value.shape[: value.ndim - layer.event_ndims]


CHECKED: dict[str, Callable[[Callable[..., Any]], Callable[..., Any]]] = {
    "forward_and_log_det": checked_direction,
    "inverse_and_log_det": checked_direction,
    "initialize": checked_adapt,
    "calibrate": checked_adapt,
}
