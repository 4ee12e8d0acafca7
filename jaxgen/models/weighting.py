"""How the members of an ensemble count, given what each of them finds of what is observed.

A weighting maps the members' ``log p_k(observed part)``, ``(K, *batch)``, to logarithms of weights
of that shape, which need not be normalised.
"""

from collections.abc import Callable

import jax.numpy as jnp
from jax import Array

from jaxgen.core import unknown

Weighting = Callable[[Array], Array]


def equal(observed: Array) -> Array:
    """Every member counts the same."""
    return jnp.zeros_like(observed)


def posterior(observed: Array) -> Array:
    """A member counts as much as it finds the observed part likely: Bayes' rule.

    Where that is impossible under all of them, they count the same.
    """
    return jnp.where(jnp.max(observed, axis=0) > -jnp.inf, observed, 0.0)


_WEIGHTINGS: dict[str, Weighting] = {"equal": equal, "posterior": posterior}


def weighting_named(name: str) -> Weighting:
    """The weighting of this name.

    Raises:
        ValueError: for an unknown name.

    >>> weighting_named("equal")(jnp.array([-1.0, -9.0])).tolist()
    [0.0, 0.0]
    """
    if name not in _WEIGHTINGS:
        raise unknown("weighting", name, _WEIGHTINGS)
    return _WEIGHTINGS[name]
