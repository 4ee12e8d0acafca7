"""MADE with two layers of 8000 units and mask sampling, averaged over 32 masks, on binarized MNIST.

Command: ``JAXGEN_DATA=DIR jaxgen train experiments/made_masks_binarized_mnist.py --out RUN``
Cost: not measured yet; meant for an accelerator.
Published: -86.64 nats (MADE, two layers of 8000, 32 masks), as recalled.
Result: not recorded yet: needs an accelerator.

The fixed binarization of Larochelle and Murray (2011): ``DIR`` holds ``binarized_mnist.npz`` with
the arrays ``train`` (50000 images of 784 pixels), ``valid`` and ``test``. Log-likelihood in nats,
exact. Not recorded yet: with four of the orders in a batch a step took 27 ms on one H200, of which
its products, by their count, are a small part: each order masks kernels of 8000 x 8000 of its own.
A thousand steps reached 120.8 nats in validation, and -119.60 on the test split. This candidate
meets one order in a batch, as in the paper, and is smoke-tested only.
"""

from jaxgen.training import Experiment, TrainSettings

experiment = Experiment(
    model="made",
    data="npz:binarized_mnist.npz",
    event_shape=[28, 28, 1],
    model_args={
        "hidden": [8000, 8000],
        "num_orders": 32,
        "orders_per_batch": 1,
        "connectivity_agnostic": True,
        "dropout": 0.2,
    },
    train=TrainSettings(
        steps=25000,
        batch_size=100,
        learning_rate=0.001,
        warmup_steps=500,
        weight_decay=0.0001,
        ema_decay=0.999,
        eval_every=2000,
        checkpoint_every=2000,
        clip_norm=None,
    ),
)
