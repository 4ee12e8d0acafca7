"""From the real line to data of which every entry has bounds of its own."""

import math
import numbers
from collections.abc import Sequence
from typing import Any, NamedTuple, Self

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxgen.bijectors.base import Bijector
from jaxgen.core import (
    Buffer,
    Context,
    Shape,
    adapt_once,
    checked_arguments,
    float_dtype,
    is_concrete,
)
from jaxgen.functional.elementwise import (
    affine_forward,
    affine_inverse,
    logit_forward,
    logit_inverse,
)
from jaxgen.functional.half_line import half_line_forward, half_line_inverse
from jaxgen.functional.statistics import location_and_scale

# One entry's: (low, high), of which either may be None.
Ends = tuple[float | None, float | None]
# All entries': one for all of them, or one for each of a vector.
Bounds = Ends | Sequence[Ends | None] | None

# Rows that are mapped at a time, to take statistics of all of them.
_ROWS = 2**16


class Bounded(Bijector):
    r"""Each entry from the real line to its own bounds, after a scaling and a shift of its own.

    With ``y = z exp(s) + t``, an entry of the data is

    ===================  ==============================================================
    ``(None, None)``     ``x = y``
    ``(low, None)``      ``x = low + exp(y)``
    ``(None, high)``     ``x = high - exp(y)``
    ``(low, high)``      as in :class:`~jaxgen.bijectors.Logit`, with the margin ``alpha``
    ===================  ==============================================================

    ``s`` and ``t`` are not trained: :meth:`standardize` and :meth:`initialize` take them from data,
    once, such that every ``z`` has mean 0 and variance 1, whatever the unit of its entry.

    Args:
        event_shape: the event's shape.
        bounds: a pair ``(low, high)`` for each entry of the last axis, or one for all; None for no
            bound.
        alpha: the margin of the logits.

    Raises:
        ValueError: for bounds that are no pairs of finite numbers in ascending order.

    >>> bounded = Bounded((3,), [(None, None), (1.0, None), (0.0, 4.0)], alpha=0.0)
    >>> bounded.forward(jnp.zeros(3)).tolist()
    [0.0, 2.0, 2.0]
    """

    event_shape: Shape

    @checked_arguments
    def __init__(self, event_shape: Shape, bounds: Bounds, alpha: float = 1e-6):
        self.event_shape = tuple(event_shape)
        self.event_ndims = len(self.event_shape)
        self.bounds = bounds_of_entries(bounds, self.event_shape[-1])
        self.alpha = float(alpha)
        self.shift = Buffer(jnp.zeros(self.event_shape[-1:]))
        self.log_scale = Buffer(jnp.zeros(self.event_shape[-1:]))
        self.adapted = Buffer(jnp.zeros(()))

    def forward_and_log_det(self, z: Array, context: Context = None) -> tuple[Array, Array]:
        log_scale = self.log_scale[...]
        y, _ = affine_forward(z, self.shift[...], log_scale)
        x, log_derivative = self.from_line(y.astype(float_dtype(y.dtype)))
        return x, self._sum(log_derivative + log_scale)

    def inverse_and_log_det(self, x: Array, context: Context = None) -> tuple[Array, Array]:
        log_scale = self.log_scale[...]
        y, log_derivative = self.to_line(x.astype(float_dtype(x.dtype)))
        z, _ = affine_inverse(y, self.shift[...], log_scale)
        return z, self._sum(log_derivative - log_scale)

    def standardize(self, x: Array | np.ndarray) -> Self:
        rows = x.reshape(-1, *self.event_shape)
        to_line = jax.jit(Bounded.to_line)  # compiled once for all of this structure
        y: Array | np.ndarray
        if isinstance(rows, np.ndarray):
            parts = [rows[i : i + _ROWS] for i in range(0, len(rows), _ROWS)]
            y = np.concatenate([np.asarray(to_line(self, jnp.asarray(p, float))[0]) for p in parts])
        else:
            y = self.to_line(rows.astype(float_dtype(rows.dtype)))[0]
        mean, scale = location_and_scale(y.reshape(-1, self.event_shape[-1]), 1)
        return adapt_once(self, shift=mean, log_scale=jnp.log(scale))

    def initialize(self, x: Array, context: Context = None) -> tuple[Self, Array]:
        new = self.standardize(x)
        return new, new.inverse(x)

    def from_line(self, y: Array) -> tuple[Array, Array]:
        """``x`` and ``log|dx/dy|``, entry by entry."""
        kinds = self._kinds(y.dtype)
        half = half_line_forward(jnp.where(kinds.half, y, 0.0), kinds.end, kinds.side)
        both = logit_forward(jnp.where(kinds.both, y, 0.0), kinds.low, kinds.high, self.alpha)
        return kinds.choose(y, half, both)

    def to_line(self, x: Array) -> tuple[Array, Array]:
        """``y`` and ``log|dy/dx|``, entry by entry."""
        kinds = self._kinds(x.dtype)
        # Where it is another entry's, a map sees a number at which it has a value.
        inside = jnp.where(kinds.half, x, kinds.end + kinds.side)
        half = half_line_inverse(inside, kinds.end, kinds.side)
        inside = jnp.where(kinds.both, x, (kinds.low + kinds.high) / 2)
        both = logit_inverse(inside, kinds.low, kinds.high, self.alpha)
        return kinds.choose(x, half, both)

    def _kinds(self, dtype: jnp.dtype) -> "_Kinds":
        ends = np.array([[np.nan if e is None else e for e in pair] for pair in self.bounds])
        above, below = (~np.isnan(ends)).T
        half, both = above ^ below, above & below
        low, high = np.where(both, ends.T, [[0.0], [1.0]]).astype(dtype)
        end = np.where(half, np.nansum(ends, 1), 0.0).astype(dtype)
        return _Kinds(half, both, low, high, end, np.where(below & half, -1.0, 1.0).astype(dtype))

    def _sum(self, log_derivative: Array) -> Array:
        return jnp.sum(log_derivative, tuple(range(-self.event_ndims, 0)))

    def check_data(self, x: Array | np.ndarray) -> None:
        """Refuses data beyond the bounds, or on the end of a half-line, where no density is."""
        if not is_concrete(x):
            return
        columns = np.asarray(x).reshape(-1, self.event_shape[-1])
        margin = self.alpha / (1.0 - 2.0 * self.alpha)
        for i, (low, high) in enumerate(self.bounds):
            values = columns[:, i]
            if low is not None and high is not None:
                wider = (high - low) * margin
                wrong = (values < low - wider) | (values > high + wider)
            else:
                wrong = np.zeros(len(values), bool)
                wrong |= False if low is None else values <= low
                wrong |= False if high is None else values >= high
            if wrong.any():
                raise ValueError(
                    f"Bounded: expected values within {(low, high)} in entry {i}, got "
                    f"{values[wrong][0]:g}; {_OPEN if None in (low, high) else 'widen the bounds'}"
                )


_OPEN = (
    "the bound itself is outside: a density has no value there, so give a bound that no value "
    "reaches, or model what repeats exactly as levels"
)


class _Kinds(NamedTuple):
    """What the entries are, arrays ``(entries,)``, with numbers of no harm where they are not."""

    half: np.ndarray  # on one side of an end
    both: np.ndarray  # between two
    low: Any  # arrays too; the maps of an interval are written for numbers
    high: Any
    end: np.ndarray
    side: np.ndarray

    def choose(
        self, same: Array, half: tuple[Array, Array], both: tuple[Array, Array]
    ) -> tuple[Array, Array]:
        """Of each entry its own value, and the logarithm of its derivative."""
        value = jnp.where(self.half, half[0], jnp.where(self.both, both[0], same))
        slope = jnp.where(self.half, half[1], jnp.where(self.both, both[1], jnp.zeros_like(same)))
        return value, slope


def _ends(pair: Any) -> Ends:
    """The checked bounds of an entry."""
    if isinstance(pair, str) and pair.startswith("circ"):
        raise ValueError(
            f"bounds: expected a pair (low, high) for an entry, got {pair!r}; values on circles "
            f"need maps of circles, which jaxgen.zoo.torus has, and jaxgen.zoo.cylinder for some "
            f"of the entries"
        )
    if not isinstance(pair, Sequence) or isinstance(pair, str) or len(pair) != 2:
        raise ValueError(f"bounds: expected a pair (low, high) for an entry, got {pair!r}")
    for end in pair:
        if end is not None and not (_is_number(end) and math.isfinite(end)):
            raise ValueError(
                f"bounds: expected finite numbers, or None for an end that is open, got {pair!r}"
            )
    low, high = (None if end is None else float(end) for end in pair)
    if low is not None and high is not None and not low < high:
        raise ValueError(f"bounds: expected low < high, got {pair!r}")
    return low, high


def _is_number(end: Any) -> bool:
    return isinstance(end, numbers.Real) and not isinstance(end, bool)


def bounds_of_entries(bounds: Bounds, entries: int) -> tuple[Ends, ...]:
    """The bounds of each of so many entries, from those of one for all or of each.

    Raises:
        ValueError: for another number of them, or what are no bounds.

    >>> bounds_of_entries((0, None), 2)
    ((0.0, None), (0.0, None))
    >>> bounds_of_entries([None, (0, 1)], 2)
    ((None, None), (0.0, 1.0))
    """
    if bounds is None:
        return ((None, None),) * entries
    bounds = bounds.tolist() if isinstance(bounds, np.ndarray) else bounds
    if isinstance(bounds, str):
        return (_ends(bounds),) * entries  # which refuses it
    if not isinstance(bounds, Sequence):
        raise ValueError(
            f"bounds: expected a pair (low, high), or one for each entry, got {bounds!r}"
        )
    if any(_is_number(end) for end in bounds):
        return (_ends(bounds),) * entries
    if len(bounds) != entries:
        raise ValueError(
            f"bounds: expected a pair (low, high), or one for each of {entries} entries, got "
            f"{len(bounds)}: {bounds!r}"
        )
    return tuple((None, None) if pair is None else _ends(pair) for pair in bounds)
