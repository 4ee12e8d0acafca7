"""The model's draws beside the examples, and the examples' ranks among them."""

import functools
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxgen.core import Context, ShapeError, check_key
from jaxgen.models import Model, chunks
from jaxgen.models.checks import count


def checked_examples(
    model: Model,
    x: np.ndarray | Array,
    context: np.ndarray | Array | None,
    key: Array | None,
    where: str,
) -> tuple[np.ndarray, np.ndarray | None]:
    """Examples and contexts as arrays that fit the model and each other.

    Raises:
        TypeError: if the model is none, or the key.
        ShapeError: if the shapes do not fit, or a context is missing or too many.
        ValueError: if there is no example, or one that is not finite or outside the support.
    """
    if key is None:
        raise ValueError(f"{where}: it draws, so a key is needed, got None")
    check_key(key, where)
    x, context, _ = chunks.checked_examples(model, x, context, where=where)
    x = np.asarray(x)
    if x.shape[1:] != model.event_shape:
        expected = ", ".join(["n", *map(str, model.event_shape)])
        raise ShapeError(f"{where}: expected x of shape ({expected}), got {x.shape}")
    model.check_data(x)
    if model.context_shape is None:
        if context is not None:
            raise ShapeError(f"{where}: this model is unconditional, but a context was given")
        return x, None
    if context is None:
        raise ShapeError(
            f"{where}: this {type(model).__name__} is conditional; pass the contexts of the "
            f"examples, ({', '.join(['n', *map(str, model.context_shape)])})"
        )
    context = np.asarray(context)
    if context.shape != (len(x), *model.context_shape):
        raise ShapeError(
            f"{where}: expected contexts of shape {(len(x), *model.context_shape)}, got "
            f"{context.shape}"
        )
    return x, context


def conditional_draws(
    model: Model,
    context: np.ndarray,
    key: Array,
    num_samples: int,
    batch_size: int,
    where: str,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The rows of some contexts, and draws given each, ``(rows, num_samples, *event_shape)``.

    Chunks are of ``batch_size`` draws, or of one context's. All are of one size, so that nothing is
    recompiled: the last goes on with the first contexts, which get new draws.
    """
    num_samples = count(num_samples, where, least=1)
    batch_size = count(batch_size, where, "batch_size", least=1)
    size = max(1, batch_size // num_samples)
    for index, rows in enumerate(chunks.Chunks(len(context), size)):
        own = jax.random.fold_in(key, index)
        drawn = np.asarray(_sample(model, own, context[rows], num_samples=num_samples))
        yield rows, np.moveaxis(drawn, 0, 1)


def shared_draws(
    model: Model, key: Array, num_samples: int, batch_size: int, where: str
) -> np.ndarray:
    """Draws of an unconditional model, ``(num_samples, *event_shape)``."""
    num_samples = count(num_samples, where, least=1)
    size = min(count(batch_size, where, "batch_size", least=1), num_samples)
    chunks = [
        np.asarray(_sample(model, jax.random.fold_in(key, index), None, num_samples=size))
        for index in range(-(-num_samples // size))
    ]
    return np.concatenate(chunks)[:num_samples]


@functools.partial(jax.jit, static_argnames="num_samples")
def _sample(model: Model, key: Array, context: Context, *, num_samples: int) -> Array:
    return model.sample(key, num_samples, None if context is None else jnp.asarray(context))


def ranked(values: np.ndarray, truth: np.ndarray, key: Array) -> tuple[np.ndarray, np.ndarray]:
    """The ranks of ``truth`` among ``values``, and numbers that are uniform if they are.

    Of equal values a random one is the first, and between neighbouring ranks ``u`` is random, so
    that of exchangeable values ranks are uniform on ``0 .. S`` and ``u`` on ``[0, 1]``, exactly.

    Args:
        values: array ``(n, S, ...)``.
        truth: array ``(n, ...)``.
        key: what is random.

    Returns:
        Integers and float64 numbers, both of the shape of ``truth``.
    """
    below = np.sum(values < truth[:, None], axis=1)
    ties = np.sum(values == truth[:, None], axis=1)
    first, second = uniforms(key, (2, *truth.shape))
    ranks = below + np.minimum(np.floor(first * (ties + 1)), ties).astype(below.dtype)
    return ranks, (ranks + second) / (values.shape[1] + 1)


def uniforms(key: Array, shape: tuple[int, ...]) -> np.ndarray:
    """Uniform numbers in double precision, whatever JAX computes in."""
    words = [int(word) for word in np.asarray(jax.random.key_data(key)).ravel()]
    return np.random.default_rng(words).uniform(size=shape)


def check_numbers(values: np.ndarray, what: str, where: str) -> np.ndarray:
    """Refuses NaN, which has no rank."""
    bad = np.flatnonzero(np.isnan(values).reshape(len(values), -1).any(axis=1))
    if bad.size:
        raise ValueError(
            f"{where}: {bad.size} {what} are NaN, the first of row {bad[0]}, which has no rank"
        )
    return values
