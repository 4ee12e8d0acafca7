r"""Causal attention: a transformer over the positions of a grid (Vaswani et al., 2017).

With ``o`` the generation order, token ``t`` carries what step ``t`` may know at once, the value of
the step before, and where it is and what is asked for:

.. math:: h_t = W x_{o_{t-1}} + p_{o_{t-1}} + q_{o_t}, \qquad h_0 = s + q_{o_0},

with a learned start ``s`` and embeddings ``p`` of the position that is read and ``q`` of the one
that is predicted. Token ``t`` attends to the tokens up to ``t``; a zero-initialised layer turns its
last state into the parameters of position ``o_t``. An order only decides where the embeddings are
looked up, so orders are traced arguments.

Sampling stores the keys and values of earlier tokens. A step multiplies the weights by one token
and attends to all ``D`` stored tokens, masked, as every token of the full pass does: with width
``w``, ``L`` blocks and inner width ``r w`` both take

.. math:: 2 D L \left((4 + 2 r) w^2 + 2 D w\right)

floating-point operations in matrix products, beside the first and last layers.
"""

import math

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array

from jaxgen.conditionals.base import Conditional
from jaxgen.core import Context, Key, Order, Shape, checked_arguments, unknown
from jaxgen.functional.autoregressive import Cache
from jaxgen.networks.blocks import shape_of_context, zero_linear
from jaxgen.networks.transformer import Transformer, rotary_angles

_POSITIONS = ("learned", "rotary")


class CausalTransformer(Conditional):
    """A causal transformer with a key and value cache, in any order.

    Args:
        grid_shape: the grid of positions, a token each.
        position_shape: what one position holds: ``()`` or ``(channels,)``.
        num_params: parameters for each position, ``head.num_params(position_shape)``.
        width: the size of a token's state.
        depth: transformer blocks.
        heads: attention heads, which divide the width.
        positions: ``"learned"`` as above; ``"rotary"`` replaces the embedding ``p`` of the position
            that is read by rotations: of a key by where its value was read, of a query by what it
            predicts, so that attention sees their offset along every axis of the grid. The start's
            key is not rotated.
        mlp_ratio: inner width of the blocks' two-layer networks, in units of ``width``.
        context_features: the size of a context vector, projected and added to every token; None for
            none.
        dropout: rate in the blocks, in effect when a key is given.
        rngs: where the initial weights come from.

    Raises:
        ValueError: for unknown ``positions`` or heads that do not divide the width.
        ShapeError: if rotary positions do not fit the heads' size.

    >>> network = CausalTransformer((4, 4), (3,), 6, width=8, depth=2, heads=2, rngs=nnx.Rngs(0))
    >>> network(jnp.ones((5, 4, 4, 3))).shape
    (5, 4, 4, 6)
    """

    block = 16

    @checked_arguments
    def __init__(
        self,
        grid_shape: Shape,
        position_shape: Shape,
        num_params: int,
        *,
        width: int = 128,
        depth: int = 4,
        heads: int = 4,
        positions: str = "learned",
        mlp_ratio: int = 4,
        context_features: int | None = None,
        dropout: float = 0.0,
        rngs: nnx.Rngs,
    ):
        if positions not in _POSITIONS:
            raise unknown("kind of positions", positions, _POSITIONS)
        context_shape = shape_of_context(context_features)
        super().__init__(grid_shape, num_params, position_shape, context_shape)
        self.positions = positions
        self.transformer = Transformer(
            width, depth=depth, heads=heads, mlp_ratio=mlp_ratio, dropout=dropout, rngs=rngs
        )
        if positions == "rotary":
            rotary_angles(self.grid_shape, width // heads)  # refuses heads that do not fit
        embedding = nnx.initializers.normal(0.02)
        self.embed = nnx.Linear(math.prod(self.position_shape), width, rngs=rngs)
        self.start = nnx.Param(embedding(rngs.params(), (width,)))
        self.target = nnx.Param(embedding(rngs.params(), (self.num_positions, width)))
        self.source = (
            nnx.Param(embedding(rngs.params(), (self.num_positions, width)))
            if positions == "learned"
            else None
        )
        self.project = (
            None if context_features is None else nnx.Linear(context_features, width, rngs=rngs)
        )
        self.last = zero_linear(width, num_params, rngs=rngs)

    def _places(self, order: Array, context: Context) -> tuple[Array, tuple | None]:
        """What tokens ``(*batch, D, width)`` know without a value, and their rotary angles.

        What belongs to the position that is read is shifted by one, and empty for the start.
        """
        places = self.target[...][order]
        if self.source is not None:
            places = places + _after_nothing(self.source[...][order])
        if self.project is not None and context is not None:
            places = places + self.project(context)[..., None, :]
        if self.positions != "rotary":
            return places, None
        size = self.transformer.width // self.transformer.heads
        angles = rotary_angles(self.grid_shape, size)[order]
        return places, (angles, _after_nothing(angles))

    def _tokens(self, sequence: Array, places: Array) -> Array:
        """All tokens ``(*batch, D, width)`` of the values ``(D, *batch, *position)`` in order."""
        batch = sequence.shape[1 : sequence.ndim - len(self.position_shape)]
        values = sequence[:-1].reshape(len(sequence) - 1, *batch, self.embed.in_features)
        embedded = self.embed(jnp.moveaxis(values, 0, len(batch)))
        start = self.start[...].astype(embedded.dtype)
        start = jnp.broadcast_to(start, (*embedded.shape[:-2], 1, len(start)))
        return places + jnp.concatenate([start, embedded], axis=-2)

    def __call__(
        self, x: Array, context: Context = None, order: Order = None, *, key: Key = None
    ) -> Array:
        order = self.resolve_order(order)
        places, angles = self._places(order, context)
        h = self._tokens(self.to_sequence(x, order), places)
        params = self.last(self.transformer(h, self._causal(), angles, key=key))
        return self.from_sequence(jnp.moveaxis(params, -2, 0), order, params=True)

    def _causal(self) -> Array:
        return jnp.tri(self.num_positions, dtype=bool)

    def init_cache(self, batch: Shape, context: Context = None, order: Order = None) -> Cache:
        order = self.resolve_order(order)
        places, angles = self._places(order, context)
        fixed = {"places": places, "angles": angles, "blocks": self.transformer.unstacked()}
        return Cache(fixed, self.transformer.empty(batch, self.num_positions))

    def step(self, cache: Cache, t: Array, x_previous: Array) -> tuple[Array, Cache]:
        params, cache = self.several(cache, t, x_previous[None])
        return params[0], cache

    def several(self, cache: Cache, t: Array, previous: Array) -> tuple[Array, Cache]:
        fixed, start, n = cache.fixed, self.start[...], len(previous)

        def of_steps(rows: Array) -> Array:
            return jax.lax.dynamic_slice_in_dim(rows, t, n, axis=-2)

        batch = previous.shape[1 : previous.ndim - len(self.position_shape)]
        values = previous.reshape(n, *batch, self.embed.in_features).astype(start.dtype)
        embedded = jnp.moveaxis(self.embed(values), 0, len(batch))
        after_another = (t + jnp.arange(n) > 0)[:, None]
        h = jnp.where(after_another, embedded, start) + of_steps(fixed["places"])
        angles = fixed["angles"] and tuple(map(of_steps, fixed["angles"]))
        h, stored = self.transformer.steps(h, fixed["blocks"], cache.state, t, angles)
        return jnp.moveaxis(self.last(h), -2, 0), Cache(fixed, stored)

    def prefill(self, x: Array, n: int, context: Context = None, order: Order = None) -> Cache:
        order = self.resolve_order(order)
        batch = x.shape[: x.ndim - len(self.event_shape)]
        fixed, _ = self.init_cache(batch, context, order)
        # Tokens from step n on are stored too; they are masked, and replaced when their turn comes.
        sequence = self.to_sequence(x, order).astype(self.start[...].dtype)
        h = self._tokens(sequence, fixed["places"])
        return Cache(fixed, self.transformer.keys_and_values(h, self._causal(), fixed["angles"]))


def _after_nothing(rows: Array) -> Array:
    """Rows shifted by one step; zeros, for no position, come first."""
    return jnp.concatenate([jnp.zeros_like(rows[:1]), rows[:-1]])
