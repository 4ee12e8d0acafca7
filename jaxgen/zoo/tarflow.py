r"""TarFlow: normalizing flows are capable generative models (Zhai et al., 2024).

An image becomes a grid of patches, each a token; ``T`` autoregressive blocks follow, each a causal
transformer over the tokens, with the order of the tokens reversed from one block to the next
(equations 5 and 6 of the paper):

.. math:: z_i = \left(x_i - b_i(x_{<i})\right) \odot \exp\left(-a_i(x_{<i})\right).

All entries of a token are transformed at once, given the tokens before it.

Deviations: the first token of a block, which the paper leaves as it is, gets a learned affine map,
the output of a start token. The reversal between blocks also reverses the entries of a token, which
only renames them. A vector is a sequence of scalar tokens. Not included are the paper's recipes
around the flow: Gaussian noise added to the training data and removed from samples by a gradient
step on the density, and guidance. The paper neither bounds log-scales nor has a logit for bounded
data; both are off unless asked for.
"""

from flax import nnx

from jaxgen.bijectors import Bijector, Chain, Flip, Inverse, MaskedAutoregressive, Scan, Squeeze
from jaxgen.bijectors.bounded import Bounds
from jaxgen.conditionals import CausalTransformer
from jaxgen.core import Shape, check_event
from jaxgen.models import Flow
from jaxgen.models.flow import flow_on
from jaxgen.transforms import Affine
from jaxgen.zoo.registry import constructor, refuse_ignored
from jaxgen.zoo.sides import check_patch


@constructor
def tarflow(
    event_shape: Shape,
    *,
    patch: int = 4,
    blocks: int = 8,
    layers: int = 8,
    width: int = 256,
    heads: int = 4,
    positions: str = "learned",
    bound: float | None = None,
    dropout: float = 0.0,
    bounds: Bounds = None,
    alpha: float | None = None,
    context_features: int | None = None,
    rngs: nnx.Rngs,
) -> Flow:
    """A flow of autoregressive transformers: densities in one pass, samples token by token.

    Args:
        event_shape: ``(height, width, channels)``, or ``(D,)``.
        patch: the side of a patch, which divides height and width (images). The
            paper has 2 for ImageNet at 64 x 64.
        blocks: ``T``, autoregressive blocks.
        layers: ``K``, transformer layers in each; 8 blocks of 8 layers in most of the paper.
        width: of a token inside a block; 768 in the paper.
        heads: attention heads; the paper gives each 64 entries.
        positions: see :class:`~jaxgen.conditionals.CausalTransformer`.
        dropout: rate in the transformers while training.

    Raises:
        ShapeError: if the event is neither a vector nor an image, or a side is not divisible.
        ValueError: for a patch of vectors.

    >>> import jax.numpy as jnp
    >>> options = {"blocks": 2, "layers": 1, "width": 8, "heads": 2}
    >>> flow = tarflow((4, 4, 1), patch=2, **options, rngs=nnx.Rngs(0))
    >>> flow.log_prob(jnp.zeros((3, 4, 4, 1))).shape
    (3,)
    """
    event_shape = check_event(event_shape, (1, 3), "tarflow")
    ndims = len(event_shape)
    if ndims == 1:
        refuse_ignored("tarflow", "for vectors", patch=patch)
    else:
        check_patch(event_shape, patch)
    squeeze = Squeeze(event_shape, patch) if ndims == 3 else None
    shape = event_shape if squeeze is None else squeeze.base_shape
    grid_shape, position_shape = shape[:2], shape[2:]
    transform = Affine(bound)

    def block(rngs: nnx.Rngs) -> Bijector:
        network = CausalTransformer(
            grid_shape,
            position_shape,
            transform.num_params(position_shape),
            width=width,
            depth=layers,
            heads=heads,
            positions=positions,
            context_features=context_features,
            dropout=dropout,
            rngs=rngs,
        )
        return Chain([Flip(ndims), MaskedAutoregressive(network, transform)])

    steps: list[Bijector] = [Scan(block, blocks, rngs=rngs)]
    if squeeze is not None:
        steps = [Inverse(squeeze), *steps, squeeze]
    return flow_on(event_shape, steps, bounds, alpha)
