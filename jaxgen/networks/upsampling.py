"""A map of features over a large image from a small one."""

import jax.numpy as jnp
from flax import nnx
from jax import Array

from jaxgen.core import Module, Shape, checked_arguments
from jaxgen.networks.conv_resnet import ConvResNet


class Upsampling(Module):
    """A small image with every pixel repeated ``f x f`` times, through a :class:`ConvResNet`.

    With it :class:`~jaxgen.models.Embedded` makes a small image the context of a model of a large
    one.

    Args:
        input_shape: ``(height, width, channels)`` of the small image.
        factor: ``f``.
        out_features: features of every pixel of the large image.
        width, num_blocks, kernel_size: of the :class:`ConvResNet`.
        rngs: where the initial weights come from.

    >>> net = Upsampling((2, 3, 1), 2, 5, width=4, num_blocks=1, rngs=nnx.Rngs(0))
    >>> net(jnp.ones((7, 2, 3, 1))).shape
    (7, 4, 6, 5)
    """

    @checked_arguments
    def __init__(
        self,
        input_shape: Shape,
        factor: int,
        out_features: int,
        *,
        width: int = 64,
        num_blocks: int = 2,
        kernel_size: int = 3,
        rngs: nnx.Rngs,
    ):
        self.input_shape = tuple(input_shape)
        self.factor = factor
        self.network = ConvResNet(
            self.input_shape[-1],
            out_features,
            width=width,
            num_blocks=num_blocks,
            kernel_size=kernel_size,
            rngs=rngs,
        )

    def __call__(self, image: Array) -> Array:
        """``(*batch, *input_shape)`` to ``(*batch, f * height, f * width, out_features)``."""
        for axis in (-3, -2):
            image = jnp.repeat(image, self.factor, axis=axis)
        return self.network(image)
