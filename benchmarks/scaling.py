"""One training on 1, 2, 4 and 8 devices: examples a second, compile time, memory.

    python benchmarks/scaling.py [--small] [--rounds 5] [--devices 1 2 4 8] [--out FILE]

Of Glow, PixelCNN++ and TarFlow on images of 32x32x3 (``--small``: 8x8x3), with parameters on every
device (``data``) and cut over them (``fsdp``): steps of one batch in turns, the seconds until the
first step, what the arrays of the training state take on the device that holds most of them, and,
where a device says so, the most memory that it has used. On accelerators they are those that there
are; otherwise eight are simulated on the CPU, which share its cores, so that examples a second say
what it costs to cut a training up, not what devices bring.
"""

import argparse
import json
import os
import pathlib
import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any

os.environ.setdefault("XLA_FLAGS", "--xla_force_host_platform_device_count=8")  # of CPUs alone

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from timing import interleaved

from jaxgen import zoo
from jaxgen.models import Dequantized, Model
from jaxgen.training import (
    Batch,
    TrainSettings,
    TrainState,
    make_optimizer,
    make_step,
    make_steps,
    negative_log_likelihood,
)
from jaxgen.training.sharding import mesh_for, shardings

WAYS = ("data", "fsdp")


def models(small: bool) -> dict[str, Callable[[], Model]]:
    """By name, how to make each."""
    shape, rngs = ((8, 8, 3) if small else (32, 32, 3)), nnx.Rngs(0)
    bounds = {"bounds": (0, 256)}
    options: dict[str, dict[str, Any]] = {
        "glow": {"levels": 2 if small else 3, "steps": 2 if small else 8, "width": 64, **bounds},
        "pixelcnnpp": {"width": 16 if small else 64, "blocks": 1, "components": 5},
        "tarflow": {"patch": 2, "blocks": 2, "layers": 2, "width": 64, "heads": 2, **bounds},
    }

    def make(name: str) -> Model:
        model = getattr(zoo, name)(shape, **options[name], rngs=rngs)
        return Dequantized(model, 256) if model.levels is None else model

    return {name: partial(make, name) for name in options}


def training(
    model: Model, x: np.ndarray, devices: list[Any], way: str
) -> tuple[Callable[[], float], dict[str, Any]]:
    """A dispatch of two steps that gives its state to the next, and what it cost to begin."""
    settings = TrainSettings(batch_size=len(x), sharding=way)
    mesh = mesh_for(settings, devices)
    optimizer = make_optimizer(settings)
    state = TrainState.create(model, optimizer, jax.random.key(0))
    placed = shardings(state, mesh, fsdp=way == "fsdp")
    state = jax.device_put(state, placed)
    steps = make_steps(make_step(negative_log_likelihood, optimizer), mesh, placed)
    rows = jnp.tile(jnp.arange(len(x)), (2, 1))
    held = [
        sum(leaf.addressable_shards[i].data.nbytes for leaf in jax.tree.leaves(state))
        for i in range(len(devices))
    ]
    began = time.perf_counter()
    state, _ = jax.block_until_ready(steps(state, Batch(x), rows))
    started = time.perf_counter() - began

    def run() -> float:
        nonlocal state
        began = time.perf_counter()
        state, _ = jax.block_until_ready(steps(state, Batch(x), rows))
        return time.perf_counter() - began

    return run, {"first dispatch, s": round(started, 2), "state, MiB": round(max(held) / 2**20, 2)}


def main() -> None:
    """Prints a line for each model, way and number of devices."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--models", nargs="+", default=[*models(True)], choices=[*models(True)])
    parser.add_argument("--devices", nargs="+", type=int, default=[1, 2, 4, 8])
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--small", action="store_true", help="tiny sizes: does it run?")
    parser.add_argument("--out", type=pathlib.Path, help="where to write the figures, as JSON")
    options = parser.parse_args()
    devices = jax.devices()
    counts = [count for count in options.devices if count <= len(devices)]
    print(f"{len(devices)} x {devices[0].device_kind}, jax {jax.__version__}")
    found: dict[str, Any] = {"device": devices[0].device_kind, "jax": jax.__version__}
    for name in options.models:
        model = models(options.small)[name]()
        shape = (options.batch, *model.event_shape)
        x = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
        calls, figures = {}, {}
        for way in WAYS:
            for count in counts:
                label = f"{name}, {way}, {count}"
                calls[label], figures[label] = training(model, x, devices[:count], way)
        for label, times in interleaved(calls, options.rounds).items():
            rate = 2 * options.batch / statistics.median(times)
            figures[label] |= {"examples/s": round(rate, 1)}
            peak = (devices[0].memory_stats() or {}).get("peak_bytes_in_use")
            figures[label] |= {} if peak is None else {"peak, MiB": round(peak / 2**20, 1)}
            print(f"{label}: " + ", ".join(f"{key} {v}" for key, v in figures[label].items()))
        found |= figures
        if options.out:
            options.out.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
