"""MAF on MNIST in logit space given the class: p(x | label).

Paper: Papamakarios et al. 2017, table 3.
Command: ``JAXGEN_DATA=DIR jaxgen train experiments/conditional_maf_mnist.py --out RUN``
Cost: about 11 minutes on 2 CPU cores.
Published: -1302.9 nats (class-conditional MAF of 5 layers), as recalled.
Result: -1227.77 ± 0.70 nats (exact), test split of 10,000 images.

28x28 images of 256 levels, dequantized by uniform noise and mapped to the real line,
``logit(1e-6 + (1 - 2e-6) (x + u) / 256)``. The value is the log-density of these real vectors,
with one fixed draw of the noise for the test set; it is not comparable with bits per dimension of
the pixels. One candidate, not tuned. Unlike in the paper, the noise of the training images is drawn
anew in every step, actnorm stands between the layers, and an average of the parameters is
evaluated.
"""

from jaxgen.training import Experiment, TrainSettings

experiment = Experiment(
    model="maf",
    data="npz:mnist.npz",
    class_features=10,
    dequantize=True,
    eval_space="logit",
    model_args={"layers": 5, "hidden": [1024], "bounds": [0, 256], "alpha": 1e-6},
    train=TrainSettings(
        steps=4000,
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
