r"""Recurrent networks over sequences: LSTM and GRU.

.. math:: s_t = \operatorname{cell}(s_{t-1}, [x_{t-1}, c]), \qquad \theta_t = b + V h(s_t),

with :math:`x_{-1} = 0`. Cells are stacked, each reading the output of the one below. The LSTM is
that of Hochreiter and Schmidhuber (1997) with forget gates, the GRU that of Cho et al. (2014).

The parameters know nothing of the length of a sequence (:meth:`Recurrent.with_length`), and what
stands behind a sequence's end changes nothing before it: the padding of sequences of several
lengths is left out of a likelihood exactly
(``lengths`` of :meth:`~jaxgen.models.Autoregressive.log_prob`).
"""

import math
from typing import Any, Self

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array

from jaxgen.conditionals.base import Conditional
from jaxgen.core import Context, Order, Shape, checked_arguments, replace, unknown
from jaxgen.functional.autoregressive import Cache
from jaxgen.networks.blocks import shape_of_context, zero_linear

_CELLS = {"lstm": nnx.OptimizedLSTMCell, "gru": nnx.GRUCell}


class Recurrent(Conditional):
    """Stacked LSTM or GRU cells over a sequence, in its own direction.

    Args:
        grid_shape: ``(length,)``; on a grid of more axes the sequence is in raster order.
        position_shape: the shape of a value of the sequence.
        num_params: parameters for each position, ``head.num_params(position_shape)``.
        cell: ``"lstm"`` or ``"gru"``.
        width: the size of a cell's state.
        depth: how many cells stand on each other.
        context_features: the size of a context vector, read at every step; None for none.
        stationary: whether no step is another than the others, so that a model of any length has
            the same statistics of data (:mod:`jaxgen.models.border`).
        rngs: where the initial weights come from.

    Raises:
        ValueError: for an unknown cell, naming the known ones.

    >>> network = Recurrent((7,), (), 3, width=8, rngs=nnx.Rngs(0))
    >>> network(jnp.ones((4, 7))).shape, network.with_length(9)(jnp.ones((4, 9))).shape
    ((4, 7, 3), (4, 9, 3))
    """

    fixed_order = True

    @checked_arguments
    def __init__(
        self,
        grid_shape: Shape,
        position_shape: Shape,
        num_params: int,
        *,
        cell: str = "lstm",
        width: int = 128,
        depth: int = 1,
        context_features: int | None = None,
        stationary: bool = False,
        rngs: nnx.Rngs,
    ):
        if cell not in _CELLS:
            raise unknown("recurrent cell", cell, _CELLS)
        context_shape = shape_of_context(context_features)
        super().__init__(grid_shape, num_params, position_shape, context_shape)
        self.stationary = stationary
        self.cell = cell
        self.width = width
        inputs = math.prod(self.position_shape) + (context_features or 0)
        sizes = [inputs, *(width for _ in range(depth - 1))]
        self.cells = nnx.List(_CELLS[cell](size, width, rngs=rngs) for size in sizes)
        self.last = zero_linear(width, num_params, rngs=rngs)

    @checked_arguments
    def with_length(self, length: int) -> Self:
        """As :meth:`Conditional.with_length`."""
        return replace(self, grid_shape=(length,))

    def init_cache(self, batch: Shape, context: Context = None, order: Order = None) -> Cache:
        state = jnp.zeros((*batch, self.width), self.last.dtype or self.last.kernel[...].dtype)
        carry: Any = (state, state) if self.cell == "lstm" else state
        return Cache(context, (carry,) * len(self.cells))

    def step(self, cache: Cache, t: Array, x_previous: Array) -> tuple[Array, Cache]:
        context = cache.fixed
        batch = x_previous.shape[: x_previous.ndim - len(self.position_shape)]
        dtype = jax.tree.leaves(cache.state)[0].dtype
        h = x_previous.reshape(*batch, math.prod(self.position_shape)).astype(dtype)
        if context is not None:
            h = jnp.concatenate([h, context.astype(dtype)], axis=-1)
        carries = []
        for cell, carry in zip(self.cells, cache.state, strict=True):
            new, h = cell(carry, h)
            carries.append(jax.tree.map(lambda n, old: n.astype(old.dtype), new, carry))
        return self.last(h), Cache(context, tuple(carries))
