"""The fully visible sigmoid belief network on the binary Adult data.

Command: ``JAXGEN_DATA=DIR jaxgen train experiments/fvsbn_adult.py --out runs/fvsbn_adult``
Cost: at most 6 seconds of training on 2 CPU cores (timed beside other work).
Published: -13.17 nats (FVSBN), as recalled.
Result: -13.23 ± 0.02 nats (exact), the mean of 3 seeds with a standard deviation of 0.000, test
split of 26147 examples.

Binary data in the splits of the NADE and MADE papers: ``DIR`` holds ``uci_binary/adult.npz`` with
the arrays ``train``, ``valid`` and ``test``. Log-likelihood in nats, exact. Chosen on validation:
the number of steps, the learning rate and the weight decay, of 7 settings, and the step.
"""

from jaxgen.training import Experiment, TrainSettings

experiment = Experiment(
    model="fvsbn",
    data="npz:uci_binary/adult.npz",
    model_args={
        "levels": 2,
    },
    train=TrainSettings(
        steps=12000,
        batch_size=100,
        learning_rate=1e-2,
        weight_decay=0.03,
        eval_every=600,
        checkpoint_every=6000,
        clip_norm=None,
    ),
)
