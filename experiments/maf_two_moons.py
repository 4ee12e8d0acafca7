"""MAF on two moons: the density beside samples.

Command: ``jaxgen train experiments/maf_two_moons.py --out runs/maf_two_moons``
Cost: at most three quarters of a minute on 2 CPU cores (timed beside other work).
Published: none; the data are drawn, see ``jaxgen.data.toy``.
Result: -1.02 ± 0.01 nats (exact), test split of 5000 examples.

Log-likelihood in nats, exact. The picture of samples shows the density on the same axes.
"""

from jaxgen.training import Experiment, TrainSettings

experiment = Experiment(
    model="maf",
    data="toy:two_moons",
    model_args={"layers": 8, "hidden": [64, 64]},
    train=TrainSettings(
        steps=6000,
        batch_size=256,
        learning_rate=2e-3,
        eval_every=500,
        checkpoint_every=2000,
    ),
)
