"""Latent-variable models on statically binarized MNIST (Larochelle and Murray, 2011).

Command: ``JAXGEN_DATA=DIR jaxgen train experiments/latent_mnist.py:vae --out
runs/vae_binarized_mnist``, and so on; ``DIR`` as in ``experiments/binarized_mnist.py``.

Log-likelihood in nats on the test split of 10000 images, importance-weighted with 5000 samples, a
lower bound in expectation, and the evidence lower bound beside it.
"""

from typing import Any

from jaxgen.runs import Recipe
from jaxgen.training import TrainSettings

LEARNING: dict[str, Any] = {
    "clip_norm": None,
    "ema_decay": 0.999,
    "learning_rate": 1e-3,
    "warmup_steps": 500,
}


def recipe(model: str, summary: str, train: TrainSettings, **others: Any) -> Recipe:
    name = others.pop("name", model)
    return Recipe(
        model,
        "npz:binarized_mnist.npz",
        event_shape=[28, 28, 1],
        eval_samples=5000,
        train=train,
        name=f"{name}_binarized_mnist",
        summary=f"{summary} on statically binarized MNIST.",
        **others,
    )


vae = recipe(
    "vae",
    "A VAE with two layers of 200 units each way",
    TrainSettings(
        steps=100_000, eval_every=5000, checkpoint_every=10_000, batch_size=100, **LEARNING
    ),
)
iwae = recipe(
    "vae",
    "The same with 50 latents, by the bound of 50 weights (IWAE),",
    TrainSettings(
        steps=80_000, eval_every=5000, checkpoint_every=10_000, batch_size=20, **LEARNING
    ),
    name="iwae",
    model_args={"latents": 50},
    objective="importance_weighted",
    objective_args={"num_samples": 50, "gradient": "dreg"},
)
