r"""f-VAES: a VAE whose posterior and decoder are conditional flows (Su and Wu, 2018).

.. math:: z = F_x\left(\mu(x) + \sigma(x) \odot \epsilon\right), \qquad
          x = G_z\left(m(z) + s(z) \odot \eta\right), \qquad
          \epsilon, \eta \sim \mathcal{N}(0, I),

with inverse autoregressive layers :math:`F_x` of a vector of latents, which see features of the
data, and a Glow :math:`G_z` of images, every coupling of which sees the latents. A normal decoder
has independent pixels, so that its samples are blurred; here what the latents leave open is the
flow's.

It is a VAE at one end and a flow at the other. Without layers in either, ``layers=None`` and
``steps=None``, posterior and decoder are factorised normals, and it is
:func:`~jaxgen.zoo.vae` with a normal decoder. Where the latents tell nothing, ``q(z | x) = p(z)``
and ``p(x | z) = p(x)``, as at the start of training, every weight is the flow's own density of
the data, exactly. The paper's way from one to the other has latents of the data's shape and noise
:math:`\sigma` in posterior and decoder: a VAE of three models too, with a flow as prior,

.. math:: q(z | x) = \mathcal{N}(z; x, \sigma^2), \qquad p(x | z) = \mathcal{N}(x; z, \sigma^2),

of which every weight is the flow's density at ``x`` plus this noise, and with :math:`\sigma` going
to 0 that of the flow at ``x``.

Deviations: fewer latents than pixels; autoregressive layers in the posterior, where the paper has
the couplings of its decoder; the noise of the decoder is of every pixel's own scale.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

from flax import nnx

from jaxgen.bijectors import Bijector, Inverse
from jaxgen.conditionals import MADE
from jaxgen.core import Shape, check_event
from jaxgen.likelihoods import Normal
from jaxgen.models import VAE, Dequantized, Model
from jaxgen.models.flow import flow_on
from jaxgen.networks import ConvResNet
from jaxgen.transforms import Affine
from jaxgen.zoo.autoencoding import (
    Networks,
    factorized_decoder,
    flow_posterior,
    normal_posterior,
    prior_of,
)
from jaxgen.zoo.glow import multi_scale
from jaxgen.zoo.maf import autoregressive_layers
from jaxgen.zoo.registry import constructor, refuse_ignored
from jaxgen.zoo.sides import check_halvings, fitting_levels


@constructor
def fvae(
    event_shape: Shape,
    *,
    levels: int | None = 256,
    latents: int = 40,
    layers: int | None = 4,
    layer_hidden: Sequence[int] = (320,),
    features: int = 128,
    scales: int | None = None,
    steps: int | None = 4,
    width: int = 64,
    bound: float | None = 3.0,
    alpha: float = 0.05,
    widths: Sequence[int] = (32, 64),
    blocks: int = 1,
    activation: str | None = None,
    dropout: float = 0.0,
    prior: str | None = None,
    prior_args: dict[str, Any] | None = None,
    context_features: int | None = None,
    rngs: nnx.Rngs,
) -> VAE:
    """A VAE of images with flows for posterior and decoder.

    Args:
        event_shape: ``(height, width, channels)``.
        levels: of the data, which are dequantized with uniform noise; None for real values.
        layers, layer_hidden, features: of the posterior's flow, see :func:`~jaxgen.zoo.vae_iaf`;
            None for a normal posterior.
        scales: of the decoder's flow; None for three, or as many as the sides can be halved.
        steps: of flow at each scale; None for a normal decoder.
        width: channels inside the couplings' networks.
        alpha: the margin of the logit that levels go through.
        widths, blocks, activation: of the encoder and of the network that gives the decoder's base
            its location and scale, see :class:`~jaxgen.networks.ConvEncoder`;
            sides have to be halved once for each width.

    Raises:
        ShapeError: for events that are no images, or of sides that cannot be halved so often.

    >>> import jax, jax.numpy as jnp
    >>> options = {"latents": 2, "layers": 1, "layer_hidden": (4,), "features": 4}
    >>> glow = {"scales": 1, "steps": 1, "width": 4, "widths": (4,)}
    >>> model = fvae((4, 4, 1), **options, **glow, rngs=nnx.Rngs(0))
    >>> model.elbo(jnp.zeros((3, 4, 4, 1), int), jax.random.key(0)).shape
    (3,)
    """
    event_shape = check_event(event_shape, (3,), "fvae")
    networks, more = (
        Networks("conv", (), widths, blocks, activation, dropout),
        context_features or 0,
    )
    if layers is None:
        refuse_ignored("fvae", "without layers", layer_hidden=layer_hidden, features=features)
    if steps is None:
        refuse_ignored("fvae", "without steps", scales=scales, width=width)
    if levels is None:
        refuse_ignored("fvae", "for real values", alpha=alpha)
    posterior: Model
    if layers is not None:
        made = partial(MADE, (latents,), hidden=layer_hidden, context_features=features)
        scan = autoregressive_layers(made, layers, bound, None, wrap=Inverse, rngs=rngs)
        posterior = flow_posterior(networks, event_shape, latents, features, more, scan, rngs=rngs)
    else:
        posterior = normal_posterior(networks, event_shape, latents, more, rngs=rngs)
    glow: list[Bijector] = []
    if steps is not None:
        network = partial(
            ConvResNet,
            width=width,
            num_blocks=1,
            block_size=1,
            residual=False,
            dropout=dropout,
            context_features=latents + more,
        )
        scales = fitting_levels(event_shape) if scales is None else scales
        check_halvings(event_shape, scales, "scales")
        glow = [
            multi_scale(event_shape, network, Affine(bound), levels=scales, steps=steps, rngs=rngs)
        ]
    base = factorized_decoder(networks, latents, event_shape, Normal(), more, rngs=rngs)
    bounds = None if levels is None else (0.0, float(levels))
    flow = flow_on(event_shape, glow, bounds, alpha, base)
    decoder = flow if levels is None else Dequantized(flow, levels)
    start = prior_of(latents, prior, prior_args, rngs=rngs)
    return VAE(start, decoder, posterior, context_features=context_features)
