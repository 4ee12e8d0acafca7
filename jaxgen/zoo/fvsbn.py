r"""The fully visible sigmoid belief network (Neal 1992; Frey, Hinton and Dayan 1996).

.. math:: \log p(x) = \sum_t \log p\left(x_t \mid b_t + \sum_{s<t} A_{ts}\, x_s\right),

a logistic regression for each dimension (see :mod:`jaxgen.conditionals.fvsbn`).
"""

from flax import nnx

from jaxgen.conditionals import FVSBN
from jaxgen.core import Shape
from jaxgen.models import Autoregressive
from jaxgen.zoo.heads import head_of
from jaxgen.zoo.registry import constructor


@constructor
def fvsbn(
    event_shape: Shape,
    *,
    levels: int | None = 2,
    components: int | None = None,
    inputs: str | None = None,
    context_features: int | None = None,
    rngs: nnx.Rngs,
) -> Autoregressive:
    """A generalised linear model of each dimension given those before it.

    >>> import jax.numpy as jnp
    >>> model = fvsbn((8,), rngs=nnx.Rngs(0))
    >>> round(float(model.log_prob(jnp.zeros(8, int))), 4)  # eight fair coins at first
    -5.5452
    """
    likelihood = head_of(event_shape, levels, components, inputs)
    conditional = FVSBN(
        event_shape,
        likelihood.num_params(()),
        context_features=context_features,
        position_shape=likelihood.input_shape(()),
        rngs=rngs,
    )
    return Autoregressive(conditional, likelihood)
