"""PixelCNN on statically binarized MNIST.

Command: ``JAXGEN_DATA=DIR jaxgen train experiments/pixelcnn_binarized_mnist.py --out RUN``
Cost: at most 52.3 minutes of training on 2 CPU cores (timed beside other work).
Published: -81.30 nats (PixelCNN), as recalled.
Result: -84.82 ± 0.20 nats (exact), test split of 10000 examples.

The fixed binarization of Larochelle and Murray (2011): ``DIR`` holds ``binarized_mnist.npz`` with
the arrays ``train`` (50000 images of 784 pixels), ``valid`` and ``test``. Log-likelihood in nats,
exact. One candidate of 30,433 parameters, not tuned, small enough for two CPU cores; its training
loss (84.2) says that a wider one would do better. Its first window of 27 x 27 sees thirteen rows
back at once, blind spot included. An earlier candidate, seven blocks of 96 features behind a window
of 7 x 7, had stopped learning after three minutes of one H200, at -88.07 on the test split (88.50
in validation): with a reach of ten rows it could not know where in a digit it was.
"""

from jaxgen.training import Experiment, TrainSettings

experiment = Experiment(
    model="pixelcnn",
    data="npz:binarized_mnist.npz",
    event_shape=[28, 28, 1],
    model_args={
        "levels": 2,
        "width": 64,
        "depth": 7,
        "first_size": 27,
        "out_width": 64,
    },
    train=TrainSettings(
        steps=16000,
        batch_size=16,
        learning_rate=0.0015,
        warmup_steps=500,
        weight_decay=0.01,
        ema_decay=0.999,
        eval_every=4000,
        checkpoint_every=2000,
    ),
)
