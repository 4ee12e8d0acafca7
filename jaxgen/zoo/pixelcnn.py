r"""PixelCNN (van den Oord, Kalchbrenner and Kavukcuoglu 2016).

.. math:: \log p(x) = \sum_i \sum_c \log p\left(x_{ic} \mid x_{<i}, x_{i,<c}\right),

pixel by pixel in raster order and channel by channel, by masked convolutions (see
:mod:`jaxgen.conditionals.pixelcnn`); the paper's head is categorical.
"""

from flax import nnx

from jaxgen.conditionals import PixelCNN
from jaxgen.core import Shape
from jaxgen.models import Autoregressive
from jaxgen.zoo.heads import head_of
from jaxgen.zoo.registry import constructor


@constructor
def pixelcnn(
    event_shape: Shape,
    *,
    levels: int | None = 256,
    components: int | None = None,
    inputs: str | None = None,
    width: int = 64,
    depth: int = 7,
    first_size: int = 7,
    kernel_size: int = 3,
    out_width: int = 64,
    dropout: float = 0.0,
    context_features: int | None = None,
    rngs: nnx.Rngs,
) -> Autoregressive:
    """Masked convolutions over an image.

    Args:
        event_shape: ``(height, width, channels)``.
        width: features of each channel.
        depth: residual blocks.
        out_width: features of each channel in the last layer but one.
        dropout: rate in the blocks while training.

    >>> import jax.numpy as jnp
    >>> model = pixelcnn((4, 4, 1), levels=2, width=4, depth=1, rngs=nnx.Rngs(0))
    >>> round(float(model.log_prob(jnp.zeros((4, 4, 1), int))), 4)  # sixteen fair coins at first
    -11.0904
    """
    likelihood = head_of(event_shape, levels, components, inputs)
    conditional = PixelCNN(
        event_shape,
        likelihood.num_params(()),
        width=width,
        depth=depth,
        first_size=first_size,
        kernel_size=kernel_size,
        out_width=out_width,
        context_features=context_features,
        dropout=dropout,
        position_shape=likelihood.input_shape(()),
        rngs=rngs,
    )
    return Autoregressive(conditional, likelihood)
