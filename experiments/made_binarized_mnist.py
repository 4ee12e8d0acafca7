"""MADE with 500 hidden units on statically binarized MNIST.

Command: ``JAXGEN_DATA=DIR jaxgen train experiments/made_binarized_mnist.py --out RUN``
Cost: at most 96 seconds of training on 2 CPU cores (timed beside other work).
Published: -88.40 (MADE, 8000 hidden units, one mask), as recalled from Germain et al. (2015).
Result: -90.81 ± 0.23 nats (exact), test split of 10000 examples.

The fixed binarization of Larochelle and Murray (2011): ``DIR`` holds ``binarized_mnist.npz`` with
the arrays ``train`` (50000 images of 784 pixels), ``valid`` and ``test``. Log-likelihood in nats,
exact. Chosen on validation, of six settings: dropout (0.1 to 0.3), weight decay (0.001 to 0.1), the
rate and number of steps, with direct connections or without; and the step. The first setting of the
six was scored on the test split, too (-91.12).

``jaxgen complete RUN`` fills holes in the test images, here in raster order, which is all that was
trained: an approximation that sees what is observed before a pixel and not what comes after it. Of
the missing part given the rest: top half -47.05 nats, left half -41.56, centre square -56.96,
random 75 % -67.27.
"""

from jaxgen.training import Experiment, TrainSettings

experiment = Experiment(
    model="made",
    data="npz:binarized_mnist.npz",
    event_shape=[28, 28, 1],
    model_args={"hidden": [500], "dropout": 0.1},
    train=TrainSettings(
        steps=12500,
        batch_size=100,
        learning_rate=1.5e-3,
        weight_decay=0.03,
        ema_decay=0.998,
        eval_every=500,
        checkpoint_every=2500,
        clip_norm=None,
    ),
)
