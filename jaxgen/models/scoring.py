"""The log-likelihood of a whole data set, example by example, in chunks."""

import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.sharding import Mesh

from jaxgen.core import Key, ShapeError, check_key
from jaxgen.core.stored import Stored, in_memory
from jaxgen.models.base import Model
from jaxgen.models.chunks import Chunks, checked_examples, on_host
from jaxgen.models.padding import filled

# Padded events tend to be long; a chunk of them has at most so many values, unless it is of one.
CHUNK_VALUES = 2**17


def score(
    model: Model,
    x: np.ndarray | Array,
    context: np.ndarray | Array | None = None,
    *,
    lengths: np.ndarray | None = None,
    observed: np.ndarray | None = None,
    known: np.ndarray | None = None,
    key: Key = None,
    num_samples: int = 1,
    batch_size: int = 500,
    mesh: Mesh | None = None,
) -> np.ndarray:
    """``log p(x)`` of every example, or its bound or estimate, in nats; or of its missing part.

    The whole array counts: the last chunk is filled up, so that nothing is recompiled, and what
    filled it is dropped. Matrix products of float32 are computed in float32, where GPUs and TPUs
    would by default round the factors to fewer digits.

    Args:
        model: any model.
        x: array ``(n, *event_shape)``.
        context: array ``(n, *context_shape)`` for a conditional model.
        lengths: integers ``(n,)`` for events that are padded: the number of leading positions that
            count. Chunks are of ``CHUNK_VALUES`` values at most then.
        observed: boolean array of an autoregressive model's ``grid_shape``, or of
            ``(n, *grid_shape)``: what is not observed of an example is scored, given the rest; with
            lengths, up to the example's end.
        known: booleans ``(n, *grid_shape)`` of examples of which some positions are missing: the
            density of what is known of each is scored, whatever stands at the others.
        key: the noise of a model without an exact likelihood; every chunk gets its own.
        num_samples: 1 for the ELBO, more for the importance-weighted estimate; an exact model
            ignores it.
        batch_size: examples in a chunk.
        mesh: devices over whose axis ``"data"`` the examples of a chunk are cut, and which hold the
            model; None for where the model lies.

    Returns:
        float64 array ``(n,)``. The mean over examples that weigh differently is
        ``numpy.average(scores, weights=weights)``.

    Raises:
        ValueError: if there is no example, one that is no number, not finite or outside the model's
            support, a key is needed and missing, or the model takes no lengths.
        TypeError: for a key that is none, or data that are no numbers.
    """
    if known is not None:
        x = _hidden(model, np.asarray(x), np.asarray(known))
    x, context, lengths, observed = _checked(model, x, context, lengths, observed)
    for name, value in (("num_samples", num_samples), ("batch_size", batch_size)):
        if not isinstance(value, int | np.integer) or isinstance(value, bool) or value < 1:
            raise ValueError(f"score: expected a {name} of at least 1, got {value!r}")
    if model.exactness != "exact" and key is None:
        raise ValueError(
            f"score: {type(model).__name__} has a random bound, so a key is needed, got None"
        )
    if key is not None:
        check_key(key, "score")
    if lengths is not None:
        batch_size = min(batch_size, max(1, CHUNK_VALUES // math.prod(model.event_shape)))
    key = jax.random.key(0) if key is None else key
    scores, whole = [], Chunks(len(x), batch_size, mesh)
    for index, rows in enumerate(whole):
        part = None if context is None else context[rows]
        ends = None if lengths is None else lengths[rows]
        there = None if known is None else known[rows]
        mask = observed
        if own := observed is not None and observed.ndim > len(model.grid_shape or ()):
            mask = observed[rows]
        values = x[rows]
        if isinstance(x, Stored):
            model.check_data(values)
        values, part, ends, there = whole.cut((values, part, ends, there))
        mask = whole.cut(mask) if own else mask
        chunk_key = jax.random.fold_in(key, index)
        parts = (model, values, part, ends, mask, there, chunk_key)
        scores.append(on_host(_score(*parts, num_samples=num_samples)))
    return whole.joined(scores)


def _hidden(model: Model, x: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Examples with zeros where they are not known."""
    grid = model.grid_shape or ()
    if known.dtype != bool or known.shape != (len(x), *grid):
        raise ShapeError(
            f"score: expected known to be booleans of shape {(len(x), *grid)}, got {known.dtype} "
            f"of {known.shape}"
        )
    there = known.reshape(*known.shape, *(1,) * (len(model.event_shape) - len(grid)))
    return np.where(there, x, np.zeros_like(x))


def _checked(
    model: Model, x: Any, context: Any, lengths: Any, observed: Any
) -> tuple[Any, Any, np.ndarray | None, np.ndarray | None]:
    """What is scored, as arrays that fit the model and each other."""
    observed = None if observed is None else np.asarray(observed)
    grid = getattr(model, "grid_shape", None) or ()
    own = observed is not None and observed.ndim == 1 + len(grid)  # a mask for every example
    parts = {"lengths": lengths} | ({"a mask": observed} if own else {})
    x, context, parts = checked_examples(model, x, context, where="score", **parts)
    if lengths is None:
        model.check_data(in_memory(x))
    else:
        lengths = np.asarray(parts["lengths"])
        model.check_lengths(lengths)
        model.check_data(filled(x, lengths))
    return x, context, lengths, observed


@functools.partial(jax.jit, static_argnames="num_samples")
@jax.default_matmul_precision("float32")
def _score(model, x, context, lengths, observed, known, key, *, num_samples):
    x = jnp.asarray(x)
    if known is not None:
        return model.observed_log_prob(x, known, context)
    if observed is not None and lengths is not None:
        return model.conditional_log_prob(x, observed, context, lengths=lengths)
    if observed is not None:
        return model.conditional_log_prob(x, observed, context)
    if lengths is not None:
        return model.log_prob(x, context, lengths=lengths)
    if model.exactness == "exact":
        return model.log_prob(x, context)
    if num_samples == 1:
        return model.elbo(x, key, context)
    return model.importance_log_prob(x, key, num_samples, context)
