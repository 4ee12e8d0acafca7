r"""Sylvester normalizing flows (van den Berg, Hasenclever, Tomczak and Welling, 2018).

.. math:: x = z + Q R \tanh(\tilde R Q^\top z + b), \qquad
          \log\left|\det \frac{\partial x}{\partial z}\right| =
          \sum_i \log\left(1 + r_{ii} \tilde r_{ii} \tanh'(h_i)\right), \qquad
          h = \tilde R Q^\top z + b,

with upper triangular ``R`` and ``R~`` of shape ``(M, M)``, and ``Q`` of shape ``(D, M)`` with
orthonormal columns: planar flows of ``M`` directions at once. It is invertible where
:math:`r_{ii} \tilde r_{ii} > -1`, for which both diagonals are a tanh. With a context
``R``, ``R~``, ``b`` and what ``Q`` is made of are amortised: functions of the context.

Deviations: columns are orthonormalised one after the other (a QR decomposition), not by steps
towards the nearest orthonormal matrix, which reach it from near it only, and are stopped before.
The paper has no use for the inverse, which is numerical here, and exact to rounding.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array

from jaxgen.bijectors.amortized import Amortized
from jaxgen.bijectors.base import Bijector
from jaxgen.core import (
    Context,
    Shape,
    ShapeError,
    check_event,
    checked_arguments,
    program,
    unknown,
)
from jaxgen.functional.linear import householder
from jaxgen.functional.sylvester import (
    orthonormal,
    sylvester_forward,
    sylvester_inverse,
    upper_triangle,
)

_BASES = ("orthogonal", "householder", "triangular")


class Sylvester(Bijector):
    r"""``x = z + Q R tanh(R~ Q^T z + b)``: a residual layer of ``M`` hidden units.

    The log-determinant costs ``O(M)``. Forward is closed form; inverse solves ``M`` equations of
    one number each, the last row first, and leaves what is orthogonal to ``Q`` as it is.

    With ``context_features`` each context has a flow of its own, as the posterior of a variational
    autoencoder needs it: what is added to the parameters is linear in the context. Many in a row,
    by :class:`~jaxgen.bijectors.Scan`, are the paper's flow. It starts near the identity.

    Args:
        event_shape: the event's shape, ``(D,)``.
        basis: what ``Q`` is: ``"orthogonal"``, the orthonormalised columns of a free matrix;
            ``"householder"``, a product of reflections, with ``M = D``; or ``"triangular"``, the
            identity or, if ``reverse``, the permutation that reverses the order, with ``M = D``.
        rank: ``M``, of the orthogonal basis; ``D`` if None.
        reflections: how many, of the Householder basis; ``D`` if None.
        reverse: which of the two, of the triangular basis: layers in a row alternate.
        context_features: the size of a context vector; None for none.
        rngs: where the initial weights come from.

    Raises:
        ValueError: for an unknown basis, or an argument of another one.
        ShapeError: if events are no vectors, or ``rank`` is more than ``D``.

    >>> sylvester = Sylvester((4,), rank=2, context_features=3, rngs=nnx.Rngs(0))
    >>> x = sylvester.forward(jnp.ones((5, 4)), jnp.zeros((5, 3)))
    >>> bool(jnp.allclose(sylvester.inverse(x, jnp.zeros((5, 3))), 1.0, atol=1e-5))
    True
    """

    event_shape: Shape

    @checked_arguments
    def __init__(
        self,
        event_shape: Shape,
        basis: str = "orthogonal",
        *,
        rank: int | None = None,
        reflections: int | None = None,
        reverse: bool = False,
        context_features: int | None = None,
        rngs: nnx.Rngs,
    ):
        if basis not in _BASES:
            raise unknown("basis", basis, _BASES)
        given = {"rank": rank, "reflections": reflections, "reverse": reverse or None}
        for (name, value), own in zip(given.items(), _BASES, strict=True):
            if value is not None and basis != own:
                raise ValueError(
                    f"Sylvester: expected {name} for the basis {own!r} alone, got {name}={value} "
                    f"for {basis!r}"
                )
        self.event_shape = check_event(event_shape, (1,), "Sylvester")
        self.context_shape = None if context_features is None else (context_features,)
        self.basis = basis
        self.reverse = reverse
        size = self.event_shape[0]
        self.rank = size if rank is None else rank
        if self.rank > size:
            raise ShapeError(
                f"Sylvester: expected a rank of at most {size} for events {self.event_shape}, got "
                f"{rank}"
            )

        def normal(*shape: int) -> Array:
            return jax.random.normal(rngs.params(), shape)

        def amortized(start: Array) -> Amortized:
            return Amortized(start, context_features, rngs=rngs)

        # What Q is made of: columns, reflections, nothing.
        vectors = {"orthogonal": (size, self.rank), "householder": (reflections or size, size)}
        self.vectors = amortized(normal(*vectors[basis])) if basis in vectors else None
        entries = self.rank * (self.rank + 1) // 2
        # Not zero, where the rest had no gradient.
        self.outer = amortized(0.01 * normal(entries))  # R
        self.inner = amortized(normal(entries) / math.sqrt(self.rank))  # R~
        self.shift = amortized(jnp.zeros(self.rank))  # b

    def forward_and_log_det(self, z: Array, context: Context = None) -> tuple[Array, Array]:
        return sylvester_forward(z, *self.matrices(context))

    @program()
    def inverse_and_log_det(self, x: Array, context: Context = None) -> tuple[Array, Array]:
        return sylvester_inverse(x, *self.matrices(context))

    def matrices(self, context: Context = None) -> tuple[Array, Array, Array, Array]:
        """``Q``, ``R``, ``R~`` and ``b``, with the batch axes of the context where they read it."""
        outer = upper_triangle(self.outer(context), self.rank)
        inner = upper_triangle(self.inner(context), self.rank)
        return self._basis(context), outer, inner, self.shift(context)

    def _basis(self, context: Context) -> Array:
        if self.vectors is None:
            identity = np.eye(self.rank, dtype=self.shift.array.dtype)
            return jnp.asarray(identity[::-1] if self.reverse else identity)
        vectors = self.vectors(context)
        if self.basis == "orthogonal":
            return orthonormal(vectors)
        return jnp.vectorize(householder, signature="(k,d)->(d,d)")(vectors)
