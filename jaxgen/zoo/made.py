r"""MADE: masked autoencoder for distribution estimation (Germain et al., 2015).

.. math:: \log p(x) = \sum_t \log p\left(x_{o_t} \mid x_{o_{<t}}\right),

all conditionals from one masked network in one pass (see :mod:`jaxgen.conditionals.made`). With
several orders, training draws orders at random and the likelihood is their average
(:class:`~jaxgen.models.Ensemble`), as in section 4.2 of the paper; mask sampling draws a
connectivity along with each of them.

Real values get a normal each, or a mixture of normals: MADE-MoG, the base of
:func:`~jaxgen.zoo.maf_mog` (Papamakarios et al. 2017), whose MADE has a Gaussian head.
"""

from collections.abc import Sequence

from flax import nnx

from jaxgen.bijectors.bounded import Bounds
from jaxgen.conditionals import MADE
from jaxgen.core import Shape
from jaxgen.functional.masks import random_orders
from jaxgen.models import Autoregressive, Ensemble, Flow
from jaxgen.models.flow import flow_on
from jaxgen.zoo.heads import head_of
from jaxgen.zoo.registry import constructor, refuse_ignored


@constructor
def made(
    event_shape: Shape,
    *,
    levels: int | None = 2,
    components: int | None = None,
    inputs: str | None = None,
    hidden: Sequence[int] = (500,),
    activation: str = "relu",
    direct: bool = True,
    num_orders: int = 1,
    orders_per_batch: int = 4,
    connectivity_agnostic: bool = False,
    dropout: float = 0.0,
    bounds: Bounds = None,
    alpha: float = 1e-6,
    context_features: int | None = None,
    rngs: nnx.Rngs,
) -> Autoregressive | Ensemble | Flow:
    """A masked autoencoder with an exact likelihood.

    Args:
        direct: masked connections from inputs to outputs.
        num_orders: 1 generates in raster order; more average over that many random orders.
        connectivity_agnostic: gives each of several orders a connectivity of its own.
        rngs: where the initial weights and the orders come from.

    Raises:
        ValueError: if ``bounds`` are given for integer levels, or ``connectivity_agnostic`` with
            one order.

    >>> import jax.numpy as jnp
    >>> model = made((8,), hidden=(16,), rngs=nnx.Rngs(0))
    >>> round(float(model.log_prob(jnp.zeros(8, int))), 4)  # eight fair coins at first
    -5.5452
    """
    if levels is not None and bounds is not None:
        raise ValueError(
            f"made: bounds is for real values, that is levels=None, got bounds={bounds} with "
            f"levels={levels}"
        )
    if connectivity_agnostic and num_orders == 1:
        raise ValueError("made: connectivity_agnostic needs several orders, got num_orders=1")
    if num_orders == 1:
        refuse_ignored("made", "with one order", orders_per_batch=orders_per_batch)
    likelihood = head_of(event_shape, levels, components, inputs)
    conditional = MADE(
        event_shape,
        likelihood.num_params(()),
        hidden=hidden,
        activation=activation,
        direct=direct,
        order_features=num_orders > 1,
        dropout=dropout,
        context_features=context_features,
        position_shape=likelihood.input_shape(()),
        rngs=rngs,
    )
    single = Autoregressive(conditional, likelihood)
    model: Autoregressive | Ensemble = single
    if num_orders != 1:
        orders = random_orders(rngs.params(), num_orders, conditional.num_positions)
        model = Ensemble(single, orders, orders_per_batch, connectivity_agnostic)
    return model if bounds is None else flow_on(event_shape, [], bounds, alpha, model)
