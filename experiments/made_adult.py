"""MADE on the binary Adult data."""

from jaxgen.training import Experiment, TrainSettings

experiment = Experiment(
    model="made",
    data="npz:uci_binary/adult.npz",
    model_args={"hidden": [500], "dropout": 0.5},
    train=TrainSettings(
        steps=15000,
        batch_size=100,
        learning_rate=1e-3,
        schedule="constant",
        weight_decay=0.3,
        clip_norm=None,
        ema_decay=0.99,
        eval_every=250,
        checkpoint_every=15000,
    ),
)
