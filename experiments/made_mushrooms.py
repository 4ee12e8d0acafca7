"""MADE on the binary Mushrooms data, averaged over sixteen orders.

Command: ``JAXGEN_DATA=DIR jaxgen train experiments/made_mushrooms.py --out runs/made_mushrooms``
Cost: at most three and a half minutes on 2 CPU cores (timed beside other work).
Published: -9.68 (MADE), -9.69 (MADE with mask sampling), as recalled from Germain et al. (2015).
Result: -9.58 ± 0.01 nats (exact), the mean of 3 seeds with a standard deviation of 0.002, test
split of 5624 examples.

Binary data in the splits of the NADE and MADE papers: ``DIR`` holds ``uci_binary/mushrooms.npz``
with the arrays ``train``, ``valid`` and ``test``. Log-likelihood in nats, exact. Chosen on
validation: the number of steps (6000 constant, 20000 cosine), and the step.
"""

from jaxgen.training import Experiment, TrainSettings

experiment = Experiment(
    model="made",
    data="npz:uci_binary/mushrooms.npz",
    model_args={"hidden": [500], "dropout": 0.3, "num_orders": 16},
    train=TrainSettings(
        steps=20000,
        learning_rate=3e-3,
        weight_decay=0.03,
        eval_every=500,
        checkpoint_every=5000,
        batch_size=100,
        clip_norm=None,
    ),
)
