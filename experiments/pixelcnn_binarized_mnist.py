"""PixelCNN on statically binarized MNIST.

Command: ``JAXGEN_DATA=DIR jaxgen train experiments/pixelcnn_binarized_mnist.py --out RUN``
Cost: not measured yet.
Published: -81.30 nats (PixelCNN), as recalled.
Result: not recorded yet.

The fixed binarization of Larochelle and Murray (2011): ``DIR`` holds ``binarized_mnist.npz`` with
the arrays ``train`` (50000 images of 784 pixels), ``valid`` and ``test``. Log-likelihood in nats,
exact. Small enough for two CPU cores: 32 features, and a first window of 27 x 27, so that every
pixel sees thirteen rows back at once and none is in the blind spot nearby. A candidate of seven
blocks of 96 features behind a window of 7 x 7 had stopped learning after three minutes of one H200,
at -88.07 nats on the test split (88.50 in validation): it saw ten rows back, too few to know where
in a digit it was.
"""

from jaxgen.training import Experiment, TrainSettings

experiment = Experiment(
    model="pixelcnn",
    data="npz:binarized_mnist.npz",
    event_shape=[28, 28, 1],
    model_args={
        "levels": 2,
        "width": 32,
        "depth": 7,
        "first_size": 27,
        "out_width": 64,
    },
    train=TrainSettings(
        steps=24000,
        batch_size=32,
        learning_rate=0.002,
        warmup_steps=300,
        weight_decay=0.01,
        ema_decay=0.999,
        eval_every=3000,
        checkpoint_every=3000,
    ),
)
