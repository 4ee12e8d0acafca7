r"""A causal transformer as a direct density: over pixels, tokens or the steps of a sequence.

.. math:: \log p(x) = \sum_t \log p\left(x_t \mid x_{<t}\right),

with causal self-attention (Vaswani et al. 2017; over pixels, Parmar et al. 2018 and Child et al.
2019) and a categorical, Bernoulli or mixture head (see :mod:`jaxgen.conditionals.attention`). It
samples with a cache of keys and values, in any order of generation.
"""

from flax import nnx

from jaxgen.conditionals import CausalTransformer
from jaxgen.core import Shape
from jaxgen.models import Autoregressive
from jaxgen.zoo.heads import framed, head_of
from jaxgen.zoo.registry import constructor


@constructor
def attention(
    event_shape: Shape,
    *,
    levels: int | None = 256,
    components: int | None = None,
    inputs: str | None = None,
    frame: str | None = None,
    frame_width: int = 128,
    width: int = 128,
    depth: int = 4,
    heads: int = 4,
    positions: str = "learned",
    dropout: float = 0.0,
    context_features: int | None = None,
    rngs: nnx.Rngs,
) -> Autoregressive:
    """Causal self-attention over a sequence, or over the pixels of an image in raster order.

    Args:
        event_shape: ``(length,)``, ``(length, channels)`` or ``(height, width, channels)``.
        width, depth, heads, positions, dropout: see
            :class:`~jaxgen.conditionals.CausalTransformer`.

    >>> import jax.numpy as jnp
    >>> model = attention((8,), levels=2, width=8, depth=1, heads=2, rngs=nnx.Rngs(0))
    >>> round(float(model.log_prob(jnp.zeros(8, int))), 4)  # eight fair coins at first
    -5.5452
    """
    likelihood = head_of(event_shape, levels, components, inputs)
    steps = max(len(event_shape) - 1, 1)
    grid, position = tuple(event_shape[:steps]), tuple(event_shape[steps:])
    likelihood = framed(likelihood, position, frame, frame_width, rngs=rngs)
    conditional = CausalTransformer(
        grid,
        likelihood.input_shape(position),
        likelihood.num_params(position),
        width=width,
        depth=depth,
        heads=heads,
        positions=positions,
        context_features=context_features,
        dropout=dropout,
        rngs=rngs,
    )
    return Autoregressive(conditional, likelihood)
