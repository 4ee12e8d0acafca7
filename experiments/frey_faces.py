"""A VAE and f-VAES of equal size on Frey faces (1965 frames of 28 x 20 pixels, 256 levels).

Command: ``JAXGEN_DATA=DIR jaxgen train experiments/frey_faces.py:fvae --out runs/fvae_frey``, and
so on; ``DIR`` holds ``freyfaces.npz`` (array ``x``). There is no official split: the rows are
shuffled and cut into 80, 10 and 10 per cent.

Records are importance-weighted with 1000 samples. The VAE is at its best in validation after 2500
steps, f-VAES after 2250, and both learn the training frames by heart from there on.
"""

from typing import Any

from jaxgen.runs import Recipe
from jaxgen.training import TrainSettings


def recipe(model: str, summary: str, model_args: dict[str, Any], **others: Any) -> Recipe:
    settings: dict[str, Any] = {
        "steps": 4000,
        "batch_size": 50,
        "learning_rate": 1e-3,
        "warmup_steps": 200,
        "eval_every": 250,
        "checkpoint_every": 1000,
        "ema_decay": 0.99,
    }
    return Recipe(
        model,
        "npz:freyfaces.npz",
        {"levels": 256, "latents": 16} | model_args,
        eval_samples=1000,
        train=TrainSettings(**settings | others),
        name=f"{model}_frey",
        summary=f"{summary} on Frey faces.",
    )


vae = recipe(
    "vae",
    "A VAE with a mixture of five logistics for every pixel",
    {"network": "conv", "widths": [37, 74], "components": 5},
)
fvae = recipe(
    "fvae",
    "f-VAES of as many parameters",
    {
        "layers": 2,
        "layer_hidden": [64],
        "features": 64,
        "steps": 4,
        "width": 48,
        "widths": [32, 64],
    },
)
