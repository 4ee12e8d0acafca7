r"""WaveNet: dilated causal convolutions over a signal (van den Oord et al. 2016).

A layer looks at the position itself and at one ``d`` steps before, with ``d`` doubling from layer
to layer, so that the receptive field grows exponentially with depth. Of its features,

.. math:: z = \tanh(W_f * h + V_f c) \odot \sigma(W_g * h + V_g c), \qquad
          h' = h + U z, \qquad \text{skip} = S z,

the residual goes on and the skips of all layers are summed; two layers of one position each make
the parameters from the sum. The first layer reads the signal shifted by one step.

The context ``c`` is global (a speaker: one vector for the signal) or local (linguistic features: a
vector for each step).

Deviations: none but names; the head is free: 256 mu-law levels under a categorical one, 16 bits
under a mixture of discretized logistics.
"""

import math
from collections.abc import Sequence
from typing import Self

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array

from jaxgen.conditionals.base import Conditional
from jaxgen.core import Context, Key, Module, Order, Shape, check_grid, checked_arguments, replace
from jaxgen.functional.autoregressive import Cache
from jaxgen.networks.blocks import dropout, shape_of_context, zero_linear


class DilatedBlock(Module):
    """A gated layer that sees a position and one some steps before it.

    Args:
        width: features of a position.
        skip_width: features of the skip connection.
        residual: whether a layer follows that reads its features.
        context_features: the size of a context vector; None for none.
        rngs: where the initial weights come from.
    """

    def __init__(
        self,
        width: int,
        skip_width: int,
        *,
        residual: bool,
        context_features: int | None,
        rngs: nnx.Rngs,
    ):
        self.now = nnx.Linear(width, 2 * width, rngs=rngs)
        self.before = nnx.Linear(width, 2 * width, use_bias=False, rngs=rngs)
        self.residual = nnx.Linear(width, width, rngs=rngs) if residual else None
        self.skip = nnx.Linear(width, skip_width, rngs=rngs)
        self.project = (
            None
            if context_features is None
            else nnx.Linear(context_features, 2 * width, use_bias=False, rngs=rngs)
        )

    def __call__(self, h: Array, earlier: Array, context: Context) -> tuple[Array, Array]:
        """What is added to the features ``(..., width)`` and to the skips of positions, given
        features before them."""
        mixed = self.now(h) + self.before(earlier)
        if self.project is not None and context is not None:
            mixed = mixed + self.project(context)
        filtered, gate = jnp.split(mixed, 2, axis=-1)
        z = jnp.tanh(filtered) * jax.nn.sigmoid(gate)
        change = jnp.zeros_like(h) if self.residual is None else self.residual(z)
        return change, self.skip(z)


class WaveNet(Conditional):
    """Dilated causal convolutions over a signal.

    Args:
        grid_shape: ``(length,)``.
        position_shape: the shape of a value of the signal, ``()`` for one channel.
        num_params: parameters for each position, ``head.num_params(position_shape)``.
        width: features of a position.
        skip_width: features of the sum of the skip connections.
        dilations: of the layers, as a rule 1, 2, 4, ... several times over.
        context_features: the size of a context vector; None for none.
        local: whether there is a context vector for each step, ``(length, features)``, instead of
            one for the signal.
        dropout: rate on what a layer reads, in effect when a key is given.
        rngs: where the initial weights come from.

    Raises:
        ShapeError: if the grid has not one axis.
        ValueError: for dilations below 1.

    >>> network = WaveNet((16,), (), 4, width=8, dilations=(1, 2, 4), rngs=nnx.Rngs(0))
    >>> network(jnp.ones((3, 16))).shape, network.receptive_field
    ((3, 16, 4), 8)
    """

    fixed_order = True
    stationary = True

    @checked_arguments
    def __init__(
        self,
        grid_shape: Shape,
        position_shape: Shape,
        num_params: int,
        *,
        width: int = 32,
        skip_width: int = 128,
        dilations: Sequence[int] = (1, 2, 4, 8, 16, 32, 64, 128, 256),
        context_features: int | None = None,
        local: bool = False,
        dropout: float = 0.0,
        rngs: nnx.Rngs,
    ):
        if not dilations:
            raise ValueError("WaveNet: expected one dilation or more, got none")
        if local and context_features is None:
            raise ValueError("WaveNet: a local context needs context_features, got None")
        grid_shape = check_grid(grid_shape, ("length",), "WaveNet")
        context_shape = shape_of_context(context_features)
        if local and context_shape is not None:
            context_shape = grid_shape + context_shape
        super().__init__(grid_shape, num_params, position_shape, context_shape)
        self.dilations = tuple(dilations)
        self.dropout = dropout
        self.local = local
        self.embed = nnx.Linear(math.prod(self.position_shape), width, rngs=rngs)
        self.blocks = nnx.List(
            DilatedBlock(
                width,
                skip_width,
                residual=i < len(self.dilations) - 1,
                context_features=context_features,
                rngs=rngs,
            )
            for i in range(len(self.dilations))
        )
        self.mix = nnx.Linear(skip_width, skip_width, rngs=rngs)
        self.last = zero_linear(skip_width, num_params, rngs=rngs)

    @property
    def receptive_field(self) -> int:
        """How many of the values before it a position sees."""
        return sum(self.dilations) + 1

    @checked_arguments
    def with_length(self, length: int) -> Self:
        """As :meth:`Conditional.with_length`; a local context is then of this length, too."""
        context_shape = self.context_shape
        if self.local and context_shape is not None:
            context_shape = (length, *context_shape[1:])
        return replace(self, grid_shape=(length,), context_shape=context_shape)

    def _params(self, skips: Array) -> Array:
        return self.last(jax.nn.relu(self.mix(jax.nn.relu(skips))))

    def _features(self, x: Array, context: Context, key: Key) -> tuple[Array, list[Array]]:
        """The sum of the skips ``(*batch, length, skip_width)``, and what every layer reads."""
        batch = x.shape[: x.ndim - len(self.event_shape)]
        values = x.reshape(*batch, self.num_positions, math.prod(self.position_shape))
        h = _delayed(self.embed(values), 1)
        if context is not None and not self.local:
            context = context[..., None, :]
        keys = [None] * len(self.blocks) if key is None else jax.random.split(key, len(self.blocks))
        skips, read = jnp.zeros((), h.dtype), []
        for block, dilation, block_key in zip(self.blocks, self.dilations, keys, strict=True):
            read.append(h)
            inputs = dropout(h, self.dropout, block_key)
            change, skip = block(inputs, _delayed(inputs, dilation), context)
            h, skips = h + change, skips + skip
        return skips, read

    def __call__(
        self, x: Array, context: Context = None, order: Order = None, *, key: Key = None
    ) -> Array:
        return self._params(self._features(x, context, key)[0])

    # The incremental pass keeps, for every layer, what it read in this and the last ``dilation``
    # steps, as a ring. After a step's own row comes the oldest, that of step t - dilation. A row
    # that was read and then overwritten would make the compiler copy the ring at every step.

    def init_cache(self, batch: Shape, context: Context = None, order: Order = None) -> Cache:
        if context is not None and self.local:
            context = jnp.moveaxis(context, -2, 0)
        width = self.embed.out_features
        dtype = self.embed.dtype or self.embed.kernel[...].dtype
        rings = tuple(jnp.zeros((each + 1, *batch, width), dtype) for each in self.dilations)
        return Cache(context, rings)

    def step(self, cache: Cache, t: Array, x_previous: Array) -> tuple[Array, Cache]:
        context = cache.fixed[t] if self.local else cache.fixed
        batch = x_previous.shape[: x_previous.ndim - len(self.position_shape)]
        values = x_previous.reshape(*batch, math.prod(self.position_shape))
        embedded = self.embed(values.astype(self.embed.kernel[...].dtype))
        h = jnp.where(t > 0, embedded, jnp.zeros_like(embedded))
        skips, rings = jnp.zeros((), h.dtype), []
        for block, ring in zip(self.blocks, cache.state, strict=True):
            ring = ring.at[t % len(ring)].set(h.astype(ring.dtype), mode="promise_in_bounds")
            rings.append(ring)
            change, skip = block(h, ring[(t + 1) % len(ring)], context)
            h, skips = h + change, skips + skip
        return self._params(skips), Cache(cache.fixed, tuple(rings))

    def prefill(self, x: Array, n: int, context: Context = None, order: Order = None) -> Cache:
        batch = x.shape[: x.ndim - len(self.event_shape)]
        fixed, rings = self.init_cache(batch, context, order)
        _, read = self._features(x, context, None)
        filled = []
        for ring, dilation, h in zip(rings, self.dilations, read, strict=True):
            steps = np.arange(max(n - dilation, 0), n)
            rows = jnp.moveaxis(h[..., steps, :], -2, 0).astype(ring.dtype)
            filled.append(ring.at[steps % len(ring)].set(rows))
        return Cache(fixed, tuple(filled))


def _delayed(h: Array, steps: int) -> Array:
    """Features ``(*batch, length, width)`` as they were some steps before; zeros at first."""
    length = h.shape[-2]
    padding = [(0, 0)] * (h.ndim - 2)
    return jnp.pad(h, [*padding, (min(steps, length), 0), (0, 0)])[..., :length, :]
