"""MADE with mask sampling, averaged over 32 masks, on the binary DNA data.

Command: ``JAXGEN_DATA=DIR jaxgen train experiments/made_masks_dna.py --out RUN``
Cost: at most 83 seconds of training on 2 CPU cores (timed beside other work).
Published: -79.66 nats (MADE with mask sampling), as recalled from Germain et al. (2015).
Result: -79.97 ± 0.30 nats (exact), the mean of 3 seeds with a standard deviation of 0.017, test
split of 1186 examples.

Binary data in the splits of the NADE and MADE papers: ``DIR`` holds ``uci_binary/dna.npz`` with the
arrays ``train``, ``valid`` and ``test``. Log-likelihood in nats, exact. Chosen on validation, of
three settings: dropout (0.2 to 0.5), sixteen or 32 masks and the schedule, then tried with 12000
steps; and the step.
"""

from jaxgen.training import Experiment, TrainSettings

experiment = Experiment(
    model="made",
    data="npz:uci_binary/dna.npz",
    model_args={
        "hidden": [500],
        "dropout": 0.2,
        "num_orders": 32,
        "connectivity_agnostic": True,
    },
    train=TrainSettings(
        steps=18000,
        learning_rate=1e-3,
        schedule="constant",
        weight_decay=0.1,
        eval_every=600,
        checkpoint_every=6000,
        batch_size=100,
        clip_norm=None,
    ),
)
