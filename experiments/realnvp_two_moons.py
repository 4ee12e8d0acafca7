"""RealNVP on two moons."""

from jaxgen.training import Experiment, TrainSettings

experiment = Experiment(
    model="realnvp",
    data="toy:two_moons",
    model_args={"steps": 6, "hidden": [64, 64]},
    train=TrainSettings(steps=6000, batch_size=256, learning_rate=2e-3, eval_every=500),
)
