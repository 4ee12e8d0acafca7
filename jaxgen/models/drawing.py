"""How an autoregressive model draws: by noise that every position has of its own, tempered."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from jaxgen.conditionals.base import Conditional
from jaxgen.core import Shape
from jaxgen.likelihoods import Likelihood
from jaxgen.models.checks import checked_number, checked_temperature

# How a position's value is drawn from its parameters: (position, params) -> value.
Draw = Callable[[Array, Array], Array]
# A temperature and the share of a nucleus, by their names, where they are not 1: in a program they
# are traced, and of what is traced no head can tell that it is 1.
Tempering = dict[str, float | Array]

# Up to so many numbers, the noise of all steps is drawn before the first.
_NOISE_AT_ONCE = 2**24


def tempering_of(
    temperature: float | Array, top_p: float | Array = 1.0, *, model: Any
) -> Tempering:
    """What is to be done to the draws of a model, checked where it can be.

    Raises:
        ValueError: for another temperature than a positive finite one, or a share beyond 1.
    """
    temperature = checked_temperature(temperature, model)
    top_p = checked_number(top_p, lambda value: 0.0 < value <= 1.0, "0 < top_p <= 1", model)
    both = {"temperature": temperature, "top_p": top_p}
    return {name: each for name, each in both.items() if not isinstance(each, float) or each != 1.0}


def drawing(
    network: Conditional,
    likelihood: Likelihood,
    key: Array,
    batch: Shape,
    tempering: Tempering,
    *,
    copies: int = 1,
) -> Draw:
    """How a position's value is drawn from its parameters: ``(position, params) -> value``.

    Args:
        network, likelihood: the model.
        key: the random key; the noise of a position depends on it and the position alone.
        batch: the batch shape of the values.
        tempering: of the draws, see :func:`tempering_of`.
        copies: how many such draws are mapped side by side.
    """
    position_shape = likelihood.position_shape(network.position_shape)
    shape = (*batch, *position_shape)
    noise = _noise_of_positions(likelihood, key, shape, network.num_positions, copies)

    def draw(position: Array, params: Array) -> Array:
        head, parts = likelihood.at(position), (params, noise(position), position_shape)
        if not tempering:
            return head.sample(*parts)
        return head.draw(*parts, tempering.get("temperature", 1.0), tempering.get("top_p", 1.0))

    return draw


def _noise_of_positions(
    likelihood: Likelihood, key: Array, shape: Shape, num_positions: int, copies: int
) -> Callable[[Array], Array]:
    """The noise of a position, of values of a shape: a function of the key and its number alone."""
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
