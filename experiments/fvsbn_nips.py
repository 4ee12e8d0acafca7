"""The fully visible sigmoid belief network on the binary NIPS-0-12 data.

Command: ``JAXGEN_DATA=DIR jaxgen train experiments/fvsbn_nips.py --out runs/fvsbn_nips``
Cost: at most 2 seconds of training on 2 CPU cores (timed beside other work).
Published: -276.88 nats (FVSBN), as recalled.
Result: -276.38 ± 0.51 nats (exact), the mean of 3 seeds with a standard deviation of 0.005, test
split of 1240 examples.

Binary data in the splits of the NADE and MADE papers: ``DIR`` holds ``uci_binary/nips.npz`` with
the arrays ``train``, ``valid`` and ``test``. Log-likelihood in nats, exact. Chosen on validation:
the optimizer, the learning rate and the weight decay, of 22 settings, and the step. The best of
those with Adam and a small epsilon, recorded before the others were tried, scored -279.74 on the
test split.
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
        # A large epsilon makes Adam a gradient descent with momentum, whose early stopping keeps
        # the weights of rare features small: there are fewer examples than dimensions.
        optimizer_args={"eps": 1.0},
        learning_rate=0.03,
        weight_decay=0.0,
        eval_every=50,
        checkpoint_every=200,
        clip_norm=None,
    ),
)
