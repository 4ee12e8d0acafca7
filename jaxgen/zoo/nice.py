r"""NICE: non-linear independent components estimation (Dinh, Krueger and Bengio, 2014).

Additive couplings, which preserve volume, over the odd and the even entries in turn (equations 2-3
and section 5.1), and a diagonal scaling (section 3.3): seen from the data,

.. math:: z_b = x_b - t(x_a), \quad z_a = x_a; \qquad \text{at the end} \quad
          z_i \leftarrow z_i \exp(s_i),

with a logistic base by default. Events of any shape are flattened.

Deviations: the scaling also shifts, and starts from the data's statistics (actnorm); the last layer
of every network starts at zero, so the couplings start as the identity. The paper has no logit for
bounded data; here it is an option.
"""

import math
from collections.abc import Sequence
from functools import partial

from flax import nnx

from jaxgen.bijectors import ActNorm, Alternating, Bijector, Chain, Coupling, Reshape, Scan
from jaxgen.bijectors.bounded import Bounds
from jaxgen.core import Shape, unknown
from jaxgen.models import Flow, Logistic, StandardNormal
from jaxgen.models.flow import flow_on
from jaxgen.networks import MLP
from jaxgen.transforms import Additive
from jaxgen.zoo.registry import constructor

_BASES: dict[str, type[Logistic] | type[StandardNormal]] = {
    "logistic": Logistic,
    "normal": StandardNormal,
}


@constructor
def nice(
    event_shape: Shape,
    *,
    couplings: int = 4,
    hidden: Sequence[int] = (1000, 1000, 1000, 1000, 1000),
    activation: str = "relu",
    base: str = "logistic",
    dropout: float = 0.0,
    bounds: Bounds = None,
    alpha: float | None = None,
    context_features: int | None = None,
    rngs: nnx.Rngs,
) -> Flow:
    """A flow of additive couplings, equally fast in both directions.

    Args:
        event_shape: the event's shape, of at least 2 entries.
        couplings: how many, an even number: they come in pairs that exchange the two parts.
        hidden: widths of the hidden layers of each network; the default is the paper's for MNIST.
        base: ``"logistic"`` or ``"normal"``.

    Raises:
        ValueError: for an odd number of couplings, or an unknown base.
        ShapeError: if the event has a single entry.

    >>> import jax.numpy as jnp
    >>> flow = nice((4, 4, 1), hidden=(16,), rngs=nnx.Rngs(0))
    >>> flow.log_prob(jnp.zeros((2, 4, 4, 1))).shape
    (2,)
    """
    if couplings < 2 or couplings % 2:
        raise ValueError(f"nice: expected an even number of couplings, got {couplings}")
    if base not in _BASES:
        raise unknown("base", base, _BASES)
    event_shape = tuple(event_shape)
    vector = (math.prod(event_shape),)

    network = partial(
        MLP,
        hidden=hidden,
        activation=activation,
        dropout=dropout,
        context_features=context_features,
    )

    def pair(rngs: nnx.Rngs) -> Bijector:
        mlp = partial(network, rngs=rngs)
        return Chain(
            [Coupling(vector, mlp, Additive(), Alternating(swap)) for swap in (False, True)]
        )

    layers: Bijector = Chain([ActNorm(vector), Scan(pair, couplings // 2, rngs=rngs)])
    if event_shape != vector:
        layers = Reshape(layers, event_shape)
    return flow_on(event_shape, [layers], bounds, alpha, _BASES[base](event_shape))
