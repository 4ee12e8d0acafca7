"""Integer levels, and how a network reads them."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxgen.core import Shape, ShapeError, check_levels, checked_arguments, unknown
from jaxgen.functional import support
from jaxgen.likelihoods.base import Likelihood, Scalar, position_shape_of


def level_cdf(likelihood: Likelihood, value: Array, params: Array) -> tuple[Array, Array]:
    """:meth:`Likelihood.cdf` of entries that are levels, and independent: sums of probabilities.

    >>> from jaxgen.likelihoods import Bernoulli
    >>> below, up_to = level_cdf(Bernoulli(), jnp.array([0, 1]), jnp.zeros((2, 1)))
    >>> below.tolist(), up_to.tolist()
    ([0.0, 0.5], [0.5, 1.0])
    """
    each = likelihood.unpack(params, position_shape_of(value, params))
    every = jnp.arange(int(likelihood.levels or 0))

    def mass(level: Array) -> Array:
        return jnp.exp(likelihood.log_prob(jnp.broadcast_to(level, each.shape[:-1]), each))

    # The sum over all is 1 but for rounding, by which no value is beyond the last level.
    total = jnp.clip(jnp.cumsum(jax.vmap(mass)(every), axis=0), 0.0, 1.0).at[-1].set(1.0)
    bounds = jnp.concatenate([jnp.zeros_like(total[:1]), total])
    index = jnp.broadcast_to(value, each.shape[:-1]).astype(jnp.int32)[None]
    below, up_to = (jnp.take_along_axis(bounds, index + up, 0)[0] for up in (0, 1))
    return below, up_to


_INPUTS = ("scalar", "one_hot", "both")


class Levels(Likelihood):
    """Integer levels ``0 .. levels - 1``.

    Args:
        levels: the number of levels, at least 2.
        inputs: how a network reads a level: ``"scalar"``, a number scaled to ``[-1, 1]``, as befits
            levels in an order (the brightness of a pixel); ``"one_hot"``, a vector of zeros and a
            one, which the network's first map turns into an embedding of each level, as befits
            names (characters, categories); or ``"both"``, one behind the other.

    Raises:
        ValueError: for fewer than 2 levels, or unknown inputs.
    """

    levels: int
    tempers_noise = True

    @checked_arguments
    def __init__(self, levels: int, inputs: str = "scalar"):
        if levels < 2:
            raise ValueError(f"{type(self).__name__}: expected at least 2 levels, got {levels}")
        if inputs not in _INPUTS:
            raise unknown("kind of inputs", inputs, _INPUTS)
        self.levels = levels
        self.inputs = inputs

    @property
    def _width(self) -> int:
        """How many numbers stand for a level; 0 for a scalar."""
        return {"scalar": 0, "one_hot": self.levels, "both": self.levels + 1}[self.inputs]

    def numbers(self, value: Array) -> Array:
        """Levels scaled to ``[-1, 1]``."""
        return value.astype(jnp.result_type(float)) * (2.0 / (self.levels - 1)) - 1.0

    def encode(self, value: Array) -> Array:
        numbers = self.numbers(value)
        if self.inputs == "scalar":
            return numbers
        which = jax.nn.one_hot(value.astype(jnp.int32), self.levels, dtype=numbers.dtype)
        if self.inputs == "one_hot":
            return which
        return jnp.concatenate([numbers[..., None], which], axis=-1)

    def input_shape(self, position_shape: Shape) -> Shape:
        return (*position_shape, self._width) if self._width else position_shape

    def position_shape(self, input_shape: Shape) -> Shape:
        if not self._width:
            return input_shape
        if input_shape[-1:] != (self._width,):
            raise ShapeError(
                f"{type(self).__name__}: expected a network that reads {self._width} numbers for a "
                f"level, of positions (*position, {self._width}), with inputs={self.inputs!r}; got "
                f"one of positions {input_shape}"
            )
        return input_shape[:-1]

    def check(self, value: Array | np.ndarray) -> None:
        check_levels(value, self.levels, type(self).__name__)

    def contains(self, value: Array) -> Array:
        return support.is_level(value, self.levels)


def cooled(logits: Array, temperature: Scalar) -> Array:
    """Logits at a temperature, with 0 for the most likely: at a low one they must not overflow."""
    return (logits - jnp.max(logits, axis=-1, keepdims=True)) / temperature
