"""EoNADE, averaged over sixteen orders, on the binary Adult data.

Command: ``JAXGEN_DATA=DIR jaxgen train experiments/eonade_adult.py --out RUN``
Cost: at most 90 seconds of training on 2 CPU cores (timed beside other work).
Published: -13.19 nats (EoNADE, one hidden layer, 16 orders), as recalled.
Result: -13.25 ± 0.02 nats (exact), the mean of 3 seeds with a standard deviation of 0.015, test
split of 26147 examples.

Binary data in the splits of the NADE and MADE papers: ``DIR`` holds ``uci_binary/adult.npz`` with
the arrays ``train``, ``valid`` and ``test``. Log-likelihood in nats, exact. Chosen on validation:
no dropout instead of 0.2, the rate and weight decay, of three settings of 6000 to 40000 steps; and
the step.
"""

from jaxgen.training import Experiment, TrainSettings

experiment = Experiment(
    model="eonade",
    data="npz:uci_binary/adult.npz",
    model_args={"hidden": [500], "num_orders": 16, "dropout": 0.0},
    train=TrainSettings(
        steps=25000,
        learning_rate=0.003,
        weight_decay=0.03,
        eval_every=1000,
        checkpoint_every=10000,
        batch_size=100,
        clip_norm=None,
    ),
)
