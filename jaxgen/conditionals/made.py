r"""MADE: masked autoencoder for distribution estimation (Germain et al., 2015).

A multilayer perceptron whose weights are masked so that the output at the position of rank ``t``
sees the inputs of rank below ``t`` only:

.. math:: h^l = g\left(b^l + (W^l \odot M^l) h^{l-1}\right), \qquad
          \theta = c + (V \odot M^V) h^L + (A \odot M^A) x.

Hidden units carry degrees (:mod:`jaxgen.functional.masks`); a mask lets a unit see what has a lower
degree or rank. In terms of ranks the masks are constants, so an order only decides which weights
they meet: orders are traced arguments, and order-agnostic training and ensembles need nothing else.

Deviations: degrees are spread evenly and ascending instead of drawn at random, which lets
:meth:`MADE.step` compute each step's units as one contiguous block of rows, so that sampling costs
about one full pass instead of ``D``. Another connectivity (:meth:`MADE.rewired`) deals the same
degrees out to other units, so it is sampled at the same cost. The output layer starts at zero.
"""

import itertools
import math
from collections.abc import Sequence
from typing import Any, Self

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array

from jaxgen.conditionals.base import Conditional
from jaxgen.core import Context, Key, Order, Shape, checked_arguments, replace, split_key
from jaxgen.functional import masks
from jaxgen.functional.autoregressive import Cache, Stretch, rank_of
from jaxgen.networks.blocks import activation, check_activation, dropout, shape_of_context

_STRETCHED = 256  # positions from which on cutouts pay: smaller networks stay in a cache anyway


class MADE(Conditional):
    """A masked multilayer perceptron of any depth and width, in any order.

    Args:
        grid_shape: the event's shape; every entry is a position.
        num_params: parameters for each position, ``head.num_params(())``.
        hidden: widths of the hidden layers, exactly; with none and ``direct`` it is a fully visible
            sigmoid belief network.
        activation: see :class:`~jaxgen.networks.MLP`.
        direct: adds masked connections from inputs to outputs (``A`` above).
        order_features: adds ``(U ⊙ M) 1`` to the first layer, so that a unit knows which inputs it
            sees (section 4.2 of the paper); useful when orders change during training.
        context_features: the size of a context vector, seen by all units; None for none.
        dropout: rate after every hidden layer, in effect when a key is given.
        position_shape: what the network reads of a position, ``()`` for a number.
        rngs: where the initial weights come from.

    >>> made = MADE((6,), 1, hidden=(16,), rngs=nnx.Rngs(0))
    >>> made(jnp.ones((4, 6))).shape
    (4, 6, 1)
    """

    @checked_arguments
    def __init__(
        self,
        grid_shape: Shape,
        num_params: int,
        *,
        hidden: Sequence[int] = (512, 512),
        activation: str = "relu",
        direct: bool = False,
        order_features: bool = False,
        context_features: int | None = None,
        dropout: float = 0.0,
        position_shape: Shape = (),
        rngs: nnx.Rngs,
    ):
        check_activation(activation)
        super().__init__(grid_shape, num_params, position_shape, shape_of_context(context_features))
        self.hidden = tuple(hidden)
        self.activation = activation
        self.dropout = dropout
        self.dtype: Any = None  # of the matrix products; see jaxgen.compute_in
        size = math.prod(self.grid_shape)
        self.entries = math.prod(self.position_shape)
        inputs = size * self.entries
        widths = (inputs, *self.hidden)
        # Half of the weights are masked on average, so the variance is that of half the fan-in.
        init = nnx.initializers.variance_scaling(4.0, "fan_in", "normal")
        self.kernels = nnx.List(
            nnx.Param(init(rngs.params(), shape)) for shape in itertools.pairwise(widths)
        )
        self.biases = nnx.List(nnx.Param(jnp.zeros(width)) for width in self.hidden)
        self.out_bias = nnx.Param(jnp.zeros((size, num_params)))
        self.out_kernel = nnx.Param(jnp.zeros((widths[-1], size, num_params))) if hidden else None
        self.direct_kernel = nnx.Param(jnp.zeros((inputs, size, num_params))) if direct else None
        self.order_kernel = (
            nnx.Param(jnp.zeros((size, self.hidden[0]))) if order_features and hidden else None
        )
        small = nnx.initializers.lecun_normal()
        self.context_kernel = (
            nnx.Param(small(rngs.params(), (context_features, self.hidden[0])))
            if context_features is not None and hidden
            else None
        )
        self.context_out_kernel = (
            None
            if context_features is None
            else nnx.Param(jnp.zeros((context_features, size * num_params)))
        )

    def _degrees(self) -> list[np.ndarray]:
        lowest = 1 if self.context_shape is None else 0
        return [masks.hidden_degrees(w, self.num_positions, lowest=lowest) for w in self.hidden]

    def _masked(self, order: Array) -> dict[str, Any]:
        """All weights with their masks applied; inputs and outputs at their positions."""
        rank = rank_of(order)
        # All entries of a position have its degree; an output's is its rank.
        degrees: list[Any] = [jnp.repeat(rank + 1, self.entries), *self._degrees()]
        may_feed = [masks.mask(below, above) for below, above in itertools.pairwise(degrees)]
        kernels = [w[...] * mask for w, mask in zip(self.kernels, may_feed, strict=True)]
        biases = [bias[...] for bias in self.biases]
        if self.order_kernel is not None:
            may_see = masks.mask(rank + 1, degrees[1])
            biases[0] = biases[0] + jnp.sum(self.order_kernel[...] * may_see, axis=0)
        out = direct = None
        if self.out_kernel is not None:
            out = self.out_kernel[...] * masks.mask(degrees[-1], rank)[..., None]
        if self.direct_kernel is not None:
            direct = self.direct_kernel[...] * masks.mask(degrees[0], rank)[..., None]
        weights = {"kernels": kernels, "biases": biases, "out": out, "direct": direct}
        return jax.tree.map(self._cast, weights)

    def rewired(self, key: Array) -> Self:
        """The network with its degrees dealt out at random to the units of each hidden layer.

        Masks belong to the places in a layer, so that is a permutation of its units: of the columns
        below it and of the rows above it. Gradients go back to the parameters in their own places.

        Args:
            key: the random key; the same key gives the same connectivity.

        >>> made = MADE((6,), 1, hidden=(16,), rngs=nnx.Rngs(0))
        >>> made.rewired(jax.random.key(0))(jnp.ones((4, 6))).shape
        (4, 6, 1)
        """
        if not self.hidden:
            return super().rewired(key)  # which refuses: there is nothing to deal out
        keys = jax.random.split(key, len(self.hidden))
        places = [jax.random.permutation(*each) for each in zip(keys, self.hidden, strict=True)]
        new, below = replace(self), jnp.arange(self.num_positions * self.entries)
        for kernel, bias, above in zip(new.kernels, new.biases, places, strict=True):
            kernel[...] = kernel[...][below][:, above]
            bias[...] = bias[...][above]
            below = above
        for first in (new.order_kernel, new.context_kernel):
            if first is not None:
                first[...] = first[...][:, places[0]]
        if new.out_kernel is not None:
            new.out_kernel[...] = new.out_kernel[...][below]
        return new

    def _cast(self, value: Array) -> Array:
        """The value in the dtype that matrix products are computed in."""
        return value if self.dtype is None else value.astype(self.dtype)

    def _project(self, context: Array, kernel: nnx.Param) -> Array:
        return self._cast(context) @ self._cast(kernel[...])

    def __call__(
        self, x: Array, context: Context = None, order: Order = None, *, key: Key = None
    ) -> Array:
        batch = x.shape[: x.ndim - len(self.event_shape)]
        x = self._cast(x.reshape(*batch, self.num_positions * self.entries))
        weights = self._masked(self.resolve_order(order))
        act = activation(self.activation)
        keys = split_key(key, len(self.hidden))
        h, degrees = x, self._degrees()
        for i, (kernel, bias) in enumerate(zip(weights["kernels"], weights["biases"], strict=True)):
            if i == 0:
                h = h @ kernel + bias
            else:
                h = masks.masked_product(h, kernel, degrees[i - 1], degrees[i]) + bias
            if i == 0 and self.context_kernel is not None and context is not None:
                h = h + self._project(context, self.context_kernel)
            h = dropout(act(h), self.dropout, keys[i])
        outputs = self.num_positions * self.num_params
        bias = self._cast(self.out_bias[...].reshape(outputs))
        params = jnp.broadcast_to(bias, (*batch, outputs))
        if weights["out"] is not None:
            params = params + h @ weights["out"].reshape(-1, outputs)
        if weights["direct"] is not None:
            params = params + x @ weights["direct"].reshape(-1, outputs)
        if self.context_out_kernel is not None and context is not None:
            params = params + self._project(context, self.context_out_kernel)
        return params.reshape(*batch, *self.grid_shape, self.num_params)

    # The incremental pass. Activations are kept as (units, batch): a step's units are a block of
    # rows, whose pre-activations are a block of rows of the transposed kernel times everything
    # below. Blocks have one padded height; the rows beyond a step's own units belong to later
    # steps, come out wrong, reach no output of this step (the masks see to it) and are computed
    # again when their turn comes. Row t of the inputs, or as many as a value has entries, is the
    # value of step t - 1.
    #
    # Where D is large, reading all activations at every step takes longer than computing with them.
    # There stretches of sqrt(D) steps are cut out of weights and activations, in the same layout,
    # their biases holding what comes from before; a step reads its cutout alone.

    def _block_heights(self, span: int) -> list[int]:
        """How many units of each layer ``span`` successive steps compute, at most."""
        counts = (np.bincount(d, minlength=self.num_positions) for d in self._degrees())
        return [int(np.convolve(count, np.ones(span, int)).max()) for count in counts]

    def _span(self) -> int:
        """The steps of a stretch."""
        return math.isqrt(self.num_positions) if self.num_positions >= _STRETCHED else 1

    def _padding(self) -> list[int]:
        """Rows that are cut out of each layer at once: a stretch's units and a last block's."""
        blocks, span = self._block_heights(1), self._span()
        if span == 1:
            return blocks
        return [sum(both) for both in zip(self._block_heights(span), blocks, strict=True)]

    def init_cache(self, batch: Shape, context: Context = None, order: Order = None) -> Cache:
        order = self.resolve_order(order)
        weights = self._masked(order)
        flat, size = math.prod(batch), self.num_positions
        span, heights = self._span(), self._padding()
        fixed: dict[str, Any] = {"kernels": [], "biases": [], "direct": None, "out": None}
        # The first is the value before the first step.
        inputs_padding = (self.entries, (span - 1) * self.entries)
        below = inputs_padding
        for i, (kernel, bias) in enumerate(zip(weights["kernels"], weights["biases"], strict=True)):
            kernel = self._in_order(kernel, order) if i == 0 else kernel
            above = (0, heights[i])
            fixed["kernels"].append(jnp.pad(kernel.T, (above, below)))
            bias = bias[:, None]
            if i == 0 and self.context_kernel is not None and context is not None:
                bias = bias + self._project(context, self.context_kernel).reshape(flat, len(bias)).T
            fixed["biases"].append(jnp.pad(bias, (above, (0, 0))))
            below = above
        times = np.arange(size + span)
        fixed["starts"] = [jnp.asarray(np.searchsorted(d, times)) for d in self._degrees()]
        rows = ((0, span), (0, 0))
        if weights["out"] is not None:
            out = jnp.moveaxis(weights["out"], 0, -1)[order]  # (D, num_params, units)
            fixed["out"] = jnp.pad(out, (*rows, below))
        if weights["direct"] is not None:
            direct = jnp.moveaxis(self._in_order(weights["direct"], order)[:, order], 0, -1)
            fixed["direct"] = jnp.pad(direct, (*rows, inputs_padding))
        bias = self._cast(self.out_bias[...][:, :, None])
        if self.context_out_kernel is not None and context is not None:
            shift = self._project(context, self.context_out_kernel).reshape(flat, *bias.shape[:2])
            bias = bias + jnp.moveaxis(shift, 0, -1)
        fixed["out_bias"] = jnp.pad(bias[order], (*rows, (0, 0)))
        inputs = jnp.zeros(((size + span) * self.entries, flat), bias.dtype)
        units = tuple(
            jnp.zeros((width + height, flat), bias.dtype)
            for width, height in zip(self.hidden, heights, strict=True)
        )
        return Cache(fixed, (inputs, units))

    def _in_order(self, kernel: Array, order: Array) -> Array:
        """The rows of a kernel that belong to the inputs, in the order of the steps."""
        of_positions = kernel.reshape(self.num_positions, self.entries, *kernel.shape[1:])
        return of_positions[order].reshape(kernel.shape)

    def step(self, cache: Cache, t: Array, x_previous: Array) -> tuple[Array, Cache]:
        fixed, (inputs, units) = cache
        act = activation(self.activation)
        batch = x_previous.shape[: x_previous.ndim - len(self.position_shape)]
        rows = x_previous.reshape(inputs.shape[1], self.entries).T.astype(inputs.dtype)
        inputs = jax.lax.dynamic_update_slice(inputs, rows, (t * self.entries, 0))
        below, new_units = inputs, []
        for i, (layer, height) in enumerate(zip(units, self._block_heights(1), strict=True)):
            start = fixed["starts"][i][t]
            kernel = jax.lax.dynamic_slice_in_dim(fixed["kernels"][i], start, height)
            bias = jax.lax.dynamic_slice_in_dim(fixed["biases"][i], start, height)
            below = jax.lax.dynamic_update_slice(layer, act(kernel @ below + bias), (start, 0))
            new_units.append(below)
        params = jnp.broadcast_to(fixed["out_bias"][t], (self.num_params, inputs.shape[1]))
        if fixed["out"] is not None:
            params = params + fixed["out"][t] @ below
        if fixed["direct"] is not None:
            params = params + fixed["direct"][t] @ inputs
        params = params.T.reshape(*batch, self.num_params)
        return params, Cache(fixed, (inputs, tuple(new_units)))

    def stretch(self) -> Stretch | None:
        span = self._span()
        return Stretch(span, self._open, self.step, self._close) if span > 1 else None

    def _open(self, cache: Cache, t: Array, previous: Array) -> Cache:
        """The cutout for the steps from ``t`` on; what they compute is zero in the whole cache.

        The first of them adds the value before it, so nothing is done with ``previous`` here.
        """
        fixed, (inputs, units) = cache
        span, cut = self._span(), jax.lax.dynamic_slice_in_dim
        starts = [cut(all_starts, t, span) for all_starts in fixed["starts"]]
        cutout: dict[str, Any] = {"kernels": [], "biases": [], "direct": None, "out": None}
        cutout["starts"] = [each - each[0] for each in starts]
        of_inputs = (t * self.entries, span * self.entries)
        below, place = inputs, of_inputs  # the layer below, and the cutout's rows of it
        for i, height in enumerate(self._padding()):
            here = (starts[i][0], height)
            kernel = cut(fixed["kernels"][i], *here)
            cutout["kernels"].append(cut(kernel, *place, axis=1))
            cutout["biases"].append(cut(fixed["biases"][i], *here) + kernel @ below)
            below, place = units[i], here
        cutout["out_bias"] = cut(fixed["out_bias"], t, span)
        for name, seen, rows in (("out", below, place), ("direct", inputs, of_inputs)):
            if fixed[name] is not None:
                kernel = cut(fixed[name], t, span)
                cutout[name] = cut(kernel, *rows, axis=2)
                cutout["out_bias"] = cutout["out_bias"] + kernel @ seen
        flat = inputs.shape[1]
        state = [jnp.zeros((height, flat), inputs.dtype) for height in self._padding()]
        return Cache(cutout, (jnp.zeros((span * self.entries, flat), inputs.dtype), tuple(state)))

    def _close(self, cache: Cache, t: Array, state: Any) -> Cache:
        """The whole cache with what a stretch's steps computed in its place."""
        fixed, (inputs, units) = cache
        new_inputs, new_units = state
        inputs = jax.lax.dynamic_update_slice(inputs, new_inputs, (t * self.entries, 0))
        later = []
        for layer, new, starts in zip(units, new_units, fixed["starts"], strict=True):
            start, stop = starts[t], starts[t + self._span()]
            done = jnp.arange(len(new))[:, None] < stop - start
            new = jnp.where(done, new, 0)
            later.append(jax.lax.dynamic_update_slice(layer, new, (start, 0)))
        return Cache(fixed, (inputs, tuple(later)))

    def prefill(self, x: Array, n: int, context: Context = None, order: Order = None) -> Cache:
        batch = x.shape[: x.ndim - len(self.event_shape)]
        order = self.resolve_order(order)
        fixed, (zeros, _) = self.init_cache(batch, context, order)
        sequence = self.to_sequence(x, order).astype(zeros.dtype)
        rows = sequence.reshape(self.num_positions, zeros.shape[1], self.entries)
        rows = jnp.concatenate(jnp.swapaxes(rows, 1, 2))
        inputs = jax.lax.dynamic_update_slice(zeros, rows, (self.entries, 0))
        act = activation(self.activation)
        below, new_units = inputs, []
        for kernel, bias, starts in zip(
            fixed["kernels"], fixed["biases"], fixed["starts"], strict=True
        ):
            known = jnp.arange(len(kernel))[:, None] < starts[n]
            below = jnp.where(known, act(kernel @ below + bias), 0)
            new_units.append(below)
        return Cache(fixed, (inputs, tuple(new_units)))
