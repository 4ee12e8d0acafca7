"""What bfloat16 and remat change in trained models: the likelihood, and the memory of a step.

    python benchmarks/economy.py [RUN...] [--num N] [--batch 32] [--out FILE]

Of each run of ``jaxgen train``: bits per dimension (nats of real values) on its test split, as it
is and with its networks computing in bfloat16, and their difference over the same examples and the
same noise; and the memory that a compiled training step needs for what it computes, with stacks
that keep everything for the gradient and with ``remat``, beside the largest difference between the
two gradients. ``--num`` takes the first examples alone. Without a run, an untrained Glow of the
digits shows that it works.
"""

import argparse
import json
import math
import pathlib
from typing import Any

import jax
import numpy as np
from flax import nnx

from jaxgen import compute_in, zoo
from jaxgen.core import partition
from jaxgen.data import Dataset, load
from jaxgen.models import Dequantized, Model
from jaxgen.models.scoring import score
from jaxgen.runs import Run
from jaxgen.training import Batch, negative_log_likelihood
from jaxgen.training.objectives import economical


def likelihoods(
    model: Model, x: np.ndarray, labels: np.ndarray | None, unit: float
) -> dict[str, Any]:
    """Means in float32 and in bfloat16, and the mean and largest difference of an example."""
    key = jax.random.key(0)
    full, half = (
        -score(each, x, labels, key=key) * unit for each in (model, compute_in(model, "bfloat16"))
    )
    return {
        "float32": round(float(full.mean()), 5),
        "bfloat16": round(float(half.mean()), 5),
        "difference": round(float((half - full).mean()), 5),
        "largest of an example": round(float(np.abs(half - full).max()), 5),
    }


def steps(model: Model, batch: Batch) -> dict[str, Any]:
    """The memory of a gradient in MiB, and how far the two are from each other."""
    key, figures, grads = jax.random.key(1), {}, {}
    params, rebuild = partition(model)
    for name, remat in (("kept", False), ("remat", True)):
        objective = economical(negative_log_likelihood, None, remat)

        def loss(params: nnx.State, objective: Any = objective) -> Any:
            return objective(rebuild(params), batch, key)

        try:
            compiled = jax.jit(jax.grad(loss)).lower(params).compile()
        except ValueError:  # of a model without stacks
            return {"remat": "no stacks"}
        grads[name] = [np.asarray(leaf) for leaf in jax.tree.leaves(compiled(params))]
        figures[f"{name}, MiB"] = round(compiled.memory_analysis().temp_size_in_bytes / 2**20, 1)
    pairs = list(zip(*grads.values(), strict=True))
    largest = max(float(np.abs(a).max(initial=0.0)) for a, _ in pairs)
    apart = max(float(np.abs(a - b).max(initial=0.0)) for a, b in pairs)
    return {**figures, "gradients apart, of the largest": float(f"{apart / largest:.2g}")}


def opened(path: str | None) -> tuple[str, Model, Dataset]:
    """A run's name, model and test split."""
    if path is not None:
        run = Run.read(path)
        return run.name, run.load(), run.load_data("test")
    data = load("digits", "test")
    flow = zoo.glow(data.event_shape, levels=1, steps=4, width=16, bounds=(0, 17), rngs=nnx.Rngs(0))
    return "an untrained glow", Dequantized(flow, 17), data


def main() -> None:
    """Prints two lines for each run."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("runs", nargs="*", metavar="RUN")
    parser.add_argument("--num", type=int, help="examples (default: the whole test split)")
    parser.add_argument("--batch", type=int, default=32, help="examples of a training step")
    parser.add_argument("--out", type=pathlib.Path, help="where to write the figures, as JSON")
    options = parser.parse_args()
    found: dict[str, Any] = {"device": jax.devices()[0].device_kind, "jax": jax.__version__}
    for name, model, data in map(opened, options.runs or [None]):
        x, labels = data.x[: options.num], None if model.context_shape is None else data.y
        labels = None if labels is None else labels[: options.num]
        bits = 1.0 / (math.prod(data.event_shape) * math.log(2.0)) if data.levels else 1.0
        part = None if labels is None else labels[: options.batch]
        figures = {
            "examples": len(x),
            "unit": "bits/dim" if data.levels else "nats",
            "likelihood": likelihoods(model, x, labels, bits),
            "step": steps(model, Batch(x[: options.batch], part)),
        }
        found[name] = figures
        print(f"{name}, {len(x)} examples, {figures['unit']}")
        for part_of in ("likelihood", "step"):
            said = ", ".join(f"{key} {value}" for key, value in figures[part_of].items())
            print(f"  {part_of}: {said}")
        if options.out:
            options.out.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
