"""A causal transformer over the pixels of statically binarized MNIST.

Command: ``JAXGEN_DATA=DIR jaxgen train experiments/attention_binarized_mnist.py --out RUN``
Cost: not measured yet; meant for an accelerator.
Published: none for this binarization; -79.20 nats of a Diagonal BiLSTM, as recalled.
Result: not recorded yet: needs an accelerator.

The fixed binarization of Larochelle and Murray (2011): ``DIR`` holds ``binarized_mnist.npz`` with
the arrays ``train`` (50000 images of 784 pixels), ``valid`` and ``test``. Log-likelihood in nats,
exact. One candidate, not tuned: smoke-tested only.
"""

from jaxgen.training import Experiment, TrainSettings

experiment = Experiment(
    model="attention",
    data="npz:binarized_mnist.npz",
    event_shape=[28, 28, 1],
    model_args={
        "levels": 2,
        "width": 256,
        "depth": 8,
        "heads": 8,
        "dropout": 0.1,
    },
    train=TrainSettings(
        steps=30000,
        batch_size=100,
        learning_rate=0.001,
        warmup_steps=500,
        weight_decay=0.0001,
        ema_decay=0.999,
        eval_every=2000,
        checkpoint_every=2000,
    ),
)
