"""Networks of vectors as networks of what a model's context is."""

import math
from collections.abc import Callable
from typing import Any

from jax import Array

from jaxgen.core import Key, Module, Shape, checked_arguments


class Flatten(Module):
    """A network of vectors as one of arrays: the entries of each are put in a row first.

    With a :class:`~jaxgen.networks.MLP` inside it is the encoder of images that
    :class:`~jaxgen.models.Factorized` and :class:`~jaxgen.models.Embedded` call.

    Args:
        input_shape: of the arrays.
        network: of vectors ``(prod(input_shape),)``, called with ``key=key`` (dropout).

    >>> import jax.numpy as jnp
    >>> from flax import nnx
    >>> from jaxgen.networks import MLP
    >>> Flatten((28, 28, 1), MLP(784, 3, rngs=nnx.Rngs(0)))(jnp.ones((5, 28, 28, 1))).shape
    (5, 3)
    """

    @checked_arguments
    def __init__(self, input_shape: Shape, network: Callable[..., Any]):
        self.input_shape = tuple(input_shape)
        self.network: Any = network

    def __call__(self, x: Array, *, key: Key = None) -> Array:
        """``(*batch, *input_shape)`` to what the network makes of vectors."""
        batch = x.shape[: x.ndim - len(self.input_shape)]
        return self.network(x.reshape(*batch, math.prod(self.input_shape)), key=key)


class Joint(Module):
    """A network of arrays and a context as one of vectors that hold both, one behind the other.

    So it reads the contexts of the parts of a conditional :class:`~jaxgen.models.VAE`: latents or
    data first, the further context behind them.

    Args:
        first_shape: of the arrays.
        features: entries of the context.
        network: called as ``network(array, context, key=key)``.

    >>> import jax.numpy as jnp
    >>> from flax import nnx
    >>> from jaxgen.networks import ConvResNet
    >>> network = ConvResNet(1, 2, width=4, context_features=3, rngs=nnx.Rngs(0))
    >>> Joint((4, 4, 1), 3, network)(jnp.ones((5, 19))).shape
    (5, 4, 4, 2)
    """

    @checked_arguments
    def __init__(self, first_shape: Shape, features: int, network: Callable[..., Any]):
        self.first_shape = tuple(first_shape)
        self.input_shape = (math.prod(self.first_shape) + features,)
        self.network: Any = network

    def __call__(self, x: Array, *, key: Key = None) -> Array:
        """``(*batch, prod(first_shape) + features)`` to what the network makes of the two."""
        size = math.prod(self.first_shape)
        first = x[..., :size].reshape(*x.shape[:-1], *self.first_shape)
        return self.network(first, x[..., size:], key=key)
