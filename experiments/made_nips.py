"""MADE on the binary NIPS-0-12 data, averaged over sixteen orders.

Command: ``JAXGEN_DATA=DIR jaxgen train experiments/made_nips.py --out runs/made_nips``
Cost: at most three quarters of a minute on 2 CPU cores (timed beside other work).
Published: -280.25 (MADE), -277.28 (MADE with mask sampling), as recalled from Germain et al.
(2015).
Result: -274.66 ± 0.51 nats (exact), the mean of 3 seeds with a standard deviation of 0.047, test
split of 1240 examples.

Binary data in the splits of the NADE and MADE papers: ``DIR`` holds ``uci_binary/nips.npz`` with
the arrays ``train``, ``valid`` and ``test``. Log-likelihood in nats, exact. Tried on validation:
one order with weight decay 0.5, sixteen orders with 0.1, and the step.
"""

from jaxgen.training import Experiment, TrainSettings

experiment = Experiment(
    model="made",
    data="npz:uci_binary/nips.npz",
    model_args={"hidden": [500], "dropout": 0.5, "num_orders": 16},
    train=TrainSettings(
        steps=600,
        learning_rate=1e-3,
        schedule="constant",
        weight_decay=0.1,
        eval_every=50,
        checkpoint_every=200,
        batch_size=100,
        clip_norm=None,
    ),
)
