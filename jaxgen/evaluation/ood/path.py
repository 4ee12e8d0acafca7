"""What happens to an example on its way through the latents and back (Huang et al. 2024)."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxgen.core import Context, Key, check_key
from jaxgen.evaluation.ood.statistics import strangest
from jaxgen.models import Model
from jaxgen.models.chunks import checked_examples, in_chunks


def latent_path(
    model: Model,
    x: np.ndarray | Array,
    context: Context = None,
    *,
    key: Key = None,
    draws: int = 32,
    batch_size: int = 500,
) -> np.ndarray:
    r"""What happens to an example on its way through the latents and back (Huang et al. 2024).

    .. math:: \|\mu(x)\|, \qquad \|\sigma(x)\|, \qquad \|x - \hat x(\mu(x))\|,

    with the centre and the deviation of the posterior :math:`q(z | x)` and the decoder's centre:
    the sufficient statistics of the likelihood of a VAE along the path on which it is computed.
    The deviations are those of ``draws`` latents. Of real values, whose columns may be in any
    units, the last is :math:`-\mathbb{E}_q[\log p(x | z)]` instead, over as many draws, which other
    units move by the same for all examples.

    Args:
        model: one with latents that are inferred by a posterior.
        x, context, batch_size: as of :func:`negative_log_likelihood`.
        key: of the draws.
        draws: of the posterior, 2 or more.

    Returns:
        float64 array ``(n, 3)``.

    Raises:
        TypeError: if the model has no posterior, or one of codes.
        ValueError: for less than two draws, or no key.

    >>> from flax import nnx
    >>> from jaxgen import zoo
    >>> model = zoo.vae((8,), latents=2, hidden=(4,), rngs=nnx.Rngs(0))
    >>> latent_path(model, np.zeros((5, 8), int), key=jax.random.key(0)).shape
    (5, 3)
    """
    require_posterior(model, "latent_path")
    if draws < 2:
        raise ValueError(f"latent_path: expected 2 draws or more, got {draws}")
    x, context, _ = checked_examples(model, x, context, where="latent_path")
    model.check_data(x)
    key = require_key(key, "latent_path")
    path = in_chunks(functools.partial(_path, model, draws=draws), x, context, key, batch_size)
    return strangest(path, "latent_path")


@functools.partial(jax.jit, static_argnames="draws")
def _path(model: Any, x: Array, context: Context, key: Array, *, draws: int) -> Array:
    latent, event = len(model.latent_shape), len(model.event_shape)
    centre = model.infer(x, context)
    drawn = jax.lax.map(
        lambda key: model.infer(x, context, key=key), jax.random.split(key, draws), batch_size=8
    )
    deviation = jnp.std(drawn, axis=0, ddof=1)
    if model.levels is None:
        fit = jax.lax.map(
            lambda key: model.elbo_terms(x, key, context)[0],
            jax.random.split(key, draws),
            batch_size=8,
        )
        lost = -jnp.mean(fit, axis=0)
    else:
        lost = _norm(x - model.decode(centre, context), event)
    return jnp.stack([_norm(centre, latent), _norm(deviation, latent), lost], axis=-1)


def _norm(values: Array, axes: int) -> Array:
    """The Euclidean norm over so many last axes."""
    return jnp.sqrt(jnp.sum(values**2, axis=tuple(range(-axes, 0))))


def require_posterior(model: Model, where: str) -> None:
    """Refuses a model without a posterior of continuous latents, in one line.

    Raises:
        TypeError: which names the models that have one.
    """
    if not getattr(model, "has_posterior", False) or model.vector_shape is not None:
        raise TypeError(
            f"{where}: only latent-variable models with a posterior of numbers (a VAE, a TopDown, "
            f"a Flow or a Dequantized one on it, an Embedded one) have such a score, got "
            f"{type(model).__name__}"
        )


def require_key(key: Key, where: str) -> Array:
    """The key of a score that draws latents.

    Raises:
        ValueError: if there is none.
    """
    if key is None:
        raise ValueError(f"{where}: latents are drawn, so a key is needed, got None")
    check_key(key, where)
    return key
