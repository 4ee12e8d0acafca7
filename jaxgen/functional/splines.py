r"""Monotonic rational-quadratic splines (Gregory & Delbourgo 1982; Durkan et al. 2019).

A spline goes through knots :math:`(x_k, y_k)`, :math:`k = 0 \dots K`, with slopes
:math:`\delta_k > 0`. In bin ``k``, of width ``w``, height ``h`` and mean slope :math:`s = h/w`,
with :math:`\xi = (x - x_k)/w` (equations 4 and 5 of Durkan et al.):

.. math::
    y = y_k + h\, \xi\, \frac{s \xi + \delta_k (1 - \xi)}{d}, \qquad
    \frac{dy}{dx} = \frac{s^2 \left(\delta_{k+1} \xi^2 + 2 s \xi (1 - \xi)
                    + \delta_k (1 - \xi)^2\right)}{d^2}, \qquad
    d = s + (\delta_k + \delta_{k+1} - 2 s)\, \xi (1 - \xi).

The inverse solves a quadratic equation in :math:`\xi`. Two kinds of ends:

- *Linear tails*: on ``[-bound, bound]`` a spline whose end slopes are 1, beyond it the identity.
- *Circular* (Rezende et al. 2020): the first and the last slope are one parameter, and the map goes
  on periodically, ``f(x + 2 bound) = f(x) + 2 bound``: smooth on a circle of that circumference,
  and still one-to-one on the line.

**Parameters** are unconstrained: ``K`` widths and ``K`` heights (through a softmax, with a floor),
then the slopes (through a softplus, with a floor and an offset) of the ``K - 1`` inner knots, or of
all ``K`` knots of a circle. All-zero parameters are the identity, to the last bit: the formulas
below are written as deviations from it.

Derivatives are not traced through these formulas. One analytic rule serves both directions (the
inverse by the implicit function theorem), so that gradients stay finite at the knots, at the bounds
and far outside, and training keeps a few coefficients for each value instead of the whole trace.

The layout is the fastest of those measured on a CPU inside ``jax.lax.scan``. Parameters stand on
the last axis, as a network gives them, so that they are read in order. What is done for every bin
is one exponential, one small matrix product and one comparison; the rest is done for the chosen bin
alone, with its two knots on a leading axis, whose loops are long.
"""

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array


@dataclasses.dataclass(frozen=True)
class Options:
    """What is fixed about a family of splines.

    Attributes:
        bound: the spline lives on ``[-bound, bound]``.
        circular: whether the interval is a circle; else its tails are linear.
        min_bin_width, min_bin_height: the least size of a bin, as a fraction of the interval.
        min_derivative: the least slope at a knot.
    """

    bound: float = 3.0
    circular: bool = False
    min_bin_width: float = 1e-3
    min_bin_height: float = 1e-3
    min_derivative: float = 1e-3


def num_params(bins: int, circular: bool = False) -> int:
    """How many parameters a spline of so many bins has.

    >>> num_params(8), num_params(8, circular=True)
    (23, 24)
    """
    return 3 * bins if circular else 3 * bins - 1


def rational_quadratic(x: Array, params: Array, options: Options) -> tuple[Array, Array]:
    """The spline ``y = f(x)`` and ``log|dy/dx|``.

    Args:
        x: real array.
        params: array ``(*x.shape, num_params)``, of which what lies beyond ±80 counts as ±80.
        options: see :class:`Options`.

    >>> y, log_derivative = rational_quadratic(jnp.array([0.5, 7.0]), jnp.zeros((2, 5)), Options())
    >>> y.tolist(), log_derivative.tolist()
    ([0.5, 7.0], [0.0, 0.0])
    """
    return _anywhere(_forward, x, params, options)


def rational_quadratic_inverse(y: Array, params: Array, options: Options) -> tuple[Array, Array]:
    """``x = f^{-1}(y)`` and ``log|dx/dy|``, the inverse of :func:`rational_quadratic`."""
    return _anywhere(_inverse, y, params, options)


def knots(params: Array, options: Options) -> tuple[Array, Array, Array]:
    """The knots that parameters stand for.

    Returns:
        ``x_k``, ``y_k`` and the slopes there, each of shape ``(*params.shape[:-1], bins + 1)``.

    >>> x, y, slopes = knots(jnp.zeros(5), Options(bound=1.0))
    >>> x.tolist(), slopes.tolist()
    ([-1.0, 0.0, 1.0], [1.0, 1.0, 1.0])
    """
    table = _table(_clipped(params), options)
    bins, scale = table.mass.shape[-1], _scale(table, options)[..., None]
    each = jnp.arange(bins + 1, dtype=scale.dtype)
    positions = _position(each, table.excess, scale, bins, options.bound)
    each = jnp.broadcast_to(np.arange(bins + 1), (*params.shape[:-1], bins + 1))
    raw = _raw_slope(table.raw_slopes, each, bins, options)
    return positions[..., 0, :], positions[..., 1, :], _slope(raw, options.min_derivative)


def _anywhere(
    direction: Callable[[Array, Array, Options], tuple[Array, Array]],
    value: Array,
    params: Array,
    options: Options,
) -> tuple[Array, Array]:
    """Runs a direction on the interval, and what lies beyond it by the rule of its ends."""
    dtype = jnp.promote_types(jnp.result_type(value, params), jnp.float32)
    value, params = jnp.asarray(value, dtype), _clipped(jnp.asarray(params, dtype))
    bound, shift = options.bound, jnp.zeros((), dtype)
    if options.circular:
        shift = 2.0 * bound * jnp.floor((value + bound) / (2.0 * bound))
        # So far out that the period is lost to rounding, values are left alone.
        inside = jnp.abs(value - shift) <= bound
    else:
        # At the bounds themselves the tail takes over, where the slope is 1 without any rounding.
        inside = jnp.abs(value) < bound
    # Selected before and after, so that no garbage meets the spline and none its derivative.
    local = jnp.where(inside, value - shift, 0.0)
    moved, log_derivative = direction(local, params, options)
    return jnp.where(inside, moved + shift, value), jnp.where(inside, log_derivative, 0.0)


def _clipped(params: Array) -> Array:
    """So that exponentials need no maximum taken out, which costs as much as all the rest."""
    return jnp.clip(params, -80.0, 80.0)


class _Table(NamedTuple):
    """The softmax of the widths and of the heights, an (x, y) pair, not normalised yet."""

    mass: Array  # (..., 2, K)
    excess: Array  # (..., 2, K + 1): K times the mass below a knot, over that of equal bins
    total: Array  # (..., 2)
    raw_slopes: Array  # (..., K - 1), or (..., K) of a circle


class _Bin(NamedTuple):
    """The bin that a value falls into, and what holds at its two knots, ``(2, ...)``."""

    number: Array
    x: Array
    y: Array
    raw_slopes: Array
    slopes: Array

    @property
    def width(self) -> Array:
        return self.x[1] - self.x[0]

    @property
    def height(self) -> Array:
        return self.y[1] - self.y[0]


def _table(params: Array, options: Options) -> _Table:
    bins = (params.shape[-1] + (not options.circular)) // 3
    sizes, slopes = jnp.split(params, [2 * bins], axis=-1)
    mass = jnp.exp(sizes).reshape(*params.shape[:-1], 2, bins)
    # Sums as one small matrix product, faster than a cumulative sum. Its integers, K [j < k] - k,
    # give an exact 0 at both ends, and everywhere if all masses are 1.
    each = np.arange(bins + 1)
    matrix = np.column_stack([bins * (each[:-1, None] < each) - each, np.ones(bins)])
    sums = jnp.matmul(mass, jnp.asarray(matrix, mass.dtype), precision=jax.lax.Precision.HIGHEST)
    return _Table(mass, sums[..., :-1], sums[..., -1], slopes)


def _raw_slope(slopes: Array, knot: Array, bins: int, options: Options) -> Array:
    """The raw slopes at knots: ``slopes`` is ``(..., K or K - 1)``, ``knot`` ``(..., number)``."""
    pick = functools.partial(jnp.take_along_axis, axis=-1, mode="promise_in_bounds")
    if options.circular:
        return pick(slopes, jnp.where(knot == bins, 0, knot))
    end = (knot == 0) | (knot == bins)  # where the slope is 1, and its parameter would be 0
    return jnp.where(end, 0.0, pick(slopes, jnp.clip(knot - 1, 0, bins - 2)))


def _scale(table: _Table, options: Options) -> Array:
    """The length that a unit of mass becomes, ``(..., 2)``."""
    free = _free(table.mass.shape[-1], options, table.total.dtype)
    return 2.0 * options.bound * free / table.total


def _free(bins: int, options: Options, dtype: jnp.dtype) -> Array:
    """The shares of the two axes that the floors leave to the softmax."""
    floors = jnp.asarray([options.min_bin_width, options.min_bin_height], dtype)
    return 1.0 - bins * floors


def _position(knot: Array | float, excess: Array, scale: Array, bins: int, bound: float) -> Array:
    """Where a knot is: ``2 bound (k floor + (1 - K floor) sum_{j<k} softmax_j) - bound``.

    Written as a deviation from equal bins, whose knots are the same whatever the floor.
    """
    return _equal(knot, bins, bound) + scale / bins * excess


def _equal(knot: Array | float, bins: int, bound: float) -> Array | float:
    """Where a knot of equal bins is."""
    return bound * (2.0 / bins * knot - 1.0)


def _slope(raw: Array, floor: float) -> Array:
    """``floor + softplus(raw + c)`` with the ``c`` that makes it exactly 1 at ``raw = 0``."""
    # softplus(raw + c) = (1 - floor) + log(1 + p (e^raw - 1)), with p = 1 - e^(floor - 1)
    slope = 1.0 + jnp.log(1.0 + (1.0 - math.exp(floor - 1.0)) * (jnp.exp(raw) - 1.0))
    return jnp.maximum(slope, floor)  # which rounding may cross


def _slope_derivative(raw: Array, floor: float) -> Array:
    return jax.nn.sigmoid(raw + math.log(math.expm1(1.0 - floor)))


def _find(value: Array, table: _Table, axis: int, options: Options) -> _Bin:
    """The bin that encloses a value along an axis of the graph: 0 for x, 1 for y."""
    bins = table.mass.shape[-1]
    scale = _scale(table, options)
    # One comparison after another: a reduction over a short axis is slow on a CPU. A compiler may
    # repeat them for each thing that is picked here, so they must not depend on how it rounds: a
    # difference and a product, but no product with something added, which some loops would fuse.
    index = functools.reduce(
        jnp.add,
        [
            value - _equal(k, bins, options.bound)
            >= scale[..., axis] / bins * table.excess[..., axis, k]
            for k in range(1, bins)
        ],
        jnp.zeros(value.shape, jnp.int32),
    )
    ends = jnp.stack([index, index + 1])[..., None]
    pick = functools.partial(jnp.take_along_axis, axis=-1, mode="promise_in_bounds")
    excess = pick(table.excess[None], ends[..., None])[..., 0]
    positions = _position(ends.astype(value.dtype), excess, scale, bins, options.bound)
    raw = _raw_slope(table.raw_slopes[None], ends, bins, options)[..., 0]
    # A product with the identity, which changes nothing, keeps XLA from computing these logarithms
    # one at a time inside the loop that writes a coupling's result: on a CPU a spline without its
    # log-determinant was slower by a tenth than one with it.
    one = jnp.eye(2, dtype=raw.dtype)
    slopes = jnp.tensordot(
        one, _slope(raw, options.min_derivative), 1, precision=jax.lax.Precision.HIGHEST
    )
    return _Bin(index, positions[..., 0], positions[..., 1], raw, slopes)


def _log_derivative(place: Array, found: _Bin) -> Array:
    """``log dy/dx`` at ``place`` = xi, in [0, 1]: a sum of positive terms in one logarithm."""
    (low, high), mean = found.slopes, found.height / found.width
    rest = 1.0 - place
    bend = low + high - 2.0 * mean
    inner = rest * (rest * low + place * mean) + place * (rest * mean + place * high)
    return jnp.log(inner * (mean / (mean + bend * place * rest)) ** 2)


@functools.partial(jax.custom_jvp, nondiff_argnums=(2,))
def _forward(x: Array, params: Array, options: Options) -> tuple[Array, Array]:
    found = _find(x, _table(params, options), 0, options)
    (low, high), mean = found.slopes, found.height / found.width
    step = x - found.x[0]
    place = jnp.clip(step / found.width, 0.0, 1.0)  # which rounding may cross
    rest = 1.0 - place
    bend = low + high - 2.0 * mean
    secant = mean * (rest * low + place * mean) / (mean + bend * place * rest)
    y = x + ((found.y[0] - found.x[0]) + step * (secant - 1.0))
    return y, _log_derivative(place, found)


@functools.partial(jax.custom_jvp, nondiff_argnums=(2,))
def _inverse(y: Array, params: Array, options: Options) -> tuple[Array, Array]:
    found = _find(y, _table(params, options), 1, options)
    (low, high), mean = found.slopes, found.height / found.width
    step = y - found.y[0]
    place = jnp.clip(step / found.height, 0.0, 1.0)
    # a xi^2 + b xi = mean place; the root is taken so that nothing cancels for either sign of b,
    # and the discriminant b^2 + 4 a mean place is written as a sum of squares.
    b = low - place * (low + high - 2.0 * mean)
    a = mean - b
    root = jnp.sqrt((b - 2.0 * mean * place) ** 2 + 4.0 * mean**2 * place * (1.0 - place))
    positive = b >= 0
    moved = jnp.where(positive, 2.0 * step, found.width * (root - b)) / jnp.where(
        positive, b + root, 2.0 * a
    )
    moved = jnp.minimum(moved, found.width)
    x = y + ((found.x[0] - found.y[0]) + (moved - step))
    return x, -_log_derivative(moved / found.width, found)


class _Partials(NamedTuple):
    """Derivatives of ``y`` (first) and of ``log dy/dx`` (second) at a point of the graph."""

    x: tuple[Array, Array]
    total: tuple[Array, Array]  # by the sum of all bins' sizes; (..., 2) for widths and heights
    own: tuple[Array, Array]  # by the size of the bin itself; likewise
    raw_slopes: tuple[Array, Array]  # (2, ...) for the lower and the upper knot


def _partials(x: Array, found: _Bin, bins: int, options: Options) -> _Partials:
    """The derivative rule of both directions."""
    (low, high), width, height = found.slopes, found.width, found.height
    mean = height / width
    place = jnp.clip((x - found.x[0]) / width, 0.0, 1.0)
    rest = 1.0 - place
    both = place * rest
    bottom = mean + (low + high - 2.0 * mean) * both
    inner = rest * (rest * low + place * mean) + place * (rest * mean + place * high)
    # y = y_k + h ratio; its derivatives at a fixed place, then the logarithm's.
    ratio = place * (rest * low + place * mean) / bottom
    slope = inner * (mean / bottom) ** 2
    by_mean = (place**2 - ratio * (1.0 - 2.0 * both)) / bottom
    log_by_place = (
        2.0 * (rest * (mean - low) + place * (high - mean)) / inner
        - 2.0 * (low + high - 2.0 * mean) * (rest - place) / bottom
    )
    log_by_mean = 2.0 / mean + 2.0 * both / inner - 2.0 * (1.0 - 2.0 * both) / bottom

    # The share of the softmax's mass below the bin's two knots. When sizes change, a knot moves
    # by (the sum of the changes below it) - (that share) x (the sum of all changes).
    free = _free(bins, options, x.dtype)
    knots = jnp.stack([found.x, found.y], axis=-1)
    step = jnp.stack([found.number, found.number + 1])[..., None].astype(x.dtype) / bins
    first, second = (knots / (2.0 * options.bound) + 0.5 - step * (1.0 - free)) / free
    change = first - second

    def pair(of_widths: Array, of_heights: Array) -> Array:
        return jnp.stack([of_widths, of_heights], axis=-1)

    y_by_high = pair(-(mean**2) * by_mean - slope * place, ratio + mean * by_mean)
    y_by_both = pair(-slope, jnp.ones_like(slope))
    log_by_high = pair(-(mean * log_by_mean + place * log_by_place) / width, log_by_mean / width)
    log_by_both = pair(-log_by_place / width, jnp.zeros_like(slope))
    curve = 2.0 * both / bottom
    factor = _slope_derivative(found.raw_slopes, options.min_derivative)
    lift = both * height / bottom
    return _Partials(
        (slope, log_by_place / width),
        (y_by_high * change - y_by_both * first, log_by_high * change - log_by_both * first),
        (y_by_high, log_by_high),
        (
            jnp.stack([lift * (1.0 - ratio), -lift * ratio]) * factor,
            jnp.stack([rest**2 / inner - curve, place**2 / inner - curve]) * factor,
        ),
    )


# Differentiated in reverse it keeps its arguments, and no mask made from them.
@functools.partial(jax.checkpoint, prevent_cse=False, static_argnums=(4,))
def _change(
    by: _Partials, index: Array, weights: Array, dparams: Array, options: Options
) -> tuple[Array, Array]:
    """How ``y`` and ``log dy/dx`` change with the parameters, at a fixed x.

    ``weights``, ``(..., 2, K)``, are the derivatives of the bins' sizes by their own parameters.
    """
    bins = weights.shape[-1]
    sizes, slopes = jnp.split(dparams, [2 * bins], axis=-1)
    each, knot = jnp.arange(bins), index[..., None, None]
    part = weights * sizes.reshape(weights.shape)
    total = jnp.sum(part, -1)
    own = jnp.sum(jnp.where(each == knot, part, 0.0), -1)
    before = jnp.sum(jnp.where(each < knot, part, 0.0), -1)
    above = jnp.where(index == bins - 1, 0, index + 1)  # the last knot of a circle is its first
    which = jnp.arange(slopes.shape[-1]) + (not options.circular)
    chosen = which == jnp.stack([index, above])[..., None]
    at = jnp.sum(jnp.where(chosen, slopes, 0.0), -1)
    dy, dlog = (
        jnp.sum(t * total + o * own, -1) + jnp.sum(r * at, 0)
        for t, o, r in zip(by.total, by.own, by.raw_slopes, strict=True)
    )
    return (dy - by.x[0] * before[..., 0] + before[..., 1], dlog - by.x[1] * before[..., 0])


def _change_at(
    x: Array, table: _Table, found: _Bin, dparams: Array, options: Options
) -> tuple[tuple[Array, Array], Array, Array]:
    """The derivatives by x, and the changes with the parameters."""
    by = _partials(x, found, table.mass.shape[-1], options)
    weights = _scale(table, options)[..., None] * table.mass
    return by.x, *_change(by, found.number, weights, dparams, options)


@_forward.defjvp
def _(options, primals, tangents):
    x, params = primals
    dx, dparams = tangents
    table = _table(params, options)
    by, dy, dlog = _change_at(x, table, _find(x, table, 0, options), dparams, options)
    return _forward(x, params, options), (by[0] * dx + dy, by[1] * dx + dlog)


@_inverse.defjvp
def _(options, primals, tangents):
    y, params = primals
    dy, dparams = tangents
    table = _table(params, options)
    x, log_derivative = _inverse(y, params, options)
    by, change, dlog = _change_at(x, table, _find(y, table, 1, options), dparams, options)
    dx = (dy - change) / by[0]
    return (x, log_derivative), (dx, -(by[1] * dx + dlog))
