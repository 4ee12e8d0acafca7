"""How soon a model can be used: every constructor of the zoo at its defaults, from a cold start.

    python benchmarks/first_call.py [--models glow nsf] [--out times.json]

In a process of its own for each model and shape, after ``import jaxgen``: the seconds to build it;
of the score of two examples and of one sample, those of the first call, which compiles, and of a
later one, outside of ``jax.jit``; and the most memory that the process had. Images are 28x28x1 and
32x32x3; what takes none of them has the event that is named. A model that is not ready within
``--limit`` seconds has no numbers.
"""

import argparse
import json
import pathlib
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from flax import nnx

from jaxgen import zoo
from jaxgen.zoo.registry import PARTS, names

IMAGES = ((28, 28, 1), (32, 32, 3))
EVENTS: dict[str, tuple[tuple[int, ...], ...]] = {
    **dict.fromkeys(("maf", "iaf", "maf_mog"), ((784,), (43,))),
    **dict.fromkeys(("cylinder", "torus"), ((3,),)),
    "tabular": ((14,),),
    "wavenet": ((4000,),),
}
AIM = 1.5  # seconds to build


def seconds(call: Callable[[], Any]) -> float:
    began = time.perf_counter()
    jax.block_until_ready(call())
    return time.perf_counter() - began


def measured(name: str, event: tuple[int, ...]) -> dict[str, float]:
    """The times of a model in this process, in seconds, and its size."""
    models = []

    def build() -> Any:
        models.append(getattr(zoo, name)(event, rngs=nnx.Rngs(0)))
        return models

    times = {"build": seconds(build)}
    (model,) = models
    x = np.zeros((2, *event), np.float32 if model.levels is None else np.int32) + 0.5
    x = x if model.levels is None else x.astype(np.int32)
    keys = iter(jax.random.split(jax.random.key(0), 8))
    calls = {
        "score": lambda: model.elbo(x, next(keys)),
        "sample": lambda: model.sample(next(keys), 1),
    }
    for what, call in calls.items():
        times[f"first {what}"] = seconds(call)
        times[what] = seconds(call)
    parameters = jax.tree.leaves(nnx.state(model, nnx.Param))
    times["million parameters"] = sum(leaf.size for leaf in parameters) / 1e6
    times["gigabytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return times


def apart(name: str, event: tuple[int, ...], limit: float) -> dict[str, float] | None:
    """The same in a process of its own; None if it did not end in time, or ran out of memory."""
    command = [sys.executable, __file__, "--one", name, *map(str, event)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=limit)
    except subprocess.TimeoutExpired:
        return None
    return json.loads(done.stdout.splitlines()[-1]) if done.returncode == 0 else None


def main() -> None:
    """Prints a row for each model."""
    known = [name for name, _ in names() if name not in PARTS]
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--models", nargs="+", default=known, choices=known)
    parser.add_argument("--limit", type=float, default=300.0)
    parser.add_argument("--out", type=pathlib.Path)
    parser.add_argument("--one", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        name, *sides = options.one
        print(json.dumps(measured(name, tuple(map(int, sides)))))
        return
    results = {}
    for name in options.models:
        for event in EVENTS.get(name, IMAGES):
            row = f"{name} {'x'.join(map(str, event))}"
            results[row] = found = apart(name, event, options.limit)
            said = ", ".join(f"{what} {value:.2f}" for what, value in (found or {}).items())
            print(f"{row:30} {said or 'not in time'}; aim of building {AIM}", flush=True)
            if options.out:
                options.out.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
