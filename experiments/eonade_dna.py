"""EoNADE, averaged over sixteen orders, on the binary DNA data.

Command: ``JAXGEN_DATA=DIR jaxgen train experiments/eonade_dna.py --out RUN``
Cost: at most 47 seconds of training on 2 CPU cores (timed beside other work).
Published: -82.31 nats (EoNADE, one hidden layer, 16 orders), as recalled.
Result: -82.94 ± 0.27 nats (exact), the mean of 3 seeds with a standard deviation of 0.037, test
split of 1186 examples.

Binary data in the splits of the NADE and MADE papers: ``DIR`` holds ``uci_binary/dna.npz`` with the
arrays ``train``, ``valid`` and ``test``. Log-likelihood in nats, exact. Chosen on validation, of
seven settings: dropout (0.1 to 0.5), weight decay (0.03 to 0.3) and the number of steps (8000 or
16000); and the step.
"""

from jaxgen.training import Experiment, TrainSettings

experiment = Experiment(
    model="eonade",
    data="npz:uci_binary/dna.npz",
    model_args={"hidden": [500], "num_orders": 16, "dropout": 0.1},
    train=TrainSettings(
        steps=8000,
        learning_rate=1e-3,
        weight_decay=0.03,
        eval_every=400,
        checkpoint_every=4000,
        batch_size=100,
        clip_norm=None,
    ),
)
