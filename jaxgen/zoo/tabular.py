r"""Tables of mixed columns: real numbers, counts, categories and flags side by side in a row.

.. math:: \log p(x) = \sum_t \log p_{o_t}\left(x_{o_t} \mid x_{o_{<t}}\right),

the chain rule over columns, each with a head of its own kind
(:class:`~jaxgen.likelihoods.Columns`). The network is trained in all orders of the columns, so it
completes whatever is missing of a row from whatever is known of it, exactly: EoNADE (Uria,
Murray and Larochelle 2014), or MADE with order-agnostic training (Germain et al. 2015). A
mixture of normals for each real column is RNADE's head (Uria, Murray and Larochelle 2013). Its
hidden units are bounded, so that no outlier in a column throws the columns after it.
"""

from collections.abc import Sequence

from flax import nnx

from jaxgen.conditionals import MADE, EoNADE
from jaxgen.core import Shape, ShapeError, unknown
from jaxgen.functional.masks import random_orders
from jaxgen.likelihoods import (
    Bernoulli,
    Categorical,
    Columns,
    Likelihood,
    NegativeBinomial,
    Ordinal,
    Poisson,
    for_levels,
)
from jaxgen.models import Autoregressive, Ensemble
from jaxgen.zoo.registry import constructor

_NETWORKS = ("eonade", "made")
_KINDS = ("real", "binary", "categorical:LEVELS", "ordinal:LEVELS", "count", "poisson")


@constructor
def tabular(
    event_shape: Shape,
    *,
    columns: Sequence[str] | None = None,
    components: int | None = 3,
    network: str = "eonade",
    hidden: Sequence[int] = (128, 128),
    activation: str = "tanh",
    num_orders: int = 8,
    dropout: float = 0.0,
    context_features: int | None = None,
    rngs: nnx.Rngs,
) -> Ensemble:
    """A model of rows of mixed columns, exact for any part of a row given any other.

    A row is an array of real numbers, of which those of discrete columns are whole: the number of
    a level, or a count. Real columns are in whatever unit they have.

    Args:
        event_shape: ``(columns,)``.
        columns: the kind of each column: ``"real"``; ``"binary"``; ``"categorical:5"``, names
            numbered from 0, here five, each read as a vector of its own; ``"ordinal:5"``, levels in
            an order; ``"count"``, a negative binomial; ``"poisson"``. None: all are real.
        components: normals in the mixture of each real column; None for one normal.
        network: ``"eonade"``, which learns to predict any columns from any others, so that what it
            completes is spread as it should be; or ``"made"``, trained in ``num_orders`` orders,
            whose densities are higher, and completions too sure.
        num_orders: how many random orders of the columns the likelihood averages over.
        rngs: where the initial weights and the orders come from.

    Raises:
        ValueError: for an unknown kind of column.
        ShapeError: if there are not as many kinds as columns.

    >>> import jax.numpy as jnp
    >>> kinds = ("binary", "categorical:4")
    >>> model = tabular((2,), columns=kinds, hidden=(8,), rngs=nnx.Rngs(0))
    >>> round(float(model.log_prob(jnp.array([1, 3]))), 4)  # log of 1/2 and of 1/4 at first
    -2.0794
    """
    if len(event_shape) != 1:
        raise ShapeError(f"tabular: expected rows, of shape (columns,), got {event_shape}")
    kinds = ("real",) * event_shape[0] if columns is None else tuple(columns)
    if len(kinds) != event_shape[0]:
        raise ShapeError(
            f"tabular: expected a kind for each of {event_shape[0]} columns, got {len(kinds)}"
        )
    if network not in _NETWORKS:
        raise unknown("network", network, _NETWORKS)
    likelihood = Columns([_head(kind, components) for kind in kinds])
    build = EoNADE if network == "eonade" else MADE
    orders = {} if network == "eonade" else {"order_features": True}
    conditional = build(
        event_shape,
        likelihood.num_params(()),
        hidden=hidden,
        activation=activation,
        dropout=dropout,
        context_features=context_features,
        position_shape=likelihood.input_shape(()),
        rngs=rngs,
        **orders,
    )
    drawn = random_orders(rngs.params(), num_orders, conditional.num_positions)
    return Ensemble(Autoregressive(conditional, likelihood), drawn)


def _head(kind: str, components: int | None) -> Likelihood:
    """The head of a column of a kind."""
    name, _, levels = kind.partition(":")
    plain = {"binary": Bernoulli, "count": NegativeBinomial, "poisson": Poisson}
    if kind == "real":
        return for_levels(None, components)
    if kind in plain:
        return plain[kind]()
    if name not in ("categorical", "ordinal") or not levels.isdecimal():
        raise unknown("kind of column", kind, _KINDS)
    return Ordinal(int(levels)) if name == "ordinal" else Categorical(int(levels), "one_hot")
