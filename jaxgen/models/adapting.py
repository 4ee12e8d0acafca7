"""What the methods that adapt a model to data share: one of them goes on through its parts."""

from collections.abc import Callable
from typing import Any, NamedTuple

from jax import Array


class Adapt(NamedTuple):
    """:meth:`Model.initialize` or :meth:`Model.calibrate`, as functions of a model's parts."""

    name: str
    model: Callable[[Any, Array, Array, Array | None], Any]
    bijector: Callable[[Any, Array, Array | None], tuple[Any, Array]]


INITIALIZE = Adapt(
    "initialize",
    lambda model, x, key, context: model.initialize(x, key, context),
    lambda bijector, x, context: bijector.initialize(x, context),
)
CALIBRATE = Adapt(
    "calibrate",
    lambda model, x, key, context: model.calibrate(x, key, context),
    lambda bijector, x, context: bijector.calibrate(x, context),
)
