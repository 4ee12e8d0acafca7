"""A VAE beside one that is written by hand in Flax and optax.

    python benchmarks/latent.py

Both have the same networks (784-200-200-40-200-200-784, tanh), batches, optimizer and dtype. A
training step of the ELBO, a gradient step of the bound of 50 weights, and that bound without its
gradient are timed interleaved, after warm-up, in one process; then an evaluation of 5000 weights
beside its network passes alone: the encoder once and the decoder for every latent, with nothing
random in them. Medians in milliseconds, and ratios, of which the aims are 1.1 and 1.2.
"""

import argparse
import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jax import Array
from timing import interleaved, milliseconds, ratio

from jaxgen import zoo
from jaxgen.training import Batch, TrainState, importance_weighted, make_step
from jaxgen.training.objectives import negative_log_likelihood

HIDDEN, LATENTS, PIXELS, WEIGHTS = 200, 40, 784, 50


class ByHand(nnx.Module):
    """The usual VAE, without a library."""

    def __init__(self, rngs: nnx.Rngs):
        def network(n: int, m: int) -> nnx.Sequential:
            return nnx.Sequential(
                nnx.Linear(n, HIDDEN, rngs=rngs),
                jnp.tanh,
                nnx.Linear(HIDDEN, HIDDEN, rngs=rngs),
                jnp.tanh,
                nnx.Linear(HIDDEN, m, rngs=rngs),
            )

        self.encoder = network(PIXELS, 2 * LATENTS)
        self.decoder = network(LATENTS, PIXELS)

    def terms(self, x: Array, noise: Array) -> tuple[Array, Array, Array, Array]:
        """``log p(x | z)``, the noise's ``z``, and mean and log-scale of the posterior."""
        mean, log_scale = jnp.split(self.encoder(2.0 * x - 1.0), 2, axis=-1)
        z = mean + jnp.exp(log_scale) * noise
        logits = self.decoder(z)
        fit = jnp.sum(x * logits - jax.nn.softplus(logits), axis=-1)
        return fit, z, mean, log_scale

    def elbo(self, x: Array, key: Array) -> Array:
        """The bound, with its divergence in closed form."""
        noise = jax.random.normal(key, (len(x), LATENTS))
        fit, _, mean, log_scale = self.terms(x, noise)
        divergence = 0.5 * (jnp.exp(2 * log_scale) + mean**2 - 1.0) - log_scale
        return fit - jnp.sum(divergence, axis=-1)

    def bound(self, x: Array, key: Array) -> Array:
        """The bound of many weights."""
        noise = jax.random.normal(key, (WEIGHTS, len(x), LATENTS))
        fit, z, _, log_scale = self.terms(x, noise)
        log_w = fit + jnp.sum(-0.5 * z**2 + 0.5 * noise**2 + log_scale, axis=-1)
        return jax.nn.logsumexp(log_w, axis=0) - math.log(WEIGHTS)


def step_by_hand(optimizer: Any, loss: Callable[[ByHand, Array, Array], Array]) -> Any:
    """A training step as one writes it, with a moving average of the parameters as ours has."""

    def step(state: Any, x: Array) -> Any:
        model, ema, opt_state, count, key = state
        grads = jax.grad(loss)(model, x.astype(jnp.float32), jax.random.fold_in(key, count))
        updates, opt_state = optimizer.update(grads, opt_state, model)
        model = optax.apply_updates(model, updates)
        ema = jax.tree.map(lambda old, new: old + 0.01 * (new - old), ema, model)
        return model, ema, opt_state, count + 1, key

    return step


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--batch", type=int, default=100)
    parser.add_argument("--draws", type=int, default=5000)
    options = parser.parse_args()
    x = jnp.asarray(np.random.default_rng(0).integers(0, 2, (options.batch, PIXELS)), jnp.uint8)
    key = jax.random.key(0)
    ours, theirs = zoo.vae((PIXELS,), rngs=nnx.Rngs(0)), ByHand(nnx.Rngs(0))
    optimizer = optax.adam(1e-3)

    def repeated(step: Any, pick: Callable[[Any], Any]) -> Any:
        """Ten steps in one program, as training runs them."""
        return jax.jit(
            lambda state, x: jax.lax.scan(lambda s, _: (pick(step(s, x)), None), state, length=10)[
                0
            ]
        )

    many = functools.partial(importance_weighted, num_samples=WEIGHTS)
    state = TrainState.create(ours, optimizer, key)
    hand = (theirs, theirs, optimizer.init(theirs), jnp.zeros((), int), key)
    hand_elbo = step_by_hand(optimizer, lambda m, x, k: -jnp.mean(m.elbo(x, k)))
    hand_bound = step_by_hand(optimizer, lambda m, x, k: -jnp.mean(m.bound(x, k)))
    few = x[:20]
    rows = {
        "ten steps, ELBO": (
            functools.partial(
                repeated(make_step(negative_log_likelihood, optimizer), lambda pair: pair[0]),
                state,
                Batch(x),
            ),
            functools.partial(repeated(hand_elbo, lambda state: state), hand, x),
        ),
        f"ten steps, {WEIGHTS} weights": (
            functools.partial(
                repeated(make_step(many, optimizer), lambda pair: pair[0]), state, Batch(few)
            ),
            functools.partial(repeated(hand_bound, lambda state: state), hand, few),
        ),
        f"bound of {WEIGHTS} weights": (
            functools.partial(
                jax.jit(type(ours).importance_log_prob, static_argnums=3), ours, x, key, WEIGHTS
            ),
            functools.partial(jax.jit(ByHand.bound), theirs, x.astype(jnp.float32), key),
        ),
    }
    for name, calls in rows.items():
        report(name, calls, options.rounds)

    draws = options.draws
    z = jax.random.normal(key, (64, options.batch, LATENTS))

    @jax.jit
    def passes(model: ByHand, x: Array, z: Array) -> Array:
        """The networks alone, as often as 5000 weights need them."""
        total = jnp.sum(model.encoder(x.astype(jnp.float32)))

        def body(total: Array, shift: Array) -> tuple[Array, None]:
            # Ten latents of every example together, as the evaluation has them.
            return total + jnp.sum(model.decoder(z[:10] + shift)), None

        return jax.lax.scan(body, total, jnp.arange(draws // 10, dtype=jnp.float32))[0]

    evaluate = jax.jit(type(ours).importance_log_prob, static_argnums=3)
    calls = (
        functools.partial(evaluate, ours, x, key, draws),
        functools.partial(passes, theirs, x, z),
    )
    report(f"{draws} weights of {options.batch}", calls, 5)


def report(name: str, calls: tuple[Callable[[], Any], Callable[[], Any]], rounds: int) -> None:
    """A line of the table."""
    times = interleaved(dict(zip(("ours", "other"), calls, strict=True)), rounds, lead=1)
    ours, other = times["ours"], times["other"]
    print(
        f"{name:22} ours {milliseconds(ours)}, beside it {milliseconds(other)}, "
        f"ratio {ratio(ours, other)}",
        flush=True,
    )


if __name__ == "__main__":
    main()
