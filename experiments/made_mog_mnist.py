"""MADE with mixtures of Gaussians on MNIST in logit space.

Paper: Papamakarios et al. 2017, table 3.
Command: ``JAXGEN_DATA=DIR jaxgen train experiments/made_mog_mnist.py --out RUN``
Cost: 18 minutes on 2 CPU cores, beside other work.
Published: -1038.5 nats (MADE-MoG of 10 components), as recalled.
Result: -1044.07 ± 0.80 nats (exact), test split of 10,000 images.

28x28 images of 256 levels, dequantized by uniform noise and mapped to the real line,
``logit(1e-6 + (1 - 2e-6) (x + u) / 256)``. The value is the log-density of these real vectors,
with one fixed draw of the noise for the test set; it is not comparable with bits per dimension of
the pixels. One candidate, not tuned: the training settings of ``maf_mnist.py``.
"""

from jaxgen.training import Experiment, TrainSettings

experiment = Experiment(
    model="made",
    data="npz:mnist.npz",
    dequantize=True,
    eval_space="logit",
    model_args={
        "levels": None,
        "components": 10,
        "hidden": [1024],
        "direct": False,
        "bounds": [0, 256],
        "alpha": 1e-6,
    },
    train=TrainSettings(
        steps=3000,
        batch_size=256,
        learning_rate=1e-3,
        warmup_steps=200,
        weight_decay=1e-3,
        clip_norm=50.0,
        ema_decay=0.998,
        eval_every=500,
        checkpoint_every=1000,
    ),
)
