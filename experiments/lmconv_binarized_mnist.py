"""A small locally masked convolutional network, eight S-curves, on statically binarized MNIST.

Command: ``JAXGEN_DATA=DIR jaxgen train experiments/lmconv_binarized_mnist.py --out RUN``
Cost: 56 seconds of training on one H200.
Published: -77.56 nats (LMConv, eight orders) on another, dynamic binarization, as recalled.
Result: -83.80 ± 0.20 nats (exact), test split of 10000 examples.

The fixed binarization of Larochelle and Murray (2011): ``DIR`` holds ``binarized_mnist.npz`` with
the arrays ``train`` (50000 images of 784 pixels), ``valid`` and ``test``. Log-likelihood in nats,
exact. One candidate, not tuned. An earlier one, of windows of 3 x 3 and so a reach of six pixels,
drew clean strokes without knowing where in the image they are; it was scored on the test split, too
(-91.34).

``jaxgen complete RUN`` fills holes in the test images, exactly: each of the eight orders puts what
is observed first. Of the missing part given the rest: top half -40.28 nats, left half -37.21,
centre square -52.07, and random 75 % -71.82, where the order is unlike all that were trained.
"""

from jaxgen.training import Experiment, TrainSettings

experiment = Experiment(
    model="lmconv",
    data="npz:binarized_mnist.npz",
    event_shape=[28, 28, 1],
    model_args={
        "levels": 2,
        "width": 64,
        "depth": 6,
        "kernel_size": 5,
        "num_orders": 8,
    },
    train=TrainSettings(
        steps=6000,
        batch_size=64,
        learning_rate=0.002,
        warmup_steps=100,
        ema_decay=0.999,
        eval_every=1000,
        checkpoint_every=6000,
    ),
)
