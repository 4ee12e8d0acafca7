"""Convolutional pyramids: from images to vectors, and from vectors to images.

Heights and widths are halved by moving pixels of 2 x 2 into channels before a convolution of stride
1 (space to depth), and doubled by the way back behind one (sub-pixel convolution, Shi et al. 2016):
each is a strided convolution, of which no pixel is left out, and transposed, without its
checkerboard. At every resolution there are residual blocks of two convolutions (He et al. 2016).
"""

import itertools
import math
from collections.abc import Sequence

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
from jaxgen.functional.rearrange import squeeze, unsqueeze
from jaxgen.networks.blocks import (
    activation,
    check_activation,
    conv,
    dropout,
    shape_of_context,
    spread_context,
    zero_linear,
)


class Residual(Module):
    """``h + conv(dropout(act(conv(act(h)))))``, whose second convolution starts at zero.

    Args:
        width: channels.
        activation: see :class:`~jaxgen.networks.MLP`.
        dropout: rate, in effect when a key is given.
        rngs: where the initial weights come from.
    """

    def __init__(self, width: int, *, activation: str, dropout: float, rngs: nnx.Rngs):
        self.first = conv(width, width, 3, rngs=rngs)
        self.second = conv(width, width, 3, zero=True, rngs=rngs)
        self.activation, self.dropout = activation, dropout

    def __call__(self, h: Array, *, key: Key = None) -> Array:
        act = activation(self.activation)
        new = act(self.first(act(h)))
        return h + self.second(dropout(new, self.dropout, key))


class ConvEncoder(Module):
    """Images to vectors: halvings, each with residual blocks behind it, and a zero linear layer.

    Or to features of every pixel of the last resolution, by a convolution.

    Args:
        input_shape: ``(height, width, channels)``.
        out_features: of the vector, or of every pixel.
        widths: channels at every resolution, half the image's at first, each half the one before.
        blocks: residual blocks at each.
        activation, dropout: of the blocks.
        flat: False for a map in place of a vector.
        context_features: the size of a context vector, which every pixel sees; None for none.
        rngs: where the initial weights come from.

    Raises:
        ShapeError: if height or width cannot be halved as often.

    >>> import jax.numpy as jnp
    >>> net = ConvEncoder((28, 28, 1), 10, widths=(4, 8), blocks=1, rngs=nnx.Rngs(0))
    >>> net(jnp.ones((2, 28, 28, 1))).shape
    (2, 10)
    """

    @checked_arguments
    def __init__(
        self,
        input_shape: Shape,
        out_features: int,
        *,
        widths: Sequence[int] = (32, 64),
        blocks: int = 1,
        activation: str = "elu",
        dropout: float = 0.0,
        flat: bool = True,
        context_features: int | None = None,
        rngs: nnx.Rngs,
    ):
        self.input_shape = check_event(input_shape, (3,), "ConvEncoder")
        self.context_shape = shape_of_context(context_features)
        check_activation(activation)
        height, width = _smallest(self.input_shape, widths, "ConvEncoder")
        channels = (self.input_shape[-1] + (context_features or 0), *widths)
        self.convolutions = nnx.List(
            conv(4 * n, m, 3, rngs=rngs) for n, m in itertools.pairwise(channels)
        )
        self.stages = nnx.List(
            nnx.List(
                Residual(m, activation=activation, dropout=dropout, rngs=rngs)
                for _ in range(blocks)
            )
            for m in widths
        )
        self.last = (
            zero_linear(height * width * widths[-1], out_features, rngs=rngs)
            if flat
            else conv(widths[-1], out_features, 1, rngs=rngs)
        )
        self.activation, self.flat = activation, flat

    def __call__(self, x: Array, context: Context = None, *, key: Key = None) -> Array:
        """``(*batch, height, width, channels)`` to ``(*batch, out_features)``, or a map."""
        keys = split_key(key, len(self.stages))
        h = x
        if self.context_shape is not None and context is not None:
            every = spread_context(context, self.context_shape)
            every = jnp.broadcast_to(every, (*x.shape[:-1], every.shape[-1]))
            h = jnp.concatenate([x, every], axis=-1)
        stages = zip(self.convolutions, self.stages, keys, strict=True)
        for convolution, blocks, stage_key in stages:
            h = convolution(squeeze(h))
            for block, block_key in zip(blocks, split_key(stage_key, len(blocks)), strict=True):
                h = block(h, key=block_key)
        h = activation(self.activation)(h)
        if not self.flat:
            return self.last(h)
        return self.last(h.reshape(*h.shape[:-3], math.prod(h.shape[-3:])))


class ConvDecoder(Module):
    """Vectors to features of every pixel: the way back of :class:`ConvEncoder`.

    Args:
        in_features: of the vector, or of every pixel of a map of the last resolution.
        output_shape: ``(height, width, features)``.
        widths, blocks, activation, dropout, flat: as of the encoder; the first width stands nearest
            to the image here, too.
        rngs: where the initial weights come from.

    Raises:
        ShapeError: if height or width cannot be halved as often.

    >>> import jax.numpy as jnp
    >>> net = ConvDecoder(10, (28, 28, 2), widths=(4, 8), blocks=1, rngs=nnx.Rngs(0))
    >>> net(jnp.ones((2, 10))).shape
    (2, 28, 28, 2)
    """

    @checked_arguments
    def __init__(
        self,
        in_features: int,
        output_shape: Shape,
        *,
        widths: Sequence[int] = (32, 64),
        blocks: int = 1,
        activation: str = "elu",
        dropout: float = 0.0,
        flat: bool = True,
        rngs: nnx.Rngs,
    ):
        self.output_shape = check_event(output_shape, (3,), "ConvDecoder")
        check_activation(activation)
        height, width = _smallest(self.output_shape, widths, "ConvDecoder")
        self.small_shape = (height, width, widths[-1])
        self.input_shape = (in_features,) if flat else (height, width, in_features)
        self.first = (
            nnx.Linear(in_features, math.prod(self.small_shape), rngs=rngs)
            if flat
            else conv(in_features, widths[-1], 1, rngs=rngs)
        )
        upwards = tuple(reversed(widths))
        self.stages = nnx.List(
            nnx.List(
                Residual(m, activation=activation, dropout=dropout, rngs=rngs)
                for _ in range(blocks)
            )
            for m in upwards
        )
        self.convolutions = nnx.List(
            conv(n, 4 * m, 3, rngs=rngs) for n, m in itertools.pairwise(upwards)
        )
        self.last = conv(widths[0], 4 * self.output_shape[-1], 3, zero=True, rngs=rngs)
        self.activation = activation

    def __call__(self, z: Array, *, key: Key = None) -> Array:
        """``(*batch, in_features)`` to ``(*batch, height, width, features)``."""
        act = activation(self.activation)
        keys = split_key(key, len(self.stages))
        batch = z.shape[: z.ndim - len(self.input_shape)]
        h = self.first(z).reshape(*batch, *self.small_shape)
        for index, (blocks, stage_key) in enumerate(zip(self.stages, keys, strict=True)):
            if index:
                h = unsqueeze(self.convolutions[index - 1](act(h)))
            for block, block_key in zip(blocks, split_key(stage_key, len(blocks)), strict=True):
                h = block(h, key=block_key)
        return unsqueeze(self.last(act(h)))


def _smallest(shape: Shape, widths: Sequence[int], where: str) -> tuple[int, int]:
    """Height and width at the last resolution."""
    factor = 2 ** len(widths)
    if not widths:
        raise ShapeError(f"{where}: expected one width or more, got widths=()")
    if shape[0] % factor or shape[1] % factor:
        raise ShapeError(
            f"{where}: expected a height and a width that can be halved once for each of widths="
            f"{tuple(widths)}, got {shape[0]} x {shape[1]}"
        )
    return shape[0] // factor, shape[1] // factor
