"""The multilayer perceptron."""

import itertools
from collections.abc import Sequence

import jax.numpy as jnp
from flax import nnx
from jax import Array

from jaxgen.core import Context, Key, Module, checked_arguments, split_key
from jaxgen.networks.blocks import activation, check_activation, dropout, zero_linear


class MLP(Module):
    """Linear layers with an activation in between; the last one starts at zero.

    Args:
        in_features, out_features: sizes of the last axis.
        hidden: widths of the hidden layers.
        activation: ``"relu"``, ``"gelu"``, ``"silu"``, ``"elu"``, ``"tanh"`` or ``"sigmoid"``.
        context_features: the size of a context vector, concatenated to the input; None for none.
        dropout: rate after every hidden layer, in effect when a key is given.
        rngs: where the initial weights come from.

    >>> MLP(3, 5, hidden=(8, 8), rngs=nnx.Rngs(0))(jnp.ones((4, 3))).shape
    (4, 5)
    """

    @checked_arguments
    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        hidden: Sequence[int] = (64, 64),
        activation: str = "relu",
        context_features: int | None = None,
        dropout: float = 0.0,
        rngs: nnx.Rngs,
    ):
        check_activation(activation)
        widths = (in_features + (context_features or 0), *hidden)
        init = nnx.initializers.he_normal()
        self.layers = nnx.List(
            nnx.Linear(n, m, kernel_init=init, rngs=rngs) for n, m in itertools.pairwise(widths)
        )
        self.last = zero_linear(widths[-1], out_features, rngs=rngs)
        self.activation = activation
        self.dropout = dropout
        self.context_shape = None if context_features is None else (context_features,)

    def __call__(self, x: Array, context: Context = None, *, key: Key = None) -> Array:
        """``(*batch, in_features)`` to ``(*batch, out_features)``."""
        if self.context_shape is not None and context is not None:
            x = jnp.concatenate(
                [x, jnp.broadcast_to(context, (*x.shape[:-1], context.shape[-1]))], -1
            )
        keys = split_key(key, len(self.layers))
        for layer, layer_key in zip(self.layers, keys, strict=True):
            x = dropout(activation(self.activation)(layer(x)), self.dropout, layer_key)
        return self.last(x)
