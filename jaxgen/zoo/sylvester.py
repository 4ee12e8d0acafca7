r"""A VAE whose posterior is a Sylvester or planar flow (van den Berg et al., 2018).

.. math:: z_0 \sim \mathcal{N}(\mu(x), \sigma^2(x)), \qquad
          z_t = z_{t-1} + Q R \tanh(\tilde R Q^\top z_{t-1} + b),

whose matrices are functions of the data: every example has a flow of its own. Planar flows (Rezende
and Mohamed, 2015) are those of one direction. See :mod:`jaxgen.bijectors.sylvester`.

Deviations: those of the bijectors, and of :mod:`jaxgen.zoo.vae`.
"""

from collections.abc import Sequence
from typing import Any

from flax import nnx

from jaxgen.bijectors import Bijector, Chain, Planar, Scan, Sylvester
from jaxgen.core import Shape, unknown
from jaxgen.likelihoods import for_levels
from jaxgen.models import VAE
from jaxgen.zoo.autoencoding import autoencoder, flow_posterior, networks_of, prior_of
from jaxgen.zoo.registry import constructor, refuse_ignored

_BASES = ("orthogonal", "householder", "triangular", "planar")


@constructor
def sylvester(
    event_shape: Shape,
    *,
    levels: int | None = 2,
    components: int | None = None,
    latents: int = 40,
    basis: str = "orthogonal",
    steps: int = 8,
    rank: int | None = None,
    reflections: int | None = None,
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
    """A VAE with amortised Sylvester layers behind its normal posterior.

    Args:
        basis: of a layer: ``"orthogonal"`` columns, ``"householder"`` reflections, the
            ``"triangular"`` matrices alone, of every second layer in the other order; or
            ``"planar"``, layers of one direction each.
        steps: layers.
        rank: columns of an orthogonal basis; None for as many as there are latents.
        reflections: of a Householder basis; None for as many as there are latents.
        features: that the encoder gives the posterior's layers.

    Raises:
        ValueError: as of :func:`~jaxgen.zoo.vae`, for an unknown basis, an odd number of triangular
            steps, or arguments of another basis.
        ShapeError: as there, or for a rank beyond the number of latents.

    >>> import jax, jax.numpy as jnp
    >>> options = {"latents": 2, "hidden": (16,), "steps": 2, "features": 4}
    >>> model = sylvester((8,), **options, rngs=nnx.Rngs(0))
    >>> model.elbo(jnp.zeros((5, 8), int), jax.random.key(0)).shape
    (5,)
    """
    settings = (network, hidden, widths, blocks, activation, dropout)
    networks, more = networks_of("sylvester", event_shape, *settings), context_features or 0
    flow = _layers(latents, basis, steps, rank, reflections, features, rngs)
    head, start = for_levels(levels, components), prior_of(latents, prior, prior_args, rngs=rngs)
    posterior = flow_posterior(networks, event_shape, latents, features, more, flow, rngs=rngs)
    return autoencoder(networks, event_shape, head, start, posterior, more, rngs=rngs)


def _layers(
    latents: int,
    basis: str,
    steps: int,
    rank: int | None,
    reflections: int | None,
    features: int,
    rngs: nnx.Rngs,
) -> Bijector:
    if basis not in _BASES:
        raise unknown("basis", basis, _BASES)
    shape = (latents,)
    if basis == "planar":
        refuse_ignored("sylvester", "for basis='planar'", rank=rank, reflections=reflections)
        return Scan(lambda r: Planar(shape, context_features=features, rngs=r), steps, rngs=rngs)
    own: dict[str, Any] = {"rank": rank, "reflections": reflections, "context_features": features}
    if basis != "triangular":
        return Scan(lambda r: Sylvester(shape, basis, **own, rngs=r), steps, rngs=rngs)
    if steps % 2:
        raise ValueError(
            f"sylvester: expected an even number of steps for basis='triangular', got {steps}"
        )
    both = (False, True)
    return Scan(
        lambda r: Chain([Sylvester(shape, basis, **own, reverse=way, rngs=r) for way in both]),
        steps // 2,
        rngs=rngs,
    )
