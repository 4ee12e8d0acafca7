"""MAF: what a sample costs in units of a density pass, and what depth costs to compile.

    python benchmarks/maf.py

One masked autoregressive flow of 43 dimensions, 5 layers, hidden layers of exactly (512, 512),
batch 1000, float32, perturbed weights. Timings are interleaved and after warm-up; the median over
the rounds is printed with the spread (minimum to maximum). Absolute times depend on the machine,
the ratios travel.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from jaxgen import zoo
from jaxgen.models import Flow
from jaxgen.testing import perturb

DIMENSIONS, LAYERS, HIDDEN, BATCH = 43, 5, (512, 512), 1000


def build(layers: int) -> Flow:
    """A flow of this depth with weights off their zero start."""
    flow = zoo.maf((DIMENSIONS,), layers=layers, hidden=HIDDEN, rngs=nnx.Rngs(0))
    return perturb(flow, jax.random.key(1), 0.01)


def interleaved(calls: dict[str, Callable[[], Any]], rounds: int) -> dict[str, list[float]]:
    """Seconds of every call in every round, the calls taking turns, after one warm-up each."""
    for call in calls.values():
        jax.block_until_ready(call())
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            began = time.perf_counter()
            jax.block_until_ready(call())
            times[name].append(time.perf_counter() - began)
    return times


def compile_seconds(layers: int, x: jax.Array) -> float:
    """Seconds to trace and compile the density of a flow of this depth."""
    # Building runs in the background; unfinished, it would compete with the compiler.
    flow = jax.block_until_ready(build(layers))
    # A new function object each time, so that nothing is taken from jax's cache.
    compiled = jax.jit(lambda flow, x: flow.log_prob(x))
    began = time.perf_counter()
    compiled.lower(flow, x).compile()
    return time.perf_counter() - began


def main() -> None:
    """Prints the ratios."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=20)
    rounds = parser.parse_args().rounds
    flow = build(LAYERS)
    x = jax.random.normal(jax.random.key(2), (BATCH, DIMENSIONS))
    log_prob = jax.jit(Flow.log_prob)
    sample = jax.jit(Flow.sample, static_argnums=2, static_argnames="method")
    key = jax.random.key(3)

    times = interleaved(
        {"density": lambda: log_prob(flow, x), "sampling": lambda: sample(flow, key, BATCH)}, rounds
    )
    for name, seconds in times.items():
        print(
            f"{name:9} {1e3 * statistics.median(seconds):7.1f} ms "
            f"({1e3 * min(seconds):.1f} to {1e3 * max(seconds):.1f})"
        )
    pairs = [s / d for d, s in zip(times["density"], times["sampling"], strict=True)]
    print(
        f"sampling / density: {statistics.median(pairs):.2f} "
        f"({min(pairs):.2f} to {max(pairs):.2f}), aim at most 4"
    )
    naive = sample(flow, key, BATCH, method="naive")
    difference = float(jnp.max(jnp.abs(naive - sample(flow, key, BATCH))))
    print(f"largest difference to the naive sampler: {difference:.1e}, aim at most 1e-5")

    seconds = {4: [], 32: []}
    compile_seconds(2, x)  # warms up what is compiled once in a process
    for _ in range(9):
        for layers in seconds:
            seconds[layers].append(compile_seconds(layers, x))
    medians = {layers: statistics.median(values) for layers, values in seconds.items()}
    ratios = [deep / flat for flat, deep in zip(seconds[4], seconds[32], strict=True)]
    print(f"compile {medians[4]:.2f} s for 4 layers, {medians[32]:.2f} s for 32")
    print(
        f"compile 32 / 4 layers: {statistics.median(ratios):.2f} "
        f"({min(ratios):.2f} to {max(ratios):.2f}), aim at most 1.3"
    )


if __name__ == "__main__":
    main()
