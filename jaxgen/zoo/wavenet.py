r"""WaveNet (van den Oord et al. 2016): a signal, sample by sample.

.. math:: \log p(x) = \sum_t \log p\left(x_t \mid x_{t-R}, \dots, x_{t-1}\right),

with dilated causal convolutions of receptive field ``R`` (see :mod:`jaxgen.conditionals.wavenet`).
"""

from collections.abc import Sequence

from flax import nnx

from jaxgen.conditionals import WaveNet
from jaxgen.core import Shape, ShapeError
from jaxgen.models import Autoregressive
from jaxgen.zoo.heads import framed, head_of
from jaxgen.zoo.registry import constructor


@constructor
def wavenet(
    event_shape: Shape,
    *,
    levels: int | None = 256,
    components: int | None = None,
    inputs: str | None = None,
    frame: str | None = None,
    frame_width: int = 128,
    width: int = 32,
    skip_width: int = 128,
    dilations: Sequence[int] = (1, 2, 4, 8, 16, 32, 64, 128, 256),
    dropout: float = 0.0,
    context_features: int | None = None,
    local: bool = False,
    rngs: nnx.Rngs,
) -> Autoregressive:
    """Dilated causal convolutions over a signal.

    Args:
        event_shape: ``(length,)`` or ``(length, channels)``.
        levels: 256 for mu-law codes (categorical, each level with an embedding of its own), None
            for real values (normal).
        components: of a mixture for each step, of normals for real values and of discretized
            logistics for levels, which are then read as numbers; None for no mixture.
        width: features of a step.
        skip_width: features of the sum of the skip connections.
        dilations: of the layers.
        dropout: rate on what a layer reads while training.
        local: whether there is a context vector for each step, instead of one for the signal.

    Raises:
        ShapeError: if the event is no signal.

    >>> import jax.numpy as jnp
    >>> model = wavenet((8,), levels=4, width=4, dilations=(1, 2), rngs=nnx.Rngs(0))
    >>> round(float(model.log_prob(jnp.zeros(8, int))), 4)  # eight dice of four faces at first
    -11.0904
    """
    if not 1 <= len(event_shape) <= 2:
        raise ShapeError(
            f"wavenet: expected a signal (length,) or (length, channels), got {tuple(event_shape)}"
        )
    likelihood = head_of(event_shape, levels, components, inputs)
    position = tuple(event_shape[1:])
    likelihood = framed(likelihood, position, frame, frame_width, rngs=rngs)
    conditional = WaveNet(
        tuple(event_shape[:1]),
        likelihood.input_shape(position),
        likelihood.num_params(position),
        width=width,
        skip_width=skip_width,
        dilations=dilations,
        context_features=context_features,
        local=local,
        dropout=dropout,
        rngs=rngs,
    )
    return Autoregressive(conditional, likelihood)
