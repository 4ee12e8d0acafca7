"""MADE with mask sampling, averaged over sixteen masks, on the binary Mushrooms data.

Command: ``JAXGEN_DATA=DIR jaxgen train experiments/made_masks_mushrooms.py --out RUN``
Cost: at most 43 seconds of training on 2 CPU cores (timed beside other work).
Published: -9.69 nats (MADE with mask sampling), as recalled from Germain et al. (2015).
Result: -9.62 ± 0.01 nats (exact), the mean of 3 seeds with a standard deviation of 0.004, test
split of 5624 examples.

Binary data in the splits of the NADE and MADE papers: ``DIR`` holds ``uci_binary/mushrooms.npz``
with the arrays ``train``, ``valid`` and ``test``. Log-likelihood in nats, exact. Chosen on
validation: no dropout and a higher rate instead of dropout 0.3; and the step.
"""

from jaxgen.training import Experiment, TrainSettings

experiment = Experiment(
    model="made",
    data="npz:uci_binary/mushrooms.npz",
    model_args={
        "hidden": [500],
        "dropout": 0.0,
        "num_orders": 16,
        "connectivity_agnostic": True,
    },
    train=TrainSettings(
        steps=16000,
        learning_rate=0.003,
        weight_decay=0.03,
        eval_every=800,
        checkpoint_every=8000,
        batch_size=100,
        clip_norm=None,
    ),
)
