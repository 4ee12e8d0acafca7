"""Whether a trained model is inverted by its own inverse, in the precision it is used in."""

import warnings

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxgen.core import Context
from jaxgen.models import Model

# In spreads of the samples; float32 is good for 1e-5 and better.
TOLERANCE = 1e-3

_SAMPLES = 64


def warn_unless_invertible(model: Model, context: Context | np.ndarray, key: Array) -> None:
    """Warns if a model's samples do not come back from their latents.

    A flow is invertible on paper. Where training has made it too steep for its precision, what is
    sampled, inferred and reconstructed no longer belongs together, and neither does a density to
    the samples. Models without latents, those of integer levels, and those whose latents are not
    their data in another form (a VAE), have nothing to check.

    Args:
        model: the trained model.
        context: contexts ``(n, *context_shape)`` to sample at, for a conditional model.
        key: of the samples.
    """
    if model.latent_shape is None or model.levels is not None or model.exactness != "exact":
        return
    if model.context_shape is not None:
        context = None if context is None else context[:_SAMPLES]
        if context is None:
            return
    error = float(_error(model, key, context))
    if not error <= TOLERANCE:
        warnings.warn(
            f"fit: samples of the trained {type(model).__name__} come back from their latents "
            f"{error:.1g} spreads away (expected {TOLERANCE:g} at most): it is too steep for its "
            f"precision there. jaxgen.testing.precision_report names the layer; a lower learning "
            f"rate, a smaller bound on scales, or float64 helps",
            stacklevel=4,
        )


@jax.jit
def _error(model: Model, key: Array, context: Context) -> Array:
    """The largest distance of a sample from its reconstruction, in spreads of the samples."""
    conditional = model.context_shape is not None
    samples = model.sample(key, 1 if conditional else _SAMPLES, context)
    x = samples[0] if conditional else samples
    spread = jnp.std(x, 0)
    distance = jnp.abs(model.reconstruct(x, context) - x)
    return jnp.max(distance / jnp.where(spread > 0, spread, 1.0))
