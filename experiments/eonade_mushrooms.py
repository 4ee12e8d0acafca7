"""EoNADE, averaged over sixteen orders, on the binary Mushrooms data.

Command: ``JAXGEN_DATA=DIR jaxgen train experiments/eonade_mushrooms.py --out RUN``
Cost: at most 79 seconds of training on 2 CPU cores (timed beside other work).
Published: -9.69 nats (EoNADE, one hidden layer, 16 orders), as recalled.
Result: -9.72 ± 0.02 nats (exact), the mean of 3 seeds with a standard deviation of 0.014, test
split of 5624 examples.

Binary data in the splits of the NADE and MADE papers: ``DIR`` holds ``uci_binary/mushrooms.npz``
with the arrays ``train``, ``valid`` and ``test``. Log-likelihood in nats, exact. Chosen on
validation: no dropout, a higher rate and more steps instead of dropout 0.1 and 8000 steps; and the
step.
"""

from jaxgen.training import Experiment, TrainSettings

experiment = Experiment(
    model="eonade",
    data="npz:uci_binary/mushrooms.npz",
    model_args={"hidden": [500], "num_orders": 16, "dropout": 0.0},
    train=TrainSettings(
        steps=30000,
        learning_rate=0.003,
        weight_decay=0.03,
        eval_every=1000,
        checkpoint_every=10000,
        batch_size=100,
        clip_norm=None,
    ),
)
