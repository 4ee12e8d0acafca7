r"""Vector quantization (van den Oord, Vinyals and Kavukcuoglu, 2017): codes as latents.

.. math:: q(z | x) = 1 \text{ for } z_i = \arg\min_k \lVert h_i(x) - e_k \rVert, \text{ and 0 for
          all others},

with features :math:`h` from a network of the data and a codebook of vectors :math:`e_k`. Beside a
prior of codes and a decoder of their vectors it makes a :class:`~jaxgen.models.VAE`, of which every
weight is :math:`p(x | z)\, p(z)` at the one ``z`` that has any probability: a lower bound of
:math:`p(x)` that no number of samples makes tighter.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array

from jaxgen.core import Context, Key, Shape, ShapeError, checked_arguments, float_dtype
from jaxgen.models.base import Model, Sampling
from jaxgen.models.posterior import same


class Nearest(Model):
    """The codes whose vectors are nearest to features of the context, for certain.

    It is the posterior of a VQ-VAE. Its decoder sees vectors in place of codes (``vector_shape``):
    those of the entries on the event's last axis, side by side. Of what a decoder wants to see
    otherwise the gradient goes to the features, as if they had been those vectors (the
    straight-through estimate), and none to the codebook, which follows the features by
    :meth:`distance`.

    Args:
        network: maps contexts ``(*batch, *context_shape)`` to features ``(*batch, *vector_shape)``,
            without dropout.
        event_shape: of the codes.
        codes: how many vectors the codebook has, ``K``.
        width: entries of each.
        context_shape: of what the network reads.
        rngs: where the codebook comes from, normal draws.

    Raises:
        ShapeError: when it is called, if the network gives another number of features.

    >>> from jaxgen.networks import MLP
    >>> network = MLP(8, 6, rngs=nnx.Rngs(0))
    >>> posterior = Nearest(network, (3,), 16, 2, context_shape=(8,), rngs=nnx.Rngs(1))
    >>> posterior.sample(jax.random.key(0), 1, jnp.zeros((5, 8))).shape
    (1, 5, 3)
    >>> posterior.vectors(jnp.zeros((5, 3), int)).shape
    (5, 6)
    """

    reparametrized = False
    context_shape: Shape
    vector_shape: Shape

    @partial(checked_arguments, least_axes=1)
    def __init__(
        self,
        network: Callable[..., Any],
        event_shape: Shape,
        codes: int,
        width: int,
        *,
        context_shape: Shape,
        rngs: nnx.Rngs,
    ):
        self.network: Any = network
        self.event_shape, self.context_shape = tuple(event_shape), tuple(context_shape)
        self.vector_shape = (*self.event_shape[:-1], self.event_shape[-1] * width)
        self.levels = codes
        self.codebook = nnx.Param(jax.random.normal(rngs.params(), (codes, width)))

    def features(self, context: Array) -> Array:
        """What the network makes of contexts, ``(*batch, *vector_shape)``."""
        h = self.network(context)
        batch = context.shape[: context.ndim - len(self.context_shape)]
        if math.prod(h.shape) != math.prod((*batch, *self.vector_shape)):
            raise ShapeError(
                f"Nearest: expected {type(self.network).__name__} to map contexts of shape "
                f"{context.shape} to features {(*batch, *self.vector_shape)}, got {h.shape}"
            )
        return h.reshape(*batch, *self.vector_shape).astype(float_dtype(h.dtype))

    def vectors(self, z: Array, context: Context = None) -> Array:
        """The vectors of codes ``(*batch, *event_shape)``, ``(*batch, *vector_shape)``.

        Args:
            z: the codes.
            context: of which they are the nearest; with it gradients go to its features.
        """
        e = self.codebook[...][z].reshape(*z.shape[:-1], self.vector_shape[-1])
        e = e.astype(float_dtype(e.dtype))
        if context is None:
            return e
        h = jnp.broadcast_to(self.features(context), e.shape).astype(e.dtype)
        return same(e, h, jnp.zeros((), e.dtype))

    def distance(self, context: Array, commitment: float) -> Array:
        r"""What moves vectors to features, and features to vectors, ``(*batch,)``.

        .. math:: \lVert \mathrm{sg}(h) - e \rVert^2 + \beta \lVert h - \mathrm{sg}(e) \rVert^2,

        summed over all codes, where no gradient goes through ``sg``.
        """
        h = self.features(context)
        e = self.vectors(self._nearest(h))
        events = tuple(range(-len(self.vector_shape), 0))
        towards = jnp.sum((jax.lax.stop_gradient(h) - e) ** 2, events)
        return towards + commitment * jnp.sum((h - jax.lax.stop_gradient(e)) ** 2, events)

    def log_prob(self, x: Array, context: Context = None, *, key: Key = None) -> Array:
        x, context = self._events(x, context, "log_prob")
        assert context is not None  # checked
        same_code = x == self._nearest(self.features(context))
        events = tuple(range(-len(self.event_shape), 0))
        return jnp.where(jnp.all(same_code, events), 0.0, -jnp.inf)

    def _draw(self, key: Array, batch: Shape, context: Context, how: Sampling) -> Array:
        assert context is not None  # checked
        codes = self._nearest(self.features(context))
        return jnp.broadcast_to(codes, (*batch, *self.event_shape))

    def _nearest(self, h: Array) -> Array:
        """Codes ``(*batch, *event_shape)`` of features."""
        e = self.codebook[...].astype(h.dtype)
        each = h.reshape(*h.shape[:-1], self.event_shape[-1], e.shape[-1])
        # Without the features' own square, which is the same for all codes.
        return jnp.argmin(jnp.sum(e**2, -1) - 2.0 * each @ e.T, axis=-1)
