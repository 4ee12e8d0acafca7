"""Ensembles over generation orders and connectivities."""

import math
from typing import Self

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxgen.core import (
    Buffer,
    Context,
    Key,
    Mask,
    Shape,
    check_array,
    checked_arguments,
    is_concrete,
    program,
    replace,
)
from jaxgen.functional import support
from jaxgen.models import completion
from jaxgen.models.adapting import Adapt
from jaxgen.models.autoregressive import Autoregressive
from jaxgen.models.base import Model
from jaxgen.models.coding import Steps
from jaxgen.models.drawing import Tempering, tempering_of
from jaxgen.models.filling import filled_by_members, mapped, num_leading
from jaxgen.models.order_agnostic import in_groups, one_step
from jaxgen.models.weighting import Weighting, equal, weighting_named


class Ensemble(Model):
    r"""One autoregressive network in ``K`` generation orders, averaged in probability.

    .. math:: p(x) = \frac{1}{K} \sum_{k} p_{o_k}(x)

    Each order gives a normalised distribution, so the mean is one too, and :meth:`log_prob` is
    exact (Uria et al. 2014; Germain et al. 2015). Averaging *logits* would not be. Training on the
    exact value would take ``K`` passes; :meth:`elbo` draws orders instead, which bounds it from
    below by Jensen's inequality: order-agnostic training. A network that predicts whatever is
    missing from whatever is seen (:class:`~jaxgen.conditionals.EoNADE`) is trained on all orders at
    once, by one step of each, in one pass.

    Args:
        model: the autoregressive model.
        orders: integer array ``(K, D)``, an order in each row.
        orders_per_batch: how many orders :meth:`elbo` draws for a batch, which is cut into as many
            groups; fewer where its size is not divisible by so many (their greatest common
            divisor).
        connectivity_agnostic: every order has also a connectivity of its own, which a network like
            :class:`~jaxgen.conditionals.MADE` draws (:meth:`Conditional.rewired
            <jaxgen.conditionals.Conditional.rewired>`): mask sampling. The k-th member's is the
            same in every ensemble.

    Raises:
        ValueError: if there is no order, or one is no permutation of the positions; for less than
            one order for a batch.
        TypeError: for ``connectivity_agnostic`` over a network with one connectivity only.

    >>> from flax import nnx
    >>> from jaxgen.conditionals import MADE
    >>> from jaxgen.likelihoods import Bernoulli
    >>> made = Autoregressive(MADE((3,), 1, hidden=(8,), rngs=nnx.Rngs(0)), Bernoulli())
    >>> model = Ensemble(made, jnp.array([[0, 1, 2], [2, 1, 0]]))
    >>> round(float(model.log_prob(jnp.array([0, 1, 1]))), 4)
    -2.0794
    """

    num_members: int

    @checked_arguments
    def __init__(
        self,
        model: Autoregressive,
        orders: Array,
        orders_per_batch: int = 4,
        connectivity_agnostic: bool = False,
    ):
        orders = jnp.asarray(check_array(orders, "Ensemble", "orders"))
        if orders.ndim != 2 or orders.shape[0] < 1:
            raise ValueError(
                f"Ensemble: expected orders of shape (K, {model.conditional.num_positions}), got "
                f"{orders.shape}"
            )
        for order in orders:
            model.conditional.resolve_order(order)
        self.model = model
        self.orders = Buffer(orders.astype(jnp.result_type(float)))
        self.num_members = len(orders)  # K
        self.orders_per_batch = orders_per_batch
        self.connectivity_agnostic = connectivity_agnostic
        self._member(0)  # which refuses a network that cannot be wired anew
        self.event_shape = model.event_shape
        self.grid_shape = model.grid_shape
        self.context_shape = model.context_shape
        self.levels, self.discrete = model.levels, model.discrete

    def _member(self, index: Array | int) -> tuple[Autoregressive, Array]:
        """The model and the order of the member with this number, which may be traced."""
        model, order = self.model, self.orders[...][index].astype(jnp.int32)
        if self.connectivity_agnostic:
            key = jax.random.fold_in(jax.random.key(0), index)
            model = replace(model, conditional=model.conditional.rewired(key))
        return model, order

    def log_prob(self, x: Array, context: Context = None, *, key: Key = None) -> Array:
        x, context = self._events(x, context, "log_prob")
        self.model.check_data(x)
        return self._averaged(self.member_log_probs(x, context, key))

    def steps(self, context: Context = None, member: Array | None = None) -> Steps:
        model, order = self._member(0 if member is None else member)
        return model.steps(context)._replace(order=order)

    @program()
    def member_log_probs(self, x: Array, context: Context = None, key: Key = None) -> Array:
        def score(index: Array) -> Array:
            model, order = self._member(index)
            return model.log_prob(x, context, order=order, key=key)

        return jax.lax.map(score, jnp.arange(self.num_members))

    def _averaged(self, scores: Array) -> Array:
        return support.logsumexp(scores, 0) - math.log(self.num_members)

    def elbo(
        self, x: Array, key: Array, context: Context = None, *, dropout_key: Key = None
    ) -> Array:
        """``log p_{o_k}(x)`` for random ``k``: at most :meth:`log_prob` in expectation.

        Of an order-agnostic network it is one step of a random order out of *all*, with the
        weight that makes it ``log p_o(x)`` on average: at most the log of the average over all
        orders.
        """
        x, context = self._events(x, context, "elbo")
        self.model.check_data(x)
        return self._bound(x, None, key, context, dropout_key)

    def observed_elbo(
        self,
        x: Array,
        observed: Mask,
        key: Array,
        context: Context = None,
        *,
        dropout_key: Key = None,
    ) -> Array:
        """As :meth:`elbo`, of the observed part, which goes first in every order that is drawn."""
        x, context, mask = self._masked(x, observed, context, "observed_elbo")
        return self._bound(x, mask, key, context, dropout_key)

    @program()
    def _bound(
        self, x: Array, mask: Mask | None, key: Array, context: Context, dropout_key: Key
    ) -> Array:
        if self.model.conditional.order_agnostic:
            border, there = self.model.border, jnp.asarray(True if mask is None else mask)
            parts = (self.model.network, self.model.likelihood, border.inwards(x), key, context)
            estimate = one_step(*parts, there, dropout_key=dropout_key)
            volume = jnp.broadcast_to(border.log_volume(), self.grid_shape).reshape(-1)
            return estimate + jnp.sum(jnp.where(there, volume, 0.0), axis=-1)

        def score(pick: Array, key: Key, x: Array, context: Context, mask: Array | None) -> Array:
            model, order = self._member(pick)
            if mask is None:
                return model.log_prob(x, context, order=order, key=key)
            return model.score_parts(x, mask, context, order, key=key)[0]

        batch = x.shape[: x.ndim - len(self.event_shape)]
        masks = None if mask is None else jnp.broadcast_to(mask, (*batch, mask.shape[-1]))
        groups = (self.orders_per_batch, self.num_members)
        return in_groups(score, batch, *groups, key, dropout_key, x, context, masks)

    def _masked(
        self, x: Array, observed: Mask, context: Context, name: str, *, whole: bool = False
    ) -> tuple[Array, Array | None, Mask]:
        """The checked arguments: events, or their observed part, and a mask of positions."""
        x, context = self._events(x, context, name)
        network, batch = self.model.conditional, x.shape[: x.ndim - len(self.event_shape)]
        mask = completion.flat_mask(network, observed, batch, f"Ensemble.{name}")
        x = x if whole else completion.hide_missing(self.event_shape, network, x, mask)
        self.model.check_data(x)
        return x, context, mask

    def complete(
        self,
        key: Array,
        x: Array,
        observed: Mask,
        num_samples: int,
        context: Context = None,
        *,
        weighting: str = "equal",
        temperature: float | Array = 1.0,
        top_p: float | Array = 1.0,
    ) -> Array:
        """As :meth:`Autoregressive.complete`, each completion in an order of its own.

        In every order what is observed comes first, so these are exact samples of the distribution
        that :meth:`conditional_log_prob` scores with the same ``weighting``. Members are chosen by
        their weights: equal ones serve the whole batch; a posterior is an event's own.
        ``temperature`` and ``top_p`` are as there, and temper no choice of a member.

        Raises:
            ValueError: for an unknown ``weighting``.
        """
        weigh = weighting_named(weighting)
        x, context, mask = self._masked(x, observed, context, "complete")
        tempering = tempering_of(temperature, top_p, model=self)
        known = num_leading(self.model.conditional, mask, self.orders[...], few=is_concrete(x))
        return self._filled(key, x, mask, num_samples, known, context, weigh, tempering)

    @program("num_samples", "known", "weigh")
    def _filled(
        self,
        key: Array,
        x: Array,
        mask: Mask,
        num_samples: int,
        known: int,
        context: Context,
        weigh: Weighting,
        tempering: Tempering,
    ) -> Array:
        order_key, sample_key = jax.random.split(key)
        if weigh is equal:
            picks = jax.random.randint(order_key, (num_samples,), 0, self.num_members)
        else:
            weights = weigh(self._parts(x, mask, context)[0]).reshape(self.num_members, -1)
            shape = (weights.shape[1], num_samples)
            picks = jax.random.categorical(order_key, weights.T[:, None], shape=shape)
        parts = (self._member, picks, sample_key, x, mask, known, context, tempering)
        return filled_by_members(*parts)

    def conditional_log_prob(
        self, x: Array, observed: Mask, context: Context = None, *, weighting: str = "equal"
    ) -> Array:
        r"""``log p(missing part | observed part)`` in nats, averaged over the orders.

        In each of them what is observed is moved to the front, and each member then conditions
        exactly. There are two means of their conditionals, and they can differ much:

        .. math:: p(x_m \mid x_o) = \sum_k w_k\, p_k(x_m \mid x_o), \qquad
                  w_k = \frac{1}{K} \quad \text{or} \quad
                  w_k = \frac{p_k(x_o)}{\sum_j p_j(x_o)}

        ``"equal"`` asks every member, whatever it thinks of what is observed: it is the mean of the
        members' conditionals, and not Bayes' rule on their mean. ``"posterior"`` is Bayes' rule:
        :math:`\sum_k p_k(x) / \sum_k p_k(x_o)`, the members weighted by how likely they find what
        is observed. Both are distributions over what is missing. With members that all begin with
        what is observed in their own orders, the posterior's is the conditional of
        :meth:`log_prob`; for other masks that would need marginals which no member has, and the
        :math:`p_k` here are those with the orders so changed, whose mean :meth:`observed_log_prob`
        scores.

        Args:
            x: events ``(*batch, *event_shape)``, the missing part included.
            observed, context: as in :meth:`Autoregressive.complete`.
            weighting: ``"equal"`` or ``"posterior"``.

        Returns:
            Array ``(*batch,)``; 0 where nothing is missing.

        Raises:
            ValueError: for an unknown ``weighting``.

        >>> from flax import nnx
        >>> from jaxgen.conditionals import MADE
        >>> from jaxgen.likelihoods import Bernoulli
        >>> made = Autoregressive(MADE((3,), 1, hidden=(8,), rngs=nnx.Rngs(0)), Bernoulli())
        >>> model = Ensemble(made, jnp.array([[0, 1, 2], [2, 1, 0]]))
        >>> observed = jnp.array([False, True, False])
        >>> round(float(model.conditional_log_prob(jnp.array([0, 1, 1]), observed)), 4)
        -1.3863
        """
        weigh = weighting_named(weighting)
        x, context, mask = self._masked(x, observed, context, "conditional_log_prob", whole=True)
        seen, missing = self._parts(x, mask, context)
        weights = weigh(seen)
        total = support.logsumexp(weights + missing, 0)
        # Given something impossible, anything is.
        conditional = total - support.logsumexp(weights, 0)
        return jnp.where(total == -jnp.inf, -jnp.inf, conditional)

    def observed_log_prob(self, x: Array, observed: Mask, context: Context = None) -> Array:
        """As :meth:`Autoregressive.observed_log_prob`, averaged in probability over the orders."""
        x, context, mask = self._masked(x, observed, context, "observed_log_prob")
        return self._averaged(self._parts(x, mask, context)[0])

    @program()
    def _parts(self, x: Array, mask: Mask, context: Context) -> tuple[Array, Array]:
        """What members score of the part observed first, and the rest given it, ``(K, *batch)``."""

        def score(index: Array) -> tuple[Array, Array]:
            model, order = self._member(index)
            return model.score_parts(x, mask, context, order)

        return jax.lax.map(score, jnp.arange(self.num_members))

    def conditions_exactly(self, observed: Mask) -> bool:
        """True: exact for each member; of their mean see :meth:`conditional_log_prob`."""
        return True

    def sample(
        self,
        key: Array,
        num_samples: int,
        context: Context = None,
        *,
        method: str = "auto",
        temperature: float | Array = 1.0,
        top_p: float | Array = 1.0,
    ) -> Array:
        """As :meth:`Autoregressive.sample`, each sample in an order of its own."""
        batch = self._sample_batch(num_samples, context)
        context = self._context(context, batch, "Ensemble.sample")
        tempering = tempering_of(temperature, top_p, model=self)
        return self._generated(key, batch, context, method, tempering)

    @program("batch", "method")
    def _generated(
        self, key: Array, batch: Shape, context: Context, method: str, tempering: Tempering
    ) -> Array:
        order_key, sample_key = jax.random.split(key)
        rows = math.prod(batch)
        picks = jax.random.randint(order_key, (rows,), 0, self.num_members)
        flat = None if context is None else context.reshape(rows, *context.shape[len(batch) :])

        def one(key, pick, context):
            model, order = self._member(pick)
            return model.sample(key, 1, context, order=order, method=method, **tempering)[0]

        x = mapped(one, jax.random.split(sample_key, rows), picks, flat)
        return x.reshape(*batch, *self.event_shape)

    def standardize(self, x: Array | np.ndarray | None, context: Context | np.ndarray) -> Self:
        return replace(self, model=self.model.standardize(x, context))

    def _adapt(self, adapt: Adapt, x: Array, key: Array, context: Context) -> Self:
        return replace(self, model=adapt.model(self.model, x, key, context))

    def check_data(self, x: Array | np.ndarray) -> None:
        self.model.check_data(x)

    def check_context(self, context: Array | np.ndarray) -> None:
        self.model.check_context(context)
