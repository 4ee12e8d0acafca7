"""NADE on the binary Adult data, in one order.

Command: ``JAXGEN_DATA=DIR jaxgen train experiments/nade_adult.py --out runs/nade_adult``
Cost: not measured yet.
Published: -13.19 nats (NADE, fixed order, 500 hidden units), as recalled.
Result: not recorded yet.

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
