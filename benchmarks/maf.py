"""MAF: what a sample costs in units of a density pass.

    python benchmarks/maf.py

One masked autoregressive flow of 43 dimensions, 5 layers, hidden layers of exactly (512, 512),
batch 1000, float32, perturbed weights. Timings are interleaved and after warm-up; the median over
the rounds is printed with the spread (minimum to maximum). Absolute times depend on the machine,
the ratios travel. (``inversion.py`` has single layers of other sizes, ``compile.py`` the compiler.)
"""

import argparse

import jax
import jax.numpy as jnp
from flax import nnx
from timing import interleaved, milliseconds, ratio

from jaxgen import zoo
from jaxgen.models import Flow
from jaxgen.testing import perturb

DIMENSIONS, LAYERS, HIDDEN, BATCH = 43, 5, (512, 512), 1000


def main() -> None:
    """Prints the ratios."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=20)
    rounds = parser.parse_args().rounds
    flow = zoo.maf((DIMENSIONS,), layers=LAYERS, hidden=HIDDEN, rngs=nnx.Rngs(0))
    flow = perturb(flow, jax.random.key(1), 0.01)
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


if __name__ == "__main__":
    main()
