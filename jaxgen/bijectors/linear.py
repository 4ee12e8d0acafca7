"""The invertible 1x1 convolution (Glow, Kingma & Dhariwal, 2018, section 3.2)."""

import math
from typing import Any

import jax.numpy as jnp
from flax import nnx
from jax import Array

from jaxgen.bijectors.base import Bijector
from jaxgen.core import Buffer, Shape
from jaxgen.functional import linear


class DenseMatrix(nnx.Module):
    """A free invertible matrix, started at a random rotation; its determinant costs ``O(C^3)``."""

    def __init__(self, size: int, *, rngs: nnx.Rngs):
        self.weight = nnx.Param(linear.random_rotation(rngs.params(), size))

    def weight_and_log_det(self) -> tuple[Array, Array]:
        """``W`` and ``log|det W|``."""
        weight = self.weight[...]
        return weight, jnp.linalg.slogdet(weight)[1]


class LUMatrix(nnx.Module):
    """``W = P L (U + diag(s))`` with fixed ``P`` and signs of ``s``: the determinant costs O(C)."""

    def __init__(self, size: int, *, rngs: nnx.Rngs):
        rotation = linear.random_rotation(rngs.params(), size)
        permutation, lower, upper, sign, log_diagonal = linear.lu_decompose(rotation)
        self.permutation = Buffer(permutation.astype(rotation.dtype))
        self.sign = Buffer(sign)
        self.lower = nnx.Param(lower)
        self.upper = nnx.Param(upper)
        self.log_diagonal = nnx.Param(log_diagonal)

    def weight_and_log_det(self) -> tuple[Array, Array]:
        """``W`` and ``log|det W|``."""
        log_diagonal = self.log_diagonal[...]
        weight = linear.lu_compose(
            self.permutation[...].astype(jnp.int32),
            self.lower[...],
            self.upper[...],
            self.sign[...],
            log_diagonal,
        )
        return weight, jnp.sum(log_diagonal)


class Conv1x1(Bijector):
    r"""``z = x W`` along the channels: an invertible 1x1 convolution, or a linear map of a vector.

    :math:`\log|\det \partial z/\partial x| = S \log|\det W|` for ``S`` positions. The density is
    the cheap direction; sampling multiplies by the inverse matrix.

    Args:
        event_shape: the event's shape; its last axis are the channels.
        matrix: how ``W`` is parametrised: :class:`LUMatrix` (default) or :class:`DenseMatrix`.
        rngs: where the random rotation comes from.

    >>> conv = Conv1x1((2, 2, 3), rngs=nnx.Rngs(0))
    >>> bool(abs(conv.inverse_log_det(jnp.ones((2, 2, 3)))) < 1e-5)  # a rotation at first
    True
    """

    event_shape: Shape

    def __init__(self, event_shape: Shape, matrix: Any = LUMatrix, *, rngs: nnx.Rngs):
        self.event_shape = tuple(event_shape)
        self.event_ndims = len(event_shape)
        self.matrix = matrix(event_shape[-1], rngs=rngs)

    def forward_and_log_det(self, z: Array, context: Array | None = None) -> tuple[Array, Array]:
        weight, log_det = self.matrix.weight_and_log_det()
        # One small inverse for all positions; a solve per position would be a triangular solve
        # with many right-hand sides, which accelerators run row by row.
        return z @ jnp.linalg.inv(weight), -self._positions() * log_det

    def inverse_and_log_det(self, x: Array, context: Array | None = None) -> tuple[Array, Array]:
        weight, log_det = self.matrix.weight_and_log_det()
        return x @ weight, self._positions() * log_det

    def _positions(self) -> int:
        return math.prod(self.event_shape[:-1])
