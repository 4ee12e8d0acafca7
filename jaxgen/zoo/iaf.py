r"""IAF: inverse autoregressive flow (Kingma et al., 2016).

Autoregressive layers that read the base's side, with the order reversed in between:

.. math:: x_i = z_i \exp(s_i(z_{<i})) + t_i(z_{<i}).

All ``z`` are known when sampling, so a sample takes one pass; a density runs through the positions.
It is the mirror image of MAF (Papamakarios et al. 2017), and in the paper the approximate posterior
of a variational autoencoder, where only samples and their densities are needed.

Deviations: an affine map with a softly bounded log-scale in place of the paper's gated average
``sigmoid(s) z + (1 - sigmoid(s)) m``; activation normalisation between the layers; ``context`` is
the paper's ``h``. There is no dropout: a network that is run against its own outputs, as it is for
a density, is run without.
"""

from collections.abc import Sequence
from functools import partial

from flax import nnx

from jaxgen.bijectors import Inverse
from jaxgen.bijectors.bounded import Bounds
from jaxgen.conditionals import MADE
from jaxgen.core import Shape
from jaxgen.models import Flow
from jaxgen.models.flow import flow_on
from jaxgen.zoo.maf import autoregressive_layers
from jaxgen.zoo.registry import constructor


@constructor
def iaf(
    event_shape: Shape,
    *,
    layers: int = 5,
    hidden: Sequence[int] = (512, 512),
    activation: str = "relu",
    bound: float | None = 3.0,
    norm: str | None = "actnorm",
    bounds: Bounds = None,
    alpha: float = 1e-6,
    context_features: int | None = None,
    rngs: nnx.Rngs,
) -> Flow:
    """An inverse autoregressive flow: samples with their densities in one pass.

    Args:
        layers: autoregressive layers.

    >>> import jax
    >>> flow = iaf((2,), layers=3, hidden=(16,), rngs=nnx.Rngs(0))
    >>> flow.sample(jax.random.key(0), 4).shape
    (4, 2)
    """
    network = partial(
        MADE, event_shape, hidden=hidden, activation=activation, context_features=context_features
    )
    scan = autoregressive_layers(network, layers, bound, norm, wrap=Inverse, rngs=rngs)
    return flow_on(event_shape, [scan], bounds, alpha)
