"""The vision transformer (Dosovitskiy et al., 2021) from tokens to tokens."""

import math

from flax import nnx
from jax import Array

from jaxgen.core import Context, Key, Module, Shape, checked_arguments
from jaxgen.networks.blocks import zero_linear
from jaxgen.networks.transformer import Transformer


class VisionTransformer(Module):
    """A transformer over the tokens of a grid, which all see each other; its last layer is zero.

    Every token is projected, given a learned embedding of its place, and passed through pre-norm
    blocks. Unlike the classifier of the paper it reads tokens, not pixels (a
    :class:`~jaxgen.bijectors.Squeeze` makes patches), and gives one output for every token.

    Args:
        in_features, out_features: the size of a token.
        grid_shape: the grid of the tokens, ``(N,)`` for a sequence.
        width, depth, heads, mlp_ratio: see
            :class:`~jaxgen.networks.transformer.Transformer`.
        context_features: the size of a context vector; it is projected and added to every token.
        dropout: rate in the blocks, in effect when a key is given.
        rngs: where the initial weights come from.

    >>> import jax.numpy as jnp
    >>> sizes = {"width": 8, "depth": 1, "heads": 2}
    >>> vit = VisionTransformer(3, 6, grid_shape=(4, 4), **sizes, rngs=nnx.Rngs(0))
    >>> vit(jnp.ones((2, 4, 4, 3))).shape
    (2, 4, 4, 6)
    """

    @checked_arguments
    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        grid_shape: Shape,
        width: int = 128,
        depth: int = 2,
        heads: int = 4,
        mlp_ratio: int = 4,
        context_features: int | None = None,
        dropout: float = 0.0,
        rngs: nnx.Rngs,
    ):
        self.grid_shape = tuple(grid_shape)
        self.transformer = Transformer(
            width, depth=depth, heads=heads, mlp_ratio=mlp_ratio, dropout=dropout, rngs=rngs
        )
        self.embed = nnx.Linear(in_features, width, rngs=rngs)
        places = nnx.initializers.normal(0.02)
        self.places = nnx.Param(places(rngs.params(), (math.prod(self.grid_shape), width)))
        self.last = zero_linear(width, out_features, rngs=rngs)
        self.context_shape = None if context_features is None else (context_features,)
        self.project = (
            None if context_features is None else nnx.Linear(context_features, width, rngs=rngs)
        )

    def __call__(self, x: Array, context: Context = None, *, key: Key = None) -> Array:
        """``(*batch, *grid_shape, in_features)`` to the same with ``out_features``."""
        batch = x.shape[: x.ndim - 1 - len(self.grid_shape)]
        places = self.places[...]
        h = self.embed(x.reshape(*batch, len(places), x.shape[-1])) + places
        if self.project is not None and context is not None:
            h = h + self.project(context)[..., None, :]
        h = self.last(self.transformer(h, key=key))
        return h.reshape(*batch, *self.grid_shape, h.shape[-1])
