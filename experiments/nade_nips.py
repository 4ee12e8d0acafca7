"""NADE on the binary NIPS-0-12 data, in one order.

Command: ``JAXGEN_DATA=DIR jaxgen train experiments/nade_nips.py --out runs/nade_nips``
Cost: at most 93 seconds of training on 2 CPU cores (timed beside other work).
Published: -273.08 nats (NADE, fixed order, 500 hidden units), as recalled.
Result: -272.77 ± 0.53 nats (exact), the mean of 3 seeds with a standard deviation of 0.047, test
split of 1240 examples.

Binary data in the splits of the NADE and MADE papers: ``DIR`` holds ``uci_binary/nips.npz`` with
the arrays ``train``, ``valid`` and ``test``. Log-likelihood in nats, exact. Chosen on validation:
the step; the number of steps, the learning rate and the weight decay were guessed and kept.
"""

from jaxgen.training import Experiment, TrainSettings

experiment = Experiment(
    model="nade",
    data="npz:uci_binary/nips.npz",
    model_args={
        "width": 500,
        "dropout": 0.3,
    },
    train=TrainSettings(
        steps=600,
        batch_size=100,
        learning_rate=1e-3,
        weight_decay=0.3,
        eval_every=50,
        checkpoint_every=300,
        clip_norm=None,
    ),
)
