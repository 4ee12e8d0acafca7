"""What the flows of the zoo do with the data before their own layers."""

from collections.abc import Sequence

from jaxgen.bijectors import Bijector, Chain, Logit
from jaxgen.core import Shape
from jaxgen.models import Flow, Model


def flow_on(
    event_shape: Shape,
    layers: Sequence[Bijector],
    bounds: tuple[float, float] | None,
    alpha: float,
    base: Model | None = None,
) -> Flow:
    """A flow of these layers, with a logit at the data's end if the data are bounded.

    Args:
        event_shape: the event's shape.
        layers: listed from the base to the data; there may be none if there are ``bounds``.
        bounds: the interval of bounded data; None for the whole line.
        alpha: the logit's margin.
        base: the base density; a standard normal if None.
    """
    layers = list(layers)
    if bounds is not None:
        layers.append(Logit(*bounds, alpha, event_ndims=len(event_shape)))
    return Flow(Chain(layers), base)
