"""A network of angles, which sees what an angle is: a point of a circle."""

from collections.abc import Callable

import jax.numpy as jnp
from jax import Array

from jaxgen.core import Context, Key, Module, checked_arguments


class Periodic(Module):
    r"""``network(cos x, sin x)``: a function of angles that has the period :math:`2\pi` in each.

    Args:
        in_features, out_features: sizes of the last axis.
        make_network: ``(in_features, out_features) -> network``, which is made for both features
            of every angle.

    >>> from flax import nnx
    >>> from jaxgen.networks import MLP
    >>> make = lambda n, m: MLP(n, m, hidden=(8,), rngs=nnx.Rngs(0))
    >>> Periodic(3, 5, make)(jnp.ones((4, 3))).shape
    (4, 5)
    """

    @checked_arguments
    def __init__(
        self,
        in_features: int,
        out_features: int,
        make_network: Callable[[int, int], Callable[..., Array]],
    ):
        self.network = make_network(2 * in_features, out_features)
        self.context_shape = getattr(self.network, "context_shape", None)

    def __call__(self, x: Array, context: Context = None, *, key: Key = None) -> Array:
        """Angles ``(*batch, in_features)`` to ``(*batch, out_features)``."""
        features = jnp.concatenate([jnp.cos(x), jnp.sin(x)], axis=-1)
        return self.network(features, context, key=key)
