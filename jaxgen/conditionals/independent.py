"""Positions that know the context alone, and nothing of each other."""

import inspect
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxgen.conditionals.base import Conditional
from jaxgen.core import Context, Key, Order, Shape, ShapeError, checked_arguments
from jaxgen.functional.autoregressive import Cache, Emit


class Independent(Conditional):
    """Parameters of all positions from a network of the context: no position sees another.

    An encoder, or a decoder: what :class:`~jaxgen.models.Factorized` is made of. The network runs
    once for a pass, and once for all steps of a sampler.

    Args:
        network: maps contexts ``(*batch, *context_shape)`` to ``num_params`` numbers for every
            position, in raster order, as ``(*batch, *any shape)``; called with ``key=key`` if it
            takes a key (dropout).
        grid_shape: the grid of positions.
        num_params: parameters for each position, ``head.num_params(position_shape)``.
        position_shape: what one position holds: ``()``, or ``(channels,)``.
        context_shape: of what the network reads.

    >>> from flax import nnx
    >>> from jaxgen.networks import MLP
    >>> mlp = MLP(2, 3 * 1, hidden=(8,), rngs=nnx.Rngs(0))
    >>> network = Independent(mlp, (3,), 1, context_shape=(2,))
    >>> network(jnp.ones((4, 3)), jnp.ones((4, 2))).shape
    (4, 3, 1)
    """

    context_shape: Shape

    @checked_arguments
    def __init__(
        self,
        network: Callable[..., Any],
        grid_shape: Shape,
        num_params: int,
        position_shape: Shape = (),
        *,
        context_shape: Shape,
    ):
        super().__init__(grid_shape, num_params, position_shape, context_shape)
        self.network: Any = network

    def _params(self, context: Context, key: Key = None) -> Array:
        """``(*batch, *grid_shape, num_params)`` of contexts of this batch."""
        assert context is not None  # checked before
        takes_key = "key" in inspect.signature(self.network.__call__).parameters
        out = self.network(context, **({"key": key} if takes_key else {}))
        batch = context.shape[: context.ndim - len(self.context_shape)]
        expected = self.num_positions * self.num_params
        shape = jnp.shape(out)
        if shape[: len(batch)] != batch or math.prod(shape[len(batch) :]) != expected:
            raise ShapeError(
                f"Factorized, Independent: expected {type(self.network).__name__} to map contexts "
                f"of shape {context.shape} to {expected} numbers each ({self.num_params} "
                f"parameters of {self.num_positions} positions), got {shape}"
            )
        return jnp.asarray(out).reshape(*batch, *self.grid_shape, self.num_params)

    def __call__(
        self, x: Array, context: Context = None, order: Order = None, *, key: Key = None
    ) -> Array:
        return self._params(context, key)

    def init_cache(self, batch: Shape, context: Context = None, order: Order = None) -> Cache:
        params = self._params(context)
        return Cache(self.to_sequence(params, self.resolve_order(order), params=True), ())

    def step(self, cache: Cache, t: Array, x_previous: Array) -> tuple[Array, Cache]:
        return cache.fixed[t], cache

    def run(self, cache: Cache, emit: Emit, first: Array, start: int = 0) -> Any:
        # Nothing waits for anything.
        return jax.vmap(emit)(jnp.arange(start, self.num_positions), cache.fixed[start:])[1]

    def dependencies(self, order: Array | np.ndarray | None = None) -> np.ndarray:
        return np.zeros((self.num_positions, self.num_positions), bool)
