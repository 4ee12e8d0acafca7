r"""Markov chains and other independence assumptions (Pearl 1988), over any head.

.. math:: \log p(x) = \sum_i \log p\left(x_i \mid x_{\mathrm{pa}(i)}\right)

with the positions before as parents, or any directed acyclic graph (see
:mod:`jaxgen.conditionals.markov`). Levels get tables, real values a linear map.
"""

from collections.abc import Sequence

import jax.numpy as jnp
from flax import nnx

from jaxgen.conditionals import Markov
from jaxgen.core import Shape
from jaxgen.likelihoods import for_levels
from jaxgen.models import Autoregressive
from jaxgen.zoo.registry import constructor


@constructor
def markov(
    event_shape: Shape,
    *,
    levels: int | None = 2,
    components: int | None = None,
    parents: int | Sequence[Sequence[int]] = 1,
    shared: bool = False,
    rngs: nnx.Rngs,
) -> Autoregressive:
    """A Markov chain in raster order, or a Bayesian network.

    The tables of levels can be counted instead of trained:
    :meth:`~jaxgen.conditionals.Markov.estimate`.

    Args:
        parents: the order of the chain, 0 for independent entries; or the parents of each position.
        shared: one table or linear map for all positions.
        rngs: unused, since a fresh chain is uniform (or standard normal); for the zoo's contract.

    >>> model = markov((8,), parents=2, rngs=nnx.Rngs(0))
    >>> round(float(model.log_prob(jnp.zeros(8, int))), 4)  # eight fair coins at first
    -5.5452
    """
    likelihood = for_levels(levels, components)
    values = None if levels is None else likelihood.encode(jnp.arange(levels)).tolist()
    conditional = Markov(
        event_shape, likelihood.num_params(()), parents=parents, values=values, shared=shared
    )
    return Autoregressive(conditional, likelihood)
