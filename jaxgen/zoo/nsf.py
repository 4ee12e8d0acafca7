r"""NSF: neural spline flows (Durkan, Bekasov, Murray and Papamakarios, 2019).

Monotonic rational-quadratic splines (:mod:`jaxgen.functional.splines`) in place of affine maps. One
step, seen from the data: a linear map in LU form, then a spline whose knots come from a residual
network of the other half of the entries, RQ-NSF(C), or from a masked network of the entries before,
RQ-NSF(AR). Images take Glow's multi-scale architecture with spline couplings, as in the paper.

Deviations: actnorm before every step keeps the values inside the splines' interval; the coupling
keeps the same half in every step and leaves the alternation to the linear map; the masked network
is not residual; the network of an image's coupling is Glow's here.
"""

import math
from collections.abc import Sequence
from functools import partial
from typing import Any

from flax import nnx

from jaxgen.bijectors import (
    ActNorm,
    Bijector,
    Chain,
    Conv1x1,
    Coupling,
    MaskedAutoregressive,
    Reshape,
    Scan,
)
from jaxgen.bijectors.bounded import Bounds
from jaxgen.conditionals import MADE
from jaxgen.core import Shape, unknown
from jaxgen.models import Flow
from jaxgen.models.flow import flow_on
from jaxgen.networks import ConvResNet, ResidualMLP
from jaxgen.transforms import RationalQuadraticSpline
from jaxgen.zoo.glow import multi_scale
from jaxgen.zoo.registry import constructor, refuse_ignored
from jaxgen.zoo.sides import fitting_levels

_STRUCTURES = ("coupling", "autoregressive")


@constructor
def nsf(
    event_shape: Shape,
    *,
    structure: str = "coupling",
    steps: int = 10,
    bins: int = 8,
    bound: float = 3.0,
    width: int = 256,
    blocks: int = 2,
    hidden: Sequence[int] = (256, 256),
    levels: int | None = None,
    dropout: float = 0.0,
    bounds: Bounds = None,
    alpha: float | None = None,
    context_features: int | None = None,
    rngs: nnx.Rngs,
) -> Flow:
    """A neural spline flow, for vectors or (multi-scale) for images.

    Args:
        event_shape: ``(D,)`` with ``D >= 2``, or ``(height, width, channels)``; of any shape, and
            flattened, for the autoregressive structure.
        structure: ``"coupling"`` or ``"autoregressive"``.
        steps: steps of flow, in each level for images.
        bins: pieces of a spline.
        bound: the splines live on ``[-bound, bound]``, with linear tails.
        width, blocks: of the couplings' residual networks.
        hidden: widths of the hidden layers of each MADE (autoregressive).
        levels: scales (images); the sides must be divisible by ``2 ** levels``. None for three, or
            as many as they can be halved.

    Raises:
        ValueError: for an unknown structure, or an argument that the other one takes.
        ShapeError: if the event has no two halves, or a side is not divisible.

    >>> import jax.numpy as jnp
    >>> flow = nsf((3,), steps=2, width=8, rngs=nnx.Rngs(0))
    >>> flow.log_prob(jnp.zeros((4, 3))).shape
    (4,)
    """
    if structure not in _STRUCTURES:
        raise unknown("structure", structure, _STRUCTURES)
    because = f"for structure={structure!r}"
    if structure == "autoregressive":
        refuse_ignored("nsf", because, width=width, blocks=blocks, levels=levels)
    else:
        refuse_ignored("nsf", because, hidden=hidden)
    if len(event_shape) != 3:
        refuse_ignored("nsf", "for events that are no images", levels=levels)
    event_shape = tuple(event_shape)
    spline = RationalQuadraticSpline(bins, bound)
    common: dict[str, Any] = {"dropout": dropout, "context_features": context_features}
    if structure == "coupling" and len(event_shape) == 3:
        resnet = partial(ConvResNet, width=width, num_blocks=blocks, **common)
        levels = fitting_levels(event_shape) if levels is None else levels
        scales = multi_scale(event_shape, resnet, spline, levels=levels, steps=steps, rngs=rngs)
        return flow_on(event_shape, [scales], bounds, alpha)
    vector = (math.prod(event_shape),)

    def coupling(rngs: nnx.Rngs) -> Bijector:
        network = partial(ResidualMLP, width=width, num_blocks=blocks, **common, rngs=rngs)
        return Coupling(vector, network, spline)

    def autoregressive(rngs: nnx.Rngs) -> Bijector:
        made = MADE(vector, spline.num_params(()), hidden=hidden, **common, rngs=rngs)
        return MaskedAutoregressive(made, spline)

    def step(rngs: nnx.Rngs) -> Bijector:
        layer = coupling(rngs) if structure == "coupling" else autoregressive(rngs)
        return Chain([layer, Conv1x1(vector, rngs=rngs), ActNorm(vector)])

    layers: Bijector = Scan(step, steps, rngs=rngs)
    if event_shape != vector:
        layers = Reshape(layers, event_shape)
    return flow_on(event_shape, [layers], bounds, alpha)
