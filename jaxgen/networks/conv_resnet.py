"""A residual convolutional network for images."""

from flax import nnx
from jax import Array

from jaxgen.core import split_key
from jaxgen.networks.blocks import activation, check_hyperparameters, conv, dropout


class ConvResNet(nnx.Module):
    """A ``k x k`` convolution, residual blocks of one convolution each, and a zero convolution.

    Every block is ``h + conv(dropout(act(h)))`` (pre-activation, He et al. 2016), so with one block
    it is the size of Glow's three-layer network.

    Args:
        in_features, out_features: channels.
        width: channels inside.
        num_blocks: residual blocks.
        kernel_size: ``k``, for every convolution.
        activation: see :class:`~jaxgen.networks.MLP`.
        context_features: the size of a context vector; it is projected and added to every pixel.
        dropout: rate, in effect when a key is given.
        rngs: where the initial weights come from.

    >>> import jax.numpy as jnp
    >>> net = ConvResNet(1, 4, width=8, num_blocks=1, rngs=nnx.Rngs(0))
    >>> net(jnp.ones((2, 6, 6, 1))).shape
    (2, 6, 6, 4)
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        width: int = 64,
        num_blocks: int = 2,
        kernel_size: int = 3,
        activation: str = "relu",
        context_features: int | None = None,
        dropout: float = 0.0,
        rngs: nnx.Rngs,
    ):
        check_hyperparameters(activation, dropout, width)
        self.first = conv(in_features, width, kernel_size, rngs=rngs)
        self.blocks = nnx.List(
            conv(width, width, kernel_size, rngs=rngs) for _ in range(num_blocks)
        )
        self.last = conv(width, out_features, kernel_size, zero=True, rngs=rngs)
        self.activation = activation
        self.dropout = dropout
        self.context_shape = None if context_features is None else (context_features,)
        self.project = (
            None if context_features is None else nnx.Linear(context_features, width, rngs=rngs)
        )

    def __call__(
        self, x: Array, context: Array | None = None, *, key: Array | None = None
    ) -> Array:
        """``(*batch, height, width, in_features)`` to the same with ``out_features``."""
        act = activation(self.activation)
        h = self.first(x)
        if self.project is not None and context is not None:
            h = h + self.project(context)[..., None, None, :]
        keys = split_key(key, len(self.blocks))
        for block, block_key in zip(self.blocks, keys, strict=True):
            h = h + block(dropout(act(h), self.dropout, block_key))
        return self.last(act(h))
