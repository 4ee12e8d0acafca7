"""The normal distribution over all entries of an event together."""

import math
from functools import partial
from typing import Self

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array

from jaxgen.core import (
    Buffer,
    Context,
    Shape,
    ShapeError,
    adapt_once,
    check_array,
    checked_arguments,
    spread,
)
from jaxgen.functional.statistics import location_and_scale
from jaxgen.models.base import Sampling
from jaxgen.models.densities import Density


class MultivariateNormal(Density):
    r"""One normal over all entries of the event, with a learned mean and covariance.

    .. math:: x = \mu + L z, \qquad \Sigma = L L^T,

    with ``L`` lower triangular and the logarithm of its diagonal learned, so that every value of
    the parameters is a covariance. Mean and deviations start from those of the first data, as in
    :class:`DiagonalNormal`, and the entries uncorrelated, unless a covariance is given;
    :func:`jaxgen.freeze` keeps what is given.

    Args:
        event_shape: the event's shape, with ``D`` entries in all.
        mean: array that broadcasts to it.
        scale_tril: ``L``, array ``(D, D)``; the entries in the order of a flattened event.
        covariance: ``Sigma``, likewise; at most one of the two.

    Raises:
        ValueError: if both are given, or what is given is no covariance.
        ShapeError: if it has another shape.

    >>> normal = MultivariateNormal((2,), covariance=jnp.array([[2.0, 1.0], [1.0, 1.0]]))
    >>> round(float(normal.log_prob(jnp.zeros(2))), 4)  # log of 1 / (2 pi), for a determinant of 1
    -1.8379
    """

    has_cdf = True

    @partial(checked_arguments, least_axes=0)
    def __init__(
        self,
        event_shape: Shape,
        mean: Array | float | None = None,
        *,
        scale_tril: Array | None = None,
        covariance: Array | None = None,
    ):
        super().__init__(event_shape)
        dtype, size = jnp.result_type(float), math.prod(self.event_shape)
        if scale_tril is not None and covariance is not None:
            raise ValueError("MultivariateNormal: expected scale_tril or covariance, got both")
        given = not (mean is None and scale_tril is None and covariance is None)
        tril = np.eye(size)
        if scale_tril is not None:
            tril = self._matrix(scale_tril, size, "scale_tril")
            if np.triu(tril, 1).any() or not (np.diag(tril) > 0).all():
                raise ValueError(
                    "MultivariateNormal: expected a lower triangular scale_tril whose diagonal is "
                    "positive"
                )
        if covariance is not None:
            tril = self._factor(self._matrix(covariance, size, "covariance"))
        mean = 0.0 if mean is None else mean
        self.mean = nnx.Param(spread(mean, self.event_shape, "MultivariateNormal", "mean"))
        self.log_diagonal = nnx.Param(jnp.asarray(np.log(np.diag(tril)), dtype))
        self.lower = nnx.Param(jnp.asarray(tril[np.tril_indices(size, -1)], dtype))
        self.adapted = Buffer(jnp.asarray(float(given)))

    @staticmethod
    def _factor(covariance: np.ndarray) -> np.ndarray:
        """``L`` with ``L L^T`` the covariance."""
        if not np.allclose(covariance, covariance.T, rtol=1e-5, atol=0.0):
            raise ValueError("MultivariateNormal: expected a symmetric covariance")
        try:
            return np.linalg.cholesky(covariance)
        except np.linalg.LinAlgError:
            least = np.linalg.eigvalsh(covariance).min()
            raise ValueError(
                f"MultivariateNormal: expected a positive definite covariance, got one with an "
                f"eigenvalue of {least:.3g}"
            ) from None

    @staticmethod
    def _matrix(given: Array, size: int, name: str) -> np.ndarray:
        """A square matrix of finite numbers, in double precision."""
        matrix = np.asarray(check_array(given, "MultivariateNormal", name), np.float64)
        if matrix.shape != (size, size):
            raise ShapeError(
                f"MultivariateNormal: expected a matrix of shape {(size, size)} for {name}, "
                f"got {matrix.shape}"
            )
        if not np.isfinite(matrix).all():
            raise ValueError(f"MultivariateNormal: expected finite numbers for {name}")
        return matrix

    def scale_tril(self) -> Array:
        """``L``, array ``(D, D)``."""
        diagonal = jnp.diag(jnp.exp(self.log_diagonal[...]))
        return diagonal.at[np.tril_indices(len(diagonal), -1)].set(self.lower[...])

    def standardize(self, x: Array | np.ndarray | None, context: Context | np.ndarray) -> Self:
        if x is None:
            return self
        mean, scale = location_and_scale(x, len(self.event_shape))
        return adapt_once(self, mean=mean, log_diagonal=jnp.log(scale).reshape(-1))

    def _score(self, x: Array, context: Context) -> Array:
        each = self._sum_event(jax.scipy.stats.norm.logpdf(self._whitened(x)))
        return each - jnp.sum(self.log_diagonal[...])

    def _cdf(self, x: Array, context: Context) -> Array:
        return jax.scipy.special.ndtr(self._whitened(x))

    def _whitened(self, x: Array) -> Array:
        """``z``, of which every entry is the standardised one of ``x`` given those before it."""
        tril = self.scale_tril()
        away = (x - self.mean[...]).reshape(-1, len(tril))
        z = jax.scipy.linalg.solve_triangular(tril.astype(away.dtype), away.T, lower=True)
        return z.T.reshape(x.shape)

    def _draw(self, key: Array, batch: Shape, context: Context, how: Sampling) -> Array:
        mean, tril = self.mean[...], self.scale_tril()
        noise = jax.random.normal(key, (*batch, len(tril)), mean.dtype)
        away = jnp.matmul(noise, tril.T, precision=jax.lax.Precision.HIGHEST)
        return mean + how.temperature * away.reshape(*batch, *self.event_shape)
