r"""Recurrent networks over sequences: LSTM and GRU.

.. math:: \log p(x) = \sum_t \log p\left(x_t \mid h(s_t)\right), \qquad
          s_t = \operatorname{cell}(s_{t-1}, x_{t-1})

(see :mod:`jaxgen.conditionals.recurrent`). Sequences of several lengths are padded, and scored by
``model.log_prob(x, lengths=lengths)``.
"""

from flax import nnx

from jaxgen.conditionals import Recurrent
from jaxgen.core import Shape
from jaxgen.models import Autoregressive
from jaxgen.zoo.heads import framed, head_of
from jaxgen.zoo.registry import constructor


@constructor
def recurrent(
    event_shape: Shape,
    *,
    levels: int | None = 2,
    components: int | None = None,
    inputs: str | None = None,
    frame: str | None = None,
    frame_width: int = 128,
    cell: str = "lstm",
    width: int = 128,
    depth: int = 1,
    context_features: int | None = None,
    stationary: bool | None = None,
    rngs: nnx.Rngs,
) -> Autoregressive:
    """Stacked LSTM or GRU cells over a sequence, or over the pixels of an image in raster order.

    Args:
        event_shape: ``(length,)``, ``(length, channels)`` or ``(height, width, channels)``.
        cell: ``"lstm"`` or ``"gru"``.
        width: the size of a cell's state.
        depth: how many cells stand on each other.
        stationary: whether all positions start from the same statistics of the data, as those of
            text do and columns of a table do not. Then a trained model can be loaded for sequences
            of any length. None: for categorical levels.

    Raises:
        ValueError: for an unknown cell.

    >>> import jax.numpy as jnp
    >>> model = recurrent((8,), width=4, rngs=nnx.Rngs(0))
    >>> round(float(model.log_prob(jnp.zeros(8, int))), 4)  # eight fair coins at first
    -5.5452
    """
    likelihood = head_of(event_shape, levels, components, inputs)
    steps = max(len(event_shape) - 1, 1)
    grid, position = tuple(event_shape[:steps]), tuple(event_shape[steps:])
    likelihood = framed(likelihood, position, frame, frame_width, rngs=rngs)
    conditional = Recurrent(
        grid,
        likelihood.input_shape(position),
        likelihood.num_params(position),
        cell=cell,
        width=width,
        depth=depth,
        context_features=context_features,
        stationary=levels not in (None, 2) if stationary is None else stationary,
        rngs=rngs,
    )
    return Autoregressive(conditional, likelihood)
