r"""How hard an example pulls at the parameters (Dauncey et al. 2024).

.. math:: f_g(x) = \log \left\| \frac{\partial \log p_\theta(x)}{\partial \theta_g} \right\|^2

for every group of parameters :math:`\theta_g`. At a maximum of the likelihood the pulls of the
training data cancel on average, and those of other data differ from them in size. The norms stand
for Fisher's information, which would need a matrix of all parameters: each group is taken to have a
multiple of the identity.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array

from jaxgen.core import Context, Key, check_key, partition
from jaxgen.evaluation.ood.statistics import strangest
from jaxgen.models import Model
from jaxgen.models.chunks import checked_examples, in_chunks


def gradient_norms(
    model: Model,
    x: np.ndarray | Array,
    context: Context = None,
    *,
    key: Key = None,
    batch_size: int = 16,
) -> np.ndarray:
    """The logarithm of the squared norm of the gradient in every group of parameters.

    A group is an array of parameters, that of equal layers in a stack together. Of a model without
    an exact likelihood the gradient is that of its evidence lower bound.

    Args:
        model: any model that has parameters.
        x: array ``(n, *event_shape)``.
        context: array ``(n, *context_shape)`` for a conditional model.
        key: for a model without an exact likelihood.
        batch_size: examples in a chunk; each needs memory for a gradient of its own.

    Returns:
        float64 array ``(n, groups)``, in the order of the model's parameters. Where a gradient is
        zero it is the logarithm of the least positive float32.

    Raises:
        TypeError: if the model has no parameters.
        ValueError: if a key is needed, and missing.

    >>> from jaxgen.models import DiagonalNormal
    >>> gradient_norms(DiagonalNormal((2,)), np.ones((3, 2), np.float32)).shape
    (3, 2)
    """
    x, context, _ = checked_examples(model, x, context, where="gradient_norms")
    model.check_data(x)
    if not jax.tree.leaves(nnx.state(model, nnx.Param)):
        raise TypeError(
            f"gradient_norms: expected a model with parameters, got {type(model).__name__}"
        )
    if key is None and model.exactness != "exact":
        raise ValueError(
            f"gradient_norms: {type(model).__name__} has a random bound, so a key is needed, got "
            f"None"
        )
    if key is not None:
        check_key(key, "gradient_norms")
    key = jax.random.key(0) if key is None else key
    norms = in_chunks(functools.partial(_log_norms, model), x, context, key, batch_size)
    return strangest(norms, "gradient_norms")


@jax.jit
def _log_norms(model: Any, x: Array, context: Context, key: Array) -> Array:
    params, rebuilt = partition(model)

    def log_density(params: Any, x: Array, context: Context, key: Array) -> Array:
        own = rebuilt(params)
        if own.exactness == "exact":
            return own.log_prob(x, context)
        return own.elbo(x, key, context)

    def norms(x: Array, context: Context, key: Array) -> Array:
        gradient = jax.grad(log_density)(params, x, context, key)
        return jnp.stack([jnp.sum(leaf**2) for leaf in jax.tree.leaves(gradient)])

    squares = jax.vmap(norms)(x, context, jax.random.split(key, len(x)))
    return jnp.log(jnp.maximum(squares, jnp.finfo(jnp.float32).tiny))
