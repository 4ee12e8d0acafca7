"""What the flows of the zoo do with the data before their own layers."""

import math
from collections.abc import Sequence

from jaxgen.bijectors import Bijector, Chain, Elementwise, Logit
from jaxgen.core import Shape
from jaxgen.models import Flow, Model
from jaxgen.transforms import RationalQuadraticSpline


def flow_on(
    event_shape: Shape,
    layers: Sequence[Bijector],
    bounds: tuple[float, float] | None,
    alpha: float,
    base: Model | None = None,
    marginal_bins: int | None = None,
) -> Flow:
    """A flow of these layers, with a logit at the data's end if the data are bounded.

    Args:
        event_shape: the event's shape.
        layers: listed from the base to the data; there may be none if there are ``bounds``.
        bounds: the interval of bounded data; None for the whole line.
        alpha: the logit's margin.
        base: the base density; a standard normal if None.
        marginal_bins: after the logit, as seen from the data, a spline of so many bins for every
            entry, on all of the logit's range; None for none.

    Raises:
        ValueError: for ``marginal_bins`` without ``bounds``, or without a margin.
    """
    layers = list(layers)
    if marginal_bins is not None:
        if bounds is None or alpha == 0:
            raise ValueError(
                f"marginal_bins is for bounded data with a margin: expected bounds and alpha > 0, "
                f"got bounds={bounds} and alpha={alpha}"
            )
        spline = RationalQuadraticSpline(marginal_bins, math.log((1 - alpha) / alpha))
        layers.append(Elementwise(event_shape, spline))
    if bounds is not None:
        layers.append(Logit(*bounds, alpha, event_ndims=len(event_shape)))
    return Flow(Chain(layers), base)
