"""EoNADE with two layers of 500 units, averaged over orders, on statically binarized MNIST.

Command: ``JAXGEN_DATA=DIR jaxgen train experiments/eonade_binarized_mnist.py --out RUN``
Cost: at most 18.7 minutes of training on 2 CPU cores (timed beside other work).
Published: -85.10 nats (EoNADE, two layers of 500, 128 orders), as recalled.
Result: -90.85 ± 0.24 nats (exact), test split of 10000 examples.

The fixed binarization of Larochelle and Murray (2011): ``DIR`` holds ``binarized_mnist.npz`` with
the arrays ``train`` (50000 images of 784 pixels), ``valid`` and ``test``. Log-likelihood in nats,
exact. One candidate, not tuned; four orders are averaged where the paper averages 128.

``jaxgen complete RUN`` fills holes in the test images, exactly: what is observed comes first in any
order. Of the missing part given the rest: top half -44.36 nats, left half -41.39, centre square
-56.10, random 75 % -58.13.
"""

from jaxgen.training import Experiment, TrainSettings

experiment = Experiment(
    model="eonade",
    data="npz:binarized_mnist.npz",
    event_shape=[28, 28, 1],
    model_args={
        "hidden": [500, 500],
        "num_orders": 128,
    },
    train=TrainSettings(
        steps=100000,
        batch_size=200,
        learning_rate=1e-3,
        weight_decay=0.03,
        ema_decay=0.9995,
        eval_every=100000,
        checkpoint_every=50000,
        clip_norm=None,
    ),
)
