r"""A VAE with the variational mixture of posteriors as its prior (Tomczak and Welling, 2018).

.. math:: p(z) = \frac{1}{K} \sum_{k=1}^{K} q(z | u_k),

see :class:`jaxgen.models.VampPrior`; all else is :mod:`jaxgen.zoo.vae`.

Deviations: networks are not gated; one layer of latents.
"""

from collections.abc import Sequence

from flax import nnx

from jaxgen.core import Shape
from jaxgen.likelihoods import for_levels
from jaxgen.models import VAE, VampPrior
from jaxgen.zoo.autoencoding import autoencoder, networks_of, normal_posterior
from jaxgen.zoo.registry import constructor


@constructor
def vampprior(
    event_shape: Shape,
    *,
    levels: int | None = 2,
    components: int | None = None,
    latents: int = 40,
    pseudo_inputs: int = 500,
    network: str = "mlp",
    hidden: Sequence[int] = (300, 300),
    widths: Sequence[int] = (32, 64),
    blocks: int = 1,
    activation: str | None = None,
    dropout: float = 0.0,
    rngs: nnx.Rngs,
) -> VAE:
    """A VAE whose prior is the mean of its posteriors at trained pseudo-inputs.

    Args:
        pseudo_inputs: how many.

    Raises:
        ValueError: as of :func:`~jaxgen.zoo.vae`.
        ShapeError: as there.

    >>> import jax, jax.numpy as jnp
    >>> model = vampprior((8,), latents=2, hidden=(16,), pseudo_inputs=5, rngs=nnx.Rngs(0))
    >>> model.elbo(jnp.zeros((5, 8), int), jax.random.key(0)).shape
    (5,)
    """
    settings = (network, hidden, widths, blocks, activation, dropout)
    networks = networks_of("vampprior", event_shape, *settings)
    head = for_levels(levels, components)
    prior = VampPrior((latents,), event_shape, pseudo_inputs, bounded=levels is not None, rngs=rngs)
    posterior = normal_posterior(networks, event_shape, latents, 0, rngs=rngs)
    return autoencoder(networks, event_shape, head, prior, posterior, rngs=rngs)
