r"""EoNADE: one deep network for all orders (Uria, Murray and Larochelle 2014).

The network reads the values seen so far and which they are, and gives the parameters of all others
at once:

.. math:: h^1 = g\Big(c + \sum_{i\ \text{seen}} (W_i\, x_i + U_i)\Big), \quad
          h^{l+1} = g(c^l + W^l h^l), \quad \theta_i = b_i + V_i\, h^L.

Under one order it is a deep NADE, whose every step is a pass of the network. Trained on random
orders it predicts from any part of the event, and the average over orders is a better density than
each (:class:`~jaxgen.models.Ensemble`). Training needs one pass (:meth:`EoNADE.predict`): with
``d - 1`` values seen, the missing ``D - d + 1`` share a weight,

.. math:: \log p(x) \approx \frac{D}{D - d + 1} \sum_{i\ \text{missing}} \log p(x_i \mid
          x_{\text{seen}}),

which is right on average over orders and ``d``.

Deviations: none of the architecture, fully connected; the activation is free.
"""

import itertools
import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array

from jaxgen.conditionals.base import Conditional
from jaxgen.conditionals.nade import scan_in_segments
from jaxgen.core import Context, Key, Order, Shape, checked_arguments, split_key
from jaxgen.functional.autoregressive import Cache
from jaxgen.networks.blocks import activation, check_activation, dropout, shape_of_context


class EoNADE(Conditional):
    """A deep network from what is seen to the parameters of what is not.

    A step costs a pass of all hidden layers but the first, so a full pass in one order costs ``D``
    of them, and sampling the same.

    Args:
        grid_shape, num_params, activation, context_features, position_shape, rngs: see
            :class:`~jaxgen.conditionals.MADE`.
        hidden: widths of the hidden layers, one or more.
        dropout: rate of the hidden units, in effect when a key is given; a unit is dropped for all
            steps of an event.

    Raises:
        ValueError: without a hidden layer.

    >>> network = EoNADE((6,), 1, hidden=(8, 8), rngs=nnx.Rngs(0))
    >>> network(jnp.ones((4, 6))).shape
    (4, 6, 1)
    """

    order_agnostic = True

    @checked_arguments
    def __init__(
        self,
        grid_shape: Shape,
        num_params: int,
        *,
        hidden: Sequence[int] = (500, 500),
        activation: str = "relu",
        context_features: int | None = None,
        dropout: float = 0.0,
        position_shape: Shape = (),
        rngs: nnx.Rngs,
    ):
        check_activation(activation)
        if not hidden:
            raise ValueError("EoNADE: expected one hidden layer or more, got none")
        context_shape = shape_of_context(context_features)
        super().__init__(grid_shape, num_params, position_shape, context_shape)
        self.activation = activation
        self.dropout = dropout
        self.dtype: Any = None  # of the products; see jaxgen.compute_in
        size = math.prod(self.grid_shape)
        # About half of the values are seen in training, so the variance is that of half the fan-in.
        init = nnx.initializers.variance_scaling(4.0, "fan_in", "normal")
        self.entries = math.prod(self.position_shape)
        self.kernel = nnx.Param(init(rngs.params(), (size * self.entries, hidden[0])))
        self.seen_kernel = nnx.Param(jnp.zeros((size, hidden[0])))
        self.bias = nnx.Param(jnp.zeros(hidden[0]))
        he = nnx.initializers.he_normal()
        self.deep = nnx.List(
            nnx.Linear(below, above, kernel_init=he, rngs=rngs)
            for below, above in itertools.pairwise(hidden)
        )
        self.project = (
            None if context_features is None else nnx.Linear(context_features, hidden[0], rngs=rngs)
        )
        self.out_kernel = nnx.Param(jnp.zeros((size, hidden[-1], num_params)))
        self.out_bias = nnx.Param(jnp.zeros((size, num_params)))

    def _cast(self, value: Array) -> Array:
        return value if self.dtype is None else value.astype(self.dtype)

    def _flat(self, values: Array) -> Array:
        """Values of positions with their entries as the last axis, ``(..., entries)``."""
        shape = values.shape[: values.ndim - len(self.position_shape)]
        return self._cast(values.reshape(*shape, self.entries))

    def _start(self, batch: Shape, context: Context) -> Array:
        """The first pre-activations before any value is seen."""
        bias = self._cast(self.bias[...])
        if self.project is not None and context is not None:
            bias = bias + self.project(context)
        return jnp.broadcast_to(bias, (*batch, bias.shape[-1]))

    def _hidden(self, pre: Array, key: Key = None) -> Array:
        """The last hidden layer from the first pre-activations."""
        act = activation(self.activation)
        keys = split_key(key, len(self.deep) + 1)
        h = dropout(act(pre), self.dropout, keys[0])
        for layer, layer_key in zip(self.deep, keys[1:], strict=True):
            h = dropout(act(layer(h)), self.dropout, layer_key)
        return h

    def predict(self, x: Array, seen: Array, context: Context = None, *, key: Key = None) -> Array:
        batch = x.shape[: x.ndim - len(self.event_shape)]
        there = seen.reshape(*seen.shape, *(1 for _ in self.position_shape))
        values = jnp.where(there, x, 0)
        values = self._cast(values.reshape(*batch, self.num_positions * self.entries))
        mask = jnp.broadcast_to(seen, (*batch, *self.grid_shape))
        mask = mask.reshape(*batch, self.num_positions).astype(values.dtype)
        pre = self._start(batch, context)
        pre = pre + values @ self._cast(self.kernel[...]) + mask @ self._cast(self.seen_kernel[...])
        h = self._hidden(pre, key)
        params = jnp.einsum("...h,dhp->...dp", h, self._cast(self.out_kernel[...]))
        params = params + self._cast(self.out_bias[...])
        return params.reshape(*batch, *self.grid_shape, self.num_params)

    def _weights(self, order: Array) -> dict[str, Array]:
        """What each step uses, in the order of the steps."""
        weights = {
            "kernel": self.kernel[...].reshape(self.num_positions, self.entries, -1),
            "seen": self.seen_kernel[...],
            "out_kernel": self.out_kernel[...],
            "out_bias": self.out_bias[...],
        }
        return {name: self._cast(weight[order]) for name, weight in weights.items()}

    def __call__(
        self, x: Array, context: Context = None, order: Order = None, *, key: Key = None
    ) -> Array:
        order = self.resolve_order(order)
        sequence = self._flat(self.to_sequence(x, order))

        def body(pre: Array, step: Any) -> tuple[Array, Array]:
            value, weights = step
            params = self._hidden(pre, key) @ weights["out_kernel"] + weights["out_bias"]
            return pre + value.astype(pre.dtype) @ weights["kernel"] + weights["seen"], params

        start = self._start(sequence.shape[1:-1], context)
        steps = (sequence, self._weights(order))
        params = scan_in_segments(body, start, steps, self.num_positions)
        return self.from_sequence(params, order, params=True)

    def init_cache(self, batch: Shape, context: Context = None, order: Order = None) -> Cache:
        return Cache(self._weights(self.resolve_order(order)), self._start(batch, context))

    def step(self, cache: Cache, t: Array, x_previous: Array) -> tuple[Array, Cache]:
        weights = cache.fixed
        now = jax.tree.map(lambda weight: weight[t], weights)
        before = jax.tree.map(lambda weight: weight[jnp.maximum(t - 1, 0)], weights)
        value = self._flat(x_previous).astype(cache.state.dtype)
        change = value @ before["kernel"] + before["seen"]
        pre = cache.state + jnp.where(t > 0, change, jnp.zeros_like(change))
        params = self._hidden(pre) @ now["out_kernel"] + now["out_bias"]
        return params, Cache(weights, pre)

    def prefill(self, x: Array, n: int, context: Context = None, order: Order = None) -> Cache:
        batch = x.shape[: x.ndim - len(self.event_shape)]
        order = self.resolve_order(order)
        weights, pre = self.init_cache(batch, context, order)
        known = self._flat(self.to_sequence(x, order)[: max(n - 1, 0)])
        kernel = weights["kernel"][: len(known)]
        pre = pre + jnp.tensordot(known, kernel, ((0, known.ndim - 1), (0, 1)))
        return Cache(weights, pre + jnp.sum(weights["seen"][: len(known)], axis=0))
