"""A mixture of Bernoullis on the binary NIPS-0-12 data.

Command: ``JAXGEN_DATA=DIR jaxgen train experiments/mixture_nips.py --out RUN``
Cost: at most 5 seconds of training on 2 CPU cores (timed beside other work).
Published: -290.02 nats (mixture of Bernoullis), as recalled.
Result: -287.27 ± 0.51 nats (exact), the mean of 3 seeds with a standard deviation of 0.281, test
split of 1240 examples.

Binary data in the splits of the NADE and MADE papers: ``DIR`` holds ``uci_binary/nips.npz`` with
the arrays ``train``, ``valid`` and ``test``. Log-likelihood in nats, exact. Chosen on validation:
the number of components, of two, and the step.
"""

from jaxgen.training import Experiment, TrainSettings

experiment = Experiment(
    model="mixture",
    data="npz:uci_binary/nips.npz",
    model_args={"components": 30},
    train=TrainSettings(
        steps=600,
        learning_rate=1e-2,
        weight_decay=0.0,
        eval_every=50,
        checkpoint_every=300,
        batch_size=100,
        clip_norm=None,
    ),
)
