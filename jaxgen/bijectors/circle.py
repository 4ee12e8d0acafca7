r"""Maps of circles, whose points are angles in ``[-pi, pi]``, the two ends being one point."""

import math

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array

from jaxgen.bijectors.base import Bijector
from jaxgen.bijectors.bounded import Bounds, bounds_of_entries
from jaxgen.core import Context, Shape, checked_arguments, is_concrete
from jaxgen.functional.circle import wrap

_TURN = 2.0 * math.pi


class Rotation(Bijector):
    r"""Turns every angle by a trained one: ``x = z + phi``, modulo :math:`2\pi`.

    What a spline on a circle leaves where it is, the point where its interval closes, so comes to
    stand elsewhere.

    Args:
        event_shape: the event's shape.
        rngs: where the first angles come from, uniform on the circle.

    >>> rotation = Rotation((2,), rngs=nnx.Rngs(0))
    >>> bool(jnp.all(jnp.abs(rotation.forward(jnp.full(2, 3.0))) <= jnp.pi))
    True
    """

    event_shape: Shape

    @checked_arguments
    def __init__(self, event_shape: Shape, *, rngs: nnx.Rngs):
        self.event_shape = tuple(event_shape)
        self.event_ndims = len(self.event_shape)
        angle = jax.random.uniform(rngs.params(), self.event_shape, minval=-math.pi, maxval=math.pi)
        self.angle = nnx.Param(angle)

    def forward_and_log_det(self, z: Array, context: Context = None) -> tuple[Array, Array]:
        return wrap(z + self.angle[...]), self._zeros(z)

    def inverse_and_log_det(self, x: Array, context: Context = None) -> tuple[Array, Array]:
        return wrap(x - self.angle[...]), self._zeros(x)

    def _zeros(self, value: Array) -> Array:
        return jnp.zeros(value.shape[: value.ndim - self.event_ndims], value.dtype)


class Circle(Bijector):
    r"""Data on circles, of any circumference, as angles.

    A value of the data is a point on ``[low, high)``, which is closed to a circle, and every value
    that differs from it by a multiple of the circumference is the same point. So the inverse takes
    any number, and the density has a period; what forward gives is in the interval.

    Args:
        event_shape: the event's shape.
        bounds: a turn ``(low, high)``, or one for each entry of the last axis.

    Raises:
        ValueError: for what are no bounds, or an open end.

    >>> Circle((1,), [(0.0, 360.0)]).inverse(jnp.array([[270.0], [630.0]])).round(3).tolist()
    [[1.571000099182129], [1.571000099182129]]
    """

    event_shape: Shape

    @checked_arguments
    def __init__(self, event_shape: Shape, bounds: Bounds = (-math.pi, math.pi)):
        self.event_shape = tuple(event_shape)
        self.event_ndims = len(self.event_shape)
        ends = bounds_of_entries(bounds, self.event_shape[-1])
        self.bounds = tuple(
            (low, high) for low, high in ends if low is not None and high is not None
        )
        if len(self.bounds) < len(ends):
            raise ValueError(f"Circle: expected both bounds of every turn, got {bounds!r}")

    def _ends(self, dtype: jnp.dtype) -> tuple[Array, Array]:
        low, high = np.array(self.bounds).T
        return jnp.asarray(low, dtype), jnp.asarray(high, dtype)

    def forward_and_log_det(self, z: Array, context: Context = None) -> tuple[Array, Array]:
        low, high = self._ends(z.dtype)
        x = low + (wrap(z) + math.pi) * ((high - low) / _TURN)
        return jnp.clip(x, low, high), -self._log_det(z)

    def inverse_and_log_det(self, x: Array, context: Context = None) -> tuple[Array, Array]:
        low, high = self._ends(x.dtype)
        return wrap((x - low) * (_TURN / (high - low)) - math.pi), self._log_det(x)

    def _log_det(self, value: Array) -> Array:
        """Of the inverse."""
        low, high = np.array(self.bounds).T
        positions = math.prod(self.event_shape[:-1])
        total = positions * float(np.sum(np.log(_TURN / (high - low))))
        return jnp.full(value.shape[: value.ndim - self.event_ndims], total, value.dtype)

    def check_data(self, x: Array | np.ndarray) -> None:
        """Refuses entries that span more than a turn: of another unit, most likely."""
        if not is_concrete(x) or x.size == 0:
            return
        columns = np.asarray(x).reshape(-1, self.event_shape[-1])
        for i, (low, high) in enumerate(self.bounds):
            least, most = columns[:, i].min(), columns[:, i].max()
            # A few roundings more than a turn are a turn.
            if most - least > (high - low) * (1.0 + 1e-5):
                raise ValueError(
                    f"Circle: expected values within one turn of {high - low:g} in entry {i}, got "
                    f"{least:g} to {most:g}; give bounds in the unit of the data, or take the "
                    f"remainder by a turn first"
                )
