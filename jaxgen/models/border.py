r"""What stands between data and an autoregressive network: units, and where parameters start.

With the location ``m`` and scale ``s`` of the data, those of the contexts, and parameters
:math:`\theta^0_i` that give every position ``i`` the data's own distribution there, a model is

.. math:: \log p(x \mid c) = \sum_i \log p\left(u_i \mid \theta^0_i + \theta_i(u_{<i}, \tilde c)
          \right) - \log s_i, \qquad u = \frac{x - m}{s}, \quad
          \tilde c = \frac{c - m_c}{s_c}.

So it is the same model in any unit; and a network, whose last layer starts at zero, starts from
independent positions with the right rates and has dependences alone to learn. All are statistics of
the training data, taken once; before that they are 0 and 1.
"""

from typing import Any, Self

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxgen.bijectors.normalisation import Standardize, standardized
from jaxgen.conditionals.base import Conditional
from jaxgen.core import (
    Buffer,
    Context,
    Key,
    Module,
    Order,
    Shape,
    adapt_once,
    batch_shape,
    float_dtype,
    is_concrete,
    num_parameters,
    replace,
)
from jaxgen.functional.autoregressive import Cache, Emit
from jaxgen.functional.elementwise import affine_forward, affine_inverse
from jaxgen.likelihoods import Likelihood


class Border(Module):
    """Units of data and contexts, and the parameters that positions start from.

    Real values of a sequence or a table are standardised each by their own statistics, those of
    images channel by channel; levels are as they are. What positions start from, of levels their
    frequencies, is added to what the network gives. Where a network says something of its own
    already, as one that has been trained elsewhere does, nothing is added.

    Args:
        network: the network behind it.
        likelihood: the head.

    >>> from flax import nnx
    >>> from jaxgen.conditionals import MADE
    >>> from jaxgen.likelihoods import Bernoulli
    >>> made = MADE((2,), 1, hidden=(4,), rngs=nnx.Rngs(0))
    >>> border = Border(made, Bernoulli()).adapted_to(made, Bernoulli(), np.array([[0, 1]] * 99))
    >>> [round(float(rate), 2) for rate in jax.nn.sigmoid(border.start[...])[:, 0]]
    [0.01, 0.99]
    """

    def __init__(self, network: Conditional, likelihood: Likelihood):
        position = likelihood.position_shape(network.position_shape)
        self.event_shape = network.grid_shape + position
        self.grid_ndims = len(network.grid_shape)
        own = position if network.stationary else self.event_shape[-1:]
        self.units = (
            Standardize(self.event_shape, statistics_shape=own) if likelihood.has_units else None
        )
        context_shape = network.context_shape
        self.context_units = None if context_shape is None else Standardize(context_shape)
        grid = () if network.stationary else network.grid_shape
        self.start = Buffer(jnp.zeros((*grid, network.num_params)))
        self.adapted = Buffer(jnp.zeros(()))

    def of_events(self, event_shape: Shape) -> Self:
        """The same statistics for events of another length.

        Raises:
            TypeError: if positions have statistics of their own.
        """
        if self.start[...].ndim > 1:
            raise TypeError(
                f"expected a stationary network, whose statistics are of any length, got ones of "
                f"events {self.event_shape}; build the model with stationary=True"
            )
        units = self.units and replace(self.units, event_shape=event_shape)
        return replace(self, event_shape=event_shape, units=units)

    def inwards(self, x: Array) -> Array:
        """Data as the network reads them and the head scores them: standardised if real."""
        if self.units is None:
            return x
        return affine_inverse(x, *self.units.shift_and_log_scale())[0]

    def outwards(self, u: Array) -> Array:
        """The way back of :meth:`inwards`."""
        if self.units is None:
            return u
        return affine_forward(u, *self.units.shift_and_log_scale())[0]

    def log_volume(self) -> Array:
        """What the units add to the log-probability of every position, ``grid_shape``."""
        log_scale = self.log_scale()
        return -jnp.sum(log_scale, tuple(range(self.grid_ndims, log_scale.ndim)))

    def log_scale(self) -> Array:
        """The logarithm of the unit of every entry, ``event_shape``."""
        if self.units is None:
            return jnp.zeros(self.event_shape)
        return jnp.broadcast_to(self.units.shift_and_log_scale()[1], self.event_shape)

    def each(self, likelihood: Likelihood, u: Array, params: Array) -> Array:
        """The log-probability of data at every position, in nats, ``(*batch, *grid_shape)``.

        Args:
            likelihood: the head.
            u: data, :meth:`inwards`.
            params: parameters ``(*batch, *grid_shape, num_params)``.
        """
        each = likelihood.log_prob(u, params.astype(float_dtype(params.dtype)))
        return each + self.log_volume()

    def total(self, each: Array, scored: Array | None = None) -> Array:
        """The sum of :meth:`each`, ``(*batch,)``.

        Args:
            each: log-probabilities ``(*batch, *grid_shape)``.
            scored: boolean ``(*batch, *grid_shape)``, or what broadcasts against it; None for all.
        """
        if scored is not None:
            each = jnp.where(scored, each, 0.0)
        return jnp.sum(each, tuple(range(each.ndim - self.grid_ndims, each.ndim)))

    def seen(self, context: Context) -> Array | None:
        """The context that the network sees: standardised, if it takes one."""
        return standardized(context, self.context_units)

    def adapted_to(
        self,
        network: Conditional,
        likelihood: Likelihood,
        x: Array | np.ndarray | None,
        context: Context | np.ndarray = None,
        within: np.ndarray | None = None,
    ) -> Self:
        """The border of these data, unless it has been adapted before.

        Args:
            network, likelihood: those of the model.
            x: data ``(*batch, *event_shape)``, or None for contexts alone.
            context: contexts ``(*batch, *context_shape)``, or None.
            within: which positions are no padding, ``(*batch, *grid_shape)``; all if None. Where
                some are, all positions get the same statistics.
        """
        new = self
        if context is not None and self.context_units is not None:
            new = replace(new, context_units=self.context_units.standardize(context))
        done = is_concrete(self.adapted[...]) and bool(self.adapted[...] > 0)
        if x is None or done or num_parameters(network) == 0:  # adapted, or frozen
            return new
        batch_shape(x, self.event_shape, "Autoregressive.standardize")
        x = x.reshape(-1, *self.event_shape)
        position, grid_ndims = self.event_shape[self.grid_ndims :], self.grid_ndims
        rows = x
        if within is not None or network.stationary:
            # Positions of one kind are examples of it.
            grid_ndims, rows = 0, x.reshape(-1, *position)
            rows = rows if within is None else rows[within.reshape(-1)]
        if self.units is not None:
            shape = self.units.mean[...].shape
            # Of a flow's base, they are what its layers make of the data.
            ndims = len(position if grid_ndims == 0 else shape)
            inside = not isinstance(rows, np.ndarray)
            mean, scale = likelihood.location_and_scale(rows, ndims, inside=inside)
            rows = (rows - mean) / scale
            log_scale = jnp.broadcast_to(jnp.log(scale), shape)
            mean = jnp.broadcast_to(mean, shape)
            new = replace(new, units=adapt_once(self.units, mean=mean, log_scale=log_scale))
        start = likelihood.marginal(rows, position, grid_ndims)
        first = None
        if network.context_shape is not None:
            none = jnp.zeros((1, *network.context_shape))
            first = none if context is None else context.reshape(-1, *network.context_shape)[:1]
            first = new.seen(jnp.asarray(first))
        encoded = likelihood.encode(new.inwards(jnp.asarray(x[:1])))
        # Compiled once for all of this structure, where loops are compiled at every call.
        says = jax.jit(type(network).__call__)(network, encoded, first)
        start = jnp.where(jnp.any(says != 0), 0.0, start)
        return adapt_once(new, start=jnp.broadcast_to(start, self.start[...].shape))


class Bordered(Conditional):
    """A network behind its border: it reads contexts in their unit, and starts from the data.

    Args:
        network: the network.
        border: its border.
    """

    def __init__(self, network: Conditional, border: Border):
        super().__init__(
            network.grid_shape, network.num_params, network.position_shape, network.context_shape
        )
        self.inner = network
        self.border = border
        self.fixed_order = network.fixed_order
        self.order_agnostic = network.order_agnostic
        self.block = network.block

    def __call__(
        self, x: Array, context: Context = None, order: Order = None, *, key: Key = None
    ) -> Array:
        return self._from_start(self.inner(x, self.border.seen(context), order, key=key))

    def predict(self, x: Array, seen: Array, context: Context = None, *, key: Key = None) -> Array:
        return self._from_start(self.inner.predict(x, seen, self.border.seen(context), key=key))

    def _from_start(self, params: Array) -> Array:
        """What the network says of all positions, added to what they start from."""
        start = self.border.start[...]
        if self.num_params > 1:
            return params + start
        # With an axis of one, XLA's loop over a decoder's output takes a third longer.
        return (params[..., 0] + start[..., 0])[..., None]

    def init_cache(self, batch: Shape, context: Context = None, order: Order = None) -> Cache:
        return self._started(self.inner.init_cache(batch, self.border.seen(context), order), order)

    def prefill(self, x: Array, n: int, context: Context = None, order: Order = None) -> Cache:
        return self._started(self.inner.prefill(x, n, self.border.seen(context), order), order)

    def _started(self, cache: Cache, order: Order) -> Cache:
        """The network's cache, and beside it what every step starts from."""
        start = self.border.start[...].reshape(-1, self.num_params)
        if len(start) > 1:
            start = start[self.resolve_order(order)]
        return Cache((cache.fixed, start), cache.state)

    def step(self, cache: Cache, t: Array, x_previous: Array) -> tuple[Array, Cache]:
        fixed, start = cache.fixed
        params, new = self.inner.step(Cache(fixed, cache.state), t, x_previous)
        return params + _at(start, t), Cache(cache.fixed, new.state)

    def several(self, cache: Cache, t: Array, previous: Array) -> tuple[Array, Cache]:
        fixed, start = cache.fixed
        params, new = self.inner.several(Cache(fixed, cache.state), t, previous)
        starts = _at(start, t + jnp.arange(len(params)))
        between = tuple(range(1, params.ndim - 1))
        return params + jnp.expand_dims(starts, between), Cache(cache.fixed, new.state)

    def run(self, cache: Cache, emit: Emit, first: Array, start: int = 0) -> Any:
        fixed, starts = cache.fixed

        def emit_started(t: Array, params: Array) -> tuple[Array, Any]:
            return emit(t, params + _at(starts, t))

        return self.inner.run(Cache(fixed, cache.state), emit_started, first, start)

    def own_order(self) -> np.ndarray:
        return self.inner.own_order()

    def resolve_order(self, order: Order) -> Array:
        return self.inner.resolve_order(order)

    def dependencies(self, order: Array | np.ndarray | None = None) -> np.ndarray | None:
        return self.inner.dependencies(order)


def _at(start: Array, t: Array) -> Array:
    """What steps ``t`` start from, of rows for each step or of one for all."""
    return start[jnp.minimum(t, len(start) - 1)]
