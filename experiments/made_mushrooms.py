"""MADE on the binary Mushrooms data."""

from jaxgen.training import Experiment, TrainSettings

experiment = Experiment(
    model="made",
    data="npz:uci_binary/mushrooms.npz",
    model_args={"hidden": [500], "dropout": 0.3, "num_orders": 16},
    train=TrainSettings(
        steps=6000,
        batch_size=100,
        learning_rate=3e-3,
        schedule="constant",
        weight_decay=0.03,
        clip_norm=None,
        ema_decay=0.99,
        eval_every=250,
        checkpoint_every=6000,
    ),
)
