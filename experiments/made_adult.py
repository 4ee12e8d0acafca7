"""MADE on the binary Adult data, in one order.

Command: ``JAXGEN_DATA=DIR jaxgen train experiments/made_adult.py --out runs/made_adult``
Cost: at most three quarters of a minute on 2 CPU cores (timed beside other work).
Published: -13.12 (MADE), -13.13 (MADE with mask sampling), as recalled from Germain et al. (2015).
Result: -13.16 ± 0.02 nats (exact), the mean of 3 seeds with a standard deviation of 0.005, test
split of 26147 examples.

Binary data in the splits of the NADE and MADE papers: ``DIR`` holds ``uci_binary/adult.npz`` with
the arrays ``train``, ``valid`` and ``test``. Log-likelihood in nats, exact. Chosen on validation:
constant or cosine learning rate, and the step.
"""

from jaxgen.training import Experiment, TrainSettings

experiment = Experiment(
    model="made",
    data="npz:uci_binary/adult.npz",
    model_args={"hidden": [500], "dropout": 0.5},
    train=TrainSettings(
        steps=12000,
        learning_rate=1e-3,
        schedule="constant",
        weight_decay=0.3,
        eval_every=250,
        checkpoint_every=4000,
        batch_size=100,
        clip_norm=None,
    ),
)
