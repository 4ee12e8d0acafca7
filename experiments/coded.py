"""Small models of images, to code files with: what they say is soon learned, and coded exactly.

Command: ``JAXGEN_DATA=DIR jaxgen train experiments/coded.py:made_digits --out runs/made_digits``,
and so on for every model and data set, then ``python benchmarks/coding.py runs/* --num N``; ``DIR``
as in ``experiments/binarized_mnist.py``. No likelihood of theirs is worth a record.
"""

from typing import Any

from jaxgen.runs import Recipe
from jaxgen.training import TrainSettings

DATA: dict[str, tuple[str, int]] = {
    "digits": ("digits", 17),
    "binarized": ("npz:binarized_mnist.npz", 2),
    "mnist": ("npz:mnist.npz", 256),
}
MODELS: dict[str, dict[str, Any]] = {
    "made": {"hidden": [200]},
    "nade": {"width": 100},
    "pixelcnnpp": {"width": 16, "blocks": 1},
    "lmconv": {"width": 16, "depth": 3},
    "attention": {"width": 32, "depth": 2, "heads": 2},
    "vae": {"latents": 20, "hidden": [200]},
}


def recipe(model: str, data: str) -> Recipe:
    spec, levels = DATA[data]
    head = {"components": 5} if levels > 2 and (levels > 17 or model == "pixelcnnpp") else {}
    return Recipe(
        model,
        spec,
        {"levels": levels, **MODELS[model], **head},
        event_shape=[8, 8, 1] if data == "digits" else [28, 28, 1],
        train=TrainSettings(steps=200, batch_size=32, learning_rate=3e-3, eval_every=200),
        objective="elbo" if model == "vae" else "negative_log_likelihood",
        name=f"coded_{model}_{data}",
        summary=f"A small {model}, to code files with.",
    )


recipes = {f"{model}_{data}": recipe(model, data) for data in DATA for model in MODELS}
