"""PixelCNN on statically binarized MNIST.

Command: ``JAXGEN_DATA=DIR jaxgen train experiments/pixelcnn_binarized_mnist.py --out RUN``
Cost: not measured yet; meant for an accelerator.
Published: -81.30 nats (PixelCNN), as recalled.
Result: not recorded yet: needs an accelerator.

The fixed binarization of Larochelle and Murray (2011): ``DIR`` holds ``binarized_mnist.npz`` with
the arrays ``train`` (50000 images of 784 pixels), ``valid`` and ``test``. Log-likelihood in nats,
exact. Not recorded yet: a first candidate of seven blocks of 96 features stopped learning after
three minutes of one H200, at -88.07 nats on the test split (88.50 in validation). It sees ten rows
back, too few to know where in a digit it is; this one has twelve blocks behind a first window of
15 x 15, and is smoke-tested only.
"""

from jaxgen.training import Experiment, TrainSettings

experiment = Experiment(
    model="pixelcnn",
    data="npz:binarized_mnist.npz",
    event_shape=[28, 28, 1],
    model_args={
        "levels": 2,
        "width": 64,
        "depth": 12,
        "first_size": 15,
        "out_width": 64,
        "dropout": 0.1,
    },
    train=TrainSettings(
        steps=40000,
        batch_size=100,
        learning_rate=0.001,
        warmup_steps=500,
        weight_decay=0.01,
        ema_decay=0.999,
        eval_every=2000,
        checkpoint_every=4000,
    ),
)
