"""NADE on the binary Mushrooms data, in one order.

Command: ``JAXGEN_DATA=DIR jaxgen train experiments/nade_mushrooms.py --out runs/nade_mushrooms``
Cost: at most 1.9 minutes of training on 2 CPU cores (timed beside other work).
Published: -9.81 nats (NADE, fixed order, 500 hidden units), as recalled.
Result: -9.68 ± 0.02 nats (exact), the mean of 3 seeds with a standard deviation of 0.002, test
split of 5624 examples.

Binary data in the splits of the NADE and MADE papers: ``DIR`` holds ``uci_binary/mushrooms.npz``
with the arrays ``train``, ``valid`` and ``test``. Log-likelihood in nats, exact. Chosen on
validation: dropout 0.1, less weight decay and more steps instead of dropout 0.3 and 4000 steps; and
the step.
"""

from jaxgen.training import Experiment, TrainSettings

experiment = Experiment(
    model="nade",
    data="npz:uci_binary/mushrooms.npz",
    model_args={
        "width": 500,
        "dropout": 0.1,
    },
    train=TrainSettings(
        steps=6000,
        batch_size=100,
        learning_rate=0.002,
        weight_decay=0.03,
        eval_every=300,
        checkpoint_every=3000,
        clip_norm=None,
    ),
)
