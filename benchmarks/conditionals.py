"""Sampling every kind of autoregressive network, in units of a density pass.

    python benchmarks/conditionals.py [--small] [--rounds 10] [--only NAME ...]

One network of each kind with perturbed weights, in float32, under a Bernoulli head. A density pass
and the incremental and wavefront samplers take turns in every round; the naive sampler, ``D``
passes, is timed once (``--naive-rounds``; 0 leaves it out). Printed are medians and spreads, the
ratio to the density pass of the same round, and the share of entries that another sampler draws
otherwise: in float32 rounding may carry a probability across the noise. Floating-point operations
are counted from the shapes; of tiny networks (``--small``) also by XLA, see ``operations.py``.
"""

import argparse
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from operations import network_operations, xla_operations
from timing import interleaved, milliseconds, ratio

from jaxgen.conditionals import (
    FVSBN,
    MADE,
    NADE,
    CausalTransformer,
    Conditional,
    DiagonalBiLSTM,
    GatedPixelCNN,
    Growing,
    LMConv,
    Markov,
    PixelCNN,
    PixelCNNPP,
    Recurrent,
    RowLSTM,
    WaveNet,
)
from jaxgen.likelihoods import Bernoulli
from jaxgen.models import Autoregressive
from jaxgen.testing import perturb

Make = Callable[[nnx.Rngs], Conditional]


def networks(small: bool) -> dict[str, tuple[Make, int, bool]]:
    """By name: how to make a network, the batch, and whether the order is random."""
    size, side, width = (12, 4, 8) if small else (784, 28, 500)
    hidden, maps = (16, 16) if small else (1566, 1566), 4 if small else 16
    binary = (0.0, 1.0)
    conv = {"width": maps, "depth": 2 if small else 6}
    # PixelCNN's windows see half of its features: as many maps as those of the others.
    halved = {"width": 2 * maps}
    # Sides of 28 can be halved twice, as in the paper; those of 4 are halved once.
    unet = {"width": maps, "blocks": 1, "resolutions": 2 if small else 3}
    layers = (1, 2, 4) if small else tuple(2**i for i in range(9))
    return {
        "markov": (lambda r: Markov((size,), 1, parents=2, values=binary), 100, False),
        "fvsbn": (lambda r: FVSBN((size,), 1, rngs=r), 100, False),
        "growing": (lambda r: Growing((size,), 1, width=8, rngs=r), 100, False),
        "nade": (lambda r: NADE((size,), 1, width=width, rngs=r), 64, False),
        "made": (lambda r: MADE((size,), 1, hidden=hidden, rngs=r), 100, False),
        "recurrent": (lambda r: Recurrent((size,), (), 1, width=128, rngs=r), 100, False),
        "pixelcnn": (
            lambda r: PixelCNN((side, side, 1), 1, **(conv | halved), out_width=maps, rngs=r),
            8,
            False,
        ),
        "gated pixelcnn": (
            lambda r: GatedPixelCNN((side, side), (1,), 1, **conv, out_width=maps, rngs=r),
            8,
            False,
        ),
        "row lstm": (
            lambda r: RowLSTM((side, side), (1,), 1, **conv, out_width=maps, rngs=r),
            8,
            False,
        ),
        "diagonal bilstm": (
            lambda r: DiagonalBiLSTM((side, side), (1,), 1, **conv, out_width=maps, rngs=r),
            8,
            False,
        ),
        "pixelcnn++": (
            lambda r: PixelCNNPP((side, side), (1,), 1, **unet, rngs=r),
            8,
            False,
        ),
        "lmconv": (lambda r: LMConv((side, side), (1,), 1, **conv, rngs=r), 8, False),
        "lmconv, random order": (
            lambda r: LMConv((side, side), (1,), 1, **conv, rngs=r),
            8,
            True,
        ),
        "wavenet": (lambda r: WaveNet((size,), (), 1, dilations=layers, rngs=r), 8, False),
        "attention": (
            lambda r: CausalTransformer((size,), (), 1, width=64, depth=2, rngs=r),
            8,
            False,
        ),
    }


def measure(
    name: str, make: Make, batch: int, shuffled: bool, rounds: int, naive_rounds: int
) -> Conditional:
    """Prints what the samplers of one network take, and whether they agree; returns the network."""
    model = perturb(Autoregressive(make(nnx.Rngs(0)), Bernoulli()), jax.random.key(1), 0.05)
    network = model.conditional
    order = None
    if shuffled:
        order = jnp.asarray(np.random.default_rng(0).permutation(network.num_positions))
    key = jax.random.key(2)
    static = {"static_argnums": 2, "static_argnames": "method"}
    sample = jax.jit(Autoregressive.sample, **static)
    density = jax.jit(Autoregressive.log_prob)
    x = sample(model, key, batch, order=order)
    drawn = {}

    def drawing(method: str) -> Callable[[], jax.Array]:
        def call() -> jax.Array:
            drawn[method] = sample(model, key, batch, order=order, method=method)
            return drawn[method]

        return call

    calls = {
        "density": lambda: density(model, x, order=order),
        "incremental": drawing("incremental"),
    }
    depth = network.parallel_depth()
    if depth < network.num_positions and not shuffled:
        calls["wavefront"] = drawing("wavefront")
    times = interleaved(calls, rounds)
    found = {method: (seconds, times["density"]) for method, seconds in times.items()}
    if naive_rounds:
        calls["naive"] = drawing("naive")
        slow = interleaved({each: calls[each] for each in ("density", "naive")}, naive_rounds)
        found["naive"] = slow["naive"], slow["density"]

    print(f"{name}: {network.num_positions} positions, parallel depth {depth}, batch {batch}")
    print(f"  density     {milliseconds(times['density'])}")
    for method, (seconds, base) in found.items():
        if method != "density":
            aim = ", aim at most 4" if method == "incremental" else ""
            print(f"  {method:11} {milliseconds(seconds)}, {ratio(seconds, base)} passes{aim}")
    for method, samples in drawn.items():
        if method != "incremental":
            changed = float(jnp.mean(samples != x))
            print(f"  entries that {method} draws otherwise, by rounding: {changed:.1e}")
    operations = network_operations(network, batch)
    print(f"  operations, incremental / density: {operations}, aim at most 1.5")
    return network


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--naive-rounds", type=int, default=1)
    parser.add_argument("--only", nargs="+", help="names of networks")
    parser.add_argument("--small", action="store_true", help="tiny sizes: does it run?")
    options = parser.parse_args()
    for name, (make, batch, shuffled) in networks(options.small).items():
        if options.only is None or name in options.only:
            rounds = options.rounds, options.naive_rounds
            network = measure(name, make, batch, shuffled, *rounds)
            if options.small:
                counted = f"{xla_operations(network, batch):.4g}"
                print(f"  operations of the incremental sampler as XLA counts them: {counted}")


if __name__ == "__main__":
    main()
