r"""Invertible linear maps along the last axis.

A 1x1 convolution is a matrix product along the channel axis, applied at every pixel; for a vector
it is an ordinary linear map. With ``W`` of shape ``(C, C)`` and ``S`` pixels the log-determinant is
``S log|det W|`` (Glow, Kingma & Dhariwal, 2018, section 3.2). Householder reflections multiply to
orthogonal matrices, whose log-determinant is 0 (Tomczak & Welling, 2016).
"""

import jax
import jax.numpy as jnp
from jax import Array


def lu_decompose(weight: Array) -> tuple[Array, Array, Array, Array, Array]:
    """Glow's parametrisation ``W = P L (U + diag(sign * exp(log_diagonal)))`` of a matrix.

    Returns ``(permutation, lower, upper, sign, log_diagonal)``: ``permutation`` are the row
    indices with ``W = (L U)[permutation]``, ``lower`` and ``upper`` are strictly triangular.
    """
    matrix, lower, upper = jax.scipy.linalg.lu(weight)
    diagonal = jnp.diagonal(upper)
    permutation = jnp.argmax(matrix, axis=1)
    return (
        permutation,
        jnp.tril(lower, -1),
        jnp.triu(upper, 1),
        jnp.sign(diagonal),
        jnp.log(jnp.abs(diagonal)),
    )


def lu_compose(
    permutation: Array, lower: Array, upper: Array, sign: Array, log_diagonal: Array
) -> Array:
    """The matrix that :func:`lu_decompose` took apart; entries off their triangle are ignored.

    >>> w = jnp.array([[0.0, 2.0], [3.0, 1.0]])
    >>> bool(jnp.allclose(lu_compose(*lu_decompose(w)), w))
    True
    """
    lower = jnp.tril(lower, -1) + jnp.eye(lower.shape[-1], dtype=lower.dtype)
    upper = jnp.triu(upper, 1) + jnp.diag(sign * jnp.exp(log_diagonal))
    return (lower @ upper)[permutation]


def householder(vectors: Array) -> Array:
    r"""The product ``H_1 H_2 ... H_k`` of the reflections ``H_i = I - 2 v_i v_i^T / |v_i|^2``.

    An orthogonal matrix, for any non-zero vectors (Tomczak & Welling 2016). The
    product is formed at once, in the compact WY form (Schreiber & Van Loan 1989): with unit vectors
    in the rows of ``V``,

    .. math:: H_1 \cdots H_k = I - V^T T V, \qquad
              T^{-1} = \tfrac12 I + \mathrm{striu}(V V^T).

    Args:
        vectors: array ``(k, size)``.

    >>> householder(jnp.array([[3.0, 0.0]])).tolist()  # reflects the first axis
    [[-1.0, 0.0], [0.0, 1.0]]
    """
    unit = vectors / jnp.linalg.norm(vectors, axis=-1, keepdims=True)
    identity = jnp.eye(len(unit), dtype=unit.dtype)
    triangle = identity / 2 + jnp.triu(unit @ unit.T, 1)
    scaled = jax.scipy.linalg.solve_triangular(triangle, unit)
    return jnp.eye(unit.shape[-1], dtype=unit.dtype) - unit.T @ scaled
