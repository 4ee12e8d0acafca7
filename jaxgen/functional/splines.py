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

**Parameters** stand on the *leading* axis, unconstrained: ``K`` widths and ``K`` heights (through a
softmax, with a floor), then the slopes (through a softplus, with a floor and an offset) of the
``K - 1`` inner knots, or of all ``K`` knots of a circle. All-zero parameters are the identity, to
the last bit: the formulas below are written as deviations from it.

Derivatives are not traced through these formulas. One analytic rule serves both directions (the
inverse by the implicit function theorem), so that gradients stay finite at the knots, at the bounds
and far outside, and training keeps a few coefficients for each value instead of the whole trace.
"""

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
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
        params: array ``(num_params, *x.shape)``.
        options: see :class:`Options`.

    >>> y, log_derivative = rational_quadratic(jnp.array([0.5, 7.0]), jnp.zeros((5, 2)), Options())
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
        ``x_k``, ``y_k`` and the slopes there, each of shape ``(bins + 1, *params.shape[1:])``.

    >>> x, y, slopes = knots(jnp.zeros((5, 1)), Options(bound=1.0))
    >>> x[:, 0].tolist(), slopes[:, 0].tolist()
    ([-1.0, 0.0, 1.0], [1.0, 1.0, 1.0])
    """
    table = _table(params, options)
    slopes = _slope(table.raw_slopes, options.min_derivative)
    return table.positions[:, 0], table.positions[:, 1], slopes


def _anywhere(
    direction: Callable[[Array, Array, Options], tuple[Array, Array]],
    value: Array,
    params: Array,
    options: Options,
) -> tuple[Array, Array]:
    """Runs a direction on the interval, and what lies beyond it by the rule of its ends."""
    dtype = jnp.promote_types(jnp.result_type(value, params), jnp.float32)
    value, params = jnp.asarray(value, dtype), jnp.asarray(params, dtype)
    params = jnp.clip(params, -_LARGEST, _LARGEST)
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


_LARGEST = 80.0


class _Table(NamedTuple):
    """All knots. Positions are (x, y) pairs: what is done once for both costs half as much."""

    positions: Array  # (K + 1, 2, ...)
    raw_slopes: Array  # (K + 1, ...)
    weights: Array  # (K, 2, ...), derivatives of the bins' sizes by their own exponent


class _Bin(NamedTuple):
    """The bin that a value falls into: what holds at its lower and its upper knot."""

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


def _num_bins(params: Array, options: Options) -> int:
    return (params.shape[0] + (not options.circular)) // 3


def _table(params: Array, options: Options) -> _Table:
    """All knots from the parameters.

    ``x_k = -bound + 2 bound (k floor + (1 - K floor) sum_{j<k} softmax_j)``, written as a
    deviation from equal bins, so that equal sizes give equal bins whatever the floor. The sums are
    unrolled: a reduction over a leading axis is slow on CPU.
    """
    bins, bound = _num_bins(params, options), options.bound
    # One operation rather than two slices: its transpose is one concatenation.
    raw, slopes = jnp.split(params, [2 * bins])
    raw = jnp.swapaxes(raw.reshape(2, bins, *raw.shape[1:]), 0, 1)
    mass = jnp.exp(raw)
    total = functools.reduce(jnp.add, list(mass))
    mean = total / bins
    scale = 2.0 * bound * _free(options, bins, total) / total
    end = jnp.full_like(total, bound)
    positions, excess = [-end], jnp.zeros_like(total)
    for k in range(1, bins):
        excess = excess + (mass[k - 1] - mean)
        positions.append(bound * (2.0 * k / bins - 1.0) + scale * excess)
    if options.circular:
        slopes = jnp.concatenate([slopes, slopes[:1]])
    else:
        one = jnp.zeros_like(slopes[:1])  # raw: a slope of 1
        slopes = jnp.concatenate([one, slopes, one])
    return _Table(jnp.stack([*positions, end]), slopes, scale * mass)


def _free(options: Options, bins: int, pairs: Array) -> Array:
    """The shares of the axes that the floors leave to the softmax, to broadcast against pairs."""
    shares = [1.0 - bins * options.min_bin_width, 1.0 - bins * options.min_bin_height]
    return jnp.asarray(shares, pairs.dtype).reshape(2, *[1] * (pairs.ndim - 1))


def _slope(raw: Array, floor: float) -> Array:
    """``floor + softplus(raw + c)`` with the ``c`` that makes it exactly 1 at ``raw = 0``."""
    # softplus(raw + c) = (1 - floor) + log(1 + p (e^raw - 1)), with p = 1 - e^(floor - 1)
    slope = 1.0 + jnp.log(1.0 + (1.0 - math.exp(floor - 1.0)) * (jnp.exp(raw) - 1.0))
    return jnp.maximum(slope, floor)  # which rounding may cross


def _slope_derivative(raw: Array, floor: float) -> Array:
    return jax.nn.sigmoid(raw + math.log(math.expm1(1.0 - floor)))


def _find(value: Array, table: _Table, axis: int, options: Options) -> _Bin:
    """The bin that encloses a value along an axis of the graph: 0 for x, 1 for y."""
    edges = table.positions[:, axis]
    index = functools.reduce(
        jnp.add, [(value >= edges[k]).astype(jnp.int32) for k in range(1, edges.shape[0] - 1)]
    )
    ends = jnp.stack([index, index + 1])
    pick = functools.partial(jnp.take_along_axis, axis=0, mode="promise_in_bounds")
    positions, raw = pick(table.positions, ends[:, None]), pick(table.raw_slopes, ends)
    return _Bin(index, positions[:, 0], positions[:, 1], raw, _slope(raw, options.min_derivative))


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
    place = step / found.width
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
    place = step / found.height
    # a xi^2 + b xi = mean place; the root is taken so that nothing cancels for either sign of b,
    # and the discriminant b^2 + 4 a mean place is a sum of squares.
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
    """Derivatives of ``y`` (first) and of ``log dy/dx`` (second) at a point of the graph.

    All have the shape of a value, or of an (x, y) or (lower, upper) pair of values.
    """

    x: tuple[Array, Array]
    total: tuple[Array, Array]  # by the sum of all bins' sizes
    own: tuple[Array, Array]  # by the size of the bin itself
    raw_slopes: tuple[Array, Array]


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
    ends = jnp.stack([found.x, found.y], axis=1)
    step = jnp.stack([found.number, found.number + 1]).astype(x.dtype)[:, None] / bins
    free = _free(options, bins, ends[0])
    first, second = (ends / (2.0 * options.bound) + 0.5 - step * (1.0 - free)) / free
    y_by_high = jnp.stack([-(mean**2) * by_mean - slope * place, ratio + mean * by_mean])
    y_by_both = jnp.stack([-slope, jnp.ones_like(slope)])
    log_by_high = jnp.stack([-(mean * log_by_mean + place * log_by_place), log_by_mean]) / width
    log_by_both = jnp.stack([-log_by_place / width, jnp.zeros_like(slope)])
    curve = 2.0 * both / bottom
    factor = _slope_derivative(found.raw_slopes, options.min_derivative)
    return _Partials(
        (slope, log_by_place / width),
        (
            y_by_high * (first - second) - y_by_both * first,
            log_by_high * (first - second) - log_by_both * first,
        ),
        (y_by_high, log_by_high),
        (
            jnp.stack([both * (1.0 - ratio), -both * ratio]) * (height / bottom) * factor,
            jnp.stack([rest**2 / inner - curve, place**2 / inner - curve]) * factor,
        ),
    )


# Differentiated in reverse it keeps its arguments, and no mask made from them.
@functools.partial(jax.checkpoint, prevent_cse=False, static_argnums=(4,))
def _change(
    by: _Partials, index: Array, weights: Array, dparams: Array, options: Options
) -> tuple[Array, Array]:
    """How ``y`` and ``log dy/dx`` change with the parameters, at a fixed x."""
    bins = weights.shape[0]
    raw, slopes = jnp.split(dparams, [2 * bins])
    raw = jnp.swapaxes(raw.reshape(2, bins, *raw.shape[1:]), 0, 1)
    each = jnp.arange(bins).reshape(-1, *[1] * raw.ndim)[:, 0]
    part = weights * raw
    total = jnp.sum(part, 0)
    before = jnp.sum(jnp.where(each < index, part, 0.0), 0)
    own = jnp.sum(jnp.where(each == index, part, 0.0), 0)
    which = jnp.arange(slopes.shape[0]).reshape(-1, *[1] * index.ndim) + (not options.circular)
    above = jnp.where(index == bins - 1, 0, index + 1)  # the last knot of a circle is its first
    at = jnp.stack([jnp.sum(jnp.where(which == k, slopes, 0.0), 0) for k in (index, above)])
    dy, dlog = (
        jnp.sum(t * total + o * own, 0) + jnp.sum(r * at, 0)
        for t, o, r in zip(by.total, by.own, by.raw_slopes, strict=True)
    )
    return dy - by.x[0] * before[0] + before[1], dlog - by.x[1] * before[0]


@_forward.defjvp
def _(options, primals, tangents):
    x, params = primals
    dx, dparams = tangents
    table = _table(params, options)
    found = _find(x, table, 0, options)
    by = _partials(x, found, _num_bins(params, options), options)
    dy, dlog = _change(by, found.number, table.weights, dparams, options)
    return _forward(x, params, options), (by.x[0] * dx + dy, by.x[1] * dx + dlog)


@_inverse.defjvp
def _(options, primals, tangents):
    y, params = primals
    dy, dparams = tangents
    table = _table(params, options)
    found = _find(y, table, 1, options)
    x, log_derivative = _inverse(y, params, options)
    by = _partials(x, found, _num_bins(params, options), options)
    change, dlog = _change(by, found.number, table.weights, dparams, options)
    dx = (dy - change) / by.x[0]
    return (x, log_derivative), (dx, -(by.x[1] * dx + dlog))
