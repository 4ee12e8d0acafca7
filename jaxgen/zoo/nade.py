r"""NADE (Larochelle and Murray 2011), and RNADE for real values (Uria et al. 2013).

.. math:: \log p(x) = \sum_t \log p\left(x_t \mid b_t + V_t\, g(c + W_{<t}\, x_{<t})\right),

with one hidden layer's weights shared by all dimensions (see :mod:`jaxgen.conditionals.nade`).
With ``levels=None`` and ``components`` it is RNADE, a mixture of normals for each dimension.
"""

from flax import nnx

from jaxgen.conditionals import NADE
from jaxgen.core import Shape
from jaxgen.models import Autoregressive
from jaxgen.zoo.heads import head_of
from jaxgen.zoo.registry import constructor


@constructor
def nade(
    event_shape: Shape,
    *,
    levels: int | None = 2,
    components: int | None = None,
    inputs: str | None = None,
    width: int = 500,
    activation: str = "sigmoid",
    dropout: float = 0.0,
    context_features: int | None = None,
    rngs: nnx.Rngs,
) -> Autoregressive:
    """The neural autoregressive distribution estimator.

    Args:
        width: hidden units.

    >>> import jax.numpy as jnp
    >>> model = nade((8,), rngs=nnx.Rngs(0))
    >>> round(float(model.log_prob(jnp.zeros(8, int))), 4)  # eight fair coins at first
    -5.5452
    """
    likelihood = head_of(event_shape, levels, components, inputs)
    conditional = NADE(
        event_shape,
        likelihood.num_params(()),
        width=width,
        activation=activation,
        rescale=levels is None,
        dropout=dropout,
        context_features=context_features,
        position_shape=likelihood.input_shape(()),
        rngs=rngs,
    )
    return Autoregressive(conditional, likelihood)
