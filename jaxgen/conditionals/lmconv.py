r"""Locally masked convolutions (Jain, Abbeel and Pathak 2020): images in any generation order.

A convolution whose window is masked at every position by the order: position ``i`` sees a
neighbour ``j`` if it comes earlier,

.. math:: h'_i = b + \sum_{\delta} [\operatorname{rank}(i + \delta) < \operatorname{rank}(i)]\,
          W_\delta\, h_{i + \delta},

with ``<`` in the first layer and ``<=`` after it, where the features of a position hold nothing of
its own value. The masks are computed from the order, which may be traced: the same weights serve
raster, S-curve, Hilbert and random orders (:mod:`jaxgen.functional.masks`), orders that put a hole
last, one order for each example, and their average
(:class:`~jaxgen.models.Ensemble`).

Deviations: a stack of gated residual blocks at one resolution instead of PixelCNN++'s six, without
its normalisation of activations; a mask's entries are inputs of the first layer, so that a border
of the image, an unseen neighbour and a value of zero are three things.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array

from jaxgen.conditionals.base import Conditional
from jaxgen.core import (
    Context,
    Key,
    Module,
    Order,
    Shape,
    check_grid,
    checked_arguments,
    rngs_from,
    unstack,
)
from jaxgen.functional import masks
from jaxgen.functional.autoregressive import Cache, rank_of
from jaxgen.functional.windows import (
    check_sizes,
    empty_rows,
    flat,
    gather,
    pixels,
    position_rows,
    square,
    with_previous,
    with_row,
)
from jaxgen.networks.blocks import (
    activation,
    check_activation,
    dropout,
    shape_of_context,
    zero_linear,
)


class MaskedBlock(Module):
    """A gated residual block: a masked window and two maps of each position alone.

    Args:
        width: features of a position.
        size: the number of positions in a window.
        activation, context_features, dropout, rngs: see :class:`LMConv`.
    """

    def __init__(
        self,
        width: int,
        size: int,
        *,
        activation: str,
        context_features: int | None,
        dropout: float,
        rngs: nnx.Rngs,
    ):
        self.activation = activation
        self.dropout = dropout
        self.window = nnx.Linear(size * width, width, rngs=rngs)
        self.gate = nnx.Linear(width, 2 * width, rngs=rngs)
        self.project = (
            None if context_features is None else nnx.Linear(context_features, width, rngs=rngs)
        )

    def read(self, h: Array) -> Array:
        """What windows show of features.

        Activated here, each is activated once, not once for every window that holds it.
        """
        return activation(self.activation)(h)

    def __call__(self, h: Array, window: Array, context: Context = None, key: Key = None) -> Array:
        """Features ``(..., width)`` from themselves and a masked window of what :meth:`read` gives.

        The window is ``(..., size, width)``.

        ``context`` broadcasts against ``(..., context_features)``.
        """
        act = activation(self.activation)
        mixed = self.window(flat(window))
        if self.project is not None and context is not None:
            mixed = mixed + self.project(context)
        value, gate = jnp.split(self.gate(dropout(act(mixed), self.dropout, key)), 2, axis=-1)
        return h + value * jax.nn.sigmoid(gate)


class LMConv(Conditional):
    """Locally masked convolutions over the pixels of an image, in any order.

    Args:
        grid_shape: ``(height, width)``.
        position_shape: ``(channels,)``, or ``()`` for one channel that the event does not name. The
            head orders or couples the channels of a pixel.
        num_params: parameters for each position, ``head.num_params(position_shape)``.
        width: features of a position.
        depth: residual blocks.
        kernel_size: the side of a window, odd.
        activation: see :class:`~jaxgen.networks.MLP`.
        context_features: the size of a context vector, seen by all positions; None for none.
        dropout: rate in every block, in effect when a key is given.
        rngs: where the initial weights come from.

    Raises:
        ShapeError: if the grid has not two axes.
        ValueError: for an even kernel size.

    >>> network = LMConv((4, 4), (1,), 2, width=8, depth=2, rngs=nnx.Rngs(0))
    >>> network(jnp.ones((5, 4, 4, 1))).shape
    (5, 4, 4, 2)
    """

    stacked = ("blocks",)  # along a leading axis, see jaxgen.summary

    @checked_arguments
    def __init__(
        self,
        grid_shape: Shape,
        position_shape: Shape,
        num_params: int,
        *,
        width: int = 64,
        depth: int = 6,
        kernel_size: int = 3,
        activation: str = "elu",
        context_features: int | None = None,
        dropout: float = 0.0,
        rngs: nnx.Rngs,
    ):
        check_activation(activation)
        check_sizes("LMConv", kernel_size)
        grid_shape = check_grid(grid_shape, ("height", "width"), "LMConv")
        context_shape = shape_of_context(context_features)
        super().__init__(grid_shape, num_params, position_shape, context_shape)
        self.sees = square(kernel_size)
        self.depth = depth
        size = len(self.sees)
        self.first = nnx.Linear(size * (math.prod(self.position_shape) + 1), width, rngs=rngs)

        def block(key: Array) -> MaskedBlock:
            return MaskedBlock(
                width,
                size,
                activation=activation,
                context_features=context_features,
                dropout=dropout,
                rngs=rngs_from(key),
            )

        self.blocks = jax.vmap(block)(jax.random.split(rngs.params(), depth))
        self.last = zero_linear(width, num_params, rngs=rngs)

    def _visible(self, order: Array) -> tuple[Array, Array]:
        """Masks of all windows ``(D, size)``: of the first layer, and of the others."""
        rank = jnp.append(rank_of(order), self.num_positions)  # the last: beyond the edge
        around = rank[self.sees.around(self.grid_shape)]
        own = rank[: self.num_positions, None]
        return around < own, around <= own

    def _first(self, window: Array, visible: Array) -> Array:
        """Features from the values in a window ``(..., size, entries)``, masked."""
        seen = jnp.broadcast_to(visible[..., None], (*window.shape[:-1], 1)).astype(window.dtype)
        both = jnp.concatenate([window * seen, seen], axis=-1)
        return self.first(flat(both))

    def _features(self, x: Array, context: Context, order: Array, key: Key) -> tuple[Array, Array]:
        """The last features of all positions, and what every block's windows show, stacked."""
        batch = x.shape[: x.ndim - len(self.event_shape)]
        entries = math.prod(self.position_shape)
        x = x.reshape(math.prod(batch), *self.grid_shape, entries)
        strict, causal = (each.reshape(*self.grid_shape, -1) for each in self._visible(order))
        h = self._first(self.sees.everywhere(x), strict)
        if context is not None:
            context = context.reshape(math.prod(batch), 1, 1, context.shape[-1])

        # The windows are many times the features, so the gradient makes them again.
        @jax.checkpoint
        def body(h: Array, inputs: tuple[MaskedBlock, Array | None]) -> tuple[Array, Array]:
            block, block_key = inputs
            read = block.read(h)
            window = jnp.where(causal[..., None], self.sees.everywhere(read), 0)
            return block(h, window, context, block_key), read

        keys = None if key is None else jax.random.split(key, self.depth)
        h, read = jax.lax.scan(body, h, (self.blocks, keys))
        return (h.reshape(*batch, *h.shape[1:]), read.reshape(self.depth, *batch, *h.shape[1:]))

    def __call__(
        self, x: Array, context: Context = None, order: Order = None, *, key: Key = None
    ) -> Array:
        h, _ = self._features(x, context, self.resolve_order(order), key)
        return self._params(h)

    def _params(self, h: Array) -> Array:
        return self.last(activation(self.blocks.activation)(h))

    # The incremental pass keeps what every layer reads, as (positions, *batch, features), and
    # computes the features of one position from its windows. A row of zeros stands for what lies
    # beyond the edge.

    def init_cache(self, batch: Shape, context: Context = None, order: Order = None) -> Cache:
        order = self.resolve_order(order)
        strict, causal = self._visible(order)
        fixed = {
            "order": order,
            "strict": strict,
            "causal": causal,
            "blocks": unstack(self.blocks),
            "context": context,
        }
        kernel = self.last.kernel[...]
        dtype = self.last.dtype or kernel.dtype
        values = empty_rows(self.grid_shape, batch, math.prod(self.position_shape), dtype)
        features = empty_rows(self.grid_shape, batch, len(kernel), dtype)
        return Cache(fixed, (values, (features,) * self.depth))

    def step(self, cache: Cache, t: Array, x_previous: Array) -> tuple[Array, Cache]:
        fixed, (values, features) = cache
        order = fixed["order"]
        values = with_previous(values, t, x_previous, order)
        position = order[t]
        around = jnp.asarray(self.sees.around(self.grid_shape))[position]
        h = self._first(gather(values, around), fixed["strict"][position])
        causal = fixed["causal"][position][:, None]
        new = []
        for block, read in zip(fixed["blocks"], features, strict=True):
            read = with_row(read, position, block.read(h))
            window = jnp.where(causal, gather(read, around), 0)
            h = block(h, window, fixed["context"])
            new.append(read)
        return self._params(h), Cache(fixed, (values, tuple(new)))

    def prefill(self, x: Array, n: int, context: Context = None, order: Order = None) -> Cache:
        order = self.resolve_order(order)
        batch = x.shape[: x.ndim - len(self.event_shape)]
        fixed, (values, _) = self.init_cache(batch, context, order)
        _, read = self._features(x, fixed["context"], order, None)
        stored = tuple(position_rows(h, values.dtype) for h in read)
        values = position_rows(pixels(x, self.event_shape), values.dtype)
        return Cache(fixed, (values, stored))

    def dependencies(self, order: Array | np.ndarray | None = None) -> np.ndarray:
        size, around = self.num_positions, self.sees.around(self.grid_shape)
        rank = np.append(np.argsort(self.own_order() if order is None else order), size)
        rows, columns = np.nonzero(rank[around] < rank[:size, None])
        earlier = np.zeros((size, size), bool)
        earlier[rows, around[rows, columns]] = True
        reach = earlier
        for _ in range(self.depth):
            reach = reach | masks.through(earlier, reach)
        return reach
