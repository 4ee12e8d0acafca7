"""Autoregressive models: the chain rule over a conditional and a likelihood."""

import math
import warnings
from collections.abc import Callable
from typing import Self

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxgen.conditionals.base import Conditional
from jaxgen.core import Shape, ShapeError, batch_shape, float_dtype, is_concrete, replace
from jaxgen.functional import autoregressive, masks
from jaxgen.likelihoods import Likelihood
from jaxgen.models.base import Model

# Up to so many numbers, the noise of all steps is drawn before the first.
_NOISE_AT_ONCE = 2**24


class ApproximateCompletion(UserWarning):
    """A completion that ignores observed values which come late in the generation order."""


class Autoregressive(Model):
    r"""``p(x) = prod_t p(x_{o_t} | x_{o_1}, ..., x_{o_{t-1}})``, exact by the chain rule.

    .. math:: \log p(x) = \sum_{t} \log p\left(x_{o_t} \mid \theta_{o_t}(x_{o_{<t}})\right)

    with the parameters :math:`\theta` from a conditional and the distribution from a likelihood,
    chosen independently.

    Args:
        conditional: the network; it must give ``likelihood.num_params`` numbers for a position.
        likelihood: the distribution at each position.

    >>> from flax import nnx
    >>> from jaxgen.conditionals import MADE
    >>> from jaxgen.likelihoods import Bernoulli
    >>> model = Autoregressive(MADE((3,), 1, hidden=(8,), rngs=nnx.Rngs(0)), Bernoulli())
    >>> round(float(model.log_prob(jnp.array([0, 1, 1]))), 4)  # three fair coins at first
    -2.0794
    """

    def __init__(self, conditional: Conditional, likelihood: Likelihood):
        expected = likelihood.num_params(conditional.position_shape)
        if conditional.num_params != expected:
            raise ShapeError(
                f"Autoregressive: {type(likelihood).__name__} needs {expected} parameters for a "
                f"position of shape {conditional.position_shape}, {type(conditional).__name__} "
                f"gives {conditional.num_params}"
            )
        self.conditional = conditional
        self.likelihood = likelihood
        self.event_shape = conditional.event_shape
        self.grid_shape = conditional.grid_shape
        self.context_shape = conditional.context_shape
        self.levels = likelihood.levels

    def log_prob(
        self,
        x: Array,
        context: Array | None = None,
        *,
        order: Array | None = None,
        lengths: Array | None = None,
        key: Array | None = None,
    ) -> Array:
        """As :meth:`Model.log_prob`.

        Args:
            x, context, key: as there.
            order: the generation order; the network's own if None.
            lengths: integers ``(*batch,)``: the log-probability of so many values, those that are
                generated first; what follows is padding, and may be anything. None for all.

        Raises:
            ValueError: for lengths that are negative, or beyond the number of positions.
        """
        x, context = self._events(x, context, "log_prob")
        within = None if lengths is None else self._within(x, lengths, order)
        if within is not None:
            entries = tuple(range(within.ndim, x.ndim))
            x = jnp.where(jnp.expand_dims(within, entries), x, jnp.zeros_like(x))
        self.likelihood.check(x)
        params = self.conditional(self.likelihood.encode(x), context, order, key=key)
        log_prob = self.likelihood.log_prob(x, params.astype(float_dtype(params.dtype)))
        if within is not None:
            log_prob = jnp.where(within, log_prob, 0.0)
        grid = len(self.conditional.grid_shape)
        return jnp.sum(log_prob, tuple(range(log_prob.ndim - grid, log_prob.ndim)))

    def _within(self, x: Array, lengths: Array, order: Array | None) -> Array:
        """Which positions are no padding, ``(*batch, *grid_shape)``."""
        network, known = self.conditional, np.asarray(lengths) if is_concrete(lengths) else None
        lengths = jnp.asarray(lengths)
        batch, size = x.shape[: x.ndim - len(self.event_shape)], network.num_positions
        if lengths.shape != batch or not jnp.issubdtype(lengths.dtype, jnp.integer):
            raise ShapeError(
                f"Autoregressive.log_prob: expected integer lengths of shape {batch}, got "
                f"{lengths.dtype}{lengths.shape}"
            )
        if known is not None:
            wrong = known[(known < 0) | (known > size)]
            if wrong.size:
                raise ValueError(
                    f"Autoregressive.log_prob: expected lengths from 0 to {size}, got {wrong[0]}"
                )
        rank = autoregressive.rank_of(network.resolve_order(order))
        return (rank < lengths[..., None]).reshape(*batch, *network.grid_shape)

    def sample(
        self,
        key: Array,
        num_samples: int,
        context: Array | None = None,
        *,
        order: Array | None = None,
        method: str = "auto",
        temperature: float | Array = 1.0,
        top_p: float | Array = 1.0,
    ) -> Array:
        """As :meth:`Model.sample`. The noise of a position depends on the key and the position
        alone, so every ``method`` returns the same samples.

        ``top_p`` keeps, at every position, the most likely levels that together have this
        probability or more (nucleus sampling), after the temperature; 1 keeps all.
        """
        batch = self._sample_batch(num_samples, context, method)
        context = self._context(context, batch, "Autoregressive.sample")
        positions = self.conditional.resolve_order(order)
        draw = self._draw(key, batch, temperature, top_p)

        def emit(t: Array, params: Array) -> tuple[Array, Array]:
            value = draw(positions[t], params)
            return self.likelihood.encode(value), value

        return self.conditional.generate(emit, batch, context, order, method=method)

    def _draw(
        self,
        key: Array,
        batch: Shape,
        temperature: float | Array,
        top_p: float | Array,
        copies: int = 1,
    ) -> Callable[[Array, Array], Array]:
        """How a position's value is drawn from its parameters: ``(position, params) -> value``.

        ``copies`` says how many such draws are mapped side by side.
        """
        temperature, top_p = self._temperature(temperature), self._top_p(top_p)
        tempered = not all(isinstance(t, float) and t == 1.0 for t in (temperature, top_p))
        position_shape = self.conditional.position_shape
        # Not the parameters' dtype, which may differ between one pass and many steps.
        shape, dtype = (*batch, *position_shape), jnp.result_type(float)

        def noise(position: Array) -> Array:
            return self.likelihood.noise(jax.random.fold_in(key, position), shape, dtype)

        # One draw for all steps is cheaper than one for each, which a small step would wait for.
        positions, every = jnp.arange(self.conditional.num_positions), jax.vmap(noise)
        at_once = copies * jax.eval_shape(every, positions).size <= _NOISE_AT_ONCE
        drawn = every(positions) if at_once else None

        def draw(position: Array, params: Array) -> Array:
            now = noise(position) if drawn is None else drawn[position]
            if tempered:
                temper = self.likelihood.temper
                params, now = temper(params, now, position_shape, temperature, top_p)
            return self.likelihood.sample(params, now, position_shape)

        return draw

    def _top_p(self, top_p: float | Array) -> float | Array:
        """The checked probability of the nucleus, as a Python number where it is known."""
        if isinstance(top_p, jax.core.Tracer):
            return top_p
        try:
            value = float(top_p)
        except (TypeError, ValueError):
            value = np.nan
        if not 0.0 < value <= 1.0:
            raise ValueError(
                f"{type(self).__name__}.sample: expected 0 < top_p <= 1, got {top_p!r}"
            )
        return value

    def complete(
        self,
        key: Array,
        x: Array,
        observed: Array | np.ndarray,
        num_samples: int,
        context: Array | None = None,
        *,
        order: Array | None = None,
        temperature: float | Array = 1.0,
        top_p: float | Array = 1.0,
    ) -> Array:
        """Draws the missing part of events given the observed part.

        Exact where the observed positions stand first in the generation order. A network trained in
        many orders lets them: it is given an ``order``, out of which they are moved to the front,
        as :class:`~jaxgen.models.Ensemble` does (and :class:`~jaxgen.conditionals.EoNADE` needs
        none). Without one the network keeps to its own order, the one that ``log_prob`` is about,
        and is exact for a mask that is its beginning or whose positions depend on none that are
        missing (in a Bayesian network, say). For another mask a position is drawn given the
        observed positions before it and not given those after it: an approximation, of which a
        warning tells.

        The observed positions fill the network's cache in one pass; only what is missing is run
        step by step. Under ``jit`` this needs a mask that is a constant of the jitted function, as
        in ``jax.jit(lambda model, key, x: model.complete(key, x, observed, 4))``; with a mask that
        is an argument there is a step for every position. Of events with masks of their own, the
        pass covers as many positions as are observed of each.

        Args:
            key: the random key.
            x: events ``(*batch, *event_shape)``; what stands at missing positions is ignored.
            observed: boolean array of the network's ``grid_shape``, or ``(*batch, *grid_shape)``
                for a mask of its own for every event.
            num_samples: how many completions of each event.
            context: array ``(*batch, *context_shape)`` for a conditional model.
            order: in which the missing positions are drawn, after all that are observed, by a
                network which was trained in many orders; None for its own order.
            temperature, top_p: as in :meth:`sample`.

        Returns:
            Array ``(num_samples, *batch, *event_shape)``, of the dtype that :meth:`sample` gives.

        Raises:
            ShapeError: if the shapes do not fit.
            ValueError: if what is observed is outside the likelihood's support.

        >>> from flax import nnx
        >>> from jaxgen.conditionals import MADE
        >>> from jaxgen.likelihoods import Bernoulli
        >>> model = Autoregressive(MADE((4,), 1, hidden=(8,), rngs=nnx.Rngs(0)), Bernoulli())
        >>> observed = jnp.array([True, True, False, False])  # a beginning: exact
        >>> drawn = model.complete(jax.random.key(0), jnp.array([0, 1, 0, 0]), observed, 3)
        >>> drawn[:, :2].tolist()
        [[0, 1], [0, 1], [0, 1]]
        """
        x, context, observed = self._parts(x, observed, context, order, "complete")
        num_samples = self._count(num_samples, "Autoregressive.complete")
        x, known = self._seen(x, observed), self._num_leading(observed, order)
        observed = jnp.asarray(observed)
        # As the noise of a sample, and as the levels that are drawn.
        real = jnp.promote_types(x.dtype, jnp.result_type(float))
        x = x.astype(real if self.levels is None else jnp.int32)

        # Events with masks of their own are filled side by side.
        copies = 1 if observed.ndim == 1 else math.prod(x.shape[: x.ndim - len(self.event_shape)])

        def fill(key: Array, x: Array, observed: Array, context: Array | None) -> Array:
            x = jnp.broadcast_to(x, (num_samples, *x.shape))
            if context is not None:
                context = jnp.broadcast_to(context, (num_samples, *context.shape))
            batch = x.shape[: x.ndim - len(self.event_shape)]
            draw = self._draw(key, batch, temperature, top_p, copies)
            return self._fill(draw, x, observed, context, order, known)

        if observed.ndim == 1:
            return fill(key, x, observed, context)
        if copies == 0:
            return jnp.zeros((num_samples, *x.shape), x.dtype)
        keys, events = jax.random.split(key, copies), self._one_by_one(x, observed, context)
        drawn = jax.vmap(fill, out_axes=1)(keys, *events)
        return drawn.reshape(num_samples, *x.shape)

    def conditional_log_prob(
        self,
        x: Array,
        observed: Array | np.ndarray,
        context: Array | None = None,
        *,
        order: Array | None = None,
    ) -> Array:
        """``log p(missing part | observed part)`` in nats, by the chain rule in one pass.

        Exact under the same condition as :meth:`complete`; otherwise the log-probability of what
        that method draws, with the same warning.

        Args:
            x: events ``(*batch, *event_shape)``, the missing part included.
            observed, context, order: as in :meth:`complete`.

        Returns:
            Array ``(*batch,)``; 0 where nothing is missing.
        """
        x, context, observed = self._parts(x, observed, context, order, "conditional_log_prob")
        observed = jnp.asarray(observed)
        self.likelihood.check(x)

        def score(x: Array, observed: Array, context: Array | None) -> Array:
            return self._score(x, observed, context, self._observed_first(observed, order))

        if observed.ndim == 1:
            return score(x, observed, context)
        batch = x.shape[: x.ndim - len(self.event_shape)]
        return jax.vmap(score)(*self._one_by_one(x, observed, context)).reshape(batch)

    def conditions_exactly(
        self, observed: Array | np.ndarray, order: Array | np.ndarray | None = None
    ) -> bool:
        """Whether :meth:`complete` and :meth:`conditional_log_prob` are exact for a mask.

        Args:
            observed: boolean array of the network's ``grid_shape``, or many, ``(*, *grid_shape)``.
            order: as there.
        """
        if self._moves_observed(order):
            return True
        rows = np.asarray(observed).reshape(-1, self.conditional.num_positions)
        in_order = rows[:, self.conditional.own_order()]
        if not np.any(in_order[:, 1:] & ~in_order[:, :-1]):
            return True  # a beginning
        depends = self.conditional.dependencies()
        if depends is None:
            return False
        return not np.any(masks.through(rows, depends) & ~rows)

    def _moves_observed(self, order: Array | np.ndarray | None) -> bool:
        """Whether a completion may put what is observed first."""
        network = self.conditional
        return not network.fixed_order and (order is not None or network.order_agnostic)

    def _score(
        self,
        x: Array,
        observed: Array,
        context: Array | None,
        order: Array | None,
        key: Array | None = None,
    ) -> Array:
        """The log-probability of the positions that are not observed, a mask ``(D,)`` for all, each
        given those before it in the order."""
        grid = self.conditional.grid_shape
        params = self.conditional(self.likelihood.encode(x), context, order, key=key)
        each = self.likelihood.log_prob(x, params.astype(float_dtype(params.dtype)))
        each = jnp.where(observed.reshape(grid), 0.0, each)
        return jnp.sum(each, tuple(range(each.ndim - len(grid), each.ndim)))

    def _parts(
        self,
        x: Array,
        observed: Array | np.ndarray,
        context: Array | None,
        order: Array | np.ndarray | None,
        name: str,
    ) -> tuple[Array, Array | None, Array | np.ndarray]:
        """The arguments of a completion, checked, with the mask as ``(D,)`` or ``(*batch, D)``, of
        numpy where its numbers can be looked at."""
        where = f"{type(self).__name__}.{name}"
        x, context = self._events(x, context, name)
        batch = batch_shape(x, self.event_shape, where)
        grid = self.conditional.grid_shape
        observed = np.asarray(observed) if is_concrete(observed) else observed
        if observed.dtype != bool or observed.shape not in (grid, (*batch, *grid)):
            raise ShapeError(
                f"{where}: expected a boolean mask of shape {grid}, or {(*batch, *grid)} for a "
                f"mask of its own for every event, got {observed.dtype}{observed.shape}"
            )
        if isinstance(observed, np.ndarray) and not self.conditions_exactly(observed, order):
            warnings.warn(
                f"{where}: an approximation: {type(self.conditional).__name__} generates in an "
                f"order of its own, so what is missing is drawn without the observed positions "
                f"that come after it; an average over orders (lmconv, eonade, or made with "
                f"num_orders) is exact, and so is any network trained in many orders, given order",
                ApproximateCompletion,
                stacklevel=3,
            )
        leading = observed.shape[: observed.ndim - len(grid)]
        return x, context, observed.reshape(*leading, self.conditional.num_positions)

    def _seen(self, x: Array, observed: Array | np.ndarray) -> Array:
        """Events with zeros for what is missing, which must not be read, were it NaN; checked."""
        network, mask = self.conditional, jnp.asarray(observed)
        entries = (1,) * len(network.position_shape)
        there = mask.reshape(*mask.shape[:-1], *network.grid_shape, *entries)
        x = jnp.where(there, x, jnp.zeros_like(x))
        self.check_data(x)
        return x

    def _one_by_one(self, x: Array, observed: Array, context: Array | None) -> tuple:
        """Events, masks and contexts with one batch axis, to be mapped over."""
        batch = x.shape[: x.ndim - len(self.event_shape)]
        parts = (x, observed, context)
        return jax.tree.map(lambda a: a.reshape(math.prod(batch), *a.shape[len(batch) :]), parts)

    def _num_leading(self, observed: Array | np.ndarray, order: Array | np.ndarray | None) -> int:
        """How many steps at the beginning are observed in every event; 0 under a trace."""
        if not isinstance(observed, np.ndarray):
            return 0
        rows = observed.reshape(-1, self.conditional.num_positions)
        if not self._moves_observed(order):
            rows = np.cumprod(rows[:, self.conditional.own_order()], axis=1)
        return int(rows.sum(1).min(initial=self.conditional.num_positions))

    def _observed_first(self, observed: Array, order: Array | None) -> Array | None:
        if not self._moves_observed(order):
            return order
        return masks.observed_first(self.conditional.resolve_order(order), observed)

    def _fill(
        self,
        draw: Callable[[Array, Array], Array],
        x: Array,
        observed: Array,
        context: Array | None,
        order: Array | None,
        known: int,
    ) -> Array:
        """Events ``(*batch, *event_shape)`` with their missing positions drawn, one mask for all.

        The first ``known`` steps are observed; of the later ones, those that are keep their values.
        """
        network = self.conditional
        order = self._observed_first(observed, order)
        positions = network.resolve_order(order)
        emit, values = self._keeping(draw, x, observed, positions)
        if known == network.num_positions:
            return network.from_sequence(values, positions)
        inputs = self.likelihood.encode(values)
        cache = network.prefill(network.from_sequence(inputs, positions), known, context, order)
        first = inputs[known - 1] if known else jnp.zeros_like(inputs[0])
        drawn = network.run(cache, emit, first, known)
        return network.from_sequence(jnp.concatenate([values[:known], drawn]), positions)

    def _keeping(
        self,
        draw: Callable[[Array, Array], Array],
        x: Array,
        observed: Array,
        positions: Array,
    ) -> tuple[autoregressive.Emit, Array]:
        """An emission that draws what is missing and keeps what is observed, a mask ``(D,)``; and
        the events as a sequence."""
        values = self.conditional.to_sequence(x, positions)
        there = observed[positions]

        def emit(t: Array, params: Array) -> tuple[Array, Array]:
            drawn = draw(positions[t], params).astype(values.dtype)
            value = jnp.where(there[t], values[t], drawn)
            return self.likelihood.encode(value), value

        return emit, values

    def initialize(self, x: Array, key: Array, context: Array | None = None) -> Self:
        x, context = self._events(x, context, "initialize")
        encoded = self.likelihood.encode(x)
        return replace(self, conditional=self.conditional.initialize(encoded, context))

    def check_lengths(self, lengths: np.ndarray) -> None:
        network = self.conditional
        if len(self.event_shape) != 1 or np.any(np.diff(network.own_order()) != 1):
            raise ValueError(
                f"Autoregressive: expected events (length,) which {type(network).__name__} "
                f"generates from their beginning on, for lengths; got {self.event_shape} or "
                f"another order"
            )
        low, high = int(lengths.min()), int(lengths.max())
        if not 0 <= low <= high <= network.num_positions:
            raise ValueError(
                f"Autoregressive: expected lengths from 0 to {network.num_positions}, got {low} to "
                f"{high}"
            )

    def check_data(self, x: Array | np.ndarray) -> None:
        super().check_data(x)
        self.likelihood.check(x)
