"""MADE on the binary NIPS-0-12 data."""

from jaxgen.training import Experiment, TrainSettings

experiment = Experiment(
    model="made",
    data="npz:uci_binary/nips.npz",
    model_args={"hidden": [500], "dropout": 0.5},
    train=TrainSettings(
        steps=2400,
        batch_size=100,
        learning_rate=1e-3,
        schedule="constant",
        weight_decay=0.5,
        clip_norm=None,
        ema_decay=0.99,
        eval_every=50,
        checkpoint_every=2400,
    ),
)
