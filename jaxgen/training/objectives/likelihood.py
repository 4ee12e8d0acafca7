"""Likelihoods as what training minimises, and the divergence from an unnormalised density."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array

from jaxgen.core import ShapeError, compute_in, rematerialize
from jaxgen.models import Model
from jaxgen.models.posterior import not_reparametrized


class Batch(NamedTuple):
    """Examples ``(batch, *event_shape)`` and, for a conditional model, their contexts.

    An objective that looks at no examples gets None for them. ``lengths``, integers ``(batch,)``,
    are those of examples which are padded: so many leading values are data. ``weights``, numbers
    ``(batch,)``, say how much each example counts; :func:`~jaxgen.training.fit` scales them to a
    mean of 1 over the data. ``observed``, booleans ``(batch, *grid_shape)``, say which positions
    are known of examples of which some are missing; what stands at the others is not read.

    >>> Batch(np.zeros((5, 3)), weights=np.ones(5)).x.shape
    (5, 3)
    """

    x: Array | np.ndarray | None = None
    context: Array | np.ndarray | None = None
    lengths: Array | np.ndarray | None = None
    weights: Array | np.ndarray | None = None
    observed: Array | np.ndarray | None = None


# (model, batch, key) -> loss; one with an argument ``step`` is given the number of the step.
Objective = Callable[..., Array]


def economical(objective: Objective, compute_dtype: str | None, remat: bool) -> Objective:
    """The objective of a model whose networks compute in another dtype, or keep less.

    Args:
        objective: of a model as it is.
        compute_dtype: see :func:`jaxgen.compute_in`; None for the parameters' own.
        remat: see :func:`jaxgen.rematerialize`.
    """
    if compute_dtype is None and not remat:
        return objective

    @functools.wraps(objective)  # by whose arguments it is called
    def of_another(model: Model, batch: Batch, key: Array, **options: Any) -> Array:
        try:
            model = model if compute_dtype is None else compute_in(model, compute_dtype)
            model = rematerialize(model) if remat else model
        except ValueError as error:
            setting = "compute_dtype" if str(error).startswith("compute_in") else "remat"
            raise ValueError(f"the setting {setting} means nothing here: {error}") from None
        return objective(model, batch, key, **options)

    return of_another


def negative_log_likelihood(model: Model, batch: Batch, key: Array) -> Array:
    """``-mean log p(x)`` in nats, or of the model's lower bound: maximum likelihood.

    ``key`` feeds dropout, dequantization and random orders. Padding does not count: with lengths
    it is the mean over the examples of the nats of their data. With masks of what is observed it is
    the likelihood of that part, exact or bounded as that of whole examples
    (:meth:`~jaxgen.models.Model.observed_elbo`); for values that are missing at random, to leave
    the others out is what maximum likelihood is. With weights of mean 1 it is
    ``-mean w log p(x)``. Any function of this signature can be an objective.

    >>> from jaxgen.models import StandardNormal
    >>> batch = Batch(jnp.zeros((4, 2)))
    >>> round(float(negative_log_likelihood(StandardNormal((2,)), batch, jax.random.key(0))), 4)
    1.8379
    """
    require_differentiable(model, "negative_log_likelihood")
    noise_key, dropout_key = jax.random.split(key)
    x, context, lengths = jax.tree.map(jnp.asarray, (batch.x, batch.context, batch.lengths))
    if batch.observed is not None:
        part = (x, jnp.asarray(batch.observed), noise_key, context)
        values = model.observed_elbo(*part, dropout_key=dropout_key)
    elif lengths is not None:
        log_prob: Callable[..., Array] = model.log_prob  # only some models take lengths
        values = log_prob(x, context, lengths=lengths, key=dropout_key)
    else:
        values = model.elbo(x, noise_key, context, dropout_key=dropout_key)
    return -jnp.mean(weighted(values, batch.weights))


def weighted(values: Array, weights: Array | np.ndarray | None) -> Array:
    """What each example gives, times what it counts."""
    return values if weights is None else jnp.asarray(weights) * values


_INSTEAD = {"Nearest": "vector_quantized"}


def require_differentiable(model: Model, objective: str) -> None:
    """Refuses a model whose bound has another gradient than its expectation.

    Raises:
        ValueError: naming the part whose draws have no gradient, and what trains such a model.
    """
    for _, part in nnx.iter_modules(model):
        if (name := getattr(part, "undifferentiable", None)) is not None:
            raise ValueError(
                f"{objective}: draws of the posterior of {type(part).__name__} have no gradient in "
                f"all parameters of its {name}, so that of the bound would be wrong; train the "
                f"model by {_INSTEAD.get(name, 'wake_sleep or reweighted_wake_sleep')}"
            )


def reverse_kl(
    log_density: Callable[..., Array], num_samples: int
) -> Callable[[Model, Batch, Array], Array]:
    r"""An objective that fits a model to an unnormalised density: variational inference.

    For a target :math:`p(x) = \tilde p(x) / Z`,

    .. math:: \mathrm{KL}(q \,\|\, p) - \log Z
              = \mathbb{E}_{x \sim q}\left[\log q(x) - \log \tilde p(x)\right]

    is estimated with samples of the model, whose gradient goes through the samples (the
    reparametrisation :math:`x = f(z)`; Rezende and Mohamed, 2015). Its negative is the evidence
    lower bound: minus the logged ``loss`` is at most :math:`\log Z` on average, and reaches it when
    the model is the target. No data are needed::

        fit(model, objective=reverse_kl(log_density, 256), settings=settings)

    A conditional model is fitted to a family of targets, given the contexts in the batch:
    ``fit(model, Batch(context=contexts), objective=...)``.

    Args:
        log_density: ``log p~``, of samples ``(num_samples, *event_shape)``, to ``(num_samples,)``.
            With contexts ``(batch, *context_shape)`` it is called as ``log_density(x, context)``
            with ``x`` of shape ``(num_samples, batch, *event_shape)``, to ``(num_samples, batch)``.
        num_samples: samples in a step, for each context. A step without contexts has no other
            batch: ``TrainSettings.batch_size`` plays no role.

    Raises:
        ValueError: if there are no samples; and when it is used, if the model is one of integer
            levels, or a part of it is a mixture, whose samples have no gradient.
        TypeError: when it is used, if the model's likelihood is not exact.
        ShapeError: when it is used, if ``log_density`` gives another shape.

    >>> from jaxgen.models import StandardNormal
    >>> loss = reverse_kl(lambda x: -0.5 * jnp.sum(x**2, -1), 8)
    >>> value = loss(StandardNormal((2,)), Batch(), jax.random.key(0))
    >>> round(float(-value), 4)  # the model is the target, so the bound is log Z = log 2 pi
    1.8379
    """
    if num_samples < 1:
        raise ValueError(f"reverse_kl: expected num_samples >= 1, got {num_samples}")

    def objective(model: Model, batch: Batch, key: Array) -> Array:
        name = type(model).__name__
        if model.levels is not None:
            raise ValueError(
                f"reverse_kl: expected a model of real values, got {name} of {model.levels} "
                f"levels, whose samples have no gradient"
            )
        if (part := not_reparametrized(model)) is not None:
            raise ValueError(
                f"reverse_kl: samples of {part} are not differentiable in all of its parameters, "
                f"so the gradient would be wrong"
            )
        if model.exactness != "exact":
            raise TypeError(
                f"reverse_kl: expected a model with an exact likelihood, got {name}, which has a "
                f"{model.exactness}"
            )
        context = None if batch.context is None else jnp.asarray(batch.context)
        x, log_q = model.sample_and_log_prob(key, num_samples, context)
        log_p = log_density(x) if context is None else log_density(x, context)
        if jnp.shape(log_p) != log_q.shape:
            raise ShapeError(
                f"reverse_kl: expected log_density to map samples of shape {x.shape} to "
                f"{log_q.shape}, got {jnp.shape(log_p)}"
            )
        return jnp.mean(weighted(log_q - log_p, batch.weights))

    return objective
