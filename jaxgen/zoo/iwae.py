r"""The importance-weighted autoencoder (Burda, Grosse and Salakhutdinov, 2016).

.. math:: \mathcal{L}_K = \mathbb{E}\left[\log \frac{1}{K} \sum_{k=1}^K
          \frac{p(x, z_k)}{q(z_k | x)}\right]

with one layer of normal latents or several, each of which is a VAE whose prior is the one above:

.. math:: p(x, z) = p(x | z_1)\, p(z_1 | z_2) \cdots p(z_L), \qquad
          q(z | x) = q(z_1 | x)\, q(z_2 | z_1) \cdots q(z_L | z_{L-1}).

``K`` is the objective's: :func:`jaxgen.training.importance_weighted`; ``elbo`` makes a VAE of it.

Deviations: those of :mod:`jaxgen.zoo.vae`.
"""

from collections.abc import Sequence

from flax import nnx

from jaxgen.core import Shape
from jaxgen.likelihoods import Normal, for_levels
from jaxgen.models import VAE, StandardNormal
from jaxgen.zoo.autoencoding import layered
from jaxgen.zoo.registry import constructor


@constructor
def iwae(
    event_shape: Shape,
    *,
    levels: int | None = 2,
    components: int | None = None,
    layer_sizes: Sequence[int] = (50,),
    hidden: Sequence[Sequence[int]] | None = None,
    activation: str = "tanh",
    dropout: float = 0.0,
    context_features: int | None = None,
    rngs: nnx.Rngs,
) -> VAE:
    """Layers of normal latents between multilayer perceptrons.

    Args:
        layer_sizes: latents of each layer, listed from the data; of the paper's two
            ``(100, 50)``.
        hidden: widths of the hidden layers of the networks below each, of its encoder; None for the
            paper's, ``(200, 200)`` below the first and ``(100, 100)`` below every other.

    Raises:
        ValueError: if not every layer has its hidden widths, or there is none.

    >>> import jax, jax.numpy as jnp
    >>> model = iwae((8,), layer_sizes=(4, 2), hidden=((16,), (8,)), rngs=nnx.Rngs(0))
    >>> model.importance_log_prob(jnp.zeros((3, 8), int), jax.random.key(0), 10).shape
    (3,)
    """
    head = for_levels(levels, components)
    if hidden is None:
        hidden = [(200, 200), *[(100, 100)] * (len(layer_sizes) - 1)][: len(layer_sizes)]
    networks = (hidden, activation, dropout)
    return layered(
        "iwae",
        event_shape,
        head,
        layer_sizes,
        Normal(),
        lambda size: StandardNormal((size,)),
        *networks,
        context_features,
        rngs=rngs,
    )
