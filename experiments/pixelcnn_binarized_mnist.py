"""PixelCNN on statically binarized MNIST.

Command: ``JAXGEN_DATA=DIR jaxgen train experiments/pixelcnn_binarized_mnist.py --out RUN``
Cost: at most 58.5 minutes of training on 2 CPU cores (timed beside other work).
Published: -81.30 nats (PixelCNN), as recalled.
Result: -83.98 ± 0.20 nats (exact), test split of 10000 examples.

The fixed binarization of Larochelle and Murray (2011): ``DIR`` holds ``binarized_mnist.npz`` with
the arrays ``train`` (50000 images of 784 pixels), ``valid`` and ``test``. Log-likelihood in nats,
exact. One candidate of 92,993 parameters, not tuned, small enough for two CPU cores: five epochs,
at the end of which it was still improving (84.44 in validation). Its first window of 27 x 27 sees
thirteen rows back at once, blind spot included. Two earlier candidates scored less on the test
split: half as wide, fifteen epochs, -84.82, limited by its size (its training loss was 84.2); and
seven blocks of 96 features behind a window of 7 x 7, three minutes of one H200, -88.07: with a
reach of ten rows it could not know where in a digit it was.
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
