"""The noise of an autoregressive model's draws, of which every position has its own."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import Array

from jaxgen.core import Shape
from jaxgen.likelihoods import Likelihood

# Up to so many numbers, the noise of all steps is drawn before the first.
_NOISE_AT_ONCE = 2**24


def noise_of_positions(
    likelihood: Likelihood, key: Array, shape: Shape, num_positions: int, copies: int
) -> Callable[[Array], Array]:
    """The noise of a position, a function of the key and of its number alone.

    Args:
        likelihood: whose noise it is.
        key: the random key.
        shape: of the values at a position, their batch included.
        num_positions: how many positions there are.
        copies: how many such draws are mapped side by side.
    """
    # Not the parameters' dtype, which may differ between one pass and many steps.
    dtype = jnp.result_type(float)

    def noise(position: Array) -> Array:
        return likelihood.at(position).noise(jax.random.fold_in(key, position), shape, dtype)

    # One draw for all steps is cheaper than one for each, which a small step would wait for.
    positions, every = jnp.arange(num_positions), jax.vmap(noise)
    if copies * jax.eval_shape(every, positions).size > _NOISE_AT_ONCE:
        return noise
    drawn = every(positions)
    return lambda position: drawn[position]
