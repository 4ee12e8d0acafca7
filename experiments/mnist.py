"""MNIST, 28x28 images of 256 levels, the test split of 10,000 images.

Command: ``JAXGEN_DATA=DIR jaxgen train experiments/mnist.py:glow --out runs/glow_mnist``, and so
on; ``DIR`` holds ``mnist.npz``.

Glow (Kingma and Dhariwal 2018), small and multi-scale: uniform dequantization, the bound with one
sample of the noise. Most pixels are background, and the logit of their uniform noise is far from
normal, which affine couplings cannot mend: a spline for every pixel can. Tried on the first 1000
images of the validation split, each trained for 1000 steps: a margin of 1e-3 (1.366) and of 1e-5
(1.334), and at 1e-5 splines of 32 bins (1.208); with 600 steps at 1e-3, variational dequantization
(1.300, four times as dear a step). Before, on the whole split, 100 seconds each: learning rates
1e-3 (1.92) and 4e-3 (1.75); margins of 0.05 (1.75), 0.01 (1.54) and 0.001 (1.39); at 1e-3 also four
steps of width 64 (1.98), and RealNVP of three scales (1.89). Without splines, twelve steps of flow
and a margin of 1e-3 reached 1.174 (test) in 39 minutes. The length is untuned.

The others (Papamakarios et al. 2017, table 3) are densities of images dequantized by uniform noise
and mapped to the real line, ``logit(1e-6 + (1 - 2e-6) (x + u) / 256)``, with one fixed draw of the
noise for the test set; they are not comparable with bits per dimension of the pixels. One candidate
each, not tuned. Unlike in the paper, the noise of the training images is drawn anew in every step,
actnorm stands between MAF's layers, and an average of the parameters is evaluated.
"""

from dataclasses import replace
from typing import Any

from jaxgen.runs import Recipe
from jaxgen.training import TrainSettings

DATA = "npz:mnist.npz"
SCALES = {"levels": 2, "steps": 8, "width": 32}
DENSE = {"batch_size": 256, "learning_rate": 1e-3, "weight_decay": 1e-3, "ema_decay": 0.998}

glow = Recipe(
    "glow",
    DATA,
    {**SCALES, "residual": True, "bounds": [0, 256], "alpha": 1e-5, "marginal_bins": 32},
    dequantize=True,
    train=TrainSettings(
        steps=10_000,
        batch_size=32,
        learning_rate=4e-3,
        warmup_steps=200,
        clip_norm=50.0,
        ema_decay=0.999,
        eval_every=2500,
        checkpoint_every=2500,
    ),
    name="glow_mnist",
    summary="A small multi-scale Glow, 8 bits, with splines for the pixels' marginals.",
)


def in_logit_space(
    model: str, name: str, summary: str, steps: int, *, labels: int | None = None, **args: Any
) -> Recipe:
    """A density of the dequantized images in logit space."""
    return Recipe(
        model,
        DATA,
        {**args, "hidden": [1024], "bounds": [0, 256], "alpha": 1e-6},
        class_features=labels,
        dequantize=True,
        eval_space="logit",
        train=replace(glow.train, steps=steps, eval_every=500, checkpoint_every=1000, **DENSE),
        name=f"{name}_mnist",
        summary=summary,
    )


maf = in_logit_space("maf", "maf", "MAF in logit space.", 8000, layers=5)
conditional_maf = in_logit_space(
    "maf", "conditional_maf", "MAF in logit space given the class.", 4000, labels=10, layers=5
)
made_mog = in_logit_space(
    "made",
    "made_mog",
    "MADE with mixtures of Gaussians in logit space.",
    3000,
    levels=None,
    components=10,
    direct=False,
)
