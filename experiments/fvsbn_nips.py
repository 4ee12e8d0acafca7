"""The fully visible sigmoid belief network on the binary NIPS-0-12 data.

Command: ``JAXGEN_DATA=DIR jaxgen train experiments/fvsbn_nips.py --out runs/fvsbn_nips``
Cost: not measured yet.
Published: -276.88 nats (FVSBN), as recalled.
Result: not recorded yet.

Binary data in the splits of the NADE and MADE papers: ``DIR`` holds ``uci_binary/nips.npz`` with
the arrays ``train``, ``valid`` and ``test``. Log-likelihood in nats, exact. Chosen on validation:
the number of steps, the learning rate and the weight decay, of 10 settings, and the step.
"""

from jaxgen.training import Experiment, TrainSettings

experiment = Experiment(
    model="fvsbn",
    data="npz:uci_binary/nips.npz",
    model_args={
        "levels": 2,
    },
    train=TrainSettings(
        steps=400,
        batch_size=100,
        learning_rate=2e-3,
        weight_decay=1.0,
        eval_every=50,
        checkpoint_every=200,
        clip_norm=None,
    ),
)
