r"""How much better a posterior made for one example alone would be (Xiao et al. 2020).

.. math:: s(x) = \max_{q} \mathcal{L}(x; q) - \mathcal{L}(x; q_\phi(\cdot \mid x)), \qquad
          \mathcal{L}(x; q) = \mathbb{E}_q[\log p(x | z) + \log p(z) - \log q(z)].

The encoder has learned to be right for the training data; for others it is not, and an own
posterior gains more.

Deviation: the paper fits the encoder's parameters anew for every example. Here every posterior of
numbers that the model draws from is moved, ``z' = c + exp(a) (z - c) + b`` with its centre ``c``
and an ``a`` and a ``b`` for each entry, from ``a = b = 0`` on. Of normals with independent entries
these are all such normals, as in the variant that the paper names the cheaper one; any other
posterior, a flow's too, is moved as a whole.
"""

import functools
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array

from jaxgen.core import Context, Key, Shape
from jaxgen.evaluation.ood.path import require_key, require_posterior
from jaxgen.evaluation.ood.statistics import strangest
from jaxgen.models import Model
from jaxgen.models.chunks import checked_examples, in_chunks
from jaxgen.models.posterior import Draw, direct

Moves = list[tuple[Array, Array]]  # of every posterior met, the logarithm of a scale and a shift


def likelihood_regret(
    model: Model,
    x: np.ndarray | Array,
    context: Context = None,
    *,
    key: Key = None,
    steps: int = 100,
    learning_rate: float = 0.02,
    draws: int = 8,
    batch_size: int = 250,
) -> np.ndarray:
    """The gain of the evidence lower bound by a posterior of each example's own, in nats.

    Both bounds are means over the same 256 draws.

    Args:
        model: one with latents that are inferred by a posterior.
        x: array ``(n, *event_shape)``.
        context: array ``(n, *context_shape)`` for a conditional model.
        key: of the draws.
        steps: of Adam.
        learning_rate: of Adam, at the first step; it falls to 0 as a cosine.
        draws: of the posterior in every step.
        batch_size: examples in a chunk.

    Returns:
        float64 array ``(n,)``.

    Raises:
        TypeError: if the model has no posterior of numbers, or one whose draws have no gradient.
        ValueError: for no step or draw, a learning rate that is not positive, or no key.

    >>> from flax import nnx
    >>> from jaxgen import zoo
    >>> model = zoo.vae((8,), latents=2, hidden=(4,), rngs=nnx.Rngs(0))
    >>> likelihood_regret(model, np.zeros((5, 8), int), key=jax.random.key(0), steps=3).shape
    (5,)
    """
    where = "likelihood_regret"
    require_posterior(model, where)
    if model.undifferentiable is not None:
        raise TypeError(
            f"{where}: expected a posterior whose draws have a gradient, got a "
            f"{model.undifferentiable}"
        )
    for name, value in (("steps", steps), ("draws", draws), ("learning_rate", learning_rate)):
        if not value > 0:
            raise ValueError(f"{where}: expected {name} above 0, got {value!r}")
    key = require_key(key, where)
    x, context, _ = checked_examples(model, x, context, where=where)
    model.check_data(x)
    how = {"steps": int(steps), "learning_rate": float(learning_rate), "draws": int(draws)}
    regret = in_chunks(functools.partial(_regret, model, **how), x, context, key, batch_size)
    return strangest(regret, where)


_JUDGES = 256  # draws that compare the two posteriors


@functools.partial(jax.jit, static_argnames=("steps", "learning_rate", "draws"))
def _regret(
    model: Any,
    x: Array,
    context: Context,
    key: Array,
    *,
    steps: int,
    learning_rate: float,
    draws: int,
) -> Array:
    fit_key, judge_key = jax.random.split(key)

    def bound(moves: Moves, keys: Array) -> Array:
        """Means over draws, one for each example."""
        weights = jax.lax.map(
            lambda key: model.log_weight(x, key, context, draw=_moved(model, iter(moves))),
            keys,
            batch_size=16,
        )
        return weights.mean(axis=0)

    optimizer = optax.adam(optax.cosine_decay_schedule(learning_rate, steps))

    def step(carry: tuple[Moves, Any], key: Array) -> tuple[tuple[Moves, Any], None]:
        moves, state = carry
        # Examples do not meet, so that the gradient of the sum is that of each.
        loss = jax.grad(lambda moves: -jnp.sum(bound(moves, jax.random.split(key, draws))))
        updates, state = optimizer.update(loss(moves), state)
        return (optax.apply_updates(moves, updates), state), None

    start = _no_moves(model, x, context)
    keys = jax.random.split(fit_key, steps)
    (moves, _), _ = jax.lax.scan(step, (start, optimizer.init(start)), keys)
    judges = jax.random.split(judge_key, _JUDGES)
    return bound(moves, judges) - bound(start, judges)


def _moved(model: Any, moves: Iterator[tuple[Array, Array]]) -> Draw:
    """Draws from a model's posteriors, each moved by the next of the moves."""

    def draw(posterior: Any, key: Array, batch: Shape, context: Context) -> tuple[Array, Array]:
        z, log_q = direct(posterior, key, batch, context)
        if not _movable(model, posterior, context):
            return z, log_q
        log_scale, shift = next(moves)
        centre = jax.lax.stop_gradient(posterior.centre(context))
        entries = tuple(range(-len(posterior.event_shape), 0))
        moved = centre + jnp.exp(log_scale) * (z - centre) + shift
        return moved, log_q - jnp.sum(log_scale, axis=entries)

    return draw


def _movable(model: Any, posterior: Any, context: Context) -> bool:
    """Whether a posterior is over latents: noise of a dequantization is between two levels."""
    ours = posterior.event_shape == model.latent_shape
    return ours or posterior.as_normal(context) is not None


def _no_moves(model: Any, x: Array, context: Context) -> Moves:
    """Moves to where the posteriors are, one for each that a weight draws from."""
    shapes: list[Shape] = []

    def note(posterior: Any, key: Array, batch: Shape, context: Context) -> tuple[Array, Array]:
        z, log_q = direct(posterior, key, batch, context)
        if _movable(model, posterior, context):
            shapes.append(z.shape)
        return z, log_q

    jax.eval_shape(lambda: model.log_weight(x, jax.random.key(0), context, draw=note))
    return [(jnp.zeros(shape), jnp.zeros(shape)) for shape in shapes]
