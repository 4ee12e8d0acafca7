r"""What trains latent-variable models: bounds, their gradients, and wake and sleep.

All of them are functions of the same weights ``log w`` (:meth:`jaxgen.models.Model.log_weight`), of
which they choose what the gradient sees (:mod:`jaxgen.models.posterior`):

==============================  ====================================================================
:func:`elbo`                    the evidence lower bound (Kingma and Welling, 2014), with a weight
                                on the divergence (beta-VAE, Higgins et al. 2017), its warm-up
                                (Bowman et al. 2016) and free bits (Kingma et al. 2016)
:func:`vector_quantized`        the bound of codes, with the straight-through gradient and a
                                codebook that follows the features (VQ-VAE, van den Oord et al.
                                2017)
:func:`importance_weighted`     the bound of ``K`` weights (IWAE, Burda et al. 2016), with the
                                posterior's gradient as it is, of the path alone (STL, Roeder et al.
                                2017), or doubly reparametrised (DReG, Tucker et al. 2019)
:func:`wake_sleep`              Hinton et al. (1995), for discrete latents
:func:`reweighted_wake_sleep`   Bornschein and Bengio (2015)
==============================  ====================================================================
"""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array

from jaxgen.core import checked_arguments, unknown
from jaxgen.functional import support
from jaxgen.models import Model
from jaxgen.models.posterior import Draw, direct, fixed, path, wake
from jaxgen.training.objectives.likelihood import (
    Batch,
    require_differentiable,
    weighted,
)

_GRADIENTS = ("iwae", "stl", "dreg")


@checked_arguments
def elbo(
    model: Model,
    batch: Batch,
    key: Array,
    *,
    beta: float = 1.0,
    warmup_steps: float = 0,
    free_bits: float = 0.0,
    step: Array | int | None = None,
) -> Array:
    r"""The negative evidence lower bound, in nats, with a weighted divergence.

    .. math:: -\mathbb{E}_q[\log p(x | z)] + \beta \sum_j \max\left(\lambda,
              \overline{\mathrm{KL}_j}\right)

    with the mean over the batch of the divergence of every latent dimension ``j``, or of all
    together where there is no closed form (:meth:`jaxgen.models.VAE.elbo_terms`); in a
    :class:`~jaxgen.models.TopDown`, of every layer. At ``beta=1``
    and without free bits it is the bound itself; otherwise no likelihood, and the record, which
    is the model's own, does not depend on it.

    Args:
        model, batch, key: as of any objective; the model has a posterior.
        beta: the weight of the divergence.
        warmup_steps: it grows from 0 linearly over so many steps.
        free_bits: ``lambda`` in nats, for each latent dimension, or once for all together where
            there is no closed form: what costs nothing to use.
        step: the number of the step, which training fills in.

    Raises:
        TypeError: if the model has no posterior.
        ValueError: if its samples have no gradient, or for negative numbers.

    >>> from flax import nnx
    >>> from jaxgen import zoo
    >>> model = zoo.vae((4,), latents=1, hidden=(2,), rngs=nnx.Rngs(0))  # at first four fair coins
    >>> batch, key = Batch(jnp.zeros((3, 4), int)), jax.random.key(0)
    >>> round(float(elbo(model, batch, key)), 4)
    2.7726
    >>> round(float(elbo(model, batch, key, beta=2.0, free_bits=0.5)), 4)
    3.7726
    """
    for name, value in (("beta", beta), ("warmup_steps", warmup_steps), ("free_bits", free_bits)):
        if value < 0:
            raise ValueError(f"elbo: expected {name} >= 0, got {value}")
    if not model.has_posterior:
        raise TypeError(
            f"elbo: expected a model with latents and a posterior of them, got a "
            f"{type(model).__name__}; negative_log_likelihood trains it"
        )
    require_differentiable(model, "elbo")
    _require_whole(batch, "elbo")
    noise_key, dropout_key = jax.random.split(key)
    x, context = jax.tree.map(jnp.asarray, (batch.x, batch.context))
    fit, divergence = model.elbo_terms(x, noise_key, context, dropout_key=dropout_key)
    share = 1.0 if step is None or not warmup_steps else jnp.minimum(1.0, (step + 1) / warmup_steps)
    weights = batch.weights
    mean_fit = jnp.mean(weighted(fit, weights))
    parts = divergence if weights is None else divergence * jnp.asarray(weights)[:, None]
    return beta * share * jnp.sum(jnp.maximum(jnp.mean(parts, axis=0), free_bits)) - mean_fit


@checked_arguments
def vector_quantized(model: Model, batch: Batch, key: Array, *, commitment: float = 0.25) -> Array:
    r"""The negative bound of a VQ-VAE, and how far its features are from the vectors of its codes.

    .. math:: -\log p(x | e_z) - \log p(z) + \lVert \mathrm{sg}(h) - e_z \rVert^2
              + \beta \lVert h - \mathrm{sg}(e_z) \rVert^2,

    in nats, summed over the codes. The decoder's gradient reaches the encoder as if the features
    ``h`` had been the vectors that the decoder saw, and the codebook learns from the third term
    alone; the prior learns from the second.

    Args:
        model, batch, key: as of any objective; the model's posterior is
            :class:`~jaxgen.models.Nearest`.
        commitment: ``beta``.

    Raises:
        TypeError: if the model has no codebook.
        ValueError: for a negative commitment.

    >>> from flax import nnx
    >>> from jaxgen import zoo
    >>> options = {"widths": (4,), "codes": 2, "code_width": 2, "prior": "mixture"}
    >>> model = zoo.vqvae((2, 2, 1), **options, rngs=nnx.Rngs(0))
    >>> vector_quantized(model, Batch(jnp.zeros((3, 2, 2, 1), int)), jax.random.key(0)).shape
    ()
    """
    if commitment < 0:
        raise ValueError(f"vector_quantized: expected commitment >= 0, got {commitment}")
    if model.vector_shape is None:
        raise TypeError(
            f"vector_quantized: expected a VAE of codes, whose posterior is Nearest, got a "
            f"{type(model).__name__}; elbo is for models with other latents"
        )
    _require_whole(batch, "vector_quantized")
    noise_key, dropout_key = jax.random.split(key)
    x, context = jax.tree.map(jnp.asarray, (batch.x, batch.context))
    distance = model.quantization_error(x, commitment, context)
    bound = model.elbo(x, noise_key, context, dropout_key=dropout_key)
    return jnp.mean(weighted(distance - bound, batch.weights))


@checked_arguments
def importance_weighted(
    model: Model, batch: Batch, key: Array, *, num_samples: int, gradient: str = "iwae"
) -> Array:
    r"""The negative bound of ``K`` weights, in nats: ``-mean log (1/K sum_k w_k)``.

    .. math:: \nabla = \sum_k \tilde w_k \nabla \log w_k, \qquad
              \tilde w_k = \frac{w_k}{\sum_j w_j}

    is its gradient as it is, ``"iwae"``. The part of it that goes into the posterior through
    ``log q`` has mean 0 at ``K = 1`` and a variance that does not vanish where the posterior is
    exact; ``"stl"`` leaves it out, which is biased at ``K > 1``, and ``"dreg"`` replaces it by an
    equal expectation: what goes into the posterior through ``z`` is weighted by
    :math:`\tilde w_k^2`. Both evaluate ``log q`` at the draw anew. Validation is by the bound of
    one weight, whatever ``K`` is.

    Args:
        model, batch, key: as of any objective; any model whose weight has a gradient.
        num_samples: ``K``.
        gradient: of the posterior's parameters.

    Raises:
        ValueError: for less than one sample, an unknown gradient, or samples without a gradient.

    >>> from flax import nnx
    >>> from jaxgen import zoo
    >>> model = zoo.vae((4,), latents=1, hidden=(2,), rngs=nnx.Rngs(0))  # at first four fair coins
    >>> batch, key = Batch(jnp.zeros((3, 4), int)), jax.random.key(0)
    >>> round(float(importance_weighted(model, batch, key, num_samples=5, gradient="dreg")), 4)
    2.7726
    """
    if gradient not in _GRADIENTS:
        raise unknown("gradient", gradient, _GRADIENTS)
    require_differentiable(model, "importance_weighted")
    _require_whole(batch, "importance_weighted")
    how = direct if gradient == "iwae" else path()
    log_w = _log_weights(model, batch, key, num_samples, lambda _: how)
    if gradient == "dreg":
        shares = support.softmax(jax.lax.stop_gradient(log_w), 0)
        log_w = _log_weights(model, batch, key, num_samples, path, shares)
    return -jnp.mean(weighted(support.logsumexp(log_w, 0) - math.log(num_samples), batch.weights))


def wake_sleep(model: Model, batch: Batch, key: Array) -> Array:
    """Wake and sleep: the model learns from the posterior's latents, the posterior from dreams.

    The wake phase ascends ``log p(x, z)`` for ``z ~ q(z | x)`` in the model's parameters, the sleep
    phase ``log q(z | x)`` for ``(z, x) ~ p`` in the posterior's. No gradient goes through a draw,
    so latents may be discrete; a model without a posterior does nothing but wake, which is maximum
    likelihood. The value is their sum, the negative bound less what the dreams
    say, and no bound itself.

    Args:
        model, batch, key: as of any objective.

    Raises:
        ValueError: for a VQ-VAE, whose posterior is certain.

    >>> from flax import nnx
    >>> from jaxgen import zoo
    >>> model = zoo.helmholtz((4,), layer_sizes=(2,), rngs=nnx.Rngs(0))
    >>> batch, key = Batch(jnp.zeros((3, 4), int)), jax.random.key(0)
    >>> wake_sleep(model, batch, key).shape
    ()
    """
    _require_no_codes(model, "wake_sleep")
    _require_whole(batch, "wake_sleep")
    wake_key, sleep_key = jax.random.split(key)
    log_w = _log_weights(model, batch, wake_key, 1, lambda _: fixed)[0]
    return -jnp.mean(weighted(log_w, batch.weights)) - _dreamt(model, batch, sleep_key)


@checked_arguments
def reweighted_wake_sleep(
    model: Model, batch: Batch, key: Array, *, num_samples: int, sleep: bool = False
) -> Array:
    r"""Wake-sleep with ``K`` weighted draws, which follow the true posterior the better, the more.

    Both phases of wake are gradients at draws weighted by :math:`\tilde w_k`,

    .. math:: \sum_k \tilde w_k \nabla \log p(x, z_k), \qquad
              \sum_k \tilde w_k \nabla \log q(z_k | x).

    The value is that of ``-sum_k w~_k log w_k``, in nats.

    Args:
        model, batch, key: as of any objective.
        num_samples: ``K``.
        sleep: adds the sleep phase of :func:`wake_sleep` to the posterior's gradient.

    Raises:
        ValueError: for less than one sample, or a VQ-VAE.

    >>> from flax import nnx
    >>> from jaxgen import zoo
    >>> model = zoo.helmholtz((4,), layer_sizes=(2,), rngs=nnx.Rngs(0))
    >>> batch, key = Batch(jnp.zeros((3, 4), int)), jax.random.key(0)
    >>> reweighted_wake_sleep(model, batch, key, num_samples=5).shape
    ()
    """
    _require_no_codes(model, "reweighted_wake_sleep")
    _require_whole(batch, "reweighted_wake_sleep")
    wake_key, sleep_key = jax.random.split(key)
    log_w = _log_weights(model, batch, wake_key, num_samples, lambda _: wake)
    shares = support.softmax(jax.lax.stop_gradient(log_w), 0)
    counted = jnp.where(shares > 0, shares * jnp.where(shares > 0, log_w, 0.0), 0.0)
    loss = -jnp.mean(weighted(jnp.sum(counted, axis=0), batch.weights))
    return loss - _dreamt(model, batch, sleep_key) if sleep else loss


def _require_no_codes(model: Model, objective: str) -> None:
    """Refuses a posterior that is certain, to which what a dream was made of is impossible."""
    for _, part in nnx.iter_modules(model):
        if getattr(part, "vector_shape", None) is not None:
            raise ValueError(
                f"{objective}: expected a posterior that draws, got codes of a "
                f"{type(part).__name__}; train the model by vector_quantized"
            )


def _require_whole(batch: Batch, objective: str) -> None:
    """Refuses examples of which a part is missing, or is padding: a weight is of a whole one."""
    for name, part in (("observed", batch.observed), ("lengths", batch.lengths)):
        if part is not None:
            raise ValueError(
                f"{objective}: expected whole examples, got {name}; negative_log_likelihood is for "
                f"those"
            )


def _log_weights(
    model: Model,
    batch: Batch,
    key: Array,
    num_samples: int,
    draws: Callable[[Any], Draw],
    scales: Array | None = None,
) -> Array:
    """``log w`` of ``K`` draws of every example, ``(K, batch)``.

    Of scales ``(K, batch)``, of which there may be none, ``draws`` makes how each is drawn.
    """
    noise_key, dropout_key = jax.random.split(key)
    x, context = jax.tree.map(jnp.asarray, (batch.x, batch.context))

    def one(key: Array, scale: Any) -> Array:
        return model.log_weight(x, key, context, dropout_key=dropout_key, draw=draws(scale))

    return jax.vmap(one)(jax.random.split(noise_key, num_samples), scales)


def _dreamt(model: Model, batch: Batch, key: Array) -> Array:
    """The mean ``log q`` of the latents of as many dreams as there are examples."""
    if batch.context is None:
        assert batch.x is not None  # or there would be nothing to wake for
        return jnp.mean(model.dream(key, len(batch.x))[1])
    log_q = model.dream(key, 1, jnp.asarray(batch.context))[1][0]
    return jnp.mean(weighted(log_q, batch.weights))
