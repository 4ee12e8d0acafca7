"""MADE on the binary DNA data, averaged over thirty-two orders.

Command: ``JAXGEN_DATA=DIR jaxgen train experiments/made_dna.py --out runs/made_dna``
Cost: at most two minutes on 2 CPU cores (timed beside other work).
Published: -83.63 (MADE), -79.66 (MADE with mask sampling), as recalled from Germain et al. (2015).
Result: -80.68 ± 0.28 nats (exact), the mean of 3 seeds with a standard deviation of 0.010, test
split of 1186 examples.

Binary data in the splits of the NADE and MADE papers: ``DIR`` holds ``uci_binary/dna.npz`` with the
arrays ``train``, ``valid`` and ``test``. Log-likelihood in nats, exact. Chosen on validation: the
step.
"""

from jaxgen.training import Experiment, TrainSettings

experiment = Experiment(
    model="made",
    data="npz:uci_binary/dna.npz",
    model_args={"hidden": [500], "dropout": 0.5, "num_orders": 32},
    train=TrainSettings(
        steps=8400,
        learning_rate=1e-3,
        schedule="constant",
        weight_decay=0.1,
        eval_every=400,
        checkpoint_every=2800,
        batch_size=100,
        clip_norm=None,
    ),
)
