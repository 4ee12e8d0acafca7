"""The log-likelihood of a whole data set, example by example, in chunks."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxgen.models.base import Model


def score(
    model: Model,
    x: np.ndarray | Array,
    context: np.ndarray | Array | None = None,
    *,
    key: Array | None = None,
    num_samples: int = 1,
    batch_size: int = 500,
) -> np.ndarray:
    """``log p(x)`` of every example, or its bound or estimate, in nats.

    The whole array counts: the last chunk is filled up, so that nothing is recompiled, and what
    filled it is dropped.

    Args:
        model: any model.
        x: array ``(n, *event_shape)``.
        context: array ``(n, *context_shape)`` for a conditional model.
        key: the noise of a model without an exact likelihood; every chunk gets its own.
        num_samples: 1 for the ELBO, more for the importance-weighted estimate; an exact model
            ignores it.
        batch_size: examples in a chunk.

    Returns:
        float64 array ``(n,)``.

    Raises:
        ValueError: if a key is needed and missing.
    """
    if model.exactness != "exact" and key is None:
        raise ValueError(
            f"score: {type(model).__name__} has a random bound, so a key is needed, got None"
        )
    total = len(x)
    size = min(batch_size, total)
    key = jax.random.key(0) if key is None else key
    scores = []
    for index, start in enumerate(range(0, total, size)):
        rows = np.arange(start, start + size) % total
        part = None if context is None else context[rows]
        chunk_key = jax.random.fold_in(key, index)
        values = _score(model, x[rows], part, chunk_key, num_samples=num_samples)
        scores.append(np.asarray(values, np.float64))
    return np.concatenate(scores)[:total]


@functools.partial(jax.jit, static_argnames="num_samples")
def _score(model, x, context, key, *, num_samples):
    x = jnp.asarray(x)
    if model.exactness == "exact":
        return model.log_prob(x, context)
    if num_samples == 1:
        return model.elbo(x, key, context)
    return model.importance_log_prob(x, key, num_samples, context)
