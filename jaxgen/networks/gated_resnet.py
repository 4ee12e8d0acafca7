r"""The network of Flow++ (Ho et al. 2019, section 3.3): gated convolutions and self-attention.

A block takes the image ``h``, with :math:`\phi` the concatenated ELU, to

.. math::
    (a, b) &= W_2\, \phi(W_1 * \phi(h) + W_c\, \phi(c)), \qquad
    h \leftarrow \mathrm{norm}(h + a\, \sigma(b)), \\
    (a, b) &= W_4\, \mathrm{attention}(W_3 (h + p)), \qquad
    h \leftarrow \mathrm{norm}(h + a\, \sigma(b)),

where ``c`` is a context, ``p`` a learned position that all blocks share, and the norm is that of
the channels of a pixel. ``W_1`` is a 3 x 3 convolution, the other ones act on single pixels.

Deviations: no data-dependent start (``W_2`` and ``W_4`` start ten times smaller than usual, which
is what it is for), and the last convolution starts at zero instead of near it. The blocks are
stacked along a leading axis and run by ``jax.lax.scan``, so one is compiled, whatever their number.
"""

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array

from jaxgen.core import (
    Context,
    Key,
    Module,
    ShapeError,
    checked_arguments,
    program,
    rngs_from,
    split_key,
)
from jaxgen.networks.blocks import (
    concat_elu,
    conv,
    dropout,
    shape_of_context,
    spread_context,
)
from jaxgen.networks.transformer import attend

_SMALL = nnx.initializers.variance_scaling(0.01, "fan_in", "truncated_normal")


def _gate(x: Array) -> Array:
    value, gate = jnp.split(x, 2, axis=-1)
    return value * jax.nn.sigmoid(gate)


class _Block(Module):
    """A gated convolution and, if ``heads`` is not None, gated self-attention."""

    def __init__(
        self,
        width: int,
        heads: int | None,
        context_features: int | None,
        dropout: float,
        rngs: nnx.Rngs,
    ):
        self.heads = heads
        self.dropout = dropout
        self.conv = conv(2 * width, width, 3, rngs=rngs)
        self.project = (
            None if context_features is None else nnx.Linear(2 * context_features, width, rngs=rngs)
        )
        self.gate = nnx.Linear(2 * width, 2 * width, kernel_init=_SMALL, rngs=rngs)
        self.norm = nnx.LayerNorm(width, use_fast_variance=False, rngs=rngs)
        if heads is not None:
            self.qkv = nnx.Linear(width, 3 * width, rngs=rngs)
            self.out = nnx.Linear(width, 2 * width, kernel_init=_SMALL, rngs=rngs)
            self.norm_attention = nnx.LayerNorm(width, use_fast_variance=False, rngs=rngs)

    def __call__(self, h: Array, context: Context, positions: Array | None, key: Key) -> Array:
        conv_key, attention_key = split_key(key, 2)
        inner = self.conv(concat_elu(h))
        if self.project is not None and context is not None:
            inner = inner + self.project(concat_elu(context)).astype(inner.dtype)
        inner = dropout(concat_elu(inner), self.dropout, conv_key)
        h = self.norm(h + _gate(self.gate(inner)))
        if self.heads is None or positions is None:
            return h
        attended = dropout(self._attend(h + positions), self.dropout, attention_key)
        return self.norm_attention(h + _gate(self.out(attended)))

    def _attend(self, h: Array) -> Array:
        *batch, height, width, features = h.shape
        assert self.heads is not None
        mixed = self.qkv(h).reshape(*batch, height * width, 3, self.heads, features // self.heads)
        attended = attend(*jnp.moveaxis(mixed, (-3, -2), (0, -3)))
        return jnp.swapaxes(attended, -2, -3).reshape(h.shape)


class GatedResNet(Module):
    """A 3 x 3 convolution, blocks of gated convolution and self-attention, a zero convolution.

    Args:
        in_features, out_features: channels.
        grid_shape: ``(height, width)`` of the images, for the learned positions of the attention;
            without attention None will do.
        width: channels inside.
        num_blocks: how many blocks.
        heads: attention heads, a divisor of ``width``.
        attention: False leaves the attention out. It costs ``(height * width)^2``.
        context_features: the channels of a context; it is projected and added in every block.
        context_grid: ``(height, width)`` of a context that is an image; None for a vector, which
            every pixel sees.
        dropout: rate, in effect when a key is given.
        rngs: where the initial weights come from.

    Raises:
        ValueError: if the heads do not divide the width, or attention has no ``grid_shape``.

    >>> net = GatedResNet(
    ...     1, 4, grid_shape=(6, 6), width=8, num_blocks=2, heads=2, rngs=nnx.Rngs(0)
    ... )
    >>> net(jnp.ones((2, 6, 6, 1))).shape
    (2, 6, 6, 4)
    """

    stacked = ("blocks",)  # along a leading axis, see jaxgen.summary

    @checked_arguments
    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        grid_shape: tuple[int, int] | None = None,
        width: int = 96,
        num_blocks: int = 10,
        heads: int = 4,
        attention: bool = True,
        context_features: int | None = None,
        context_grid: tuple[int, int] | None = None,
        dropout: float = 0.0,
        rngs: nnx.Rngs,
    ):
        if num_blocks < 1:
            raise ValueError(f"GatedResNet: expected at least one block, got {num_blocks}")
        if attention and width % heads:
            raise ValueError(
                f"GatedResNet: expected heads that divide the width {width}, got {heads}"
            )
        if attention and grid_shape is None:
            raise ValueError(
                "GatedResNet: attention has a learned position for every pixel; pass grid_shape, "
                "or attention=False"
            )

        def block(key: Array) -> _Block:
            return _Block(
                width, heads if attention else None, context_features, dropout, rngs_from(key)
            )

        self.first = conv(in_features, width, 3, rngs=rngs)
        self.blocks = jax.vmap(block)(jax.random.split(rngs.params(), num_blocks))
        self.num_blocks = num_blocks
        self.positions = (
            nnx.Param(0.01 * jax.random.normal(rngs.params(), (*grid_shape, width)))
            if attention and grid_shape is not None
            else None
        )
        self.last = conv(2 * width, out_features, 3, zero=True, rngs=rngs)
        self.context_shape = shape_of_context(context_features, context_grid)

    @program()
    def __call__(self, x: Array, context: Context = None, *, key: Key = None) -> Array:
        """``(*batch, height, width, in_features)`` to the same with ``out_features``."""
        if self.positions is not None and x.shape[-3:-1] != self.positions.shape[:2]:
            raise ShapeError(
                f"GatedResNet: it has positions for images of {self.positions.shape[:2]} pixels, "
                f"got {x.shape[-3:-1]}"
            )
        spread = None
        if context is not None and self.context_shape is not None:
            spread = spread_context(context, self.context_shape)
        positions = None if self.positions is None else self.positions[...]

        def body(h: Array, inputs: tuple[_Block, Array | None]) -> tuple[Array, None]:
            block, block_key = inputs
            return block(h, spread, positions, block_key), None

        keys = None if key is None else jax.random.split(key, self.num_blocks)
        h, _ = jax.lax.scan(body, self.first(x), (self.blocks, keys), length=self.num_blocks)
        return self.last(concat_elu(h))
