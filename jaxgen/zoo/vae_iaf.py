r"""A VAE whose posterior is an inverse autoregressive flow (Kingma et al., 2016).

.. math:: z_0 \sim \mathcal{N}(\mu(x), \sigma^2(x)), \qquad z_t = f_t(z_{t-1}; h(x)), \qquad
          \log q(z_T | x) = \log q(z_0 | x) - \sum_t \log\left|\det f_t'\right|,

with layers that read all of their input at once, so that a draw and its density take one pass. An
encoder gives features ``h`` of the data, of which location and scale of the normal are linear
functions.

Deviations: those of :mod:`jaxgen.zoo.iaf`, and of :mod:`jaxgen.zoo.vae`; one layer of latents,
where the paper's best model has a ladder of them.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

from flax import nnx

from jaxgen.bijectors import Inverse
from jaxgen.conditionals import MADE
from jaxgen.core import Shape
from jaxgen.likelihoods import for_levels
from jaxgen.models import VAE
from jaxgen.zoo.autoencoding import autoencoder, flow_posterior, networks_of, prior_of
from jaxgen.zoo.maf import autoregressive_layers
from jaxgen.zoo.registry import constructor


@constructor
def vae_iaf(
    event_shape: Shape,
    *,
    levels: int | None = 2,
    components: int | None = None,
    latents: int = 40,
    layers: int = 4,
    layer_hidden: Sequence[int] = (320,),
    bound: float | None = 3.0,
    features: int = 128,
    network: str = "mlp",
    hidden: Sequence[int] = (200, 200),
    widths: Sequence[int] = (32, 64),
    blocks: int = 1,
    activation: str | None = None,
    dropout: float = 0.0,
    prior: str | None = None,
    prior_args: dict[str, Any] | None = None,
    context_features: int | None = None,
    rngs: nnx.Rngs,
) -> VAE:
    """A VAE with inverse autoregressive layers behind its normal posterior.

    Args:
        layers: autoregressive layers.
        layer_hidden: widths of the hidden layers of their networks.
        features: that the encoder gives the posterior's layers.

    Raises:
        ValueError: as of :func:`~jaxgen.zoo.vae`.
        ShapeError: as there.

    >>> import jax, jax.numpy as jnp
    >>> options = {"latents": 2, "hidden": (16,), "layer_hidden": (8,), "features": 4}
    >>> model = vae_iaf((8,), **options, rngs=nnx.Rngs(0))
    >>> model.elbo(jnp.zeros((5, 8), int), jax.random.key(0)).shape
    (5,)
    """
    settings = (network, hidden, widths, blocks, activation, dropout)
    networks, more = networks_of("vae_iaf", event_shape, *settings), context_features or 0
    made = partial(MADE, (latents,), hidden=layer_hidden, context_features=features)
    scan = autoregressive_layers(made, layers, bound, None, wrap=Inverse, rngs=rngs)
    head, start = for_levels(levels, components), prior_of(latents, prior, prior_args, rngs=rngs)
    posterior = flow_posterior(networks, event_shape, latents, features, more, scan, rngs=rngs)
    return autoencoder(networks, event_shape, head, start, posterior, more, rngs=rngs)
