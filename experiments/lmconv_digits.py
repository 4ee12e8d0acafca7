"""Locally masked convolutions on the digits, averaged over eight S-curves.

Command: ``jaxgen train experiments/lmconv_digits.py --out runs/lmconv_digits``
Cost: at most 3.5 minutes of training on 2 CPU cores (timed beside other work).
Published: none for this data set.
Result: 1.79 ± 0.02 bits/dim (exact), test split of 180 examples.

The 8x8 digits of scikit-learn, 17 levels, bits per dimension, exact. One candidate, not tuned; the
parameters are the average that scored best on the validation split.
"""

from jaxgen.training import Experiment, TrainSettings

experiment = Experiment(
    model="lmconv",
    data="digits",
    model_args={
        "levels": 17,
        "width": 64,
        "depth": 4,
        "dropout": 0.3,
    },
    train=TrainSettings(
        steps=1500,
        batch_size=100,
        learning_rate=0.002,
        warmup_steps=100,
        weight_decay=0.01,
        eval_every=100,
        checkpoint_every=500,
    ),
)
