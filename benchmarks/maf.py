"""MAF: what a sample costs in units of a density pass, and what depth costs to compile.

    python benchmarks/maf.py

One masked autoregressive flow of 43 dimensions, 5 layers, hidden layers of exactly (512, 512),
batch 1000, float32, perturbed weights. Timings are interleaved and after warm-up; the median over
the rounds is printed with the spread (minimum to maximum). Absolute times depend on the machine,
the ratios travel.
"""

import argparse

import jax
import jax.numpy as jnp
from flax import nnx
from timing import compile_seconds, interleaved, milliseconds, ratio

from jaxgen import zoo
from jaxgen.models import Flow
from jaxgen.testing import perturb

DIMENSIONS, LAYERS, HIDDEN, BATCH = 43, 5, (512, 512), 1000


def build(layers: int) -> Flow:
    """A flow of this depth with weights off their zero start."""
    flow = zoo.maf((DIMENSIONS,), layers=layers, hidden=HIDDEN, rngs=nnx.Rngs(0))
    return perturb(flow, jax.random.key(1), 0.01)


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
        print(f"{name:9} {milliseconds(seconds)}")
    print(f"sampling / density: {ratio(times['sampling'], times['density'])}, aim at most 4")
    naive = sample(flow, key, BATCH, method="naive")
    difference = float(jnp.max(jnp.abs(naive - sample(flow, key, BATCH))))
    print(f"largest difference to the naive sampler: {difference:.1e}, aim at most 1e-5")

    flows = {layers: build(layers) for layers in (4, 32)}
    compiling: dict[int, list[float]] = {layers: [] for layers in flows}
    compile_seconds(Flow.log_prob, flows[4], x)  # warms up what is compiled once in a process
    for _ in range(9):
        for layers, flow in flows.items():
            compiling[layers].append(compile_seconds(Flow.log_prob, flow, x))
    for layers, spent in compiling.items():
        print(f"compile {layers} layers: {milliseconds(spent)}")
    print(f"compile 32 / 4 layers: {ratio(compiling[32], compiling[4])}, aim at most 1.3")


if __name__ == "__main__":
    main()
