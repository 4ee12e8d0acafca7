"""The contract of a model."""

from typing import Any, NamedTuple, Self

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxgen.core import (
    Context,
    Key,
    Shape,
    ShapeError,
    at_least_single,
    batch_shape,
    brief,
    check_context,
    is_concrete,
)
from jaxgen.models.abilities import Abilities
from jaxgen.models.adapting import CALIBRATE, INITIALIZE, Adapt
from jaxgen.models.checks import check_methods, checked_temperature
from jaxgen.models.importance import log_mean_weight
from jaxgen.models.posterior import Draw, direct


class Sampling(NamedTuple):
    """How samples are drawn, see :meth:`Model.sample`."""

    method: str = "auto"
    temperature: float | Array = 1.0


@check_methods
class Model(Abilities):
    r"""A probability distribution over events, possibly given a context.

    ``exactness`` says what the model knows about ``log p(x)``:

    - ``"exact"``: :meth:`log_prob` is the log-density (or log-mass) itself, by the change of
      variables or the chain rule;
    - ``"lower_bound"``: :meth:`log_prob` raises; :meth:`log_weight` is the logarithm of a random
      and unbiased estimate of ``p(x)``, so that :meth:`elbo` is a lower bound in expectation, and
      :meth:`importance_log_prob`, of the mean of many, a tighter one.

    All of them are in nats, summed over the event, one number per example. A model is a pytree and
    is never changed by its methods, so it goes through ``jax.jit``, ``jax.grad`` and friends as an
    argument: ``jax.jit(Flow.log_prob)(model, x)``.

    Contexts with NaN or infinite numbers are refused where they can be seen. Under ``jax.jit`` they
    cannot: there the log-probability given NaN is NaN, and samples mean nothing, though those of a
    discrete model are levels like any other.
    """

    event_shape: Shape
    context_shape: Shape | None = None
    exactness: str = "exact"
    levels: float | None = None  # integers 0 .. levels - 1, which may be inf; None for reals
    discrete: tuple[int, ...] = ()  # columns of whole numbers in a row of real ones
    reparametrized: bool = True  # whether real samples are differentiable in the parameters
    undifferentiable: str | None = None  # the part whose draws leave log_weight a wrong gradient
    # How it was built, in JSON, if by a constructor of the zoo or a recipe. It is one string, which
    # keeps its hash: an attribute like this is looked at in every call of a compiled function.
    origin: str | None = None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        check_methods(cls)

    def __repr__(self) -> str:
        return brief(self)

    __str__ = __repr__

    def log_prob(self, x: Array, context: Context = None, *, key: Key = None) -> Array:
        """``log p(x | context)`` in nats.

        Args:
            x: array ``(*batch, *event_shape)``.
            context: array ``(*batch, *context_shape)`` for a conditional model.
            key: turns dropout on; None means evaluation.

        Returns:
            Array ``(*batch,)``, float32 or better.

        Raises:
            ShapeError: if the shapes do not fit.
            TypeError: if the model's likelihood is not exact.
        """
        raise NotImplementedError(f"{type(self).__name__} defines no log_prob")

    def log_weight(
        self,
        x: Array,
        key: Array,
        context: Context = None,
        *,
        dropout_key: Key = None,
        draw: Draw = direct,
    ) -> Array:
        r"""The logarithm of an unbiased estimate of ``p(x | context)``, which is never negative.

        .. math:: \mathbb{E}[\exp(\log w)] = p(x).

        Products of independent estimates are unbiased again, so what is made of models without an
        exact likelihood has a weight, too. That of an exact model is its :meth:`log_prob`.

        Args:
            x: array ``(*batch, *event_shape)``.
            key: what is random in it, such as latents or noise.
            context: array ``(*batch, *context_shape)`` for a conditional model.
            dropout_key: turns dropout on; None means evaluation.
            draw: how latents or noise are drawn, which decides about the gradient and never about
                the value; see :mod:`jaxgen.models.posterior`.

        Returns:
            Array ``(*batch,)`` in nats.
        """
        return self.log_prob(x, context, key=dropout_key)

    def elbo(
        self, x: Array, key: Array, context: Context = None, *, dropout_key: Key = None
    ) -> Array:
        """A lower bound of ``log p(x | context)`` in expectation over ``key``, in nats.

        One :meth:`log_weight`, whose expectation is no more than ``log p`` (Jensen); or what has
        that expectation and varies less. That of an exact model is its :meth:`log_prob`.
        """
        return self.log_weight(x, key, context, dropout_key=dropout_key)

    def importance_log_prob(
        self, x: Array, key: Array, num_samples: int, context: Context = None
    ) -> Array:
        r"""An estimate of ``log p(x | context)`` from ``K = num_samples`` weights, in nats.

        .. math:: \log \frac{1}{K} \sum_{k=1}^{K} w_k,

        a lower bound in expectation that tightens as ``K`` grows (Burda et al. 2016). The weights
        are streamed: memory does not grow with their number. An exact model needs no estimate: this
        is its :meth:`log_prob`.
        """
        x, context = self._events(x, context, "importance_log_prob")
        if is_concrete(x):
            self.check_data(x)
        if self.exactness == "exact":
            return self.log_prob(x, context)
        return log_mean_weight(self, x, jax.random.split(key, num_samples), context)

    def sample(
        self,
        key: Array,
        num_samples: int,
        context: Context = None,
        *,
        method: str = "auto",
        temperature: float | Array = 1.0,
    ) -> Array:
        """Independent samples.

        At a temperature ``T`` every draw that a sample is made of is tempered where it is made: of
        a real value (a latent, a head's normal) the deviation from its location is multiplied by
        ``T``, of a choice (a level, a mixture's component) the logits are divided by ``T``. So a
        flow's latents come from its base at ``T``, and an autoregressive model tempers each of its
        conditionals, which is another distribution than the joint density tempered. 1 is the model
        itself; below, samples keep to what is likely, and vary less.

        Args:
            key: the random key; the same key gives the same samples.
            num_samples: how many, for each context.
            context: array ``(*batch, *context_shape)`` for a conditional model.
            method: how autoregressive parts are run; all methods return the same samples.
            temperature: ``T``, positive and finite.

        Returns:
            Array ``(num_samples, *batch, *event_shape)``.

        Raises:
            ValueError: for a wrong number of samples, method or temperature.
        """
        batch = self._sample_batch(num_samples, context)
        context = self._context(context, batch, f"{type(self).__name__}.sample")
        return self._draw(
            key, batch, context, Sampling(method, checked_temperature(temperature, self))
        )

    def _draw(self, key: Array, batch: Shape, context: Context, how: Sampling) -> Array:
        """What :meth:`sample` returns, of arguments that have been checked.

        Args:
            key: the random key.
            batch: the batch shape of the samples.
            context: array ``(*batch, *context_shape)``, or None.
            how: the method and the temperature.
        """
        raise NotImplementedError(f"{type(self).__name__} defines neither sample nor _draw")

    def dream(self, key: Array, num_samples: int, context: Context = None) -> tuple[Array, Array]:
        """Samples, and ``log q`` of the latents that they were made of; of exact models it is 0.

        Gradients reach posteriors alone (sleep, Hinton et al. 1995).

        Returns:
            Arrays ``(num_samples, *batch, *event_shape)`` and ``(num_samples, *batch)``.
        """
        if self.exactness != "exact":
            raise NotImplementedError(f"{type(self).__name__} defines no dream")
        x = jax.lax.stop_gradient(self.sample(key, num_samples, context))
        return x, jnp.zeros(x.shape[: x.ndim - len(self.event_shape)])

    def centre(self, context: Context = None) -> Array:
        """Where the distribution is centred, array ``(*batch, *event_shape)``.

        The mean, where a model knows it in closed form (it is real of levels, too); otherwise the
        sample in which every draw is at its location: that of the temperature 0.
        """
        still = float(jnp.finfo(jnp.float32).tiny)
        return self.sample(jax.random.key(0), 1, context, temperature=still)[0]

    def sample_and_log_prob(
        self, key: Array, num_samples: int, context: Context = None, *, method: str = "auto"
    ) -> tuple[Array, Array]:
        """Samples and their log-probabilities, ``(num_samples, *batch)``.

        It takes no temperature, by which samples have another distribution than the model's.
        """
        if self.exactness != "exact":
            raise TypeError(f"{type(self).__name__}: see elbo and importance_log_prob")
        x = self.sample(key, num_samples, context, method=method)
        return x, self.log_prob(x, context)

    def standardize(self, x: Array | np.ndarray | None, context: Context | np.ndarray) -> Self:
        """The model with the location and scale of a whole data set, before :meth:`initialize`.

        What stands nearest to data and contexts takes them once, on the host, so that the model is
        the same in any unit; most models return themselves.

        Args:
            x: data ``(n, *event_shape)``, or None.
            context: contexts ``(n, *context_shape)``, or None.
        """
        return self

    def initialize(self, x: Array, key: Array, context: Context = None) -> Self:
        """The model adapted to a first batch of data (actnorm); most models return themselves.

        Every part adapts once: one that has been keeps what it has, training goes on from there.
        """
        return self._adapt(INITIALIZE, x, key, context)

    def calibrate(self, x: Array, key: Array, context: Context = None) -> Self:
        """The model with the statistics of its layers (batch normalisation) taken from the data.

        They go stale whenever parameters change, so this is called after training, before the
        model is evaluated. Most models have none and return themselves.
        """
        return self._adapt(CALIBRATE, x, key, context)

    def _adapt(self, adapt: Adapt, x: Array, key: Array, context: Context) -> Self:
        """What :meth:`initialize` and :meth:`calibrate` share: a model of parts adapts its parts.

        ``adapt`` is the one of the two that goes on, to be called on the parts.
        """
        self._events(x, context, adapt.name)
        return self

    def check_data(self, x: Array | np.ndarray) -> None:
        """Refuses data that the model gives no sensible likelihood: NaN, levels out of range.

        Raises:
            ValueError: saying what was expected, what came, and what to do.
        """
        batch_shape(x, self.event_shape, type(self).__name__)
        if not is_concrete(x) or not jnp.issubdtype(x.dtype, jnp.floating):
            return
        values = np.asarray(x)
        bad = int(np.sum(~np.isfinite(values)))
        if not bad:
            return
        advice = (
            "train a model that knows the density of any part of an event, such as "
            "jaxgen.zoo.tabular or jaxgen.zoo.eonade, and "
        )
        if self.grid_shape is not None:
            batch = values.shape[: values.ndim - len(self.event_shape)]
            there = ~np.isnan(values).reshape(*batch, *self.grid_shape, -1).any(axis=-1)
            advice = "" if self.conditions_exactly(there) else advice
        raise ValueError(
            f"{type(self).__name__}: the data hold {bad} NaN or infinite values; remove or fill "
            f"them first, or, where they are missing, {advice}say what is observed: fit with "
            f"Batch(x, observed=~np.isnan(x))"
        )

    def check_context(self, context: Array | np.ndarray) -> None:
        """Refuses contexts of another shape, and labels of no class.

        Raises:
            ValueError: saying what was expected, what came, and what to do.
        """
        where = type(self).__name__
        batch_shape(context, self._require_conditional(where), f"{where}, context")

    def check_lengths(self, lengths: np.ndarray) -> None:
        """Refuses lengths of padded events, for a model whose ``log_prob`` takes none.

        Args:
            lengths: integers ``(n,)``, the number of leading values of each event that are data.

        Raises:
            ValueError: saying what was expected, what came, and what to do.
        """
        raise ValueError(
            f"{type(self).__name__}: expected whole events, got events that are padded; only an "
            f"autoregressive model can leave out what follows their end"
        )

    def _events(self, x: Array, context: Context, name: str) -> tuple[Array, Array | None]:
        """The arguments of a method as checked arrays, float32 or better where they are real."""
        where = f"{type(self).__name__}.{name}"
        x = at_least_single(jnp.asarray(x))
        batch = batch_shape(x, self.event_shape, where)
        return x, self._context(context, batch, where)

    def _context(self, context: Context, batch: Shape, where: str) -> Array | None:
        if context is not None:
            self._require_conditional(where)
        checked = check_context(context, self.context_shape, batch, where)
        if context is not None and is_concrete(context):
            self.check_context(context)  # labels, too
        return checked

    def _checked_context(self, context: Context, name: str) -> Array | None:
        """A context of any batch, checked for the method of this name."""
        where = f"{type(self).__name__}.{name}"
        if context is None or self.context_shape is None:
            return self._context(context, (), where)
        context = jnp.asarray(context)
        return self._context(context, batch_shape(context, self.context_shape, where), where)

    def _require_conditional(self, where: str) -> Shape:
        if self.context_shape is None:
            raise ShapeError(f"{where}: this model is unconditional, but a context was given")
        return self.context_shape

    def _sample_batch(self, num_samples: int, context: Context) -> Shape:
        """The batch shape of samples: ``(num_samples, *context's batch)``."""
        if self.context_shape is None or context is None:
            return (num_samples,)
        where = f"{type(self).__name__}.sample"
        return (num_samples, *batch_shape(jnp.asarray(context), self.context_shape, where))
