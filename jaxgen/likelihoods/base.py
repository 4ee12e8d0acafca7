"""What every likelihood has in common."""

import math
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array

from jaxgen.core import Shape, unpack_params

if TYPE_CHECKING:
    import distrax


Scalar = float | Array


class Likelihood(nnx.Pytree):
    """A family of distributions with parameters from outside; holds no arrays itself.

    A subclass sets ``params_per_value`` and ``levels`` (None for real values) and defines
    ``log_prob``, ``noise``, ``sample`` and ``distribution``; and where not every number is in the
    support, ``contains``.
    """

    params_per_value: int
    levels: float | None = None  # of integers; infinite for counts
    reparametrized: bool = True  # whether real samples are differentiable in the parameters

    def num_params(self, position_shape: Shape) -> int:
        """How many numbers a network has to give for one position."""
        return self.params_per_value * math.prod(position_shape)

    def unpack(self, params: Array, position_shape: Shape) -> Array:
        """Parameters ``(*grid, num_params)`` as ``(*grid, *position, params_per_value)``."""
        return unpack_params(params, position_shape, self.params_per_value)

    def encode(self, value: Array) -> Array:
        """Values as the real numbers that a network reads."""
        return value

    def check(self, value: Array | np.ndarray) -> None:
        """Refuses values outside the support; under a trace only their dtype can be seen.

        Raises:
            ValueError: saying what was expected, what came, and what to do.
        """

    def contains(self, value: Array) -> Array:
        """Which values are in the support: booleans of their shape; all of them by default.

        The log-probability of others is ``-inf``. A 0 must be in the support.
        """
        return jnp.ones(jnp.shape(value), bool)

    def restricted(self, value: Array) -> tuple[Array, Array]:
        """Values with a 0 for what is outside the support, and which are inside.

        Networks must not read what is outside, nor formulas: see :mod:`jaxgen.functional.support`.
        """
        inside = self.contains(value)
        return jnp.where(inside, value, jnp.zeros_like(value)), inside

    def log_prob(self, value: Array, params: Array) -> Array:
        """``log p(value | params)`` in nats, summed over each position: ``(*batch, *grid)``.

        It is ``-inf`` outside the support, with a derivative of 0.
        """
        raise NotImplementedError(f"{type(self).__name__} defines no log_prob")

    def noise(self, key: Array, shape: Shape, dtype: jnp.dtype) -> Array:
        """The noise that :meth:`sample` turns into values of this shape."""
        raise NotImplementedError(f"{type(self).__name__} defines no noise")

    def sample(self, params: Array, noise: Array, position_shape: Shape) -> Array:
        """Values ``(*grid, *position)``, a deterministic function of parameters and noise."""
        raise NotImplementedError(f"{type(self).__name__} defines no sample")

    def temper(
        self, params: Array, noise: Array, position_shape: Shape, temperature: Scalar, top_p: Scalar
    ) -> tuple[Array, Array]:
        """Parameters and noise to :meth:`sample` from at a temperature and with nucleus sampling.

        A temperature multiplies the noise: the deviation of a real value, and, by the Gumbel-max
        trick, as much as to divide the logits of a choice. Nucleus sampling (Holtzman et al. 2020)
        keeps the most likely levels that together have a probability of ``top_p`` or more, and
        gives the others none. At 1 and 1 the distribution is the same.

        Raises:
            ValueError: for a ``top_p`` of a likelihood that makes no choice among levels.
        """
        if isinstance(top_p, jax.core.Tracer) or top_p != 1.0:
            raise ValueError(
                f"{type(self).__name__}: top_p is for Bernoulli and Categorical heads, which have "
                f"a logit for each level; use a temperature"
            )
        return params, noise * temperature

    def distribution(self, params: Array, position_shape: Shape = ()) -> "distrax.Distribution":
        """The distrax distribution of the entries, with its mean, mode, entropy and friends."""
        raise NotImplementedError(f"{type(self).__name__} defines no distribution")


def position_shape_of(value: Array, params: Array) -> Shape:
    """The position's shape, of values ``(*grid, *position)`` and parameters ``(*grid, n)``."""
    return value.shape[params.ndim - 1 :]


def sum_position(log_prob: Array, params: Array) -> Array:
    """Log-probabilities of entries ``(*grid, *position)``, summed to those of positions."""
    return jnp.sum(log_prob, tuple(range(params.ndim - 1, log_prob.ndim)))
