"""NADE on the binary Adult data, in one order.

Command: ``JAXGEN_DATA=DIR jaxgen train experiments/nade_adult.py --out runs/nade_adult``
Cost: at most 2.4 minutes of training on 2 CPU cores (timed beside other work).
Published: -13.19 nats (NADE, fixed order, 500 hidden units), as recalled.
Result: -13.06 ± 0.02 nats (exact), the mean of 3 seeds with a standard deviation of 0.001, test
split of 26147 examples.

Binary data in the splits of the NADE and MADE papers: ``DIR`` holds ``uci_binary/adult.npz`` with
the arrays ``train``, ``valid`` and ``test``. Log-likelihood in nats, exact. Chosen on validation:
the step.
"""

from jaxgen.training import Experiment, TrainSettings

experiment = Experiment(
    model="nade",
    data="npz:uci_binary/adult.npz",
    model_args={
        "width": 500,
        "dropout": 0.3,
    },
    train=TrainSettings(
        steps=6000,
        batch_size=100,
        learning_rate=0.002,
        weight_decay=0.1,
        eval_every=300,
        checkpoint_every=3000,
        clip_norm=None,
    ),
)
