"""MADE on the binary DNA data."""

from jaxgen.training import Experiment, TrainSettings

experiment = Experiment(
    model="made",
    data="npz:uci_binary/dna.npz",
    model_args={"hidden": [500], "dropout": 0.5, "num_orders": 32},
    train=TrainSettings(
        steps=8400,
        batch_size=100,
        learning_rate=1e-3,
        schedule="constant",
        weight_decay=0.1,
        clip_norm=None,
        ema_decay=0.99,
        eval_every=250,
        checkpoint_every=8400,
    ),
)
