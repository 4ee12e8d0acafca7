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
    lower, upper = _triangles(lower, upper, sign, log_diagonal)
    return (lower @ upper)[permutation]


def lu_inverse(
    permutation: Array, lower: Array, upper: Array, sign: Array, log_diagonal: Array
) -> Array:
    """The inverse of what :func:`lu_compose` makes of the same, from those of its triangles.

    >>> w = jnp.array([[0.0, 2.0], [3.0, 1.0]])
    >>> bool(jnp.allclose(lu_inverse(*lu_decompose(w)) @ w, jnp.eye(2), atol=1e-6))
    True
    """
    both = jnp.stack(_triangles(lower, upper, sign, log_diagonal))
    lower, upper = jax.vmap(triangular_inverse)(both.at[1].set(both[1].T))
    return (upper.T @ lower)[:, permutation]


def _triangles(lower: Array, upper: Array, sign: Array, log_diagonal: Array) -> tuple[Array, Array]:
    lower = jnp.tril(lower, -1) + jnp.eye(lower.shape[-1], dtype=lower.dtype)
    return lower, jnp.triu(upper, 1) + jnp.diag(sign * jnp.exp(log_diagonal))


# A library's solver on a CPU brings threads of its own, which stand in the way of those of the rest
# of a program: they took a tenth of the time of a Glow's samples, and now and then half of it. So
# small matrices do without.
_SUBSTITUTED = 128


@jax.custom_jvp
def triangular_inverse(lower: Array) -> Array:
    """The inverse of a lower triangular matrix ``(C, C)``, by forward substitution.

    >>> triangular_inverse(jnp.array([[2.0, 0.0], [2.0, 1.0]])).tolist()
    [[0.5, 0.0], [-1.0, 1.0]]
    """
    if lower.shape[-1] > _SUBSTITUTED:
        return _solved(lower)
    return _substituted(lower)


def _solved(lower: Array) -> Array:
    unit = jnp.eye(lower.shape[-1], dtype=lower.dtype)
    return jax.scipy.linalg.solve_triangular(lower, unit, lower=True)


@jax.jit  # as one program outside of any other, whose loop is compiled once
def _substituted(lower: Array) -> Array:
    def rows(lower: Array) -> Array:
        numbers = jnp.arange(lower.shape[-1])

        def row(i: Array, inverse: Array) -> Array:
            unit = (numbers == i).astype(lower.dtype)
            return inverse.at[i].set((unit - lower[i] @ inverse) / lower[i, i])

        return jax.lax.fori_loop(0, len(numbers), row, jnp.zeros_like(lower))

    return jax.lax.platform_dependent(lower, cpu=rows, default=_solved)


@triangular_inverse.defjvp
def _triangular_inverse_jvp(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    inverse = triangular_inverse(*primals)
    return inverse, -inverse @ jnp.tril(tangents[0]) @ inverse


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
    scaled = triangular_inverse(triangle.T).T @ unit
    return jnp.eye(unit.shape[-1], dtype=unit.dtype) - unit.T @ scaled
