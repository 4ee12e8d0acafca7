"""Inverting autoregressive flows: what each way to sample costs in units of a density pass.

    python benchmarks/inversion.py [--small]

One masked autoregressive layer with perturbed weights, in float32:

- MAF: hidden layers of (512, 512), 16, 64, 256 and 784 dimensions, batch 100;
- TarFlow: 16 x 16 tokens of 12 entries, width 128, 4 transformer layers, batch 8.

Of each, a density pass and the incremental and iterative samplers take turns in every round; the
naive sampler, ``D`` passes, takes turns with the density in rounds of its own, fewer. Iterations
(Jacobi; and Jacobi in blocks, where the network can) run until nothing changes, and to ``1e-5``.
Printed are medians and spreads, the ratio to the density pass of the same round, the number of
passes that an iteration took, and the largest difference to the incremental sampler.

Floating-point operations of the incremental sampler, against a density pass, are counted from the
shapes, padding included; of small layers also by XLA, see ``operations.py``.
"""

import argparse
import functools

import jax
import jax.numpy as jnp
from flax import nnx
from operations import network_operations, xla_operations
from timing import interleaved, milliseconds, ratio

from jaxgen.bijectors import MaskedAutoregressive
from jaxgen.conditionals import MADE, CausalTransformer
from jaxgen.core import replace
from jaxgen.testing import perturb
from jaxgen.transforms import Affine


def maf(dimensions: int, hidden: tuple[int, ...]) -> MaskedAutoregressive:
    """One layer of MAF."""
    made = MADE((dimensions,), 2, hidden=hidden, rngs=nnx.Rngs(0))
    return perturb(MaskedAutoregressive(made), jax.random.key(1), 0.1)


def tarflow(side: int, entries: int, width: int, layers: int) -> MaskedAutoregressive:
    """One block of TarFlow."""
    network = CausalTransformer(
        (side, side), (entries,), 2 * entries, width=width, depth=layers, heads=4, rngs=nnx.Rngs(0)
    )
    return perturb(MaskedAutoregressive(network, Affine(None)), jax.random.key(1), 0.1)


def time_samplers(layer: MaskedAutoregressive, batch: int, rounds: int, naive_rounds: int) -> None:
    """Prints what the samplers take, and whether they agree."""
    density = jax.jit(MaskedAutoregressive.inverse_and_log_det)
    sample = jax.jit(MaskedAutoregressive.forward_and_log_det)
    certified = jax.jit(
        MaskedAutoregressive.forward_with_certificate, static_argnames=("method", "tolerance")
    )
    z = jax.random.normal(jax.random.key(2), (batch, *layer.conditional.event_shape))
    naive = replace(layer, method="naive")
    x, _ = sample(layer, z)

    calls = {
        "density": lambda: density(layer, x),
        "incremental": lambda: sample(layer, z),
    }
    methods = ("jacobi", "block") if layer.conditional.block is not None else ("jacobi",)
    iterations = {
        method + (f" to {tolerance}" if tolerance else ""): functools.partial(
            certified, layer, z, method=method, tolerance=tolerance
        )
        for method in methods
        for tolerance in (0.0, 1e-5)
    }
    calls |= iterations
    slow = {"density": calls["density"], "naive": lambda: sample(naive, z)}
    times, slow_times = interleaved(calls, rounds), interleaved(slow, naive_rounds)
    print(f"  density         {milliseconds(times['density'])}")
    ratios = {name: (times[name], times["density"]) for name in ("incremental", *iterations)}
    ratios["naive"] = slow_times["naive"], slow_times["density"]
    for name, (seconds, base) in ratios.items():
        aim = ", aim at most 4" if name == "incremental" else ""
        print(f"  {name:15} {milliseconds(seconds)}, {ratio(seconds, base)} passes{aim}")
    results = {"naive": sample(naive, z)[0]}
    for name, iterate in iterations.items():
        results[name], _, certificate = iterate()
        print(
            f"  {name}: {int(certificate.iterations)} passes, last change "
            f"{float(certificate.residual):.1e}"
        )
    for name, got in results.items():
        difference = float(jnp.max(jnp.abs(got - x)))
        print(f"  largest difference of {name} to incremental: {difference:.1e}")
    back = density(layer, x)[0]
    print(f"  largest difference of z after a round trip: {float(jnp.max(jnp.abs(back - z))):.1e}")


def main() -> None:
    """Prints times, agreement and operations."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--naive-rounds", type=int, default=1)
    parser.add_argument("--small", action="store_true", help="tiny sizes: does it run?")
    options = parser.parse_args()
    if options.small:
        dimensions, hidden, batch = (8,), (16, 16), 4
        side, entries, width, layers, images = 3, 2, 16, 2, 2
    else:
        dimensions, hidden, batch = (16, 64, 256, 784), (512, 512), 100
        side, entries, width, layers, images = 16, 12, 128, 4, 8

    for size in dimensions:
        print(f"MAF, {size} dimensions, hidden {hidden}, batch {batch}, one layer")
        time_samplers(maf(size, hidden), batch, options.rounds, options.naive_rounds)
        operations = network_operations(maf(size, hidden).conditional, batch)
        print(f"  operations, incremental / density: {operations}, aim at most 1.5")

    print(
        f"TarFlow, {side} x {side} tokens of {entries}, width {width}, {layers} transformer "
        f"layers, batch {images}, one block"
    )
    block = tarflow(side, entries, width, layers)
    time_samplers(block, images, options.rounds, options.naive_rounds)
    operations = network_operations(block.conditional, images)
    print(f"  operations, incremental / density: {operations}, aim at most 1.5")

    print("operations of the incremental sampler counted here, and by XLA, of small layers:")
    # One transformer layer, since a step scans over them.
    for title, layer in (
        ("MAF, 8 dimensions, hidden (64, 64)", maf(8, (64, 64))),
        ("TarFlow, 3 x 3 tokens of 2, width 32, one layer", tarflow(3, 2, 32, 1)),
    ):
        counted = network_operations(layer.conditional, 64).incremental
        by_xla = xla_operations(layer.conditional, 64)
        print(f"  {title}, batch 64: {counted:.4g}, {by_xla:.4g}")


if __name__ == "__main__":
    main()
