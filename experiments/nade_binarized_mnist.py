"""NADE, in one order, on statically binarized MNIST.

Command: ``JAXGEN_DATA=DIR jaxgen train experiments/nade_binarized_mnist.py --out RUN``
Cost: at most 36.7 minutes of training on 2 CPU cores (timed beside other work).
Published: -88.33 nats (NADE, 500 hidden units), as recalled.
Result: -87.81 ± 0.23 nats (exact), test split of 10000 examples.

The fixed binarization of Larochelle and Murray (2011): ``DIR`` holds ``binarized_mnist.npz`` with
the arrays ``train`` (50000 images of 784 pixels), ``valid`` and ``test``. Log-likelihood in nats,
exact. Chosen on validation: the step; the rate is that of
``made_binarized_mnist.py``.
"""

from jaxgen.training import Experiment, TrainSettings

experiment = Experiment(
    model="nade",
    data="npz:binarized_mnist.npz",
    event_shape=[28, 28, 1],
    model_args={"width": 500},
    train=TrainSettings(
        steps=15000,
        batch_size=100,
        learning_rate=1.5e-3,
        weight_decay=0.01,
        ema_decay=0.998,
        eval_every=1000,
        checkpoint_every=1000,
        clip_norm=None,
    ),
)
