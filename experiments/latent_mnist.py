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


def settings(steps: int, batch_size: int = 100, **others: Any) -> TrainSettings:
    return TrainSettings(
        steps=steps,
        batch_size=batch_size,
        eval_every=5000,
        checkpoint_every=10_000,
        **LEARNING | others,
    )


vae = recipe("vae", "A VAE with two layers of 200 units each way", settings(100_000))
iwae = recipe(
    "iwae",
    "The importance-weighted autoencoder, 50 weights, one layer of 50 latents,",
    settings(80_000, 20),
    objective="importance_weighted",
    objective_args={"num_samples": 50, "gradient": "dreg"},
)
vae_iaf = recipe(
    "vae_iaf",
    "The VAE with four inverse autoregressive layers behind its posterior",
    settings(100_000),
)
sylvester = recipe(
    "sylvester",
    "The VAE with eight orthogonal Sylvester layers behind its posterior",
    settings(100_000),
    model_args={"rank": 16},
)
vampprior = recipe(
    "vampprior",
    "The VAE with the mean of 500 of its posteriors as prior",
    settings(100_000),
    model_args={"hidden": [200, 200]},
)
