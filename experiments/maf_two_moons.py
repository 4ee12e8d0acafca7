"""MAF on two moons."""

from jaxgen.training import Experiment, TrainSettings

experiment = Experiment(
    model="maf",
    data="toy:two_moons",
    model_args={"layers": 8, "hidden": [64, 64]},
    train=TrainSettings(steps=6000, batch_size=256, learning_rate=2e-3, eval_every=500),
)
