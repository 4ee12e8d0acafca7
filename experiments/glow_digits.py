"""Glow on the digits."""

from jaxgen.training import Experiment, TrainSettings

experiment = Experiment(
    model="glow",
    data="digits",
    dequantize=True,
    model_args={
        "levels": 1,
        "steps": 8,
        "width": 48,
        "lu": False,
        "dropout": 0.2,
        "bounds": [0, 17],
    },
    train=TrainSettings(
        steps=3000,
        batch_size=128,
        learning_rate=2e-3,
        weight_decay=1e-3,
        clip_norm=1.0,
        ema_decay=0.99,
        eval_every=250,
        warmup_steps=100,
    ),
)
