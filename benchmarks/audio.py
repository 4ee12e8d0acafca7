"""WaveNet: seconds to generate 1, 2 and 4 seconds of sound, one sample at a time.

    python benchmarks/audio.py [--small] [--rounds 5]

The network of ``experiments/fsdd.py:wavenet`` without its context, perturbed weights, float32, one
signal of 8000, 16000 and 32000 mu-law codes (8 kHz). Every step reads what earlier layers kept, so
the time is proportional to the length: the ratios should be 2 and 4. The lengths take turns in
every round; printed are medians and spreads, and the ratios of calls of the same round. Absolute
times depend on the machine, the ratios travel.
"""

import argparse
from pathlib import Path

import jax
import jax.numpy as jnp
from flax import nnx
from timing import interleaved, milliseconds, ratio

from jaxgen import zoo
from jaxgen.models import Autoregressive
from jaxgen.runs import load_recipe
from jaxgen.testing import perturb

EXPERIMENT = f"{Path(__file__).parents[1]}/experiments/fsdd.py:wavenet"
SECONDS = (1, 2, 4)


def main() -> None:
    """Prints the times and their ratios."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--small", action="store_true", help="tiny sizes: does it run?")
    options = parser.parse_args()
    rate, network = 8000, load_recipe(EXPERIMENT)[0].model_args
    if options.small:
        rate, network = 8, network | {"dilations": [1, 2]}
    sample = jax.jit(Autoregressive.sample, static_argnums=2)
    key = jax.random.key(2)

    def make(seconds: int) -> Autoregressive:
        model = zoo.wavenet((seconds * rate,), **network, rngs=nnx.Rngs(0))
        return perturb(model, jax.random.key(1), 0.05)

    models = {f"{seconds} s": make(seconds) for seconds in SECONDS}
    calls = {name: lambda model=model: sample(model, key, 1) for name, model in models.items()}
    times = interleaved(calls, options.rounds)
    for name, found in times.items():
        print(f"{name} of sound: {milliseconds(found)}")
    for seconds in SECONDS[1:]:
        found = ratio(times[f"{seconds} s"], times["1 s"])
        print(f"{seconds} s / 1 s: {found}, aim about {seconds}")
    shorter, longer = (calls[f"{seconds} s"]() for seconds in (1, 4))
    changed = float(jnp.mean(shorter != longer[:, : shorter.shape[1]]))
    print(f"codes of the first second that the longest signal has otherwise: {changed:.1e}")


if __name__ == "__main__":
    main()
