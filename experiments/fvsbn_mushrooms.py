"""The fully visible sigmoid belief network on the binary Mushrooms data.

Command: ``JAXGEN_DATA=DIR jaxgen train experiments/fvsbn_mushrooms.py --out runs/fvsbn_mushrooms``
Cost: not measured yet.
Published: -10.27 nats (FVSBN), as recalled.
Result: not recorded yet.

Binary data in the splits of the NADE and MADE papers: ``DIR`` holds ``uci_binary/mushrooms.npz``
with the arrays ``train``, ``valid`` and ``test``. Log-likelihood in nats, exact. Chosen on
validation: the step.
"""

from jaxgen.training import Experiment, TrainSettings

experiment = Experiment(
    model="fvsbn",
    data="npz:uci_binary/mushrooms.npz",
    model_args={
        "levels": 2,
    },
    train=TrainSettings(
        steps=4000,
        batch_size=100,
        learning_rate=0.002,
        weight_decay=0.1,
        eval_every=200,
        checkpoint_every=2000,
        clip_norm=None,
    ),
)
