"""A residual multilayer perceptron (He et al., 2016; as in neural spline flows, 2019)."""

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array

from jaxgen.core import Context, Key, Module, checked_arguments, split_key
from jaxgen.networks.blocks import activation, check_activation, dropout, zero_linear


class ResidualBlock(Module):
    """``h + gate * W_2 dropout(act(W_1 act(h)))``, where a context, if there is one, sets the gate.

    Args:
        width: the size of ``h``.
        activation: see :class:`~jaxgen.networks.MLP`.
        context_features: the size of a context vector ``c``, for a gate ``sigmoid(V c + b)``; None
            for a gate that is always open.
        dropout: rate before ``W_2``, in effect when a key is given.
        rngs: where the initial weights come from.

    >>> ResidualBlock(4, rngs=nnx.Rngs(0))(jnp.ones((3, 4))).shape
    (3, 4)
    """

    def __init__(
        self,
        width: int,
        *,
        activation: str = "relu",
        context_features: int | None = None,
        dropout: float = 0.0,
        rngs: nnx.Rngs,
    ):
        init = nnx.initializers.he_normal()
        self.first = nnx.Linear(width, width, kernel_init=init, rngs=rngs)
        self.second = nnx.Linear(width, width, kernel_init=init, rngs=rngs)
        self.gate = (
            None if context_features is None else nnx.Linear(context_features, width, rngs=rngs)
        )
        self.activation = activation
        self.dropout = dropout

    def __call__(self, h: Array, context: Context = None, *, key: Key = None) -> Array:
        """``(*batch, width)`` to the same."""
        act = activation(self.activation)
        change = self.second(dropout(act(self.first(act(h))), self.dropout, key))
        if self.gate is not None and context is not None:
            change = change * jax.nn.sigmoid(self.gate(context))
        return h + change


class ResidualMLP(Module):
    """A linear layer, residual blocks of two linear layers each, and a zero layer.

    Args:
        in_features, out_features: sizes of the last axis.
        width: units of every hidden layer.
        num_blocks: how many blocks.
        activation: see :class:`~jaxgen.networks.MLP`.
        context_features: the size of a context vector, concatenated to the input and gating every
            block; None for none.
        dropout: rate inside the blocks, in effect when a key is given.
        rngs: where the initial weights come from.

    >>> ResidualMLP(3, 5, width=8, num_blocks=2, rngs=nnx.Rngs(0))(jnp.ones((4, 3))).shape
    (4, 5)
    """

    @checked_arguments
    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        width: int = 256,
        num_blocks: int = 2,
        activation: str = "relu",
        context_features: int | None = None,
        dropout: float = 0.0,
        rngs: nnx.Rngs,
    ):
        check_activation(activation)
        self.context_shape = None if context_features is None else (context_features,)
        self.first = nnx.Linear(in_features + (context_features or 0), width, rngs=rngs)
        self.blocks = nnx.List(
            ResidualBlock(
                width,
                activation=activation,
                context_features=context_features,
                dropout=dropout,
                rngs=rngs,
            )
            for _ in range(num_blocks)
        )
        self.last = zero_linear(width, out_features, rngs=rngs)

    def __call__(self, x: Array, context: Context = None, *, key: Key = None) -> Array:
        """``(*batch, in_features)`` to ``(*batch, out_features)``."""
        if self.context_shape is not None and context is not None:
            # A context with fewer batch axes serves the whole batch.
            context = jnp.broadcast_to(context, (*x.shape[:-1], context.shape[-1]))
            x = jnp.concatenate([x, context], -1)
        h = self.first(x)
        keys = split_key(key, len(self.blocks))
        for block, block_key in zip(self.blocks, keys, strict=True):
            h = block(h, context, key=block_key)
        return self.last(h)
