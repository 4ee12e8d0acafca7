r"""A neural network for each dimension (Bengio and Bengio 2000).

.. math:: \log p(x) = \sum_t \log p\left(x_t \mid b_t + V_t\, g(c_t + W_t\, x_{<t})\right),

nothing shared between the dimensions (see :mod:`jaxgen.conditionals.growing`).
"""

from flax import nnx

from jaxgen.conditionals import Growing
from jaxgen.core import Shape
from jaxgen.models import Autoregressive
from jaxgen.zoo.heads import head_of
from jaxgen.zoo.registry import constructor


@constructor
def growing(
    event_shape: Shape,
    *,
    levels: int | None = 2,
    components: int | None = None,
    inputs: str | None = None,
    width: int = 16,
    activation: str = "tanh",
    dropout: float = 0.0,
    context_features: int | None = None,
    rngs: nnx.Rngs,
) -> Autoregressive:
    """One small network for each dimension, over those before it.

    Args:
        width: hidden units of each dimension.

    >>> import jax.numpy as jnp
    >>> model = growing((8,), rngs=nnx.Rngs(0))
    >>> round(float(model.log_prob(jnp.zeros(8, int))), 4)  # eight fair coins at first
    -5.5452
    """
    likelihood = head_of(event_shape, levels, components, inputs)
    conditional = Growing(
        event_shape,
        likelihood.num_params(()),
        width=width,
        activation=activation,
        dropout=dropout,
        context_features=context_features,
        position_shape=likelihood.input_shape(()),
        rngs=rngs,
    )
    return Autoregressive(conditional, likelihood)
