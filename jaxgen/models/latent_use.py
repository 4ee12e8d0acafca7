r"""Which latents a model uses: divergences and active units.

A posterior that is the prior in some dimension tells nothing there: its divergence is 0, and its
mean the same for all data. A unit is active (Burda et al. 2016) if

.. math:: \mathrm{Var}_x\left(\mathbb{E}_{q(z | x)}[z_j]\right) > 0.01.

Where none is left of either, the posterior has collapsed: the decoder ignores the latents.
"""

import functools
from typing import NamedTuple

import jax
import numpy as np
from jax import Array
from jax.sharding import Mesh

from jaxgen.models.base import Model
from jaxgen.models.chunks import in_chunks

_ACTIVE = 0.01


class LatentUse(NamedTuple):
    """What a model's latents are used for, over a data set.

    ``divergence`` is the mean Kullback-Leibler divergence of posterior and prior in nats, of each
    latent dimension ``(latents,)`` where it has a closed form, of all together ``(1,)`` otherwise;
    of a :class:`~jaxgen.models.TopDown`, of each layer ``(layers,)``.
    ``variance`` that of the posterior's centre over the data, ``latent_shape``.
    """

    divergence: np.ndarray
    variance: np.ndarray

    @property
    def active_units(self) -> int:
        """How many dimensions have a variance above 0.01."""
        return int(np.sum(self.variance > _ACTIVE))


def latent_use(
    model: Model,
    x: np.ndarray | Array,
    context: np.ndarray | Array | None = None,
    *,
    key: Array,
    batch_size: int = 500,
    mesh: Mesh | None = None,
) -> LatentUse:
    """The use that a latent-variable model makes of its latents, over examples.

    Args:
        model: one with a posterior.
        x: array ``(n, *event_shape)``.
        context: array ``(n, *context_shape)`` for a conditional model.
        key: of the draws, where the divergence has no closed form.
        batch_size: examples in a chunk.
        mesh: devices over which they are cut, see :func:`~jaxgen.models.scoring.score`.

    Raises:
        TypeError: if the model has no posterior.
        ValueError: if there is no example.

    >>> from flax import nnx
    >>> from jaxgen import zoo
    >>> model = zoo.vae((8,), latents=2, hidden=(4,), rngs=nnx.Rngs(0))
    >>> use = latent_use(model, np.zeros((3, 8), int), key=jax.random.key(0))
    >>> use.divergence.tolist(), use.active_units  # a new posterior is the prior
    ([0.0, 0.0], 0)
    """
    if not len(x):
        raise ValueError("latent_use: expected at least one example, got none")
    terms = functools.partial(_terms, model)
    divergences, centres = in_chunks(terms, x, context, key, batch_size, mesh)
    return LatentUse(divergences.mean(axis=0), centres.var(axis=0))


@jax.jit
def _terms(model: Model, x: Array, context: Array | None, key: Array) -> tuple[Array, Array]:
    """The divergences and the posterior's centres of examples."""
    return model.elbo_terms(x, key, context)[1], model.infer(x, context)
