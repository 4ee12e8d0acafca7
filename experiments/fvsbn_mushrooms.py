"""The fully visible sigmoid belief network on the binary Mushrooms data.

Command: ``JAXGEN_DATA=DIR jaxgen train experiments/fvsbn_mushrooms.py --out runs/fvsbn_mushrooms``
Cost: at most 5 seconds of training on 2 CPU cores (timed beside other work).
Published: -10.27 nats (FVSBN), as recalled.
Result: -10.11 ± 0.03 nats (exact), the mean of 3 seeds with a standard deviation of 0.001, test
split of 5624 examples.

Binary data in the splits of the NADE and MADE papers: ``DIR`` holds ``uci_binary/mushrooms.npz``
with the arrays ``train``, ``valid`` and ``test``. Log-likelihood in nats, exact. Chosen on
validation: the number of steps, the learning rate and the weight decay, of 7 settings, and the
step.
"""

from jaxgen.training import Experiment, TrainSettings

experiment = Experiment(
    model="fvsbn",
    data="npz:uci_binary/mushrooms.npz",
    model_args={
        "levels": 2,
    },
    train=TrainSettings(
        steps=20000,
        batch_size=100,
        learning_rate=1e-2,
        weight_decay=0.01,
        eval_every=1000,
        checkpoint_every=10000,
        clip_norm=None,
    ),
)
