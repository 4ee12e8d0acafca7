r"""The fully visible sigmoid belief network (Neal 1992; Frey, Hinton and Dayan 1996).

One generalised linear model for each dimension, whose weights grow in number with the dimensions
before it: a logistic regression under a Bernoulli head.

.. math:: \theta_t = b_t + \sum_{s < t} A_{ts}\, x_s.

It is MADE without hidden layers: masked connections from the inputs to the outputs alone, in any
order.
"""

from flax import nnx

from jaxgen.conditionals.made import MADE
from jaxgen.core import Shape, checked_arguments


class FVSBN(MADE):
    """A linear map of the earlier values for each position; starts at zero.

    Args:
        grid_shape, num_params, context_features, position_shape, rngs: see
            :class:`~jaxgen.conditionals.MADE`.

    >>> import jax.numpy as jnp
    >>> fvsbn = FVSBN((6,), 1, rngs=nnx.Rngs(0))
    >>> fvsbn(jnp.ones((4, 6))).shape
    (4, 6, 1)
    """

    @checked_arguments
    def __init__(
        self,
        grid_shape: Shape,
        num_params: int,
        *,
        context_features: int | None = None,
        position_shape: Shape = (),
        rngs: nnx.Rngs,
    ):
        super().__init__(
            grid_shape,
            num_params,
            hidden=(),
            direct=True,
            context_features=context_features,
            position_shape=position_shape,
            rngs=rngs,
        )
