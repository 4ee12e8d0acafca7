r"""PixelRNN, at one scale and at two (van den Oord, Kalchbrenner and Kavukcuoglu 2016).

.. math:: \log p(x) = \sum_i \log p\left(x_i \mid x_{<i}\right)

(the paper's equation 1), pixel by pixel in raster order, by the Row LSTM or the Diagonal BiLSTM
(see :mod:`jaxgen.conditionals.pixelrnn`). At two scales

.. math:: \log p(x) = \log p(x_S) + \sum_{i \notin S} \log p\left(x_i \mid x_{<i}, x_S\right),

where ``S`` is every ``f``-th pixel, a small image (see :class:`~jaxgen.models.MultiScale`); of the
small image a network makes a map of features that is added to the gates of every layer.

Deviations: the paper's head is categorical for each channel of a pixel in turn, ours is a choice
and gives the channels of a pixel at once; the small image is upsampled by repeating its pixels
before convolutions, not by deconvolutions.
"""

from collections.abc import Callable
from functools import partial

from flax import nnx

from jaxgen.conditionals import Conditional, DiagonalBiLSTM, RowLSTM
from jaxgen.core import Shape, ShapeError, check_event, unknown
from jaxgen.models import Autoregressive, Embedded, MultiScale
from jaxgen.networks import Upsampling
from jaxgen.zoo.heads import head_of
from jaxgen.zoo.registry import constructor


@constructor
def pixelrnn(
    event_shape: Shape,
    *,
    levels: int | None = 256,
    components: int | None = None,
    inputs: str | None = None,
    layer: str = "diagonal",
    width: int = 64,
    depth: int = 6,
    first_size: int = 7,
    kernel_size: int = 3,
    out_width: int = 64,
    dropout: float = 0.0,
    context_features: int | None = None,
    context_grid: tuple[int, int] | None = None,
    rngs: nnx.Rngs,
) -> Autoregressive:
    """LSTMs in two dimensions over an image.

    Args:
        event_shape: ``(height, width, channels)``; a position is a pixel with its channels.
        layer: ``"diagonal"``, which sees all pixels before one, or ``"row"``, which sees a triangle
            above it and takes fewer steps for a pass.
        width: features of a pixel; an LSTM's state is half as wide.
        depth: LSTM layers.
        kernel_size: the size of the Row LSTM's windows; the Diagonal BiLSTM has none.
        dropout: rate before the last layer while training.
        context_features: the features of a context; None for an unconditional model.
        context_grid: ``(height, width)`` for a context that is an image; None for a vector.

    Raises:
        ShapeError: if the event is no image.
        ValueError: for an unknown layer, naming the known ones.

    >>> import jax, jax.numpy as jnp
    >>> model = pixelrnn((4, 4, 1), levels=2, width=4, depth=2, rngs=nnx.Rngs(0))
    >>> log_prob = jax.jit(type(model).log_prob)
    >>> round(float(log_prob(model, jnp.zeros((4, 4, 1), int))), 4)  # sixteen fair coins at first
    -11.0904
    """
    event_shape = check_event(event_shape, (3,), "pixelrnn")
    grid, position = event_shape[:2], event_shape[2:]
    likelihood = head_of(event_shape, levels, components, inputs)
    layers: dict[str, Callable[..., Conditional]] = {
        "diagonal": DiagonalBiLSTM,
        "row": partial(RowLSTM, kernel_size=kernel_size),
    }
    if layer not in layers:
        raise unknown("layer", layer, layers)
    conditional = layers[layer](
        grid,
        likelihood.input_shape(position),
        likelihood.num_params(position),
        width=width,
        depth=depth,
        first_size=first_size,
        out_width=out_width,
        context_features=context_features,
        context_grid=context_grid,
        dropout=dropout,
        rngs=rngs,
    )
    return Autoregressive(conditional, likelihood)


@constructor
def multiscale_pixelrnn(
    event_shape: Shape,
    *,
    factor: int = 2,
    levels: int | None = 256,
    components: int | None = None,
    inputs: str | None = None,
    layer: str = "diagonal",
    width: int = 64,
    depth: int = 6,
    first_size: int = 7,
    kernel_size: int = 3,
    out_width: int = 64,
    dropout: float = 0.0,
    upsampled: int = 32,
    upsampling_blocks: int = 2,
    rngs: nnx.Rngs,
) -> MultiScale:
    """LSTMs in two dimensions over a small image, and over the rest of the large one given it.

    Both networks are :func:`pixelrnn` with the same hyperparameters.

    Args:
        event_shape: ``(height, width, channels)``.
        factor: ``f``: every ``f``-th pixel of every ``f``-th row is one of the small image.
        levels, components, inputs, layer, width, depth: see :func:`pixelrnn`.
        first_size, kernel_size, out_width, dropout: see :func:`pixelrnn`.
        upsampled: features of each pixel in the map that is made of the small image.
        upsampling_blocks: residual blocks of the network that makes it.

    Raises:
        ShapeError: if the event is no image, or its sides are not divisible by the factor.
        ValueError: for an unknown layer, naming the known ones.

    >>> import jax, jax.numpy as jnp
    >>> options = {"levels": 2, "width": 4, "depth": 1, "upsampled": 2}
    >>> model = multiscale_pixelrnn((4, 4, 1), **options, rngs=nnx.Rngs(0))
    >>> log_prob = jax.jit(type(model).log_prob)
    >>> round(float(log_prob(model, jnp.zeros((4, 4, 1), int))), 4)  # sixteen fair coins at first
    -11.0904
    """
    height, columns, channels = check_event(event_shape, (3,), "multiscale_pixelrnn")
    if factor < 1 or height % factor or columns % factor:
        raise ShapeError(
            f"multiscale_pixelrnn: expected sides divisible by {factor}, got {tuple(event_shape)}"
        )
    small = (height // factor, columns // factor, channels)

    network = partial(
        pixelrnn,
        levels=levels,
        components=components,
        inputs=inputs,
        layer=layer,
        width=width,
        depth=depth,
        first_size=first_size,
        kernel_size=kernel_size,
        out_width=out_width,
        dropout=dropout,
        rngs=rngs,
    )
    upsampling = Upsampling(small, factor, upsampled, num_blocks=upsampling_blocks, rngs=rngs)
    large = network(event_shape, context_features=upsampled, context_grid=(height, columns))
    return MultiScale(network(small), Embedded(large, upsampling))
