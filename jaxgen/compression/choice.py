"""Which coder a model has, by what it can do."""

import math

import jax
import jax.numpy as jnp

from jaxgen.compression.chain import Chain
from jaxgen.compression.coder import Coder
from jaxgen.compression.latents import BitsBack, Grid
from jaxgen.compression.members import Members
from jaxgen.core import Context, described
from jaxgen.models import Model


def require_codable(model: Model) -> None:
    """Refuses what is no model, and one of more values than can be counted.

    Raises:
        TypeError: saying what would do.
    """
    if not isinstance(model, Model):
        raise TypeError(f"expected a model, got {described(model)}")
    if model.levels is None or not math.isfinite(model.levels):
        what = "real values" if model.levels is None else "counts without an end"
        raise TypeError(
            f"{type(model).__name__}: a model of {what} cannot be coded, only one of a known "
            f"number of levels; quantize the data, and train an autoregressive model or a VAE"
        )


def coder_of(model: Model, context: Context) -> Coder:
    """How a model of levels codes: by the chain rule, by a member of its, or by latents.

    Args:
        model: the model.
        context: contexts of some batch, or None, to ask it by.

    Raises:
        TypeError: if it cannot.
    """
    require_codable(model)
    return _coder(model, context)


def _coder(model: Model, context: Context) -> Coder:
    levels = model.levels is not None and math.isfinite(model.levels)
    if levels and model.num_members is not None:
        return Members(model, context)
    if levels and model.grid_shape is not None:
        return Chain(model, context)
    if not levels and _is_normal(model, context):
        return Grid(model)
    if not model.has_posterior and not levels:
        raise TypeError(
            f"{type(model).__name__}: latents can be coded if they are of levels, or if prior and "
            f"posterior are normals with independent entries"
        )
    parts = model.latent_parts(context)
    event, latent = (jnp.zeros((1, *s)) for s in (model.event_shape, model.latent_shape or ()))
    x, z = _zeros(event, model.levels), _zeros(latent, model.latent_levels)
    each = (parts.prior, parts.posterior(x), parts.decoder(z))
    return BitsBack(model, *(_coder(part, given) for part, given in each))


def _is_normal(model: Model, context: Context) -> bool:
    # Of which nothing is computed.
    return jax.eval_shape(lambda model, c: model.as_normal(c), model, context) is not None


def _zeros(like: jax.Array, levels: float | None) -> jax.Array:
    return like if levels is None else like.astype(jnp.int32)
