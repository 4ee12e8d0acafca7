"""Composition of bijectors, one after the other."""

from collections.abc import Sequence
from typing import Self

from flax import nnx
from jax import Array

from jaxgen.bijectors.base import Bijector, adapt_within, run_within
from jaxgen.core import ShapeError, common_context, replace, split_key, within


class Chain(Bijector):
    r"""Bijectors applied in a row, **listed from the base to the data**.

    ``Chain([f, g]).forward(z) = g(f(z))``; log-determinants add up. A member with fewer event axes
    than the chain (an elementwise map in a chain of images) has its log-determinant summed over
    the missing ones. For many equal members use :class:`~jaxgen.bijectors.Scan`, whose compile time
    does not grow with their number.

    Args:
        layers: the bijectors. Where two neighbours both state a shape, the shapes must agree.

    Raises:
        ShapeError: if neighbouring shapes differ.

    >>> import jax.numpy as jnp
    >>> from jaxgen.bijectors import Flip, Logit
    >>> chain = Chain([Flip(), Logit()])
    >>> chain.forward(jnp.zeros((4, 2))).shape
    (4, 2)
    """

    def __init__(self, layers: Sequence[Bijector]):
        if not layers:
            raise ValueError("Chain: expected at least one bijector, got none")
        self.layers = nnx.List(layers)
        self.event_ndims = max(layer.event_ndims for layer in layers)
        shape = None
        for index, layer in enumerate(layers):
            incoming = layer.side_shape("base")
            if incoming is not None and len(incoming) < self.event_ndims:
                raise ShapeError(
                    f"Chain: layer {index} ({type(layer).__name__}) takes events of shape "
                    f"{incoming}, but another layer has {self.event_ndims} event axes"
                )
            if shape is not None and incoming is not None and incoming != shape:
                raise ShapeError(
                    f"Chain: layer {index} ({type(layer).__name__}) expects shape {incoming}, the "
                    f"layers before it make {shape}"
                )
            if incoming is not None and self.base_shape is None:
                self.base_shape = incoming
            outgoing = layer.side_shape("data")
            shape = shape if outgoing is None else outgoing
        self.event_shape = shape
        self.context_shape = common_context("Chain", *(layer.context_shape for layer in layers))

    def forward_and_log_det(
        self, z: Array, context: Array | None = None, *, key: Array | None = None
    ) -> tuple[Array, Array]:
        return self._run("forward_and_log_det", range(len(self.layers)), z, context, key)

    def inverse_and_log_det(
        self, x: Array, context: Array | None = None, *, key: Array | None = None
    ) -> tuple[Array, Array]:
        return self._run("inverse_and_log_det", reversed(range(len(self.layers))), x, context, key)

    def _run(self, name, indices, value, context, key):
        total = None
        keys = split_key(key, len(self.layers))
        for index in indices:
            layer = self.layers[index]
            with within(f"Chain layer {index}"):
                value, log_det = run_within(
                    layer, name, value, context, keys[index], self.event_ndims
                )
            total = log_det if total is None else total + log_det
        return value, total

    def _adapt(self, method: str, x: Array, context: Array | None) -> tuple[Self, Array]:
        layers = list(self.layers)
        for index in reversed(range(len(layers))):
            with within(f"Chain layer {index}"):
                layers[index], x = adapt_within(layers[index], method, x, context, self.event_ndims)
        return replace(self, layers=nnx.List(layers)), x
