r"""Mixtures of factorised distributions: the mixture of Bernoullis, a baseline of every table.

.. math:: p(x) = \sum_k w_k \prod_i p(x_i; \theta_{ki})

(McLachlan and Peel 2000; see :mod:`jaxgen.models.mixture`). Trained by gradients, not by
expectation maximisation.
"""

from flax import nnx

from jaxgen.core import Shape
from jaxgen.likelihoods import for_levels
from jaxgen.models import Mixture
from jaxgen.zoo.registry import constructor


@constructor
def mixture(
    event_shape: Shape, *, levels: int | None = 2, components: int = 100, rngs: nnx.Rngs
) -> Mixture:
    """Factorised distributions, of which each event comes from one.

    Args:
        event_shape: the event's shape.
        levels: 2 for binary data (Bernoulli), more for integer levels (categorical), None for real
            values (normal).
        components: how many there are.
        rngs: where the initial parameters come from.

    >>> import jax.numpy as jnp
    >>> model = mixture((8,), components=5, rngs=nnx.Rngs(0))
    >>> model.log_prob(jnp.zeros((3, 8), int)).shape
    (3,)
    """
    return Mixture(event_shape, for_levels(levels, None), components, rngs=rngs)
