"""MADE with a categorical head on the digits."""

from jaxgen.training import Experiment, TrainSettings

experiment = Experiment(
    model="made",
    data="digits",
    model_args={"levels": 17, "hidden": [500, 500], "direct": False, "dropout": 0.5},
    train=TrainSettings(
        steps=3000,
        batch_size=100,
        learning_rate=2e-3,
        weight_decay=0.01,
        ema_decay=0.99,
        eval_every=100,
        checkpoint_every=3000,
    ),
)
