"""The networks of a very deep VAE (Child, 2021): features up, and a state down, all resolutions.

On the way up, an image is halved by the means of 2 x 2 pixels; on the way down, the state of a
pixel goes to the 2 x 2 below it (nearest neighbours), to which a learnt map is added. An odd side
is rounded up, so that any image ends in one pixel. In between there are residual bottlenecks, each
of which starts at zero. Where a side has no more than two pixels, all convolutions are 1 x 1.
"""

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
from flax import nnx
from jax import Array

from jaxgen.core import (
    Context,
    Key,
    Module,
    Shape,
    ShapeError,
    check_event,
    checked_arguments,
    split_key,
)
from jaxgen.networks.blocks import (
    activation,
    check_activation,
    conv,
    dropout,
    shape_of_context,
    spread_context,
)

Grid = tuple[int, int]


class Bottleneck(Module):
    """Four convolutions, each behind an activation: 1 x 1 to a quarter, twice 3 x 3, 1 x 1 to all.

    The last one starts at zero.

    Args:
        in_features, out_features: channels.
        grid: the image's height and width.
        activation: see :class:`~jaxgen.networks.MLP`.
        dropout: rate, in effect when a key is given.
        rngs: where the initial weights come from.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        grid: Grid,
        *,
        activation: str,
        dropout: float,
        rngs: nnx.Rngs,
    ):
        check_activation(activation)
        width, size = max(1, in_features // 4), _window(grid)
        self.convolutions = nnx.List(
            [
                conv(in_features, width, 1, rngs=rngs),
                conv(width, width, size, rngs=rngs),
                conv(width, width, size, rngs=rngs),
                conv(width, out_features, 1, zero=True, rngs=rngs),
            ]
        )
        self.activation, self.dropout = activation, dropout

    def __call__(self, h: Array, *, key: Key = None) -> Array:
        """``(*batch, *grid, in_features)`` to ``(*batch, *grid, out_features)``."""
        act = activation(self.activation)
        *others, last = self.convolutions
        for convolution in others:
            h = convolution(act(h))
        return last(dropout(act(h), self.dropout, key))


class FeaturePyramid(Module):
    """What every layer of latents is told of an image: features at the layer's resolution.

    Args:
        input_shape: ``(height, width, channels)``.
        blocks: how many layers of latents there are at every resolution, from the image's own, each
            half the one before.
        width: features.
        num_blocks: residual blocks at every resolution.
        activation, dropout: of the blocks.
        context_features: the size of a context vector, which every pixel sees; None for none.
        rngs: where the initial weights come from.

    Raises:
        ShapeError: if there are more resolutions than the image has.

    >>> net = FeaturePyramid((4, 4, 1), (0, 2, 1), width=8, rngs=nnx.Rngs(0))
    >>> [features.shape for features in net(jnp.ones((5, 4, 4, 1)))]
    [(5, 1, 1, 8), (5, 2, 2, 8), (5, 2, 2, 8)]
    """

    @checked_arguments
    def __init__(
        self,
        input_shape: Shape,
        blocks: Sequence[int],
        *,
        width: int = 64,
        num_blocks: int = 1,
        activation: str = "gelu",
        dropout: float = 0.0,
        context_features: int | None = None,
        rngs: nnx.Rngs,
    ):
        self.input_shape = check_event(input_shape, (3,), "FeaturePyramid")
        self.context_shape = shape_of_context(context_features)
        self.layers = tuple(blocks)
        grids = resolutions(self.input_shape, len(blocks))
        features = self.input_shape[-1] + (context_features or 0)
        self.first = conv(features, width, _window(grids[0]), rngs=rngs)
        options: dict[str, Any] = {"activation": activation, "dropout": dropout, "rngs": rngs}
        self.stages = nnx.List(
            nnx.List(Bottleneck(width, width, grid, **options) for _ in range(num_blocks))
            for grid in grids
        )

    def __call__(self, x: Array, context: Context = None, *, key: Key = None) -> list[Array]:
        """``(*batch, *input_shape)`` to an array for each layer, the smallest resolution first."""
        if self.context_shape is not None and context is not None:
            every = spread_context(context, self.context_shape)
            every = jnp.broadcast_to(every, (*x.shape[:-1], every.shape[-1]))
            x = jnp.concatenate([x, every], axis=-1)
        h, features = self.first(x), list[Array]()
        stages = zip(self.stages, self.layers, split_key(key, len(self.stages)), strict=True)
        for index, (blocks, layers, stage_key) in enumerate(stages):
            h = _halved(h) if index else h
            for block, block_key in zip(blocks, split_key(stage_key, len(blocks)), strict=True):
                h = h + block(h, key=block_key)
            features += [h] * layers
        return features[::-1]


class FirstState(Module):
    """A learnt state, to which a linear map of the context, if there is one, adds at every pixel.

    Args:
        output_shape: ``(height, width, channels)``.
        context_features: the size of a context vector; None for none.
        rngs: where the initial weights come from.

    >>> FirstState((1, 1, 8), context_features=3, rngs=nnx.Rngs(0))(jnp.ones((5, 3))).shape
    (5, 1, 1, 8)
    """

    @checked_arguments
    def __init__(self, output_shape: Shape, *, context_features: int | None = None, rngs: nnx.Rngs):
        height, width, channels = check_event(output_shape, (3,), "FirstState")
        self.context_shape = shape_of_context(context_features)
        self.state = nnx.Param(jnp.zeros((height, width, channels)))
        linear = context_features and nnx.Linear(
            context_features, channels, use_bias=False, rngs=rngs
        )
        self.linear = linear or None

    def __call__(self, context: Context = None) -> Array:
        """``(*batch, context_features)`` to ``(*batch, *output_shape)``; without one, no batch."""
        if self.linear is None or context is None:
            return self.state[...]
        return self.state[...] + self.linear(context)[..., None, None, :]


class Update(Module):
    """The state behind a layer of latents, from the one before it and the latents.

    .. math:: h' = h + W z, \\qquad h'' = h' + f(h'),

    with a :class:`Bottleneck` for ``f``, doubled for every resolution until that of the next layer.

    Args:
        grids: height and width at the layer, then at every larger resolution until the next.
        in_features: latents of a pixel.
        width: features of the state.
        num_layers: of the hierarchy; the variance of ``W z`` is that of the latents divided by it.
        activation, dropout: of ``f``.
        rngs: where the initial weights come from.

    >>> update = Update([(2, 2), (3, 4)], 2, width=8, num_layers=5, rngs=nnx.Rngs(0))
    >>> update(jnp.ones((7, 2, 2, 8)), jnp.ones((7, 2, 2, 2))).shape
    (7, 3, 4, 8)
    """

    @checked_arguments
    def __init__(
        self,
        grids: Sequence[Grid],
        in_features: int,
        *,
        width: int,
        num_layers: int,
        activation: str = "gelu",
        dropout: float = 0.0,
        rngs: nnx.Rngs,
    ):
        init = nnx.initializers.variance_scaling(1.0 / num_layers, "fan_in", "truncated_normal")
        self.insert = nnx.Linear(in_features, width, kernel_init=init, rngs=rngs)
        options: dict[str, Any] = {"activation": activation, "dropout": dropout, "rngs": rngs}
        self.block = Bottleneck(width, width, grids[0], **options)
        self.added = nnx.List(nnx.Param(jnp.zeros((*grid, width))) for grid in grids[1:])

    def __call__(self, h: Array, z: Array, *, key: Key = None) -> Array:
        """States ``(*batch, *grids[0], width)`` to ``(*batch, *grids[-1], width)``."""
        h = h + self.insert(z)
        h = h + self.block(h, key=key)
        for added in self.added:
            height, width, _ = added.shape
            h = jnp.repeat(jnp.repeat(h, 2, axis=-3), 2, axis=-2)[..., :height, :width, :] + added
        return h


class Readout(Module):
    """Features of every pixel from the last state: a residual block, and a convolution.

    Args:
        input_shape: ``(height, width, channels)`` of the state.
        out_features: of every pixel.
        activation, dropout: of the block.
        rngs: where the initial weights come from.

    >>> Readout((4, 4, 8), 2, rngs=nnx.Rngs(0))(jnp.ones((5, 4, 4, 8))).shape
    (5, 4, 4, 2)
    """

    @checked_arguments
    def __init__(
        self,
        input_shape: Shape,
        out_features: int,
        *,
        activation: str = "gelu",
        dropout: float = 0.0,
        rngs: nnx.Rngs,
    ):
        height, columns, width = check_event(input_shape, (3,), "Readout")
        options: dict[str, Any] = {"activation": activation, "dropout": dropout, "rngs": rngs}
        self.block = Bottleneck(width, width, (height, columns), **options)
        self.last = conv(width, out_features, _window((height, columns)), zero=True, rngs=rngs)

    def __call__(self, h: Array, *, key: Key = None) -> Array:
        """``(*batch, *input_shape)`` to ``(*batch, height, width, out_features)``."""
        h = h + self.block(h, key=key)
        return self.last(activation(self.block.activation)(h))


def resolutions(shape: Shape, count: int) -> list[Grid]:
    """Height and width of an image, halved and rounded up again and again; ``count`` of them.

    Raises:
        ShapeError: if the last of them has been one pixel before.

    >>> resolutions((28, 28, 1), 6)
    [(28, 28), (14, 14), (7, 7), (4, 4), (2, 2), (1, 1)]
    """
    grids = [(shape[0], shape[1])]
    while max(grids[-1]) > 1:
        grids.append(((grids[-1][0] + 1) // 2, (grids[-1][1] + 1) // 2))
    if not 0 < count <= len(grids):
        raise ShapeError(
            f"expected from 1 to {len(grids)} resolutions of {shape[0]} x {shape[1]} pixels, each "
            f"half the one before, got {count}"
        )
    return grids[:count]


def _window(grid: Grid) -> int:
    """The side of a convolution's window."""
    return 3 if min(grid) > 2 else 1


def _halved(h: Array) -> Array:
    """The means of 2 x 2 pixels; at the end of an odd side, of those that there are."""
    odd = [(0, 0)] * (h.ndim - 3) + [(0, h.shape[-3] % 2), (0, h.shape[-2] % 2), (0, 0)]
    h = jnp.pad(h, odd, mode="edge")
    *batch, height, width, features = h.shape
    return h.reshape(*batch, height // 2, 2, width // 2, 2, features).mean(axis=(-4, -2))
