r"""MAF: masked autoregressive flow (Papamakarios, Pavlakou and Murray, 2017).

Affine autoregressive layers with MADE conditioners, orders reversed in between (equations 3-5):

.. math:: z_i = (x_i - t_i(x_{<i})) \exp(-s_i(x_{<i})).

Deviations: activation normalisation instead of batch normalisation between the layers; log-scales
are bounded softly, which can be turned off with ``bound=None``; the last layer of every MADE starts
at zero, so the flow starts as the identity.
"""

from collections.abc import Sequence

from flax import nnx

from jaxgen.bijectors import ActNorm, Bijector, Chain, Flip, Logit, MaskedAutoregressive, Scan
from jaxgen.conditionals import MADE
from jaxgen.core import Shape
from jaxgen.models import Flow
from jaxgen.transforms import Affine


def maf(
    event_shape: Shape,
    *,
    layers: int = 5,
    hidden: Sequence[int] = (512, 512),
    activation: str = "relu",
    bound: float | None = 3.0,
    dropout: float = 0.0,
    bounds: tuple[float, float] | None = None,
    alpha: float = 1e-6,
    context_features: int | None = None,
    rngs: nnx.Rngs,
) -> Flow:
    """A masked autoregressive flow: fast exact densities, samples in the time of about two.

    Args:
        event_shape: the event's shape; every entry is a position of the chain.
        layers: autoregressive layers.
        hidden: widths of the hidden layers of each MADE.
        activation: of the hidden layers.
        bound: soft bound of the log-scales; None for none.
        dropout: rate in the hidden layers while training.
        bounds: the interval of bounded data, mapped to the real line by a logit; None for none.
        alpha: the logit's margin.
        context_features: the size of a context vector; None for an unconditional model.
        rngs: where the initial weights come from.

    >>> import jax.numpy as jnp
    >>> flow = maf((2,), layers=3, hidden=(16,), rngs=nnx.Rngs(0))
    >>> flow.log_prob(jnp.zeros((4, 2))).shape
    (4,)
    """
    transform = Affine(bound)

    def layer(rngs: nnx.Rngs) -> Bijector:
        made = MADE(
            event_shape,
            transform.num_params(()),
            hidden=hidden,
            activation=activation,
            dropout=dropout,
            context_features=context_features,
            rngs=rngs,
        )
        step = MaskedAutoregressive(made, transform)
        return Chain([Flip(len(event_shape)), step, ActNorm(event_shape)])

    steps: list[Bijector] = [Scan(layer, layers, rngs=rngs)]
    if bounds is not None:
        steps.append(Logit(*bounds, alpha, event_ndims=len(event_shape)))
    return Flow(Chain(steps))
