"""Convolutional networks for images, residual or plain."""

from functools import partial

from flax import nnx
from jax import Array

from jaxgen.core import Context, Key, Module, checked_arguments, split_key
from jaxgen.networks.blocks import (
    activation,
    check_activation,
    conv,
    dropout,
    shape_of_context,
    spread_context,
)


class ConvResNet(Module):
    """A ``k x k`` convolution, residual blocks of one convolution each, and a zero convolution.

    Every block is ``h + conv(dropout(act(h)))`` (pre-activation, He et al. 2016). Without the sums,
    and with one block of size 1, it is Glow's network of three layers.

    Args:
        in_features, out_features: channels.
        width: channels inside.
        num_blocks: residual blocks.
        kernel_size: ``k``, of the first convolution and the last.
        block_size: of the blocks' convolutions; ``k`` if None.
        residual: False for plain layers, whose inputs are not added to their outputs.
        activation: see :class:`~jaxgen.networks.MLP`.
        context_features: the channels of a context; it is projected and added.
        context_grid: ``(height, width)`` of a context that is an image, like the input; None for a
            vector, which every pixel sees.
        weight_norm: normalises the kernels (:class:`~jaxgen.networks.blocks.WeightNorm`), as
            RealNVP's networks do.
        dropout: rate, in effect when a key is given.
        rngs: where the initial weights come from.

    >>> import jax.numpy as jnp
    >>> net = ConvResNet(1, 4, width=8, num_blocks=1, rngs=nnx.Rngs(0))
    >>> net(jnp.ones((2, 6, 6, 1))).shape
    (2, 6, 6, 4)
    """

    @checked_arguments
    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        width: int = 64,
        num_blocks: int = 2,
        kernel_size: int = 3,
        block_size: int | None = None,
        residual: bool = True,
        activation: str = "relu",
        context_features: int | None = None,
        context_grid: tuple[int, int] | None = None,
        weight_norm: bool = False,
        dropout: float = 0.0,
        rngs: nnx.Rngs,
    ):
        check_activation(activation)

        layer = partial(conv, weight_norm=weight_norm, rngs=rngs)
        size = kernel_size if block_size is None else block_size
        self.first = layer(in_features, width, kernel_size)
        self.blocks = nnx.List(layer(width, width, size) for _ in range(num_blocks))
        self.last = layer(width, out_features, kernel_size, zero=True)
        self.residual = residual
        self.activation = activation
        self.dropout = dropout
        self.context_shape = shape_of_context(context_features, context_grid)
        self.project = (
            None if context_features is None else nnx.Linear(context_features, width, rngs=rngs)
        )

    def __call__(self, x: Array, context: Context = None, *, key: Key = None) -> Array:
        """``(*batch, height, width, in_features)`` to the same with ``out_features``."""
        act = activation(self.activation)
        h = self.first(x)
        if self.project is not None and self.context_shape is not None and context is not None:
            h = h + spread_context(self.project(context), self.context_shape)
        keys = split_key(key, len(self.blocks))
        for block, block_key in zip(self.blocks, keys, strict=True):
            new = block(dropout(act(h), self.dropout, block_key))
            h = h + new if self.residual else new
        return self.last(act(h))
