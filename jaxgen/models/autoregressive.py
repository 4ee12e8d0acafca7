"""Autoregressive models: the chain rule over a conditional and a likelihood."""

from typing import Any, Self

import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxgen.conditionals.base import Conditional
from jaxgen.core import (
    Context,
    Key,
    Mask,
    Order,
    Shape,
    ShapeError,
    checked_arguments,
    float_dtype,
    is_concrete,
    program,
    replace,
)
from jaxgen.functional import support
from jaxgen.likelihoods import Likelihood
from jaxgen.models import completion, padding
from jaxgen.models.base import Model
from jaxgen.models.border import Border, Bordered
from jaxgen.models.coding import Steps
from jaxgen.models.completion import Check
from jaxgen.models.drawing import Tempering, drawing, tempering_of
from jaxgen.models.filling import filled, num_leading


class Autoregressive(Model):
    r"""``p(x) = prod_t p(x_{o_t} | x_{o_1}, ..., x_{o_{t-1}})``, exact by the chain rule.

    .. math:: \log p(x) = \sum_{t} \log p\left(x_{o_t} \mid \theta_{o_t}(x_{o_{<t}})\right)

    with the parameters :math:`\theta` from a conditional and the distribution from a likelihood,
    chosen independently. Real values are standardised, contexts too, and the parameters start from
    the data's own distribution at each position: by statistics of the data that
    :meth:`standardize` or :meth:`initialize` is given (:mod:`jaxgen.models.border`).

    Args:
        conditional: the network; for a position it must give as many numbers as the likelihood's
            method ``num_params(position_shape)`` says.
        likelihood: the distribution at each position.

    >>> from flax import nnx
    >>> from jaxgen.conditionals import MADE
    >>> from jaxgen.likelihoods import Bernoulli
    >>> model = Autoregressive(MADE((3,), 1, hidden=(8,), rngs=nnx.Rngs(0)), Bernoulli())
    >>> round(float(model.log_prob(jnp.array([0, 1, 1]))), 4)  # three fair coins at first
    -2.0794
    """

    @checked_arguments
    def __init__(self, conditional: Conditional, likelihood: Likelihood):
        position = likelihood.position_shape(conditional.position_shape)
        expected = likelihood.num_params(position)
        if conditional.num_params != expected:
            raise ShapeError(
                f"Autoregressive: {type(likelihood).__name__} needs {expected} parameters for a "
                f"position of shape {position}, {type(conditional).__name__} "
                f"gives {conditional.num_params}"
            )
        self.conditional = conditional
        self.likelihood = likelihood
        self.border = Border(conditional, likelihood)
        self.event_shape = conditional.grid_shape + position
        self.grid_shape, self.context_shape = conditional.grid_shape, conditional.context_shape
        self.levels, self.discrete = likelihood.levels, likelihood.discrete
        self.has_cdf = likelihood.has_cdf

    @property
    def network(self) -> Bordered:
        """The conditional as the model uses it: with units of contexts, and starts, of its own."""
        return Bordered(self.conditional, self.border)

    def log_prob(
        self,
        x: Array,
        context: Context = None,
        *,
        order: Order = None,
        lengths: Array | None = None,
        key: Key = None,
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
        order = self._checked_order(order)
        within = None
        if lengths is not None:
            batch = x.shape[: x.ndim - len(self.event_shape)]
            within = padding.within(self.conditional, lengths, batch, order)
            entries = tuple(range(within.ndim, x.ndim))
            x = jnp.where(jnp.expand_dims(within, entries), x, jnp.zeros_like(x))
        self.likelihood.check(x)
        return self._score(x, context, order, within, key)

    @program()
    def _score(
        self, x: Array, context: Context, order: Order, within: Array | None, key: Key
    ) -> Array:
        each, inside = self._parts(x, context, order, key)
        return support.restrict(self.border.total(each, within), inside)

    def position_log_probs(self, x: Array, context: Context = None) -> Array:
        x, context = self._events(x, context, "position_log_probs")
        self.likelihood.check(x)
        return self._each(x, context)

    @program()
    def _each(self, x: Array, context: Context) -> Array:
        return support.restrict(*self._parts(x, context))

    def _parts(
        self, x: Array, context: Context, order: Order = None, key: Key = None
    ) -> tuple[Array, Array]:
        u, inside = self.likelihood.restricted(self.border.inwards(x))
        params = self.network(self.likelihood.encode(u), context, order, key=key)
        return self.border.each(self.likelihood, u, params), inside

    def conditional_cdf(self, x: Array, context: Context = None) -> tuple[Array, Array]:
        if not self.has_cdf:
            raise self._lacks("conditional_cdf", "has_cdf")
        x, context = self._events(x, context, "conditional_cdf")
        self.likelihood.check(x)
        return self._cdf(x, context)

    @program()
    def _cdf(self, x: Array, context: Context) -> tuple[Array, Array]:
        u = self.border.inwards(x)
        params = self.network(self.likelihood.encode(u), context)
        return self.likelihood.cdf(u, params.astype(float_dtype(params.dtype)))

    def sample(
        self,
        key: Array,
        num_samples: int,
        context: Context = None,
        *,
        order: Order = None,
        method: str = "auto",
        temperature: float | Array = 1.0,
        top_p: float | Array = 1.0,
    ) -> Array:
        """As :meth:`Model.sample`.

        The noise of a position depends on the key and the position alone, so every ``method``
        returns the same samples. ``top_p`` keeps the most likely levels that together have this
        probability or more (nucleus sampling), after the temperature; 1 keeps all.
        """
        batch = self._sample_batch(num_samples, context)
        context = self._context(context, batch, "Autoregressive.sample")
        order = self._checked_order(order)
        tempering = tempering_of(temperature, top_p, model=self)
        depth = self.conditional.parallel_depth(order) if method == "wavefront" else None
        return self._generated(key, batch, context, order, method, depth, tempering)

    @program("batch", "method", "depth")
    def _generated(
        self,
        key: Array,
        batch: Shape,
        context: Context,
        order: Order,
        method: str,
        depth: int | None,
        tempering: Tempering,
    ) -> Array:
        positions = self.conditional.resolve_order(order)
        draw = drawing(self.conditional, self.likelihood, key, batch, tempering)

        def emit(t: Array, params: Array) -> tuple[Array, Array]:
            value = draw(positions[t], params)
            return self.likelihood.at(positions[t]).encode(value), value

        drawn = self.network.generate(emit, batch, context, order, method=method, depth=depth)
        return self.border.outwards(drawn)

    def complete(
        self,
        key: Array,
        x: Array,
        observed: Mask,
        num_samples: int,
        context: Context = None,
        *,
        order: Order = None,
        temperature: float | Array = 1.0,
        top_p: float | Array = 1.0,
    ) -> Array:
        """Draws the missing part of events given the observed part.

        Exact where the observed positions stand first in the generation order. A network trained in
        many orders lets them: given an ``order``, they are moved to its front. Without one it keeps
        to its own order, and is exact for a mask that is its beginning, or whose positions depend
        on none that are missing. For another mask a position is drawn given the observed ones
        before it alone: an approximation, with a warning.

        One pass reads what is observed, and what is missing is run step by step. Under ``jit`` this
        needs a mask that is a constant, ``jax.jit(lambda m, key, x: m.complete(key, x, observed,
        4))``; with one that is an argument there is a step for every position.

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

        >>> import jax
        >>> from flax import nnx
        >>> from jaxgen.conditionals import MADE
        >>> from jaxgen.likelihoods import Bernoulli
        >>> model = Autoregressive(MADE((4,), 1, hidden=(8,), rngs=nnx.Rngs(0)), Bernoulli())
        >>> observed = jnp.array([True, True, False, False])  # a beginning: exact
        >>> drawn = model.complete(jax.random.key(0), jnp.array([0, 1, 0, 0]), observed, 3)
        >>> drawn[:, :2].tolist()
        [[0, 1], [0, 1], [0, 1]]
        """
        check = completion.warn_unless_exact
        given = self._completion(x, observed, context, order, "complete", check)
        x, observed, context, order = given
        network = self.network
        x = completion.hide_missing(self.event_shape, network, x, observed)
        self.check_data(x)
        known = num_leading(network, observed, order, few=is_concrete(x))
        tempering = tempering_of(temperature, top_p, model=self)
        parts = (network, self.likelihood, key, x, observed, num_samples, known)
        return filled(*parts, context, order, tempering)

    def conditional_log_prob(
        self,
        x: Array,
        observed: Mask,
        context: Context = None,
        *,
        order: Order = None,
        lengths: Array | None = None,
    ) -> Array:
        """``log p(missing part | observed part)`` in nats, by the chain rule in one pass.

        Exact under the same condition as :meth:`complete`; otherwise the log-probability of what
        that method draws, with the same warning.

        Args:
            x: events ``(*batch, *event_shape)``, the missing part included.
            observed, context, order: as in :meth:`complete`.
            lengths: as in :meth:`log_prob`: padding is neither observed nor missing.

        Returns:
            Array ``(*batch,)``; 0 where nothing is missing.
        """
        name, check = "conditional_log_prob", completion.warn_unless_exact
        x, observed, *given = self._completion(x, observed, context, order, name, check)
        within = None
        if lengths is not None:
            batch = x.shape[: x.ndim - len(self.event_shape)]
            within = padding.within(self.conditional, lengths, batch, order).reshape(*batch, -1)
            x = completion.hide_missing(self.event_shape, self.conditional, x, within)
            observed = observed & within
        self.likelihood.check(x)
        return self.score_parts(x, observed, *given, within=within)[1]

    def observed_log_prob(
        self, x: Array, observed: Mask, context: Context = None, *, order: Order = None
    ) -> Array:
        """As there, with ``order`` as in :meth:`complete`; a TypeError where that is not exact."""
        name, check = "observed_log_prob", completion.require_exact
        x, observed, *given = self._completion(x, observed, context, order, name, check)
        x = completion.hide_missing(self.event_shape, self.conditional, x, observed)
        self.check_data(x)
        return self.score_parts(x, observed, *given)[0]

    def conditions_exactly(self, observed: Mask, order: Array | np.ndarray | None = None) -> bool:
        """As :meth:`Model.conditions_exactly`, of an ``order`` as in :meth:`complete`."""
        return completion.is_exact(self.conditional, observed, order)

    def steps(self, context: Context = None, member: Array | None = None) -> Steps:
        return Steps(self.network, self.likelihood, context)

    def _checked_order(self, order: Order) -> Array | None:
        return None if order is None else self.conditional.resolve_order(order)

    def _completion(
        self, x: Array, observed: Mask, context: Context, order: Order, name: str, check: Check
    ) -> tuple[Array, Mask, Array | None, Array | None]:
        """Events, mask (as one of positions), context and order of a completion, checked."""
        where = f"Autoregressive.{name}"
        x, context = self._events(x, context, name)
        batch = x.shape[: x.ndim - len(self.event_shape)]
        observed = completion.flat_mask(self.conditional, observed, batch, where)
        check(self.conditional, observed, order, where)
        return x, observed, context, self._checked_order(order)

    @program()
    def score_parts(
        self, x: Array, observed: Mask, context: Context, order: Order, **options: Any
    ) -> tuple[Array, Array]:
        """:func:`~jaxgen.models.completion.score_parts`, of arguments that have been checked."""
        parts = (self.network, self.likelihood, self.border.inwards(x), observed, context, order)
        return completion.score_parts(*parts, volume=self.border.log_volume(), **options)

    @checked_arguments
    def with_length(self, length: int) -> "Autoregressive":
        """As :meth:`Model.with_length`, of a network that has such a method and is stationary."""
        network = self.conditional.with_length(length)
        model = Autoregressive(network, self.likelihood)
        return replace(model, border=self.border.of_events(model.event_shape))

    def standardize(self, x: Array | np.ndarray | None, context: Context | np.ndarray) -> Self:
        parts = (self.conditional, self.likelihood, x, context)
        return replace(self, border=self.border.adapted_to(*parts))

    def initialize(self, x: Array, key: Array, context: Context = None) -> Self:
        x, context = self._events(x, context, "initialize")
        new = self.standardize(x, context)
        encoded = self.likelihood.encode(new.border.inwards(x))
        network = self.conditional.initialize(encoded, new.border.seen(context))
        return replace(new, conditional=network)

    def check_lengths(self, lengths: np.ndarray) -> None:
        padding.check_lengths(self.conditional, lengths)

    def check_data(self, x: Array | np.ndarray) -> None:
        super().check_data(x)
        self.likelihood.check(x)
