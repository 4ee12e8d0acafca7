"""The checks that the methods of every conditional share, put around them when a class is made."""

import functools
import inspect
import operator
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxgen.core import (
    Context,
    Key,
    Order,
    Shape,
    ShapeError,
    batch_shape,
    check_array,
    check_context,
    check_key,
    described,
    is_concrete,
    program,
)
from jaxgen.functional import autoregressive
from jaxgen.functional.autoregressive import Cache


def checked_call(call: Callable[..., Array]) -> Callable[..., Array]:
    """Wraps ``__call__`` with the checks that all share, and drops a key that it does not take."""
    takes_key = "key" in inspect.signature(call).parameters
    run = program()(call)

    @functools.wraps(call)
    def checked(
        self: Any, x: Array, context: Context = None, order: Order = None, **options: Key
    ) -> Array:
        name = type(self).__name__
        x, context = self.check_inputs(x, context, name)
        if options.get("key") is not None:
            check_key(options["key"], name)
        if not takes_key:
            options.pop("key", None)
        params = run(self, x, context, self.given(self.resolve_order(order)), **options)
        batch = x.shape[: x.ndim - len(self.event_shape)]
        expected = (*batch, *self.grid_shape, self.num_params)
        if jnp.shape(params) != expected:
            raise ShapeError(
                f"{name}: expected it to give parameters of shape {expected}, got "
                f"{jnp.shape(params)}"
            )
        return params

    return checked


def check_tolerance(tolerance: Any, where: str) -> None:
    """Refuses what is no tolerance of an iteration, where it can be seen.

    Raises:
        ValueError: saying what was expected and what came.
    """
    if isinstance(tolerance, jax.core.Tracer):
        return
    number = isinstance(tolerance, int | float | np.number | np.ndarray | Array)
    number = number and not isinstance(tolerance, bool) and np.ndim(tolerance) == 0
    if not number or not 0.0 <= float(tolerance) < np.inf:
        raise ValueError(
            f"{where}: expected a tolerance of 0 or more, and finite, got {described(tolerance)}"
        )


def checked_init_cache(init_cache: Callable[..., Cache]) -> Callable[..., Cache]:
    """Wraps ``init_cache`` with the checks that all share."""

    @functools.wraps(init_cache)
    def checked(self: Any, batch: Shape, context: Context = None, order: Order = None) -> Cache:
        name = f"{type(self).__name__}.init_cache"
        batch = check_batch(batch, name)
        context = check_context(context, self.context_shape, batch, name)
        cache = init_cache(self, batch, context, self.given(self.resolve_order(order)))
        if not isinstance(cache, Cache):
            raise TypeError(_no_cache(name, cache))
        return cache

    return checked


def checked_prefill(prefill: Callable[..., Cache]) -> Callable[..., Cache]:
    """Wraps ``prefill`` with the checks that all share, and zeros for what is not yet known.

    Networks of a full pass read that too, behind masks through which a NaN would come.
    """

    @functools.wraps(prefill)
    def checked(self: Any, x: Array, n: int, context: Context = None, order: Order = None) -> Cache:
        name = f"{type(self).__name__}.prefill"
        x, context = self.check_inputs(x, context, name)
        size = self.num_positions
        if isinstance(n, bool) or not isinstance(n, int | np.integer) or not 0 <= n <= size:
            raise ShapeError(
                f"{name}: expected a prefix of 0 to {size} positions, got {described(n)}"
            )
        order = self.resolve_order(order)
        known = autoregressive.rank_of(order) < n - 1
        known = known.reshape(*self.grid_shape, *(1 for _ in self.position_shape))
        return prefill(self, jnp.where(known, x, 0), n, context, self.given(order))

    return checked


def checked_step(step: Callable[..., tuple[Array, Cache]]) -> Callable[..., tuple[Array, Cache]]:
    """Wraps ``step`` with the checks that all share; mostly it is traced, and they cost nothing."""

    @functools.wraps(step)
    def checked(self: Any, cache: Cache, t: Array, x_previous: Array) -> Any:
        name, size = f"{type(self).__name__}.step", self.num_positions
        if not isinstance(cache, Cache):
            raise TypeError(_no_cache(name, cache))
        t, x_previous = check_array(t, name, "t"), check_array(x_previous, name, "x_previous")
        if t.shape or not jnp.issubdtype(t.dtype, jnp.integer):
            raise ShapeError(f"{name}: expected an integer for t, got {described(t)}")
        if is_concrete(t) and not 0 <= int(t) < size:
            raise ValueError(f"{name}: expected a step t from 0 to {size - 1}, got {t}")
        batch = batch_shape(x_previous, self.position_shape, f"{name}, x_previous")
        returned = step(self, cache, t, x_previous)
        if not isinstance(returned, tuple) or len(returned) != 2:
            raise TypeError(
                f"{name}: expected it to return (params, cache), got {described(returned)}"
            )
        params, cache = returned
        if not isinstance(cache, Cache):
            raise TypeError(_no_cache(name, cache))
        if jnp.shape(params) != (*batch, self.num_params):
            raise ShapeError(
                f"{name}: expected it to return params of shape {(*batch, self.num_params)}, got "
                f"{jnp.shape(params)}"
            )
        return params, cache

    return checked


def check_batch(batch: Any, where: str) -> Shape:
    """A batch shape as a tuple of integers of 0 or more."""
    try:
        shape = tuple(operator.index(size) for size in batch)
    except TypeError:
        shape = (-1,)
    if min(shape, default=0) < 0:
        raise ShapeError(
            f"{where}: expected a tuple of integers of 0 or more for batch, got {described(batch)}"
        )
    return shape


def _no_cache(name: str, got: Any) -> str:
    return (
        f"{name}: expected a jaxgen.functional.autoregressive.Cache(fixed, state), got "
        f"{described(got)}"
    )


CHECKED: dict[str, Callable[[Callable[..., Any]], Callable[..., Any]]] = {
    "__call__": checked_call,
    "init_cache": checked_init_cache,
    "prefill": checked_prefill,
    "step": checked_step,
}
