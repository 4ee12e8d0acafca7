r"""Paths between examples through the latent space of a model.

Two examples are taken to their latents, a path is drawn between these, and its points are taken
back. A normal latent of many dimensions ``D`` lies near the sphere of radius :math:`\sqrt D`, and
the middle of a straight line well inside of it, where the model has seen nothing; so the path
follows the sphere (Shoemake, 1985; for generative models White, 2016), with the angle
:math:`\Omega` between the two:

.. math:: z_t = \frac{\sin((1 - t)\Omega)}{\sin\Omega} z_0 + \frac{\sin(t\Omega)}{\sin\Omega} z_1.
"""

import math
from typing import TYPE_CHECKING

import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxgen.core import Context, Key, ShapeError, batch_shape
from jaxgen.evaluation.plots import sample_grid
from jaxgen.models import Model

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def interpolate(
    model: Model,
    x0: Array | np.ndarray,
    x1: Array | np.ndarray,
    num: int,
    context: Context = None,
    *,
    spherical: bool = True,
    key: Key = None,
) -> Array:
    """The way from ``x0`` to ``x1`` through the latent space, both ends included.

    The latents of a flow on a flow are those of the innermost one. Integer levels of a
    :class:`~jaxgen.models.Dequantized` flow are put into the middles of their cells, or, with
    ``key``, where uniform noise puts them; the way back floors, so both ends return as they were.
    Of a :class:`~jaxgen.models.VAE` the latents are the centres of its posteriors, or with ``key``
    draws, and what returns is what its decoder makes of them: at both ends reconstructions.

    Args:
        model: one with latents: a flow, a VAE, or a dequantized or embedded one.
        x0, x1: arrays ``(*batch, *event_shape)``.
        num: how many points, at least 2.
        context: array ``(*batch, *context_shape)`` for a conditional model, the same at both ends.
        spherical: follows the sphere; otherwise a straight line. Latents in (nearly) the same or
            opposite directions, between which there is no one shortest arc, take the line.
        key: of what is random on the way to latents; None for the middles.

    Returns:
        Array ``(num, *batch, *event_shape)``.

    Raises:
        TypeError: if the model has no latents.
        ValueError: if ``num`` is too small, or latents are codes.
        ShapeError: if the two ends have different shapes, or do not fit the model.

    >>> from jaxgen.bijectors import ActNorm
    >>> from jaxgen.models import Flow
    >>> path = interpolate(Flow(ActNorm((2,))), jnp.array([1.0, 0.0]), jnp.array([0.0, 1.0]), 3)
    >>> print(path.round(2))
    [[1.   0.  ]
     [0.71 0.71]
     [0.   1.  ]]
    """
    if num < 2:
        raise ValueError(f"interpolate: expected num >= 2, both ends included, got {num}")
    x0, x1 = jnp.asarray(x0), jnp.asarray(x1)
    batch = batch_shape(x0, model.event_shape, "interpolate")
    if x0.shape != x1.shape:
        raise ShapeError(f"interpolate: expected ends of one shape, got {x0.shape} and {x1.shape}")
    # Both ends at once: the noise of one is independent of the other's.
    z0, z1 = numeric_latents(model, jnp.stack([x0, x1]), context, "interpolate", key=key)
    entries = math.prod(z0.shape[len(batch) :])
    first, second = (each.reshape(*batch, entries) for each in (z0, z1))
    weights = _weights(first, second, num, spherical)
    event = tuple(range(-(z0.ndim - len(batch)), 0))
    from_first, from_second = (jnp.expand_dims(weight, event) for weight in weights)
    return model.decode(from_first * z0 + from_second * z1, context)


def numeric_latents(
    model: Model, x: Array, context: Context, where: str, *, key: Key = None
) -> Array:
    """Latents of examples, refused where they are names, between which there is nothing.

    Raises:
        TypeError: if the model has no latents.
        ValueError: if they are codes.
    """
    z = model.infer(x, context, key=key)
    if jnp.issubdtype(z.dtype, jnp.integer):
        raise ValueError(f"{where}: the latents of {type(model).__name__} are codes, not numbers")
    return z


def interpolation_grid(path: Array | np.ndarray, levels: float | None = None) -> "Figure":
    """Paths as a picture, a pair in each row; see :func:`~jaxgen.evaluation.sample_grid`.

    Args:
        path: array ``(num, pairs, *event_shape)``, from :func:`interpolate`.
        levels: the number of levels; None for real values.

    >>> figure = interpolation_grid(jnp.zeros((5, 3, 4, 4, 1), int), levels=2)
    >>> figure.savefig("interpolations.png")  # doctest: +SKIP
    """
    rows = np.swapaxes(np.asarray(path), 0, 1)
    return sample_grid(rows.reshape(-1, *rows.shape[2:]), levels, columns=rows.shape[1])


def _weights(z0: Array, z1: Array, num: int, spherical: bool) -> tuple[Array, Array]:
    """The weights of the two ends, ``(num, *batch)``, of vectors ``(*batch, D)``."""
    t = jnp.linspace(0.0, 1.0, num, dtype=z0.dtype).reshape(num, *(1,) * (z0.ndim - 1))
    line = jnp.broadcast_arrays(1.0 - t, t, z0[..., 0])[:2]
    if not spherical:
        return line[0], line[1]
    norms = jnp.linalg.norm(z0, axis=-1) * jnp.linalg.norm(z1, axis=-1)
    cosine = jnp.sum(z0 * z1, axis=-1) / jnp.where(norms > 0, norms, 1.0)
    angle = jnp.arccos(jnp.clip(cosine, -1.0, 1.0))
    sine = jnp.sin(angle)
    arc = sine > jnp.sqrt(jnp.finfo(z0.dtype).eps)
    safe = jnp.where(arc, sine, 1.0)
    first, second = (jnp.sin(w * angle) / safe for w in line)
    return jnp.where(arc, first, line[0]), jnp.where(arc, second, line[1])
