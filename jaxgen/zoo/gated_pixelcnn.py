r"""Gated PixelCNN (van den Oord et al. 2016), unconditional or given a class or any vector.

.. math:: \log p(x \mid c) = \sum_i \log p\left(x_i \mid x_{<i}, c\right),

pixel by pixel in raster order, by a vertical and a horizontal stack of gated convolutions (see
:mod:`jaxgen.conditionals.gated_pixelcnn`).
"""

from flax import nnx

from jaxgen.conditionals import GatedPixelCNN
from jaxgen.core import Shape, ShapeError
from jaxgen.likelihoods import for_levels
from jaxgen.models import Autoregressive


def gated_pixelcnn(
    event_shape: Shape,
    *,
    levels: int | None = 256,
    components: int | None = None,
    width: int = 64,
    depth: int = 8,
    first_size: int = 7,
    kernel_size: int = 3,
    out_width: int = 64,
    dropout: float = 0.0,
    context_features: int | None = None,
    rngs: nnx.Rngs,
) -> Autoregressive:
    """Two stacks of gated convolutions over an image.

    Args:
        event_shape: ``(height, width, channels)``; a position is a pixel with its channels.
        levels: 2 for binary data (Bernoulli), more for integer levels (categorical), None for real
            values (normal). Of several channels only a mixture of logistics is coupled; the other
            heads make them independent given the pixels before.
        components: of a mixture for each pixel, of normals for real values and of discretized
            logistics for levels; None for no mixture.
        width: features of each stack.
        depth: layers.
        first_size, kernel_size: the sides of the first windows and of the others'.
        out_width: features of the last layer but one.
        dropout: rate before the last layers while training.
        context_features: the size of a context vector; None for an unconditional model.
        rngs: where the initial weights come from.

    Raises:
        ShapeError: if the event is no image.

    >>> import jax.numpy as jnp
    >>> model = gated_pixelcnn((4, 4, 1), levels=2, width=4, depth=2, rngs=nnx.Rngs(0))
    >>> round(float(model.log_prob(jnp.zeros((4, 4, 1), int))), 4)  # sixteen fair coins at first
    -11.0904
    """
    event_shape = tuple(event_shape)
    if len(event_shape) != 3:
        raise ShapeError(
            f"gated_pixelcnn: expected an image (height, width, channels), got {event_shape}"
        )
    grid, position = event_shape[:2], event_shape[2:]
    likelihood = for_levels(levels, components)
    conditional = GatedPixelCNN(
        grid,
        position,
        likelihood.num_params(position),
        width=width,
        depth=depth,
        first_size=first_size,
        kernel_size=kernel_size,
        out_width=out_width,
        context_features=context_features,
        dropout=dropout,
        rngs=rngs,
    )
    return Autoregressive(conditional, likelihood)
