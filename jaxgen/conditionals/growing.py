r"""A neural network for each dimension (Bengio and Bengio 2000), parameters growing with it.

.. math:: h_t = g\Big(c_t + \sum_{s<t} W_{ts}\, x_s\Big), \qquad \theta_t = b_t + V_t\, h_t,

with hidden units ``h_t`` of its own for each dimension ``t``; nothing is shared. NADE ties the
``W`` of all dimensions, MADE lets every unit serve all the dimensions that may see it.

Deviations: the paper prunes connections by statistical tests and lets an output see the hidden
units of the dimensions before it; here the networks are separate and complete, and work in any
order.
"""

import math

import jax.numpy as jnp
from flax import nnx
from jax import Array

from jaxgen.conditionals.base import Conditional
from jaxgen.conditionals.fvsbn import FVSBN
from jaxgen.core import Context, Key, Order, Shape, checked_arguments
from jaxgen.functional.autoregressive import Cache
from jaxgen.networks.blocks import activation, check_activation, dropout


class Growing(Conditional):
    """One small network for each position, over the positions before it.

    Args:
        grid_shape, num_params, activation, context_features, dropout, position_shape, rngs: see
            :class:`~jaxgen.conditionals.MADE`.
        width: hidden units of each position.

    >>> growing = Growing((6,), 1, width=4, rngs=nnx.Rngs(0))
    >>> growing(jnp.ones((4, 6))).shape
    (4, 6, 1)
    """

    @checked_arguments
    def __init__(
        self,
        grid_shape: Shape,
        num_params: int,
        *,
        width: int = 16,
        activation: str = "tanh",
        context_features: int | None = None,
        dropout: float = 0.0,
        position_shape: Shape = (),
        rngs: nnx.Rngs,
    ):
        check_activation(activation)
        # The hidden units' pre-activations are a linear model of the values before.
        self.hidden = FVSBN(
            grid_shape,
            width,
            context_features=context_features,
            position_shape=position_shape,
            rngs=rngs,
        )
        context_shape = self.hidden.context_shape
        super().__init__(grid_shape, num_params, position_shape, context_shape)
        self.activation = activation
        self.dropout = dropout
        size = math.prod(self.grid_shape)
        # Half of the weights are masked on average, so the variance is that of half the fan-in.
        init = nnx.initializers.variance_scaling(2.0, "fan_in", "normal", out_axis=(1, 2))
        assert self.hidden.direct_kernel is not None
        self.hidden.direct_kernel[...] = init(rngs.params(), self.hidden.direct_kernel.shape)
        if self.hidden.context_out_kernel is not None:
            shape = self.hidden.context_out_kernel.shape
            self.hidden.context_out_kernel[...] = nnx.initializers.lecun_normal()(
                rngs.params(), shape
            )
        self.kernel = nnx.Param(jnp.zeros((size, width, num_params)))
        self.bias = nnx.Param(jnp.zeros((size, num_params)))

    def _output(self, pre: Array, kernel: Array, bias: Array, key: Key = None) -> Array:
        """Parameters from pre-activations ``(..., width)``, for one position or all."""
        h = dropout(activation(self.activation)(pre), self.dropout, key)
        return jnp.einsum("...h,...hp->...p", h, kernel.astype(h.dtype)) + bias.astype(h.dtype)

    def __call__(
        self, x: Array, context: Context = None, order: Order = None, *, key: Key = None
    ) -> Array:
        pre = self.hidden(x, context, order)
        shape = (*self.grid_shape, *self.kernel.shape[1:])
        bias = self.bias[...].reshape(*self.grid_shape, self.num_params)
        return self._output(pre, self.kernel[...].reshape(shape), bias, key)

    def init_cache(self, batch: Shape, context: Context = None, order: Order = None) -> Cache:
        return self._with_output(self.hidden.init_cache(batch, context, order), order)

    def _with_output(self, cache: Cache, order: Order) -> Cache:
        order = self.resolve_order(order)
        output = self.kernel[...][order], self.bias[...][order]
        return Cache((cache.fixed, output), cache.state)

    def step(self, cache: Cache, t: Array, x_previous: Array) -> tuple[Array, Cache]:
        hidden, (kernel, bias) = cache.fixed
        pre, new = self.hidden.step(Cache(hidden, cache.state), t, x_previous)
        return self._output(pre, kernel[t], bias[t]), Cache(cache.fixed, new.state)

    def prefill(self, x: Array, n: int, context: Context = None, order: Order = None) -> Cache:
        return self._with_output(self.hidden.prefill(x, n, context, order), order)
