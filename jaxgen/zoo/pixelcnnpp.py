r"""PixelCNN++ (Salimans, Karpathy, Chen, Kingma 2017).

.. math:: \log p(x \mid c) = \sum_i \log p\left(x_i \mid x_{<i}, c\right),

pixel by pixel in raster order, by a U-net of two streams of gated ResNet layers (see
:mod:`jaxgen.conditionals.pixelcnnpp`), with a mixture of discretized logistics for each pixel,
whose means move with the channels before (:class:`~jaxgen.likelihoods.DiscretizedLogisticMixture`).

The model's ``initialize``, which :func:`~jaxgen.training.fit` calls, normalises the network on a
first batch, as in the paper. Deviations: those of the network and of the head; and binary data, or
no components, give other heads than the paper's.
"""

from flax import nnx

from jaxgen.conditionals import PixelCNNPP
from jaxgen.core import Shape, check_event
from jaxgen.models import Autoregressive
from jaxgen.zoo.heads import head_of
from jaxgen.zoo.registry import constructor


@constructor
def pixelcnnpp(
    event_shape: Shape,
    *,
    levels: int | None = 256,
    components: int | None = 10,
    inputs: str | None = None,
    blocks: int = 5,
    width: int = 160,
    resolutions: int = 3,
    dropout: float = 0.5,
    context_features: int | None = None,
    rngs: nnx.Rngs,
) -> Autoregressive:
    """A U-net of two streams of gated layers over an image.

    Args:
        event_shape: ``(height, width, channels)``; a position is a pixel with its channels.
        blocks: layers of each resolution on the way down.
        width: features of each stream.
        resolutions: how many, each of half the sides of the one before.
        dropout: rate in every layer while training.

    Raises:
        ShapeError: if the event is no image, or its sides are not divisible by
            ``2 ** (resolutions - 1)``.

    >>> import jax, jax.numpy as jnp
    >>> model = pixelcnnpp(
    ...     (4, 4, 1),
    ...     levels=2,
    ...     components=None,
    ...     blocks=1,
    ...     width=4,
    ...     resolutions=2,
    ...     rngs=nnx.Rngs(0),
    ... )
    >>> log_prob = jax.jit(type(model).log_prob)
    >>> round(float(log_prob(model, jnp.zeros((4, 4, 1), int))), 4)  # sixteen fair coins at first
    -11.0904
    """
    event_shape = check_event(event_shape, (3,), "pixelcnnpp")
    grid, position = event_shape[:2], event_shape[2:]
    likelihood = head_of(event_shape, levels, components, inputs)
    conditional = PixelCNNPP(
        grid,
        likelihood.input_shape(position),
        likelihood.num_params(position),
        width=width,
        blocks=blocks,
        resolutions=resolutions,
        context_features=context_features,
        dropout=dropout,
        rngs=rngs,
    )
    return Autoregressive(conditional, likelihood)
