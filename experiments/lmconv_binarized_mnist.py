"""A small locally masked convolutional network, eight S-curves, on statically binarized MNIST.

Command: ``JAXGEN_DATA=DIR jaxgen train experiments/lmconv_binarized_mnist.py --out RUN``
Cost: not measured yet.
Published: -77.56 nats (LMConv, eight orders) on another, dynamic binarization, as recalled.
Result: not recorded yet.

The fixed binarization of Larochelle and Murray (2011): ``DIR`` holds ``binarized_mnist.npz`` with
the arrays ``train`` (50000 images of 784 pixels), ``valid`` and ``test``. Log-likelihood in nats,
exact. Not recorded yet: a first candidate, of windows of 3 x 3 and so a reach of six pixels, draws
clean strokes without knowing where in the image they are (-91.34 on the test split).
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
        steps=15000,
        batch_size=64,
        learning_rate=0.002,
        warmup_steps=100,
        ema_decay=0.999,
        eval_every=2500,
        checkpoint_every=2500,
    ),
)
