r"""The fully visible sigmoid belief network (Neal 1992; Frey, Hinton and Dayan 1996).

.. math:: \log p(x) = \sum_t \log p\left(x_t \mid b_t + \sum_{s<t} A_{ts}\, x_s\right),

a logistic regression for each dimension (see :mod:`jaxgen.conditionals.fvsbn`).
"""

from flax import nnx

from jaxgen.conditionals import FVSBN
from jaxgen.core import Shape
from jaxgen.likelihoods import for_levels
from jaxgen.models import Autoregressive


def fvsbn(
    event_shape: Shape,
    *,
    levels: int | None = 2,
    components: int | None = None,
    context_features: int | None = None,
    rngs: nnx.Rngs,
) -> Autoregressive:
    """A generalised linear model of each dimension given those before it.

    Args:
        event_shape: the event's shape; every entry is a position of the chain.
        levels: 2 for binary data (Bernoulli), more for integer levels (categorical), None for real
            values (normal).
        components: of a mixture for each entry, of normals for real values and of discretized
            logistics for levels; None for no mixture.
        context_features: the size of a context vector; None for an unconditional model.
        rngs: where the initial weights come from.

    >>> import jax.numpy as jnp
    >>> model = fvsbn((8,), rngs=nnx.Rngs(0))
    >>> round(float(model.log_prob(jnp.zeros(8, int))), 4)  # eight fair coins at first
    -5.5452
    """
    likelihood = for_levels(levels, components)
    conditional = FVSBN(
        event_shape,
        likelihood.num_params(()),
        context_features=context_features,
        rngs=rngs,
    )
    return Autoregressive(conditional, likelihood)
