"""Latent-variable models on 8 x 8 digits of 17 levels (scikit-learn's).

Command: ``jaxgen train experiments/latent_digits.py:vae --out runs/vae_digits``, and so on.

One candidate each, not tuned; the parameters are the average whose bound was best on the
validation split. The estimate of 5000 weights takes two minutes more than training.

On 1437 images richer priors and posteriors buy nothing that a standard error could tell, and the
decoder that needs no latents does best. The record of ``vdvae``, of which a weight costs more, is
estimated with 500 samples. A VQ-VAE has one latent for each image, its codes, and a lower bound
that no sample tightens.
"""

from typing import Any

from jaxgen.runs import Recipe
from jaxgen.training import TrainSettings


def settings(steps: int = 6000, **others: Any) -> TrainSettings:
    own = {"batch_size": 100, "learning_rate": 2e-3, "warmup_steps": 100, "weight_decay": 0.05}
    return TrainSettings(
        steps=steps, eval_every=500, checkpoint_every=steps, ema_decay=0.995, **own | others
    )


def recipe(
    model: str, summary: str, train: TrainSettings, name: str | None = None, **others: Any
) -> Recipe:
    arguments = {"levels": 17} | others.pop("model_args", {})
    return Recipe(
        model,
        "digits",
        arguments,
        eval_samples=others.pop("eval_samples", 5000),
        train=train,
        name=f"{name or model}_digits",
        summary=f"{summary} on digits.",
        **others,
    )


MLP: dict[str, Any] = {"latents": 20, "hidden": [200, 200], "components": 3, "dropout": 0.1}
CONV: dict[str, Any] = {"latents": 20, "network": "conv", "widths": [32, 64], "components": 3}

vae = recipe("vae", "A VAE", settings(), model_args=MLP)
vae_conv = recipe("vae", "A VAE with convolutions", settings(), name="vae_conv", model_args=CONV)
iwae = recipe(
    "iwae",
    "The importance-weighted autoencoder, 20 weights, two layers,",
    settings(3000, batch_size=50),
    objective="importance_weighted",
    objective_args={"num_samples": 20, "gradient": "dreg"},
    model_args={
        "layer_sizes": [20, 10],
        "hidden": [[200, 200], [100]],
        "components": 3,
        "dropout": 0.1,
    },
)
vae_iaf = recipe("vae_iaf", "A VAE with an IAF posterior", settings(), model_args=MLP)
sylvester = recipe("sylvester", "A VAE with a Sylvester posterior", settings(), model_args=MLP)
planar = recipe(
    "sylvester",
    "A VAE with a planar posterior",
    settings(),
    name="planar",
    model_args=MLP | {"basis": "planar"},
)
vampprior = recipe(
    "vampprior",
    "A VAE with a VampPrior",
    settings(),
    model_args=MLP | {"pseudo_inputs": 100},
)
vae_maf = recipe(
    "vae",
    "A VAE with a MAF as prior",
    settings(),
    name="vae_maf",
    model_args=MLP | {"prior": "maf", "prior_args": {"layers": 3, "hidden": [64]}},
)
pixelvae = recipe(
    "pixelvae",
    "PixelVAE",
    settings(4000, batch_size=50),
    model_args={
        "latents": 10,
        "width": 32,
        "depth": 3,
        "first_size": 5,
        "widths": [16, 32],
        "components": 5,
        "dropout": 0.1,
    },
)
fvae = recipe(
    "fvae",
    "f-VAES, flows for posterior and decoder,",
    settings(3000, batch_size=50),
    # Without, the flow alone tells the data, and no latent is used.
    objective="elbo",
    objective_args={"free_bits": 10.0},
    model_args={
        "latents": 20,
        "layer_hidden": [64],
        "features": 64,
        "steps": 6,
        "width": 32,
        "widths": [16, 32],
        "dropout": 0.1,
    },
)
vqvae = recipe(
    "vqvae",
    "VQ-VAE, its codes under a gated PixelCNN,",
    settings(4000),
    objective="vector_quantized",
    model_args={
        "components": 3,
        "codes": 32,
        "code_width": 8,
        "widths": [32],
        "blocks": 1,
        "dropout": 0.1,
        "prior_args": {"width": 16, "depth": 2, "out_width": 16, "first_size": 3},
    },
)
vdvae = recipe(
    "vdvae",
    "A very deep VAE, as deep as digits are small,",
    settings(3000, batch_size=50),
    eval_samples=500,
    model_args={
        "blocks": [0, 2, 2, 1],
        "width": 32,
        "latent_width": 4,
        "components": 3,
        "dropout": 0.1,
    },
)
helmholtz = recipe(
    "helmholtz",
    "A Helmholtz machine of two layers, by reweighted wake-sleep,",
    settings(4000),
    objective="reweighted_wake_sleep",
    objective_args={"num_samples": 10},
    model_args={
        "layer_sizes": [100, 30],
        "hidden": [[100], [50]],
        "components": 3,
        "dropout": 0.1,
    },
)
