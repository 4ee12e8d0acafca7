"""PixelRNN, the Diagonal BiLSTM, with a categorical head on the digits.

Command: ``jaxgen train experiments/pixelrnn_digits.py --out runs/pixelrnn_digits``
Cost: at most 4.3 minutes of training on 2 CPU cores (timed beside other work).
Published: none for this data set.
Result: 1.79 ± 0.02 bits/dim (exact), test split of 180 examples.

The 8x8 digits of scikit-learn, 17 levels, bits per dimension, exact. One candidate, not tuned; the
parameters are the average that scored best on the validation split.
"""

from jaxgen.training import Experiment, TrainSettings

experiment = Experiment(
    model="pixelrnn",
    data="digits",
    model_args={
        "levels": 17,
        "layer": "diagonal",
        "width": 48,
        "depth": 3,
        "first_size": 5,
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
