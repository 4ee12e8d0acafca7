r"""Flows on circles and tori (Rezende, Papamakarios et al., 2020).

Angles are moved by circular rational-quadratic splines (:mod:`jaxgen.functional.splines`), whose
slopes at the two ends of the interval are one, and then turned: seen from the data,

.. math:: z_i = f\left(x_i - \phi_i;\; \theta_i(\cos x_a, \sin x_a)\right),

with the knots from a network of the other half of the angles, or of the angles before, which sees
them as points of the circle. So each step is a smooth map of the torus to itself, the density has
the period of the data, and none of it leaks where an interval closes.

Deviations: the splines' interval closes at a point that is trained with the rest (``phi``), where
the paper has a fixed one; the networks are residual (couplings) or MADE's (autoregressive).
"""

import math
from collections.abc import Sequence
from functools import partial
from typing import Any

from flax import nnx

from jaxgen.bijectors import (
    Alternating,
    Bijector,
    Chain,
    Circle,
    Coupling,
    Flip,
    MaskedAutoregressive,
    Rotation,
    Scan,
)
from jaxgen.bijectors.bounded import Bounds
from jaxgen.conditionals import MADE, PeriodicConditional
from jaxgen.core import Shape, ShapeError, unknown
from jaxgen.models import Flow, Model, Uniform, VonMises
from jaxgen.networks import Periodic, ResidualMLP
from jaxgen.transforms import RationalQuadraticSpline
from jaxgen.zoo.registry import constructor

_STRUCTURES = ("coupling", "autoregressive")
_BASES = ("uniform", "von_mises")


@constructor
def torus(
    event_shape: Shape,
    *,
    structure: str = "coupling",
    steps: int = 4,
    bins: int = 8,
    width: int = 128,
    blocks: int = 2,
    hidden: Sequence[int] = (128, 128),
    base: str = "uniform",
    dropout: float = 0.0,
    bounds: Bounds = (-math.pi, math.pi),
    context_features: int | None = None,
    rngs: nnx.Rngs,
) -> Flow:
    """A flow of angles, on a circle or a torus, by circular splines.

    Args:
        event_shape: ``(D,)``; ``D >= 2`` for couplings.
        structure: ``"coupling"`` or ``"autoregressive"``.
        steps: steps of flow, each of two couplings, which exchange the two parts, or of one
            autoregressive layer.
        bins: pieces of a spline.
        width, blocks: of the couplings' residual networks.
        hidden: widths of the hidden layers of each MADE (autoregressive).
        base: ``"uniform"`` or ``"von_mises"``, whose locations and concentrations are trained.
        bounds: a turn, in the unit of the data: ``(0, 360)`` for degrees, or one for each entry.
            Values that differ by turns are one; samples are between the bounds.

    Raises:
        ValueError: for an unknown structure or base, or a turn with an open end.
        ShapeError: if the event is no vector.

    >>> import jax.numpy as jnp
    >>> flow = torus((2,), steps=1, width=8, rngs=nnx.Rngs(0))
    >>> round(float(flow.log_prob(jnp.zeros(2))), 3)  # uniform at first: -2 log 2 pi
    -3.676
    """
    if structure not in _STRUCTURES:
        raise unknown("structure", structure, _STRUCTURES)
    if base not in _BASES:
        raise unknown("base", base, _BASES)
    event_shape = tuple(event_shape)
    if len(event_shape) != 1:
        raise ShapeError(f"torus: expected an event shape (D,), got {event_shape}")
    spline = RationalQuadraticSpline(bins, math.pi, circular=True)
    common: dict[str, Any] = {"dropout": dropout, "context_features": context_features}

    def couplings(rngs: nnx.Rngs) -> list[Bijector]:
        residual = partial(ResidualMLP, width=width, num_blocks=blocks, **common, rngs=rngs)
        network = partial(Periodic, make_network=residual)
        return [
            layer
            for swap in (False, True)
            for layer in (
                Rotation(event_shape, rngs=rngs),
                Coupling(event_shape, network, spline, Alternating(swap)),
            )
        ]

    def autoregressive(rngs: nnx.Rngs) -> list[Bijector]:
        pairs = (*event_shape, 2)
        made = MADE(pairs, spline.num_params(()), hidden=hidden, **common, rngs=rngs)
        layer = MaskedAutoregressive(PeriodicConditional(made), spline)
        return [Rotation(event_shape, rngs=rngs), Flip(), layer]

    layers = couplings if structure == "coupling" else autoregressive
    # A rotation nearest to the base takes what rounding put beyond the interval back into it.
    scan = Scan(lambda rngs: Chain(layers(rngs)), steps, rngs=rngs)
    angles: Model = VonMises(event_shape)
    if base == "uniform":
        angles = Uniform(event_shape, -math.pi, math.pi)
    return Flow(Chain([scan, Circle(event_shape, bounds)]), angles)
