r"""The conditional noise flow of variational dequantization (Flow++, Ho et al., 2019, section 3.1).

A density ``q(u | x)`` of the noise that is added to integer levels ``x``. Standard logistic numbers
pass through pairs of mixture-CDF couplings and a sigmoid,

.. math:: u = \sigma(f(\epsilon; h(x))), \qquad \epsilon_i \sim \mathrm{Logistic}(0, 1),

whose networks see an encoding ``h(x)`` of the image. The couplings are those of
:mod:`jaxgen.zoo.flowpp`, the other way round: here sampling is the closed form, because training
only ever samples.

Deviations: those of Flow++. The paper's noise is normal; with logistic noise the flow starts as
uniform dequantization, since ``f`` starts as the identity, and its density does not vanish at the
ends of a cell faster than any power, which would leave importance weights ``p(x + u) / q(u | x)``
without a variance. The encoder is a :class:`~jaxgen.networks.ConvResNet` over the whole image;
there is no dropout; the actnorms keep their start at the identity.
"""

from collections.abc import Sequence
from functools import partial

from flax import nnx
from jax import Array

from jaxgen.bijectors import Chain, Inverse, Logit
from jaxgen.core import Module, Shape, check_event
from jaxgen.models import Embedded, Flow, Logistic
from jaxgen.networks import MLP, ConvResNet, GatedResNet
from jaxgen.transforms import MixtureCDF
from jaxgen.zoo.flowpp import boards, halves, pairs
from jaxgen.zoo.registry import constructor, refuse_ignored


class Encoder(Module):
    """What the couplings see of the levels: an image or a vector of features.

    Args:
        event_shape: of the levels.
        network: from these to the features.
    """

    def __init__(self, event_shape: Shape, network: MLP | ConvResNet):
        self.input_shape = event_shape
        self.network = network

    def __call__(self, x: Array) -> Array:
        """Scaled levels ``(*batch, *event_shape)`` to the same with other channels."""
        return self.network(x)


@constructor
def dequantizer(
    event_shape: Shape,
    *,
    steps: int = 2,
    components: int = 32,
    width: int = 96,
    blocks: int = 2,
    heads: int = 4,
    attention: bool = True,
    hidden: Sequence[int] = (128, 128),
    features: int = 32,
    encoder_blocks: int = 3,
    bound: float | None = 5.0,
    rngs: nnx.Rngs,
) -> Embedded:
    """The noise of variational dequantization: a density on ``(0, 1)`` given scaled levels.

    Args:
        event_shape: ``(height, width, channels)``, or ``(D,)`` with ``D >= 2``.
        steps: pairs of couplings; two are the paper's four couplings.
        components: logistics in the mixture of every value.
        width, blocks, heads, attention: of the couplings' networks (images).
        hidden: widths of the hidden layers, of couplings and encoder (vectors).
        features: channels of the encoding, and inside the encoder.
        encoder_blocks: residual blocks of the encoder (images).

    Returns:
        A model for :class:`~jaxgen.models.Dequantized`, whose context are the levels scaled to
        ``[-1, 1]``.

    Raises:
        ShapeError: if the event is neither a vector nor an image.
        ValueError: for an argument of the other kind of events.

    >>> import jax, jax.numpy as jnp
    >>> noise = dequantizer((2,), steps=1, components=2, hidden=(8,), rngs=nnx.Rngs(0))
    >>> u, log_q = noise.sample_and_log_prob(jax.random.key(0), 3, jnp.array([-1.0, 1.0]))
    >>> u.shape, log_q.shape
    ((3, 2), (3,))
    """
    event_shape = check_event(event_shape, (1, 3), "dequantizer")
    transform = MixtureCDF(components, bound)

    encoder: MLP | ConvResNet
    if len(event_shape) == 1:
        of_images = {"width": width, "blocks": blocks, "heads": heads, "attention": attention}
        of_images["encoder_blocks"] = encoder_blocks
        refuse_ignored("dequantizer", "for vectors", **of_images)
        mlp = partial(MLP, hidden=hidden, context_features=features)
        couplings = pairs(event_shape, halves(), mlp, transform, steps, rngs=rngs)
        encoder = MLP(event_shape[0], features, hidden=hidden, rngs=rngs)
    else:
        refuse_ignored("dequantizer", "for images", hidden=hidden)
        if not attention:
            refuse_ignored("dequantizer", "without attention", heads=heads)
        grid = (event_shape[0], event_shape[1])
        gated = partial(
            GatedResNet,
            grid_shape=grid,
            width=width,
            num_blocks=blocks,
            heads=heads,
            attention=attention,
            context_features=features,
            context_grid=grid,
        )
        couplings = pairs(event_shape, boards(event_shape), gated, transform, steps, rngs=rngs)
        encoder = ConvResNet(
            event_shape[-1], features, width=features, num_blocks=encoder_blocks, rngs=rngs
        )
    unit = Logit(0.0, 1.0, alpha=0.0, event_ndims=len(event_shape))
    flow = Flow(Chain([Inverse(couplings), unit]), Logistic(event_shape))
    return Embedded(flow, Encoder(event_shape, encoder))
