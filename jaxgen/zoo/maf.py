r"""MAF: masked autoregressive flow (Papamakarios, Pavlakou and Murray, 2017).

Affine autoregressive layers with MADE conditioners, orders reversed in between (equations 3-5):

.. math:: z_i = (x_i - t_i(x_{<i})) \exp(-s_i(x_{<i})).

Deviations: activation normalisation between the layers, unless ``norm="batchnorm"`` asks for the
paper's batch normalisation; log-scales are bounded softly, which can be turned off with
``bound=None``; the last layer of every MADE starts at zero, so the flow starts as the identity.
"""

from collections.abc import Callable, Sequence

from flax import nnx

from jaxgen.bijectors import (
    ActNorm,
    BatchNorm,
    Bijector,
    Chain,
    Flip,
    MaskedAutoregressive,
    Scan,
)
from jaxgen.conditionals import MADE
from jaxgen.core import Shape, unknown
from jaxgen.models import Flow
from jaxgen.transforms import Affine
from jaxgen.zoo.preprocessing import flow_on

_NORMS: dict[str, Callable[[Shape], Bijector]] = {"actnorm": ActNorm, "batchnorm": BatchNorm}


def maf(
    event_shape: Shape,
    *,
    layers: int = 5,
    hidden: Sequence[int] = (512, 512),
    activation: str = "relu",
    bound: float | None = 3.0,
    norm: str | None = "actnorm",
    dropout: float = 0.0,
    bounds: tuple[float, float] | None = None,
    alpha: float = 1e-6,
    context_features: int | None = None,
    rngs: nnx.Rngs,
) -> Flow:
    """A masked autoregressive flow: exact densities in one pass, samples in the time of a few.

    Args:
        event_shape: the event's shape; every entry is a position of the chain.
        layers: autoregressive layers.
        hidden: widths of the hidden layers of each MADE.
        activation: of the hidden layers.
        bound: soft bound of the log-scales; None for none.
        norm: between the layers: ``"actnorm"``, ``"batchnorm"`` (the paper's), or None for none.
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
    scan = autoregressive_layers(
        event_shape,
        layers=layers,
        hidden=hidden,
        activation=activation,
        bound=bound,
        norm=norm,
        dropout=dropout,
        context_features=context_features,
        rngs=rngs,
    )
    return flow_on(event_shape, [scan], bounds, alpha)


def autoregressive_layers(
    event_shape: Shape,
    *,
    layers: int,
    hidden: Sequence[int],
    activation: str,
    bound: float | None,
    norm: str | None,
    dropout: float,
    context_features: int | None,
    wrap: Callable[[Bijector], Bijector] | None = None,
    rngs: nnx.Rngs,
) -> Scan:
    """The layers of MAF: a reversal of the order, an affine MADE and a normalisation in each.

    Args:
        wrap: what is made of each MADE layer; ``Inverse`` gives IAF.

    The other arguments are those of :func:`maf`.

    Raises:
        ValueError: for an unknown ``norm``.
    """
    if norm is not None and norm not in _NORMS:
        raise unknown("norm", norm, [*_NORMS, "None"])
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
        step: Bijector = MaskedAutoregressive(made, transform)
        step = step if wrap is None else wrap(step)
        norms = [] if norm is None else [_NORMS[norm](event_shape)]
        return Chain([Flip(len(event_shape)), step, *norms])

    return Scan(layer, layers, rngs=rngs)
