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
from jaxgen.models import Autoregressive, Ensemble
from jaxgen.zoo.heads import head_of
from jaxgen.zoo.registry import constructor


@constructor
def eonade(
    event_shape: Shape,
    *,
    levels: int | None = 2,
    components: int | None = None,
    inputs: str | None = None,
    hidden: Sequence[int] = (500, 500),
    activation: str = "relu",
    num_orders: int = 8,
    dropout: float = 0.0,
    context_features: int | None = None,
    rngs: nnx.Rngs,
) -> Ensemble:
    """An order-agnostic network, averaged over random orders.

    Args:
        num_orders: how many orders the likelihood averages over.
        rngs: where the initial weights and the orders come from.

    >>> import jax.numpy as jnp
    >>> model = eonade((8,), hidden=(16,), rngs=nnx.Rngs(0))
    >>> round(float(model.log_prob(jnp.zeros(8, int))), 4)  # eight fair coins at first
    -5.5452
    """
    likelihood = head_of(event_shape, levels, components, inputs)
    conditional = EoNADE(
        event_shape,
        likelihood.num_params(()),
        hidden=hidden,
        activation=activation,
        context_features=context_features,
        dropout=dropout,
        position_shape=likelihood.input_shape(()),
        rngs=rngs,
    )
    orders = random_orders(rngs.params(), num_orders, conditional.num_positions)
    return Ensemble(Autoregressive(conditional, likelihood), orders)
