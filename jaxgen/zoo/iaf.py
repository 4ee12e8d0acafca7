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

from flax import nnx

from jaxgen.bijectors import Inverse
from jaxgen.core import Shape
from jaxgen.models import Flow
from jaxgen.zoo.maf import autoregressive_layers
from jaxgen.zoo.preprocessing import flow_on


def iaf(
    event_shape: Shape,
    *,
    layers: int = 5,
    hidden: Sequence[int] = (512, 512),
    activation: str = "relu",
    bound: float | None = 3.0,
    norm: str | None = "actnorm",
    bounds: tuple[float, float] | None = None,
    alpha: float = 1e-6,
    context_features: int | None = None,
    rngs: nnx.Rngs,
) -> Flow:
    """An inverse autoregressive flow: samples with their densities in one pass.

    Args:
        event_shape: the event's shape; every entry is a position of the chain.
        layers: autoregressive layers.
        hidden: widths of the hidden layers of each MADE.
        activation: of the hidden layers.
        bound: soft bound of the log-scales; None for none.
        norm: between the layers: ``"actnorm"``, ``"batchnorm"``, or None for none.
        bounds: the interval of bounded data, mapped to the real line by a logit; None for none.
        alpha: the logit's margin.
        context_features: the size of a context vector; None for an unconditional model.
        rngs: where the initial weights come from.

    >>> import jax
    >>> flow = iaf((2,), layers=3, hidden=(16,), rngs=nnx.Rngs(0))
    >>> flow.sample(jax.random.key(0), 4).shape
    (4, 2)
    """
    scan = autoregressive_layers(
        event_shape,
        layers=layers,
        hidden=hidden,
        activation=activation,
        bound=bound,
        norm=norm,
        dropout=0.0,
        context_features=context_features,
        wrap=Inverse,
        rngs=rngs,
    )
    return flow_on(event_shape, [scan], bounds, alpha)
