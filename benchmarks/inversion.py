"""Inverting autoregressive flows: what each way to sample costs in units of a density pass.

    python benchmarks/inversion.py [--small]

One masked autoregressive layer with perturbed weights, in float32:

- MAF: hidden layers of (512, 512), 16, 64, 256 and 784 dimensions, batch 100;
- TarFlow: 16 x 16 tokens of 12 entries, width 128, 4 transformer layers, batch 8.

Of each, a density pass and the incremental and Jacobi samplers take turns in every round; the naive
sampler, ``D`` passes, takes turns with the density in rounds of its own, fewer. Printed are medians
and spreads, the ratio to the density pass of the same round, the number of Jacobi's passes, and the
largest difference to the incremental sampler.

Floating-point operations are those of the matrix products, counted from the shapes, padding
included: of the incremental sampler, against a density pass. A second count is XLA's own of a small
layer whose loop of steps is unrolled, because XLA counts the body of a loop once; it holds the
elementwise operations, too, so it agrees with the first roughly.
"""

import argparse
import itertools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from timing import interleaved, milliseconds, ratio

from jaxgen.bijectors import MaskedAutoregressive
from jaxgen.conditionals import MADE, CausalTransformer
from jaxgen.core import replace
from jaxgen.functional import masks
from jaxgen.functional.autoregressive import Cache
from jaxgen.testing import perturb
from jaxgen.transforms import Affine


class Operations(NamedTuple):
    """Floating-point operations of a density pass and of the incremental sampler."""

    density: float
    incremental: float

    def __str__(self) -> str:
        share = self.incremental / self.density
        return f"{self.incremental:.4g} / {self.density:.4g} = {share:.3f}"


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


def made_operations(size: int, hidden: tuple[int, ...], num_params: int, batch: int) -> Operations:
    """Of a masked multilayer perceptron of ``size`` positions.

    A step multiplies, in every layer, one block of rows by all columns. Blocks have the height of
    the largest one, and that many columns of padding stand behind the units of a layer. A density
    pass multiplies, between hidden layers, the first half of the units by what they see only
    (:func:`~jaxgen.functional.masks.hidden_product`).
    """
    degrees = [masks.hidden_degrees(width, size, lowest=1) for width in hidden]
    heights = [int(np.bincount(each, minlength=size).max()) for each in degrees]
    columns = [size, *(width + height for width, height in zip(hidden, heights, strict=True))]
    blocks = sum(height * below for height, below in zip(heights, columns, strict=False))
    step = blocks + num_params * columns[-1]
    full = size * hidden[0] + hidden[-1] * size * num_params
    for below, above in itertools.pairwise(degrees):
        half = above.size // 2
        full += below.size * (above.size - half)
        full += half * np.searchsorted(below, above[half - 1], side="right")
    return Operations(2.0 * batch * full, 2.0 * batch * size * step)


def attention_operations(network: CausalTransformer, batch: int) -> Operations:
    """Of a causal transformer, whose every token attends to all ``D`` keys, masked, in both."""
    size, width = network.num_positions, network.transformer.width
    inner = network.transformer.blocks.up.out_features
    block = 4 * width**2 + 2 * width * inner + 2 * size * width
    token = network.transformer.depth * block + width * network.num_params
    embedding = width * math.prod(network.position_shape)
    return Operations(
        2.0 * batch * (size * token + (size - 1) * embedding),
        2.0 * batch * size * (token + embedding),
    )


def xla_operations(layer: MaskedAutoregressive, x: jax.Array) -> Operations:
    """XLA's count for a small layer, its loop of steps unrolled."""

    def density(layer: MaskedAutoregressive, x: jax.Array) -> jax.Array:
        return layer.conditional(x)

    def unrolled(layer: MaskedAutoregressive, x: jax.Array) -> list[jax.Array]:
        network = layer.conditional
        sequence = network.to_sequence(x, network.resolve_order(None))
        cache: Cache = network.init_cache(x.shape[:1])
        previous, outputs = jnp.zeros_like(sequence[0]), []
        for t in range(network.num_positions):
            params, cache = network.step(cache, jnp.asarray(t), previous)
            outputs.append(params)
            previous = sequence[t]
        return outputs

    def count(function: Callable[..., Any]) -> float:
        return jax.jit(function).lower(layer, x).compile().cost_analysis()["flops"]

    return Operations(count(density), count(unrolled))


def time_samplers(layer: MaskedAutoregressive, batch: int, rounds: int, naive_rounds: int) -> None:
    """Prints what the samplers take, and whether they agree."""
    density = jax.jit(MaskedAutoregressive.inverse_and_log_det)
    sample = jax.jit(MaskedAutoregressive.forward_and_log_det)
    certified = jax.jit(MaskedAutoregressive.forward_with_certificate)
    z = jax.random.normal(jax.random.key(2), (batch, *layer.conditional.event_shape))
    naive = replace(layer, method="naive")
    x, _ = sample(layer, z)

    calls = {
        "density": lambda: density(layer, x),
        "incremental": lambda: sample(layer, z),
        "jacobi": lambda: certified(layer, z),
    }
    slow = {"density": calls["density"], "naive": lambda: sample(naive, z)}
    times, slow_times = interleaved(calls, rounds), interleaved(slow, naive_rounds)
    print(f"  density     {milliseconds(times['density'])}")
    for name, seconds, base in (
        ("incremental", times["incremental"], times["density"]),
        ("jacobi", times["jacobi"], times["density"]),
        ("naive", slow_times["naive"], slow_times["density"]),
    ):
        aim = ", aim at most 4" if name == "incremental" else ""
        print(f"  {name:11} {milliseconds(seconds)}, {ratio(seconds, base)} passes{aim}")
    by_jacobi, _, certificate = certified(layer, z)
    print(
        f"  jacobi: {int(certificate.iterations)} of at most {layer.conditional.num_positions} "
        f"passes, last change {float(certificate.residual):.1e}"
    )
    for name, got in (("jacobi", by_jacobi), ("naive", sample(naive, z)[0])):
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
        operations = made_operations(size, hidden, 2, batch)
        print(f"  operations, incremental / density: {operations}, aim at most 1.5")

    print(
        f"TarFlow, {side} x {side} tokens of {entries}, width {width}, {layers} transformer "
        f"layers, batch {images}, one block"
    )
    block = tarflow(side, entries, width, layers)
    time_samplers(block, images, options.rounds, options.naive_rounds)
    operations = attention_operations(block.conditional, images)
    print(f"  operations, incremental / density: {operations}, aim at most 1.5")

    print("operations counted here, and by XLA with the steps unrolled, of small layers:")
    small = maf(8, (64, 64))
    print(f"  MAF, 8 dimensions, hidden (64, 64), batch 64: {made_operations(8, (64, 64), 2, 64)}")
    print(f"  by XLA: {xla_operations(small, jnp.zeros((64, 8)))}")
    # One transformer layer, since the density scans over them.
    small = tarflow(3, 2, 32, 1)
    print(
        f"  TarFlow, 3 x 3 tokens of 2, width 32, one layer, batch 64: "
        f"{attention_operations(small.conditional, 64)}"
    )
    print(f"  by XLA: {xla_operations(small, jnp.zeros((64, 3, 3, 2)))}")


if __name__ == "__main__":
    main()
