r"""The variational autoencoder (Kingma and Welling, 2014; Rezende, Mohamed and Wierstra, 2014).

.. math:: \log p(x) \ge \mathbb{E}_{q(z | x)}[\log p(x | z)] - \mathrm{KL}(q(z | x) \,\|\, p(z)),

with a normal posterior from an encoder, a factorised decoder, and a standard normal prior, or any
model of the zoo in its place. The bound is what training ascends; the record is a mean of many
weights (:meth:`~jaxgen.models.Model.importance_log_prob`).

Deviations: the last layers of both networks start at zero, so that the posterior starts as the
prior and the decoder from the data's own rates; convolutions are those of
:mod:`jaxgen.networks.pyramid`.
"""

from collections.abc import Sequence
from typing import Any

from flax import nnx

from jaxgen.core import Shape
from jaxgen.likelihoods import for_levels
from jaxgen.models import VAE
from jaxgen.zoo.autoencoding import autoencoder, networks_of, normal_posterior, prior_of
from jaxgen.zoo.registry import constructor


@constructor
def vae(
    event_shape: Shape,
    *,
    levels: int | None = 2,
    components: int | None = None,
    latents: int = 40,
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
    """A latent-variable model of three parts: prior, decoder, posterior.

    Raises:
        ValueError: for an unknown network, or arguments of another one than is asked for.
        ShapeError: if a convolutional network is asked for events that are no images, or of a
            height or width that cannot be halved as often.

    >>> import jax, jax.numpy as jnp
    >>> model = vae((8,), latents=2, hidden=(16,), rngs=nnx.Rngs(0))
    >>> round(float(model.elbo(jnp.zeros(8, int), jax.random.key(0))), 4)  # eight fair coins
    -5.5452
    """
    networks = networks_of("vae", event_shape, network, hidden, widths, blocks, activation, dropout)
    more = context_features or 0
    head, start = for_levels(levels, components), prior_of(latents, prior, prior_args, rngs=rngs)
    posterior = normal_posterior(networks, event_shape, latents, more, rngs=rngs)
    return autoencoder(networks, event_shape, head, start, posterior, more, rngs=rngs)
