r"""Likelihoods of images in logit space, as the MAF line of papers reports them.

Papamakarios et al. (2017, section 4.3 and appendix D) dequantize 8-bit images once, map them to the
real line by :math:`y = \operatorname{logit}(\alpha + (1 - 2 \alpha) (x + u) / 256)`, and report the
log-density of :math:`y` in nats. It is exact, because the dequantized test set is a fixed set of
real vectors; but it is *not* comparable with nats or bits per dimension of the integers ``x``.
"""

import jax
import jax.numpy as jnp
import numpy as np

from jaxgen.bijectors import Bijector, Chain, Logit
from jaxgen.data import Dataset
from jaxgen.functional import dequantization
from jaxgen.models import Dequantized, Embedded, Flow, Model


def in_logit_space(model: Model, data: Dataset, *, seed: int = 0) -> tuple[Model, Dataset]:
    """The model of the real vectors behind its last layer, a logit, and the data as it sees them.

    Args:
        model: a :class:`~jaxgen.models.Dequantized` flow whose last layer is a
            :class:`~jaxgen.bijectors.Logit` (or an :class:`~jaxgen.models.Embedded` one).
        data: integers; they are dequantized by uniform noise once.
        seed: of that noise.

    Returns:
        The flow without its logit, exact, and the data set of ``logit(x + u)``, named as such.

    Raises:
        TypeError: if the model is not of that kind.

    >>> from flax import nnx
    >>> from jaxgen import zoo
    >>> maf = zoo.maf((2,), layers=1, hidden=(4,), bounds=(0, 8), rngs=nnx.Rngs(0))
    >>> levels = Dataset("levels", "test", np.array([[0, 7]]), levels=8)
    >>> model, data = in_logit_space(Dequantized(maf, 8), levels)
    >>> model.exactness, data.name
    ('exact', 'levels in logit space (alpha=1e-06)')
    """
    if isinstance(model, Embedded):
        inner, transformed = in_logit_space(model.model, data, seed=seed)
        return Embedded(inner, model.network), transformed
    if not isinstance(model, Dequantized):
        raise TypeError(
            f"in_logit_space: expected a Dequantized flow, got {type(model).__name__}; train with "
            f"dequantize=True"
        )
    flow, logit = _without_logit(model.flow)
    noise = dequantization.uniform_noise(jax.random.key(seed), data.x.shape, jnp.float32)
    y = jax.jit(Bijector.inverse)(logit, dequantization.dequantize(jnp.asarray(data.x), noise))
    name = f"{data.name} in logit space (alpha={logit.alpha:g})"
    return flow, Dataset(name, data.split, np.asarray(y), data.y)


def _without_logit(flow: Model) -> tuple[Model, Logit]:
    layers: list[Bijector] = []
    if isinstance(flow, Flow):
        bijector = flow.bijector
        layers = list(bijector.layers) if isinstance(bijector, Chain) else [bijector]
        if isinstance(layers[-1], Logit):
            rest = layers[:-1]
            return (Flow(Chain(rest), flow.base) if rest else flow.base), layers[-1]
    parts = ", ".join(type(layer).__name__ for layer in layers) or "no layers"
    raise TypeError(
        f"in_logit_space: expected a flow that ends in a Logit, got {type(flow).__name__} of "
        f"{parts}; build it with bounds=(0, levels)"
    )
