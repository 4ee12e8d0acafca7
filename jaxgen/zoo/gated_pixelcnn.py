r"""Gated PixelCNN (van den Oord et al. 2016), unconditional or given a class or any vector.

.. math:: \log p(x \mid c) = \sum_i \log p\left(x_i \mid x_{<i}, c\right),

pixel by pixel in raster order, by a vertical and a horizontal stack of gated convolutions (see
:mod:`jaxgen.conditionals.gated_pixelcnn`).
"""

from flax import nnx

from jaxgen.conditionals import GatedPixelCNN
from jaxgen.core import Shape, check_event
from jaxgen.models import Autoregressive
from jaxgen.zoo.heads import head_of
from jaxgen.zoo.registry import constructor


@constructor
def gated_pixelcnn(
    event_shape: Shape,
    *,
    levels: int | None = 256,
    components: int | None = None,
    inputs: str | None = None,
    width: int = 64,
    depth: int = 8,
    first_size: int = 7,
    kernel_size: int = 3,
    out_width: int = 64,
    dropout: float = 0.0,
    context_features: int | None = None,
    context_grid: tuple[int, int] | None = None,
    rngs: nnx.Rngs,
) -> Autoregressive:
    """Two stacks of gated convolutions over an image.

    Args:
        event_shape: ``(height, width, channels)``; a position is a pixel with its channels.
        width: features of each stack.
        depth: layers.
        dropout: rate before the last layers while training.
        context_features: the features of a context; None for an unconditional model.
        context_grid: ``(height, width)`` for a context that is an image; None for a vector.

    Raises:
        ShapeError: if the event is no image.

    >>> import jax.numpy as jnp
    >>> model = gated_pixelcnn((4, 4, 1), levels=2, width=4, depth=2, rngs=nnx.Rngs(0))
    >>> round(float(model.log_prob(jnp.zeros((4, 4, 1), int))), 4)  # sixteen fair coins at first
    -11.0904
    """
    event_shape = check_event(event_shape, (3,), "gated_pixelcnn")
    grid, position = event_shape[:2], event_shape[2:]
    likelihood = head_of(event_shape, levels, components, inputs)
    conditional = GatedPixelCNN(
        grid,
        likelihood.input_shape(position),
        likelihood.num_params(position),
        width=width,
        depth=depth,
        first_size=first_size,
        kernel_size=kernel_size,
        out_width=out_width,
        context_features=context_features,
        context_grid=context_grid,
        dropout=dropout,
        rngs=rngs,
    )
    return Autoregressive(conditional, likelihood)
