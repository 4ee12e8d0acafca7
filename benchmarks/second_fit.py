"""How soon a training starts: the first of its kind, and the second.

    python benchmarks/second_fit.py

For each model, the seconds from calling ``fit`` to the end of its first step, of 32 examples: of
the first training, which compiles, and of later ones, of new models of the same structure, in as
many rounds; the median is printed with the spread. They do not depend on how long a training is.
"""

import argparse
import time
from collections.abc import Callable

import numpy as np
from flax import nnx
from timing import milliseconds

from jaxgen import zoo
from jaxgen.models import Model
from jaxgen.training import TrainSettings, fit

AIM = 0.3  # seconds

MODELS: dict[str, tuple[int | None, Callable[[nnx.Rngs], Model]]] = {
    "maf": (None, lambda rngs: zoo.maf((8,), hidden=(64, 64), rngs=rngs)),
    "nsf": (None, lambda rngs: zoo.nsf((8,), steps=5, width=32, rngs=rngs)),
    "made": (2, lambda rngs: zoo.made((64,), hidden=(128,), rngs=rngs)),
    "attention": (16, lambda rngs: zoo.attention((64,), levels=16, width=32, depth=2, rngs=rngs)),
}


def seconds_to_start(model: Model, x: np.ndarray) -> float:
    """Seconds until the first step of a training is done."""
    settings = TrainSettings(steps=1, batch_size=32, steps_per_dispatch=1)
    began, ends = time.perf_counter(), []
    callback = [lambda row: ends.append(time.perf_counter())]
    fit(model, x, settings=settings, callbacks=callback, progress=False)
    return ends[0] - began


def main() -> None:
    """Prints the seconds."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--models", nargs="+", default=list(MODELS), choices=list(MODELS))
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    for name in options.models:
        levels, build = MODELS[name]
        models = [build(nnx.Rngs(seed)) for seed in range(1 + options.rounds)]
        shape = (1000, *models[0].event_shape)
        real = rng.normal(size=shape).astype(np.float32)
        x = real if levels is None else rng.integers(0, levels, shape)
        first, *later = (seconds_to_start(model, x) for model in models)
        print(
            f"{name:9} first {milliseconds([first])}, second {milliseconds(later)}, aim at most "
            f"{1e3 * AIM:.0f} ms",
            flush=True,
        )


if __name__ == "__main__":
    main()
