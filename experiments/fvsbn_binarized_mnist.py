"""The fully visible sigmoid belief network on statically binarized MNIST.

Command: ``JAXGEN_DATA=DIR jaxgen train experiments/fvsbn_binarized_mnist.py --out RUN``
Cost: not measured yet.
Published: -97.45 nats (FVSBN), as recalled.
Result: not recorded yet.

The fixed binarization of Larochelle and Murray (2011): ``DIR`` holds ``binarized_mnist.npz`` with
the arrays ``train`` (50000 images of 784 pixels), ``valid`` and ``test``. Log-likelihood in nats,
exact. Chosen on validation: the step.
"""

from jaxgen.training import Experiment, TrainSettings

experiment = Experiment(
    model="fvsbn",
    data="npz:binarized_mnist.npz",
    event_shape=[28, 28, 1],
    model_args={"levels": 2},
    train=TrainSettings(
        steps=25000,
        batch_size=100,
        learning_rate=0.01,
        weight_decay=0.05,
        ema_decay=0.998,
        eval_every=1000,
        checkpoint_every=5000,
        clip_norm=None,
    ),
)
