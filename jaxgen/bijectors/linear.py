"""The invertible 1x1 convolution (Glow, Kingma & Dhariwal, 2018, section 3.2), and its matrices.

Orthogonal matrices as products of reflections are the Householder flow's (Tomczak & Welling, 2016);
there the vectors come from an encoder, here they are parameters.
"""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array

from jaxgen.bijectors.base import Bijector
from jaxgen.core import Buffer, Context, Module, Shape, checked_arguments
from jaxgen.functional import linear


class Matrix(Module):
    """An invertible square matrix with parameters; a subclass defines :meth:`weight_and_log_det`.

    It is built as ``matrix(size, rngs=rngs)``.
    """

    def weight_and_log_det(self) -> tuple[Array, Array]:
        """``W`` and ``log|det W|``."""
        raise NotImplementedError(f"{type(self).__name__} defines no weight_and_log_det")

    def inverse_and_log_det(self) -> tuple[Array, Array]:
        """``W^{-1}`` and ``log|det W^{-1}|``."""
        weight, log_det = self.weight_and_log_det()
        # One small inverse for all positions; a solve per position would be a triangular solve
        # with many right-hand sides, which accelerators run row by row.
        return jnp.linalg.inv(weight), -log_det


class DenseMatrix(Matrix):
    """A free invertible matrix, started at a random rotation; its determinant costs ``O(C^3)``."""

    @checked_arguments
    def __init__(self, size: int, *, rngs: nnx.Rngs):
        self.weight = nnx.Param(jax.random.orthogonal(rngs.params(), size))

    def weight_and_log_det(self) -> tuple[Array, Array]:
        weight = self.weight[...]
        return weight, jnp.linalg.slogdet(weight)[1]


class LUMatrix(Matrix):
    """``W = P L (U + diag(s))`` with fixed ``P`` and signs of ``s``: the determinant costs O(C)."""

    @checked_arguments
    def __init__(self, size: int, *, rngs: nnx.Rngs):
        rotation = jax.random.orthogonal(rngs.params(), size)
        permutation, lower, upper, sign, log_diagonal = linear.lu_decompose(rotation)
        self.permutation = Buffer(permutation.astype(rotation.dtype))
        self.sign = Buffer(sign)
        self.lower = nnx.Param(lower)
        self.upper = nnx.Param(upper)
        self.log_diagonal = nnx.Param(log_diagonal)

    def _parts(self) -> tuple[Array, ...]:
        permutation = self.permutation[...].astype(jnp.int32)
        triangles = self.lower[...], self.upper[...]
        return permutation, *triangles, self.sign[...], self.log_diagonal[...]

    def weight_and_log_det(self) -> tuple[Array, Array]:
        return linear.lu_compose(*self._parts()), jnp.sum(self.log_diagonal[...])

    def inverse_and_log_det(self) -> tuple[Array, Array]:
        return linear.lu_inverse(*self._parts()), -jnp.sum(self.log_diagonal[...])


class HouseholderMatrix(Matrix):
    """An orthogonal matrix, the product of reflections; its inverse is its transpose.

    ``size`` reflections reach every orthogonal matrix of determinant ``(-1)^size``; fewer are a
    cheaper, smaller family. For another number than the default pass a function:
    ``Conv1x1(shape, lambda size, rngs: HouseholderMatrix(size, 4, rngs=rngs), rngs=rngs)``.

    Args:
        size: the side of the matrix.
        reflections: how many; ``size`` if None.
        rngs: where the reflections' directions come from.

    Raises:
        ValueError: if there is no reflection.

    >>> weight, log_det = HouseholderMatrix(3, rngs=nnx.Rngs(0)).weight_and_log_det()
    >>> bool(jnp.allclose(weight @ weight.T, jnp.eye(3), atol=1e-6)), float(log_det)
    (True, 0.0)
    """

    @checked_arguments
    def __init__(self, size: int, reflections: int | None = None, *, rngs: nnx.Rngs):
        reflections = size if reflections is None else reflections
        self.vectors = nnx.Param(jax.random.normal(rngs.params(), (reflections, size)))

    def weight_and_log_det(self) -> tuple[Array, Array]:
        weight = linear.householder(self.vectors[...])
        return weight, jnp.zeros((), weight.dtype)

    def inverse_and_log_det(self) -> tuple[Array, Array]:
        weight, log_det = self.weight_and_log_det()
        return weight.T, -log_det


class Conv1x1(Bijector):
    r"""``z = x W`` along the channels: an invertible 1x1 convolution, or a linear map of a vector.

    :math:`\log|\det \partial z/\partial x| = S \log|\det W|` for ``S`` positions. The density is
    the cheap direction; sampling multiplies by the inverse matrix.

    Args:
        event_shape: the event's shape; its last axis are the channels.
        matrix: how ``W`` is parametrised: :class:`LUMatrix` (default), :class:`DenseMatrix`,
            :class:`HouseholderMatrix`, or any ``(size, rngs=rngs) -> Matrix``.
        rngs: where the matrix's random start comes from.

    >>> conv = Conv1x1((2, 2, 3), rngs=nnx.Rngs(0))
    >>> bool(abs(conv.inverse_log_det(jnp.ones((2, 2, 3)))) < 1e-5)  # a rotation at first
    True
    """

    event_shape: Shape

    @checked_arguments
    def __init__(
        self, event_shape: Shape, matrix: Callable[..., Matrix] = LUMatrix, *, rngs: nnx.Rngs
    ):
        self.event_shape = tuple(event_shape)
        self.event_ndims = len(event_shape)
        self.matrix = matrix(event_shape[-1], rngs=rngs)

    def forward_and_log_det(self, z: Array, context: Context = None) -> tuple[Array, Array]:
        weight, log_det = self.matrix.inverse_and_log_det()
        return z @ weight, self._positions() * log_det

    def inverse_and_log_det(self, x: Array, context: Context = None) -> tuple[Array, Array]:
        weight, log_det = self.matrix.weight_and_log_det()
        return x @ weight, self._positions() * log_det

    def _positions(self) -> int:
        return math.prod(self.event_shape[:-1])
