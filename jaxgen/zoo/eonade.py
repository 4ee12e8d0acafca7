r"""EoNADE: an ensemble over orders of one deep network (Uria, Murray and Larochelle 2014).

.. math:: p(x) = \frac{1}{K} \sum_k \prod_t p\left(x_{o_k(t)} \mid x_{o_k(<t)}\right),

trained on all orders at once (see :mod:`jaxgen.conditionals.eonade`). A missing part is completed
exactly, whatever it is.
"""

from collections.abc import Sequence

from flax import nnx

from jaxgen.conditionals import EoNADE
from jaxgen.core import Shape
from jaxgen.functional.masks import random_orders
from jaxgen.likelihoods import for_levels
from jaxgen.models import Autoregressive, Ensemble


def eonade(
    event_shape: Shape,
    *,
    levels: int | None = 2,
    components: int | None = None,
    hidden: Sequence[int] = (500, 500),
    activation: str = "relu",
    num_orders: int = 8,
    dropout: float = 0.0,
    context_features: int | None = None,
    rngs: nnx.Rngs,
) -> Ensemble:
    """An order-agnostic network, averaged over random orders.

    Args:
        event_shape: the event's shape; every entry is a position of the chain.
        levels: 2 for binary data (Bernoulli), more for integer levels (categorical), None for real
            values (normal).
        components: of a mixture for each entry, of normals for real values and of discretized
            logistics for levels; None for no mixture.
        hidden: widths of the hidden layers.
        activation: of the hidden layers.
        num_orders: how many orders the likelihood averages over.
        dropout: rate in the hidden layers while training.
        context_features: the size of a context vector; None for an unconditional model.
        rngs: where the initial weights and the orders come from.

    >>> import jax.numpy as jnp
    >>> model = eonade((8,), hidden=(16,), rngs=nnx.Rngs(0))
    >>> round(float(model.log_prob(jnp.zeros(8, int))), 4)  # eight fair coins at first
    -5.5452
    """
    likelihood = for_levels(levels, components)
    conditional = EoNADE(
        event_shape,
        likelihood.num_params(()),
        hidden=hidden,
        activation=activation,
        context_features=context_features,
        dropout=dropout,
        rngs=rngs,
    )
    orders = random_orders(rngs.params(), num_orders, conditional.num_positions)
    return Ensemble(Autoregressive(conditional, likelihood), orders)
