"""What depth costs to compile: 64 equal steps beside 4, for every deep flow of the zoo.

    python benchmarks/compile.py

For each model, the seconds to trace and compile its log-density, and the gradient of its mean with
respect to all parameters, at both depths (per level, for multi-scale models). Depths take turns;
the median ratio and the spread over the rounds are printed. Widths are small: they do not change
the size of the program.
"""

import argparse
from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import nnx
from timing import compile_seconds, milliseconds, ratio

from jaxgen import zoo
from jaxgen.models import Flow, Model

SHALLOW, DEEP, AIM = 4, 64, 1.3

IMAGE = (8, 8, 1)
MODELS: dict[str, tuple[tuple[int, ...], Callable[[int], Model]]] = {
    "realnvp": (
        IMAGE,
        lambda n: zoo.realnvp(IMAGE, steps=n, scales=2, width=8, blocks=1, rngs=nnx.Rngs(0)),
    ),
    "glow": (IMAGE, lambda n: zoo.glow(IMAGE, steps=n, levels=2, width=8, rngs=nnx.Rngs(0))),
    "nsf": ((8,), lambda n: zoo.nsf((8,), steps=n, width=16, rngs=nnx.Rngs(0))),
    "maf": ((8,), lambda n: zoo.maf((8,), layers=n, hidden=(16,), rngs=nnx.Rngs(0))),
    "tarflow": (
        IMAGE,
        lambda n: zoo.tarflow(IMAGE, patch=2, blocks=n, layers=2, width=16, rngs=nnx.Rngs(0)),
    ),
    "jet": (
        IMAGE,
        lambda n: zoo.jet(IMAGE, patch=2, couplings=5 * n, depth=1, width=16, rngs=nnx.Rngs(0)),
    ),
}


def loss(flow: Flow, x: jax.Array) -> jax.Array:
    """Minus the mean log-density."""
    return -jnp.mean(flow.log_prob(x))


def main() -> None:
    """Prints the ratios."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--models", nargs="+", default=list(MODELS), choices=list(MODELS))
    options = parser.parse_args()
    for name in options.models:
        shape, build = MODELS[name]
        flows = {depth: build(depth) for depth in (SHALLOW, DEEP)}
        x = jnp.zeros((4, *shape))
        for what, function in (("density", Flow.log_prob), ("gradient", jax.grad(loss))):
            seconds: dict[int, list[float]] = {SHALLOW: [], DEEP: []}
            compile_seconds(function, flows[SHALLOW], x)  # what is compiled once in a process
            for _ in range(options.rounds):
                for depth, flow in flows.items():
                    seconds[depth].append(compile_seconds(function, flow, x))
            print(
                f"{name:8} {what:8} {SHALLOW} steps {milliseconds(seconds[SHALLOW])}, "
                f"{DEEP} steps {milliseconds(seconds[DEEP])}, ratio "
                f"{ratio(seconds[DEEP], seconds[SHALLOW])}, aim at most {AIM}",
                flush=True,
            )


if __name__ == "__main__":
    main()
