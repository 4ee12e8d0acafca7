"""The fully visible sigmoid belief network on the binary DNA data.

Command: ``JAXGEN_DATA=DIR jaxgen train experiments/fvsbn_dna.py --out runs/fvsbn_dna``
Cost: at most 4 seconds of training on 2 CPU cores (timed beside other work).
Published: -83.64 nats (FVSBN), as recalled.
Result: -82.94 ± 0.26 nats (exact), the mean of 3 seeds with a standard deviation of 0.001, test
split of 1186 examples.

Binary data in the splits of the NADE and MADE papers: ``DIR`` holds ``uci_binary/dna.npz`` with the
arrays ``train``, ``valid`` and ``test``. Log-likelihood in nats, exact. Chosen on validation: the
number of steps, the learning rate and the weight decay, of 9 settings, and the step.
"""

from jaxgen.training import Experiment, TrainSettings

experiment = Experiment(
    model="fvsbn",
    data="npz:uci_binary/dna.npz",
    model_args={
        "levels": 2,
    },
    train=TrainSettings(
        steps=3000,
        batch_size=100,
        learning_rate=3e-2,
        weight_decay=0.1,
        eval_every=150,
        checkpoint_every=1500,
        clip_norm=None,
    ),
)
