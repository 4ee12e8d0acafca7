r"""PixelVAE: a VAE whose decoder is a PixelCNN (Gulrajani et al., 2017).

.. math:: p(x | z) = \prod_i p\left(x_i \mid x_{<i}, h_i(z)\right)

A convolutional network makes a map of features of the latents, which every layer of a gated
PixelCNN (:mod:`jaxgen.zoo.gated_pixelcnn`) sees at its pixel. Local structure is the PixelCNN's;
what is left for the latents is global.

Deviations: the PixelCNN is gated, with two stacks; one layer of latents.
"""

from collections.abc import Sequence
from typing import Any

from flax import nnx

from jaxgen.conditionals import GatedPixelCNN
from jaxgen.core import Shape, check_event
from jaxgen.models import VAE, Autoregressive, Embedded
from jaxgen.zoo.autoencoding import Networks, normal_posterior, prior_of
from jaxgen.zoo.heads import head_of
from jaxgen.zoo.registry import constructor


@constructor
def pixelvae(
    event_shape: Shape,
    *,
    levels: int | None = 2,
    components: int | None = None,
    inputs: str | None = None,
    latents: int = 40,
    width: int = 32,
    depth: int = 3,
    first_size: int = 7,
    kernel_size: int = 3,
    out_width: int = 32,
    features: int = 16,
    widths: Sequence[int] = (32, 64),
    blocks: int = 1,
    activation: str | None = None,
    dropout: float = 0.0,
    prior: str | None = None,
    prior_args: dict[str, Any] | None = None,
    context_features: int | None = None,
    rngs: nnx.Rngs,
) -> VAE:
    """A VAE of images with an autoregressive decoder.

    Args:
        event_shape: ``(height, width, channels)``.
        width, depth: of the PixelCNN, see :func:`~jaxgen.zoo.gated_pixelcnn`.
        features: that its layers see of the latents at every pixel.

    Raises:
        ShapeError: for events that are no images, or of a height or width that cannot be halved
            once for each of ``widths``.

    >>> import jax, jax.numpy as jnp
    >>> options = {"latents": 2, "width": 4, "depth": 1, "out_width": 4, "widths": (4,)}
    >>> model = pixelvae((4, 4, 1), **options, rngs=nnx.Rngs(0))
    >>> model.elbo(jnp.zeros((3, 4, 4, 1), int), jax.random.key(0)).shape
    (3,)
    """
    event_shape = check_event(event_shape, (3,), "pixelvae")
    networks = Networks("conv", (), widths, blocks, activation, dropout)
    more = context_features or 0
    likelihood = head_of(event_shape, levels, components, inputs)
    height, columns, channels = event_shape
    pixelcnn = GatedPixelCNN(
        (height, columns),
        likelihood.input_shape((channels,)),
        likelihood.num_params((channels,)),
        width=width,
        depth=depth,
        first_size=first_size,
        kernel_size=kernel_size,
        out_width=out_width,
        context_features=features,
        context_grid=(height, columns),
        dropout=dropout,
        rngs=rngs,
    )
    maps = networks.decoder(latents + more, (height, columns), features, rngs=rngs)
    return VAE(
        prior_of(latents, prior, prior_args, rngs=rngs),
        Embedded(Autoregressive(pixelcnn, likelihood), maps),
        normal_posterior(networks, event_shape, latents, more, rngs=rngs),
        context_features=context_features,
    )
