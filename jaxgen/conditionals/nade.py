r"""NADE: the neural autoregressive distribution estimator (Larochelle and Murray 2011).

All dimensions share one hidden layer's weights, so its pre-activations need one update per step:

.. math:: a_0 = c, \qquad a_{t+1} = a_t + W_{t}\, x_{t}, \qquad
          \theta_t = b_t + V_t\, g(a_t).

A pass over ``D`` dimensions costs ``O(D H)`` instead of ``O(D^2 H)``, and sampling the same. With a
mixture-of-Gaussians head it is RNADE (Uria et al. 2013), whose pre-activations are scaled by
:math:`\rho_t`, a parameter for each step that starts at 1, because the sum grows with ``t``.

Deviations: any order, whose weights belong to the positions, not to the steps, apart from ``rho``.
"""

import math
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array

from jaxgen.conditionals.base import Conditional
from jaxgen.core import Context, Key, Order, Shape, checked_arguments
from jaxgen.functional.autoregressive import Cache
from jaxgen.networks.blocks import activation, check_activation, dropout, shape_of_context

# Steps between the pre-activations that a gradient stores; those between are computed again.
_SEGMENT = 28


class NADE(Conditional):
    """One hidden layer whose weights all positions share.

    Args:
        grid_shape, num_params, activation (``"sigmoid"`` in the paper), context_features,
            position_shape, rngs: see :class:`~jaxgen.conditionals.MADE`.
        width: hidden units.
        rescale: RNADE's factors ``rho``.
        dropout: rate of the hidden units, in effect when a key is given; a unit is dropped for all
            positions of an event.

    >>> nade = NADE((6,), 1, width=8, rngs=nnx.Rngs(0))
    >>> nade(jnp.ones((4, 6))).shape
    (4, 6, 1)
    """

    @checked_arguments
    def __init__(
        self,
        grid_shape: Shape,
        num_params: int,
        *,
        width: int = 500,
        activation: str = "sigmoid",
        rescale: bool = False,
        context_features: int | None = None,
        dropout: float = 0.0,
        position_shape: Shape = (),
        rngs: nnx.Rngs,
    ):
        check_activation(activation)
        context_shape = shape_of_context(context_features)
        super().__init__(grid_shape, num_params, position_shape, context_shape)
        self.activation = activation
        self.dropout = dropout
        self.dtype: Any = None  # of the products; see jaxgen.compute_in
        size = math.prod(self.grid_shape)
        init = nnx.initializers.lecun_normal()
        self.entries = math.prod(self.position_shape)
        self.kernel = nnx.Param(init(rngs.params(), (size * self.entries, width)))
        self.bias = nnx.Param(jnp.zeros(width))
        self.rho = nnx.Param(jnp.ones(size)) if rescale else None
        self.out_kernel = nnx.Param(jnp.zeros((size, width, num_params)))
        self.out_bias = nnx.Param(jnp.zeros((size, num_params)))
        self.context_kernel = (
            None
            if context_features is None
            else nnx.Param(init(rngs.params(), (context_features, width)))
        )
        self.context_out_kernel = (
            None
            if context_features is None
            else nnx.Param(jnp.zeros((context_features, size, num_params)))
        )

    def _weights(self, order: Array) -> dict[str, Array | None]:
        """What each step uses, in the order of the steps."""
        weights = {
            "kernel": self.kernel[...].reshape(self.num_positions, self.entries, -1)[order],
            "rho": None if self.rho is None else self.rho[...],
            "out_kernel": self.out_kernel[...][order],
            "out_bias": self.out_bias[...][order],
        }
        return jax.tree.map(self._cast, weights)

    def _cast(self, value: Array) -> Array:
        return value if self.dtype is None else value.astype(self.dtype)

    def _flat(self, values: Array) -> Array:
        """Values of positions with their entries as the last axis, ``(..., entries)``."""
        shape = values.shape[: values.ndim - len(self.position_shape)]
        return self._cast(values.reshape(*shape, self.entries))

    def _start(self, batch: Shape, context: Context, order: Array) -> tuple[Array, Array]:
        """The pre-activations before any value, and what a context adds to the parameters."""
        bias = self._cast(self.bias[...])
        if self.context_kernel is None or self.context_out_kernel is None or context is None:
            shape = (self.num_positions, *(1 for _ in batch), self.num_params)
            return jnp.broadcast_to(bias, (*batch, bias.size)), jnp.zeros(shape, bias.dtype)
        context = self._cast(context)
        shift = jnp.tensordot(context, self._cast(self.context_out_kernel[...]), 1)
        start = bias + context @ self._cast(self.context_kernel[...])
        return start, jnp.moveaxis(shift, -2, 0)[order]

    def _params(self, pre: Array, weights: Any, shift: Array, keep: Array | None = None) -> Array:
        """The parameters of a step from its pre-activations ``(*batch, width)``."""
        pre = pre if weights["rho"] is None else pre * weights["rho"]
        h = activation(self.activation)(pre)
        h = h if keep is None else h * keep
        return h @ weights["out_kernel"] + weights["out_bias"] + shift

    def __call__(
        self, x: Array, context: Context = None, order: Order = None, *, key: Key = None
    ) -> Array:
        order = self.resolve_order(order)
        sequence = self._flat(self.to_sequence(x, order))
        pre, shift = self._start(sequence.shape[1:-1], context, order)
        keep = None if key is None else dropout(jnp.ones_like(pre), self.dropout, key)

        def body(pre: Array, step: Any) -> tuple[Array, Array]:
            value, weights, shift = step
            params = self._params(pre, weights, shift, keep)
            return pre + value.astype(pre.dtype) @ weights["kernel"], params

        # The weights of the steps are scanned over, and not looked up by step, because the gradient
        # of a lookup is an array of all weights, once for every step.
        steps = (sequence, self._weights(order), shift)
        params = scan_in_segments(body, pre, steps, self.num_positions)
        return self.from_sequence(params, order, params=True)

    def init_cache(self, batch: Shape, context: Context = None, order: Order = None) -> Cache:
        order = self.resolve_order(order)
        pre, shift = self._start(batch, context, order)
        return Cache((self._weights(order), shift), pre)

    def step(self, cache: Cache, t: Array, x_previous: Array) -> tuple[Array, Cache]:
        weights, shift = cache.fixed
        # At t = 0 the previous value is the driver's zero, and adds nothing.
        previous = weights["kernel"][jnp.maximum(t - 1, 0)]
        pre = cache.state + self._flat(x_previous).astype(cache.state.dtype) @ previous
        now = jax.tree.map(lambda weight: weight[t], weights)
        return self._params(pre, now, shift[t]), Cache(cache.fixed, pre)

    def prefill(self, x: Array, n: int, context: Context = None, order: Order = None) -> Cache:
        batch = x.shape[: x.ndim - len(self.event_shape)]
        order = self.resolve_order(order)
        fixed, pre = self.init_cache(batch, context, order)
        known = self._flat(self.to_sequence(x, order)[: max(n - 1, 0)])
        kernel = fixed[0]["kernel"][: len(known)]
        return Cache(fixed, pre + jnp.tensordot(known, kernel, ((0, known.ndim - 1), (0, 1))))


def scan_in_segments(body: Any, carry: Array, steps: Any, length: int) -> Array:
    """``jax.lax.scan`` over steps, whose gradient stores one carry for each segment of them.

    The steps that are left over stand before the segments.
    """
    segment = min(_SEGMENT, length)
    segments, rest = divmod(length, segment)

    @jax.checkpoint
    def whole(carry: Array, steps: Any) -> tuple[Array, Array]:
        return jax.lax.scan(body, carry, steps)

    first = jax.tree.map(lambda each: each[:rest], steps)
    others = jax.tree.map(
        lambda each: each[rest:].reshape(segments, segment, *each.shape[1:]), steps
    )
    carry, before = jax.lax.scan(body, carry, first)
    _, after = jax.lax.scan(whole, carry, others)
    return jnp.concatenate([before, after.reshape(length - rest, *after.shape[2:])])
