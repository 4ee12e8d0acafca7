"""PixelCNN++ on CIFAR-10, the paper's recipe made small (Salimans et al. 2017, section 3).

Command: ``JAXGEN_DATA=DIR jaxgen train experiments/cifar10.py --out runs/pixelcnnpp_cifar10``
Cost: not measured yet; meant for half an hour on one accelerator.
Published: 2.92 bits/dim (the full model, trained for days), as recalled.
Result: not recorded yet: needs an accelerator.

32x32 images of 256 levels, bits per dimension, exact. ``cifar10.npz`` holds ``train`` and ``test``,
``(n, 32, 32, 3)`` bytes of the original archive, never of a JPEG copy; the last tenth of ``train``
validates. As in the paper: three resolutions, ten logistics, dropout 0.5, Adam with moments 0.95
and 0.9995, an average of the parameters with decay 0.9995, and the start fitted to a first batch.
Made small: 64 features instead of 160, three layers of each resolution instead of five, and 12,000
steps of 64 images, about 17 passes over the data. Unlike there, the rate falls to zero along a
cosine instead of by 0.999995 a step, and the gradient is clipped.
"""

from jaxgen.runs import Recipe
from jaxgen.training import TrainSettings

pixelcnnpp = Recipe(
    "pixelcnnpp",
    "npz:cifar10.npz",
    {"levels": 256, "components": 10, "blocks": 3, "width": 64, "resolutions": 3, "dropout": 0.5},
    train=TrainSettings(
        steps=12_000,
        batch_size=64,
        learning_rate=1e-3,
        warmup_steps=100,
        optimizer_args={"b1": 0.95, "b2": 0.9995},
        clip_norm=50.0,
        ema_decay=0.9995,
        eval_every=1000,
        checkpoint_every=3000,
        init_batch_size=100,
    ),
    name="pixelcnnpp_cifar10",
    summary="PixelCNN++, the paper's recipe made small.",
)
