r"""The transformer (Vaswani et al., 2017), pre-norm, with or without a causal order.

.. math:: h \leftarrow h + W_o\,\mathrm{attention}(\mathrm{norm}(h)), \qquad
          h \leftarrow h + W_2\,\mathrm{gelu}(W_1\,\mathrm{norm}(h)).

Blocks of one kind are stacked along a leading axis and run by ``jax.lax.scan``, so a pass over all
tokens compiles one block whatever the depth. The same weights run one token at a time against
stored keys and values (:meth:`Transformer.steps`); there the blocks are unrolled, because a scan
over them would copy every weight and every stored key at every step.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array

from jaxgen.core import (
    Key,
    Module,
    Shape,
    ShapeError,
    checked_arguments,
    float_dtype,
    program,
    rngs_from,
    split_key,
)
from jaxgen.networks.blocks import dropout

# What a masked score becomes: its exponential is exactly 0 beside any score that occurs, and it is
# finite, so that no row of a softmax and no gradient can be NaN.
_MASKED = -1e30

KeysValues = tuple[Array, Array]


def attend(queries: Array, keys: Array, values: Array, mask: Array | None = None) -> Array:
    """Scaled dot-product attention, its softmax in float32 or better.

    Args:
        queries: ``(*batch, heads, tokens, size)``.
        keys, values: ``(*batch, heads, others, size)``.
        mask: ``(tokens, others)``, True where a token may look; None for everywhere.

    >>> one = jnp.ones((1, 1, 2))
    >>> attend(one, one, 3 * one).tolist()  # there is one token to look at
    [[[3.0, 3.0]]]
    """
    queries = queries / math.sqrt(queries.shape[-1])
    scores = jnp.einsum("...qd,...kd->...qk", queries, keys)
    scores = scores.astype(float_dtype(scores.dtype))
    if mask is not None:
        scores = jnp.where(mask, scores, _MASKED)
    weights = jax.nn.softmax(scores, axis=-1).astype(values.dtype)
    return jnp.einsum("...qk,...kd->...qd", weights, values)


# Rotary angles of the tokens as they ask and as they are looked at; None rotates nothing.
Angles = tuple[Array, Array] | None


def rotary_angles(grid_shape: Shape, head_size: int) -> Array:
    """Angles ``(N, head_size / 2)`` of the positions of a grid (Su et al. 2021).

    Each axis of the grid gets an equal share of the pairs of a head's entries, with frequencies
    from 1 down to nearly 1/10000.

    Raises:
        ShapeError: if the head's size is not divisible by twice the number of axes.

    >>> rotary_angles((2, 3), 4).tolist()  # row and column
    [[0.0, 0.0], [0.0, 1.0], [0.0, 2.0], [1.0, 0.0], [1.0, 1.0], [1.0, 2.0]]
    """
    pairs, rest = divmod(head_size, 2 * len(grid_shape))
    if rest:
        raise ShapeError(
            f"rotary positions on a grid of {len(grid_shape)} axes: expected heads of a size "
            f"divisible by {2 * len(grid_shape)}, got {head_size}; change width or heads"
        )
    coordinates = np.indices(grid_shape).reshape(len(grid_shape), -1)
    frequencies = 10000.0 ** (-np.arange(pairs) / pairs)
    angles = coordinates[:, :, None] * frequencies
    return jnp.asarray(np.concatenate(list(angles), axis=-1))


def rotate(x: Array, angles: Array) -> Array:
    """Rotates pairs of entries of ``(..., tokens, size)`` by ``(tokens, size / 2)`` angles.

    The product of a rotated query and a rotated key depends on the difference of their angles.
    """
    first, second = jnp.split(x, 2, axis=-1)
    cos, sin = jnp.cos(angles).astype(x.dtype), jnp.sin(angles).astype(x.dtype)
    return jnp.concatenate([first * cos - second * sin, second * cos + first * sin], axis=-1)


class TransformerBlock(Module):
    """Attention and a two-layer network, each on the normalised tokens and added to them.

    Args:
        width: the size of a token.
        heads: how many attention heads share it.
        mlp_ratio: the inner width of the two-layer network, in units of ``width``.
        dropout: rate on what is added to the tokens, in effect when a key is given.
        rngs: where the initial weights come from.

    Raises:
        ValueError: if the heads do not divide the width.

    >>> TransformerBlock(8, heads=2, rngs=nnx.Rngs(0))(jnp.ones((3, 5, 8))).shape
    (3, 5, 8)
    """

    @checked_arguments
    def __init__(
        self, width: int, *, heads: int, mlp_ratio: int = 4, dropout: float = 0.0, rngs: nnx.Rngs
    ):
        if width % heads:
            raise ValueError(f"expected heads that divide the width {width}, got {heads}")
        self.heads = heads
        self.dropout = dropout
        self.norm_attention = _norm(width, rngs)
        self.qkv = nnx.Linear(width, 3 * width, rngs=rngs)
        self.out = nnx.Linear(width, width, rngs=rngs)
        self.norm_mlp = _norm(width, rngs)
        self.up = nnx.Linear(width, mlp_ratio * width, rngs=rngs)
        self.down = nnx.Linear(mlp_ratio * width, width, rngs=rngs)

    def queries_keys_values(self, h: Array, angles: Angles = None) -> tuple[Array, Array, Array]:
        """Of tokens ``(*batch, tokens, width)``, each ``(*batch, heads, tokens, size)``.

        ``angles`` are those of the queries and of the keys; None rotates nothing.
        """
        mixed = self.qkv(self.norm_attention(h))
        mixed = mixed.reshape(*h.shape[:-1], 3, self.heads, h.shape[-1] // self.heads)
        queries, keys, values = jnp.moveaxis(mixed, (-3, -4), (0, -2))
        if angles is not None:
            queries, keys = rotate(queries, angles[0]), rotate(keys, angles[1])
        return queries, keys, values

    def finish(self, h: Array, attended: Array, key: Key = None) -> Array:
        """The tokens after the block, given what their queries found."""
        first, second = split_key(key, 2)
        attended = jnp.swapaxes(attended, -2, -3).reshape(h.shape)
        h = h + dropout(self.out(attended), self.dropout, first)
        hidden = jax.nn.gelu(self.up(self.norm_mlp(h)))
        return h + dropout(self.down(hidden), self.dropout, second)

    @program()
    def __call__(
        self, h: Array, mask: Array | None = None, angles: Angles = None, *, key: Key = None
    ) -> Array:
        """All tokens ``(*batch, tokens, width)`` at once."""
        return self.finish(h, attend(*self.queries_keys_values(h, angles), mask), key)


class Transformer(Module):
    """A stack of :class:`TransformerBlock` and a last normalisation.

    Args:
        width, heads, mlp_ratio, dropout: see :class:`TransformerBlock`.
        depth: the number of blocks.
        rngs: where the initial weights come from.

    >>> Transformer(8, depth=3, heads=2, rngs=nnx.Rngs(0))(jnp.ones((5, 8))).shape
    (5, 8)
    """

    stacked = ("blocks",)  # along a leading axis, see jaxgen.summary

    @checked_arguments
    def __init__(
        self,
        width: int,
        *,
        depth: int,
        heads: int,
        mlp_ratio: int = 4,
        dropout: float = 0.0,
        rngs: nnx.Rngs,
    ):
        def block(key: Array) -> TransformerBlock:
            return TransformerBlock(
                width, heads=heads, mlp_ratio=mlp_ratio, dropout=dropout, rngs=rngs_from(key)
            )

        self.blocks = jax.vmap(block)(jax.random.split(rngs.params(), depth))
        self.norm = _norm(width, rngs)
        self.width = width
        self.depth = depth
        self.heads = heads
        self.remat = False  # see jaxgen.rematerialize

    def __call__(
        self, h: Array, mask: Array | None = None, angles: Angles = None, *, key: Key = None
    ) -> Array:
        """All tokens ``(*batch, tokens, width)`` at once.

        Args:
            h: the tokens.
            mask: ``(tokens, tokens)``, True where a token (row) may look at another (column).
            angles: rotary angles of the tokens as they ask and as they are looked at.
            key: turns dropout on; None means evaluation.
        """

        def body(h: Array, inputs: tuple[TransformerBlock, Array | None]) -> tuple[Array, None]:
            block, block_key = inputs
            return block(h, mask, angles, key=block_key), None

        if self.remat:
            body = jax.checkpoint(body, prevent_cse=False)  # a loop keeps the copies apart
        keys = None if key is None else jax.random.split(key, self.depth)
        return self.norm(jax.lax.scan(body, h, (self.blocks, keys))[0])

    def keys_and_values(
        self, h: Array, mask: Array | None = None, angles: Angles = None
    ) -> tuple[KeysValues, ...]:
        """What every block stores of the tokens: the pass of :meth:`__call__`, for the storage."""

        def body(h: Array, block: TransformerBlock) -> tuple[Array, KeysValues]:
            queries, keys, values = block.queries_keys_values(h, angles)
            return block.finish(h, attend(queries, keys, values, mask)), (keys, values)

        keys, values = jax.lax.scan(body, h, self.blocks)[1]
        return tuple((keys[i], values[i]) for i in range(self.depth))

    def empty(self, batch: Shape, length: int) -> tuple[KeysValues, ...]:
        """Room for the keys and values of ``length`` tokens, of every block."""
        shape = (*batch, self.heads, length, self.width // self.heads)
        zeros = jnp.zeros(shape, self.blocks.qkv.dtype or self.blocks.qkv.kernel[...].dtype)
        return ((zeros, zeros),) * self.depth

    def unstacked(self) -> tuple[TransformerBlock, ...]:
        """The blocks one by one, as :meth:`steps` wants them."""
        return tuple(
            jax.tree.map(lambda leaf, i=i: leaf[i], self.blocks) for i in range(self.depth)
        )

    def steps(
        self,
        h: Array,
        blocks: tuple[TransformerBlock, ...],
        stored: tuple[KeysValues, ...],
        t: Array,
        angles: Angles = None,
    ) -> tuple[Array, tuple[KeysValues, ...]]:
        """The tokens ``(*batch, n, width)`` from ``t`` on, which see those stored before them.

        They attend to all the room there is, masked behind each: as many floating-point operations
        as tokens of the full masked pass.
        """
        new = []
        for block, (keys, values) in zip(blocks, stored, strict=True):
            query, key, value = block.queries_keys_values(h, angles)
            keys = _write(keys, key, t)
            values = _write(values, value, t)
            times = t + jnp.arange(h.shape[-2])
            seen = jnp.arange(keys.shape[-2]) <= times[:, None]
            h = block.finish(h, attend(query, keys, values, seen))
            new.append((keys, values))
        return self.norm(h), tuple(new)


def _write(stored: Array, rows: Array, t: Array) -> Array:
    return jax.lax.dynamic_update_slice_in_dim(stored, rows.astype(stored.dtype), t, axis=-2)


def _norm(width: int, rngs: nnx.Rngs) -> nnx.LayerNorm:
    # The fast variance, a difference of two means, loses digits where the mean is large.
    return nnx.LayerNorm(width, use_fast_variance=False, rngs=rngs)
