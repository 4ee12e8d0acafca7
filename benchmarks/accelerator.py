"""Training and sampling at the size of papers, in float32 and bfloat16: what an accelerator does.

    python benchmarks/accelerator.py [--models glow tarflow] [--small] [--rounds 10] [--out FILE]

Of Glow (3 levels of 32 steps, width 512), PixelCNN++ (width 160, 5 blocks), TarFlow (8 blocks of 8
layers, width 512, patches of 4) and attention (12 layers of width 512) on images of 32x32x3:
examples a second of training steps and of samples; model-FLOPs utilisation, that is three times the
operations of a density pass over the time of a training step and over the device's peak for the
dtype; the memory that the compiled step needs, with stacks that keep everything for the gradient
and with ``remat``; and what a sample costs in units of a density pass. Every float32 product is a
true one (``highest`` precision) unless the networks compute in bfloat16. On devices whose peak is
not known, the CPU among them, the utilisation is left out.
"""

import argparse
import json
import pathlib
import statistics
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from operations import operations
from timing import interleaved, milliseconds, ratio

from jaxgen import compute_in, zoo
from jaxgen.models import Model
from jaxgen.training import Batch, TrainSettings, TrainState, make_optimizer, make_step
from jaxgen.training.objectives import economical, negative_log_likelihood
from jaxgen.training.utilisation import PEAKS

Make = Callable[[], Model]


def models(small: bool) -> dict[str, tuple[Make, int]]:
    """By name: how to make a model, and the batch."""
    shape, rngs = ((8, 8, 3) if small else (32, 32, 3)), nnx.Rngs(0)
    tiny: dict[str, dict[str, Any]] = {
        "glow": {"levels": 2, "steps": 2, "width": 8},
        "pixelcnnpp": {"width": 8, "blocks": 1, "components": 2},
        "tarflow": {"patch": 2, "blocks": 2, "layers": 1, "width": 16, "heads": 2},
        "attention": {"width": 16, "depth": 1, "heads": 2},
    }
    large: dict[str, dict[str, Any]] = {
        "glow": {"levels": 3, "steps": 32, "width": 512},
        "pixelcnnpp": {"width": 160, "blocks": 5},
        "tarflow": {"patch": 4, "blocks": 8, "layers": 8, "width": 512, "heads": 8},
        "attention": {"width": 512, "depth": 12, "heads": 8},
    }
    batches = {"glow": 64, "pixelcnnpp": 16, "tarflow": 64, "attention": 8}
    return {
        name: (
            partial(getattr(zoo, name), shape, **options, rngs=rngs),
            2 if small else batches[name],
        )
        for name, options in (tiny if small else large).items()
    }


def training(model: Model, batch: Batch, dtype: str, remat: bool) -> tuple[Callable[[], Any], Any]:
    """A training step that gives its state to the next, and the compiled program."""
    optimizer = make_optimizer(TrainSettings())
    computed = None if dtype == "float32" else dtype
    step = make_step(economical(negative_log_likelihood, computed, remat), optimizer)
    state = TrainState.create(jax.tree.map(jnp.copy, model), optimizer, jax.random.key(0))
    compiled = jax.jit(step, donate_argnums=0).lower(state, batch).compile()

    def run() -> Any:
        nonlocal state
        state, metrics = compiled(state, batch)
        return metrics

    return run, compiled


def main() -> None:
    """Prints a block for each model."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--models", nargs="+", default=[*models(True)], choices=[*models(True)])
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--small", action="store_true", help="tiny sizes: does it run?")
    parser.add_argument("--out", type=pathlib.Path, help="where to write the figures, as JSON")
    options = parser.parse_args()
    jax.config.update("jax_default_matmul_precision", "highest")
    device = jax.devices()[0]
    peaks = PEAKS.get(device.device_kind)
    print(f"{device.device_kind}, jax {jax.__version__}")
    found: dict[str, Any] = {"device": device.device_kind, "jax": jax.__version__}
    for name in options.models:
        make, size = models(options.small)[name]
        model = make()
        x = jax.random.randint(jax.random.key(1), (size, *model.event_shape), 0, 256)
        data = Batch(x / 128.0 - 1.0 if model.levels is None else x)
        print(f"{name}, batches of {size}", flush=True)
        for dtype in ("float32", "bfloat16"):
            figures = found[f"{name} {dtype}"] = measured(model, data, dtype, options.rounds, peaks)
            print(f"  {dtype}: " + ", ".join(f"{key} {value}" for key, value in figures.items()))
            if options.out:
                options.out.write_text(json.dumps(found, indent=1) + "\n")


def measured(
    model: Model, data: Batch, dtype: str, rounds: int, peaks: dict[str, float] | None
) -> dict[str, Any]:
    """The figures of a model in a dtype."""
    size = len(data.x)
    step, compiled = training(model, data, dtype, remat=False)
    _, economic = training(model, data, dtype, remat=True) if has_stacks(model) else (None, None)
    used = model if dtype == "float32" else compute_in(model, dtype)
    density = jax.jit(type(model).log_prob)
    sample = jax.jit(type(model).sample, static_argnums=2)
    key = jax.random.key(2)
    calls = {
        "train": step,
        "density": lambda: density(used, data.x),
        "sample": lambda: sample(used, key, size),
    }
    times = interleaved(calls, rounds)
    seconds = {each: statistics.median(all_) for each, all_ in times.items()}
    count = 3.0 * operations(type(model).log_prob, model, data.x)
    figures: dict[str, Any] = {
        "training examples/s": round(size / seconds["train"], 1),
        "samples/s": round(size / seconds["sample"], 1),
        "a sample in passes": ratio(times["sample"], times["density"]),
        "step": milliseconds(times["train"]),
        "operations a step": f"{count:.3g}",
        "step MiB": round(compiled.memory_analysis().temp_size_in_bytes / 2**20, 1),
    }
    if economic is not None:
        figures["step MiB, remat"] = round(economic.memory_analysis().temp_size_in_bytes / 2**20, 1)
    if peaks:
        figures["utilisation"] = f"{count / seconds['train'] / peaks[dtype]:.3f}"
    return figures


def has_stacks(model: Model) -> bool:
    """Whether :func:`jaxgen.rematerialize` knows what to do with it."""
    return any("remat" in vars(module) for _, module in nnx.iter_modules(model))


if __name__ == "__main__":
    main()
