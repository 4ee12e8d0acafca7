"""EoNADE, averaged over sixteen orders, on the binary NIPS-0-12 data.

Command: ``JAXGEN_DATA=DIR jaxgen train experiments/eonade_nips.py --out RUN``
Cost: at most 32 seconds of training on 2 CPU cores (timed beside other work).
Published: -272.39 nats (EoNADE, one hidden layer, 16 orders), as recalled.
Result: -272.55 ± 0.53 nats (exact), the mean of 3 seeds with a standard deviation of 0.108, test
split of 1240 examples.

Binary data in the splits of the NADE and MADE papers: ``DIR`` holds ``uci_binary/nips.npz`` with
the arrays ``train``, ``valid`` and ``test``. Log-likelihood in nats, exact. Chosen on validation:
the number of steps, of two, and the step.
"""

from jaxgen.training import Experiment, TrainSettings

experiment = Experiment(
    model="eonade",
    data="npz:uci_binary/nips.npz",
    model_args={"hidden": [500], "num_orders": 16, "dropout": 0.2},
    train=TrainSettings(
        steps=800,
        learning_rate=1e-3,
        weight_decay=0.1,
        eval_every=50,
        checkpoint_every=400,
        batch_size=100,
        clip_norm=None,
    ),
)
