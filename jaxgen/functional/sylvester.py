r"""Residual steps through one layer of tanh: planar and Sylvester flows.

With :math:`Q` of shape ``(D, M)`` whose columns are orthonormal, upper triangular :math:`R` and
:math:`\tilde R` and a shift :math:`b` (van den Berg et al. 2018),

.. math:: x = z + Q R \tanh h, \qquad h = \tilde R Q^\top z + b, \qquad
          \log\left|\det \frac{\partial x}{\partial z}\right| =
          \sum_i \log\left(1 + r_{ii} \tilde r_{ii} \tanh'(h_i)\right),

by Sylvester's determinant identity, for :math:`M` numbers in place of a determinant of size ``D``.
The planar flow (Rezende and Mohamed, 2015) is the one of a single column, up to notation:
:math:`x = z + \hat u \tanh h` with :math:`h = w^\top z + b`.

Both are inverted along the direction that they look at. With :math:`k = w^\top \hat u` the planar
:math:`h` solves :math:`h + k \tanh h = w^\top x + b`, and with :math:`k_i = r_{ii} \tilde r_{ii}`
so does each entry of the Sylvester flow's, from the last to the first: of :math:`y = Q^\top x` the
rows below give what they add. Where :math:`k > -1` that is an increasing function, :func:`bend`,
which is solved numerically. Everything is computed from the *gap* :math:`1 + k > 0`, of which no
difference is taken.
"""

import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxgen.functional.elementwise import tanh_forward
from jaxgen.functional.logistic import softplus
from jaxgen.functional.roots import increasing_root

# A residual of so many units in the last place is what rounding in the forward map explains.
_RESIDUAL = 4.0


def bend(h: Array, gap: Array) -> tuple[Array, Array]:
    r"""``c = h + (gap - 1) tanh(h)`` and ``log dc/dh``, elementwise.

    The derivative :math:`1 + (g - 1) \operatorname{sech}^2 h` is formed as
    :math:`g \operatorname{sech}^2 h + \tanh^2 h`, in which nothing cancels.

    >>> c, log_slope = bend(jnp.array([0.0, 50.0]), jnp.array(2.0))
    >>> c.tolist(), jnp.exp(log_slope).round(4).tolist()
    ([0.0, 51.0], [2.0, 1.0])
    """
    tanh, (_, log_derivative) = jnp.tanh(h), tanh_forward(h)
    log_slope = jnp.log(gap * jnp.exp(log_derivative) + tanh**2)
    return h + (gap - 1.0) * tanh, log_slope


@jax.custom_jvp
def unbend(c: Array, gap: Array) -> Array:
    r"""The ``h`` with ``c = h + (gap - 1) tanh(h)``: the inverse of :func:`bend`, numerically.

    Since ``|tanh(h)|`` is less than ``|h|`` and than 1, the root lies between ``c`` and both
    ``c / gap`` and ``c - (gap - 1) sign(c)``. Newton's method starts from the one nearer to ``c``,
    from where the function bends so that no step passes the root.

    Derivatives follow from the equation: ``dh = (dc - tanh(h) dgap) / (dc/dh)``. Next to
    ``gap = 0`` and ``c = 0`` the function is as flat as ``h^3``, and ``h`` is not determined better
    than to the cubic root of a rounding.

    >>> unbend(jnp.array([0.0, 51.0]), jnp.array(2.0)).tolist()
    [0.0, 50.0]
    """
    start = jnp.where(jnp.abs(c) < gap, c / gap, c - (gap - 1.0) * jnp.sign(c))
    low, high = jnp.minimum(c, start), jnp.maximum(c, start)
    return increasing_root(lambda h: bend(h, gap), c, low, high, start, residual=_RESIDUAL)


@unbend.defjvp
def _unbend_jvp(primals: Any, tangents: Any) -> tuple[Array, Array]:
    (c, gap), (dc, dgap) = primals, tangents
    h = unbend(c, gap)
    _, log_slope = bend(h, gap)
    return h, (dc - jnp.tanh(h) * dgap) * jnp.exp(-log_slope)


def _positive(gap: Array) -> Array:
    """A gap that rounding took to 0, where nothing could be inverted, at one rounding above."""
    return jnp.maximum(gap, jnp.finfo(gap.dtype).eps)


def invertible_direction(w: Array, u: Array) -> tuple[Array, Array]:
    r"""The planar flow's :math:`\hat u`, and the gap :math:`1 + w^\top \hat u > 0`.

    .. math:: \hat u = u + \left(m(w^\top u) - w^\top u\right) \frac{w}{\|w\|^2}, \qquad
              m(s) = \log\left(1 + (e - 1) e^s\right) - 1 > -1.

    Args:
        w: arrays ``(*batch, D)``, not zero.
        u: likewise; ``u = 0`` gives 0.

    Returns:
        Arrays ``(*batch, D)`` and ``(*batch,)``.

    >>> direction, gap = invertible_direction(jnp.array([1.0, 0.0]), jnp.array([-9.0, 2.0]))
    >>> direction.round(3).tolist(), round(float(gap), 5)
    ([-1.0, 2.0], 0.00021)
    """
    along = jnp.sum(w * u, -1)
    gap = _positive(softplus(along + math.log(math.e - 1.0)))
    missing = (gap - 1.0 - along) / jnp.sum(w**2, -1)
    return u + missing[..., None] * w, gap


def planar_forward(z: Array, w: Array, u: Array, b: Array) -> tuple[Array, Array]:
    """``x = z + u_hat tanh(w.z + b)`` and ``log|det dx/dz|``.

    Args:
        z: array ``(*batch, D)``.
        w, u: arrays that broadcast to it, see :func:`invertible_direction`.
        b: array that broadcasts to ``(*batch,)``.

    >>> x, log_det = planar_forward(jnp.ones(2), jnp.ones(2), jnp.zeros(2), jnp.zeros(()))
    >>> x.tolist(), round(float(log_det), 5)
    ([1.0, 1.0], 0.0)
    """
    direction, gap = invertible_direction(w, u)
    h = jnp.sum(w * z, -1) + b
    return z + direction * jnp.tanh(h)[..., None], bend(h, gap)[1]


def planar_inverse(x: Array, w: Array, u: Array, b: Array) -> tuple[Array, Array]:
    """``z`` of :func:`planar_forward`, and ``log|det dz/dx|``; numerical."""
    direction, gap = invertible_direction(w, u)
    h = unbend(jnp.sum(w * x, -1) + b, gap)
    return x - direction * jnp.tanh(h)[..., None], -bend(h, gap)[1]


def orthonormal(matrix: Array) -> Array:
    """The columns of full-rank matrices ``(*batch, D, M)``, made orthonormal one after the other.

    The sign of each is that of Gram and Schmidt's, with which the result is a smooth function.

    >>> (5.0 * orthonormal(jnp.array([[3.0], [4.0]]))).round(4).tolist()
    [[3.0], [4.0]]
    """
    q, r = jnp.linalg.qr(matrix)
    diagonal = jnp.diagonal(r, axis1=-2, axis2=-1)
    return q * jnp.where(diagonal < 0, -1.0, 1.0)[..., None, :]


def upper_triangle(entries: Array, size: int) -> Array:
    """Upper triangular matrices from their entries row by row, with a tanh on the diagonal.

    Args:
        entries: array ``(*batch, size (size + 1) / 2)``.
        size: ``M``.

    Returns:
        An array ``(*batch, M, M)``.

    >>> upper_triangle(jnp.array([0.0, 5.0, 9.0]), 2).round(3).tolist()
    [[0.0, 5.0], [0.0, 1.0]]
    """
    rows, columns = np.triu_indices(size)
    entries = jnp.where(rows == columns, jnp.tanh(entries), entries)
    zeros = jnp.zeros((*entries.shape[:-1], size, size), entries.dtype)
    return zeros.at[..., rows, columns].set(entries)


def _gap(outer: Array, inner: Array) -> Array:
    return _positive(1.0 + jnp.diagonal(outer) * jnp.diagonal(inner))


@functools.partial(jnp.vectorize, signature="(d),(d,m),(m,m),(m,m),(m)->(d),()")
def sylvester_forward(
    z: Array, basis: Array, outer: Array, inner: Array, shift: Array
) -> tuple[Array, Array]:
    """``x = z + Q R tanh(R~ Q^T z + b)`` and ``log|det dx/dz|``.

    Args:
        z: array ``(*batch, D)``.
        basis: ``Q``, arrays ``(*batch, D, M)`` with orthonormal columns; batch axes may lack here
            and below.
        outer: ``R``, upper triangular ``(*batch, M, M)``.
        inner: ``R~``, likewise; no entry of the product of the diagonals is less than -1.
        shift: ``b``, arrays ``(*batch, M)``.

    >>> one = jnp.ones((1, 1))
    >>> x, log_det = sylvester_forward(jnp.zeros((3, 1)), one, one, one, jnp.zeros(1))
    >>> x.shape, jnp.exp(log_det).round(4).tolist()
    ((3, 1), [2.0, 2.0, 2.0])
    """
    h = inner @ (basis.T @ z) + shift
    _, log_slope = bend(h, _gap(outer, inner))
    return z + basis @ (outer @ jnp.tanh(h)), jnp.sum(log_slope)


@functools.partial(jnp.vectorize, signature="(d),(d,m),(m,m),(m,m),(m)->(d),()")
def sylvester_inverse(
    x: Array, basis: Array, outer: Array, inner: Array, shift: Array
) -> tuple[Array, Array]:
    """``z`` of :func:`sylvester_forward`, and ``log|det dz/dx|``; numerical.

    Row ``i`` of ``Q^T x = y + R tanh(h)``, times ``R~_ii``, is an equation for ``h_i`` alone once
    the rows below are solved.
    """
    gap = _gap(outer, inner)
    target = basis.T @ x
    dtype = jnp.result_type(target, outer, inner, shift)

    def solve_row(known: tuple[Array, Array], row: Any) -> tuple[tuple[Array, Array], Array]:
        y, tanh = known  # with zeros where they are not known yet
        i, target, outer, inner, shift, gap = row
        rest = target - outer @ tanh
        h = unbend(inner[i] * rest + inner @ y + shift, gap)
        new = jnp.tanh(h)
        return (y.at[i].set(rest - outer[i] * new), tanh.at[i].set(new)), h

    size = len(target)
    nothing = jnp.zeros(size, dtype)
    rows = jnp.arange(size), target.astype(dtype), outer, inner, shift, gap
    (_, tanh), h = jax.lax.scan(solve_row, (nothing, nothing), rows, reverse=True)
    return x - basis @ (outer @ tanh), -jnp.sum(bend(h, gap)[1])
