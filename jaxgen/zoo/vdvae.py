r"""The very deep VAE (Child, 2021).

.. math:: p(x, z) = p(x | h_L) \prod_{i=1}^{L} p(z_i | h_{i-1}), \qquad
          q(z | x) = \prod_{i=1}^{L} q(z_i | h_{i-1}, a_i(x))

Latents are small images, several at every resolution, drawn from the smallest to the largest
(:class:`~jaxgen.models.TopDown`): what is large is said first, and once. With enough layers it
contains the autoregressive models of its pixels.

Deviations: residual branches start at zero, where the paper divides their weights by the root of
the depth; posteriors start at zero, too, and so at the priors; priors give no features to the state
beside their parameters. An odd side is rounded up when it is halved. Of reals and levels the heads
are those of the other models, the discretized logistics among them.
"""

import itertools
from collections.abc import Sequence
from typing import Any

from flax import nnx

from jaxgen.core import Shape, check_event
from jaxgen.likelihoods import Normal
from jaxgen.models import Factorized, TopDown
from jaxgen.networks import FeaturePyramid, FirstState, Readout, Update
from jaxgen.networks.hierarchy import Bottleneck, resolutions
from jaxgen.zoo.heads import head_of
from jaxgen.zoo.registry import constructor


@constructor
def vdvae(
    event_shape: Shape,
    *,
    levels: int | None = 2,
    components: int | None = None,
    blocks: Sequence[int] = (0, 3, 2, 1, 1, 1),
    encoder_blocks: int = 1,
    width: int = 64,
    latent_width: int = 16,
    activation: str = "gelu",
    dropout: float = 0.0,
    context_features: int | None = None,
    rngs: nnx.Rngs,
) -> TopDown:
    """Layers of latents at every resolution of an image.

    Args:
        event_shape: ``(height, width, channels)``.
        blocks: layers of latents at every resolution, listed from the image's own, each half the
            one before, rounded up; 0 for none there. The paper's for CIFAR-10 are ``(22, 11, 6, 3,
            0, 1)``.
        encoder_blocks: residual blocks of the encoder at every resolution.
        width: features of encoder and state; blocks have a quarter of them inside. The paper's is
            384.
        latent_width: latents of each pixel in a layer.

    Raises:
        ShapeError: for events that are no images, or more resolutions than they have.
        ValueError: if there is no layer.

    >>> import jax, jax.numpy as jnp
    >>> model = vdvae((6, 6, 1), blocks=(0, 1, 2), width=8, latent_width=2, rngs=nnx.Rngs(0))
    >>> model.latent_shape  # twice 2 x 2 pixels and once 3 x 3, of two latents
    (34,)
    >>> model.elbo(jnp.zeros((3, 6, 6, 1), int), jax.random.key(0)).shape
    (3,)
    """
    event_shape = check_event(event_shape, (3,), "vdvae")
    grids = resolutions(event_shape, len(blocks))
    if not any(blocks):
        raise ValueError(f"vdvae: expected a layer of latents or more in blocks, got {blocks}")
    likelihood = head_of(event_shape, levels, components, None)
    options: dict[str, Any] = {"activation": activation, "dropout": dropout, "rngs": rngs}

    def layer(grid: tuple[int, int], features: int) -> Factorized:
        """Latents at a resolution, given so many features of each pixel."""
        normal, position = Normal(), (latent_width,)
        network = Bottleneck(features, normal.num_params(position), grid, **options)
        return Factorized(network, normal, grid, position, context_shape=(*grid, features))

    # The resolution of every layer, from the top, and the image's own, at which the state ends.
    places = [*[place for place, count in enumerate(blocks) for _ in range(count)][::-1], 0]
    at = [grids[place] for place in places[:-1]]
    ways = [grids[end : place + 1][::-1] for place, end in itertools.pairwise(places)]
    height, columns, channels = event_shape
    state = (height, columns, width)
    return TopDown(
        FirstState((*at[0], width), context_features=context_features, rngs=rngs),
        FeaturePyramid(
            event_shape,
            blocks,
            width=width,
            num_blocks=encoder_blocks,
            context_features=context_features,
            **options,
        ),
        [layer(grid, width) for grid in at],
        [layer(grid, 2 * width) for grid in at],
        [Update(way, latent_width, width=width, num_layers=len(at), **options) for way in ways],
        Factorized(
            Readout(state, likelihood.num_params((channels,)), **options),
            likelihood,
            (height, columns),
            (channels,),
            context_shape=state,
        ),
    )
