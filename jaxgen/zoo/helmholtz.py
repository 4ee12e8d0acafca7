r"""The Helmholtz machine: layers of binary latents (Dayan, Hinton, Neal and Zemel, 1995).

Sigmoid belief networks both ways (Neal, 1992; Hinton et al. 1995): every unit is a Bernoulli whose
logit is a function, linear at first, of the layer above it, or, in the recognition model, below it:

.. math:: p(x, z) = p(x | z_1)\, p(z_1 | z_2) \cdots p(z_L), \qquad
          q(z | x) = q(z_1 | x)\, q(z_2 | z_1) \cdots q(z_L | z_{L-1}).

Draws of bits have no gradient, so it is trained by :func:`jaxgen.training.wake_sleep` or
:func:`jaxgen.training.reweighted_wake_sleep` (Bornschein and Bengio, 2015).

Deviations: units of a layer may have hidden layers between them and the next one; deterministic
layers in between are the later paper's, too.
"""

from collections.abc import Sequence

from flax import nnx

from jaxgen.core import Shape
from jaxgen.likelihoods import Bernoulli, for_levels
from jaxgen.models import VAE, Mixture
from jaxgen.zoo.autoencoding import layered
from jaxgen.zoo.registry import constructor


@constructor
def helmholtz(
    event_shape: Shape,
    *,
    levels: int | None = 2,
    components: int | None = None,
    layer_sizes: Sequence[int] = (200, 200, 10),
    hidden: Sequence[Sequence[int]] | None = None,
    activation: str = "tanh",
    dropout: float = 0.0,
    context_features: int | None = None,
    rngs: nnx.Rngs,
) -> VAE:
    """Layers of bits, with independent ones at the top.

    Args:
        layer_sizes: latents of each layer, listed from the data.
        hidden: widths of the hidden layers of the networks below each; None for sigmoid belief
            networks, which have none.

    Raises:
        ValueError: if not every layer has its hidden widths, or there is none.

    >>> import jax, jax.numpy as jnp
    >>> model = helmholtz((8,), layer_sizes=(4, 2), rngs=nnx.Rngs(0))
    >>> model.importance_log_prob(jnp.zeros((3, 8), int), jax.random.key(0), 10).shape
    (3,)
    """
    head = for_levels(levels, components)
    if hidden is None:
        hidden = [()] * len(layer_sizes)
    networks = (hidden, activation, dropout)
    return layered(
        "helmholtz",
        event_shape,
        head,
        layer_sizes,
        Bernoulli(),
        lambda size: Mixture((size,), Bernoulli(), 1, rngs=rngs),
        *networks,
        context_features,
        rngs=rngs,
    )
