"""Jet on the digits.

Command: ``jaxgen train experiments/jet_digits.py --out runs/jet_digits``
Cost: 5 minutes beside other work on 2 CPU cores.
Published: none for this data set.
Result: 2.31 ± 0.02 bits/dim (ELBO, one sample), test split of 180 examples.

Sixteen tokens of 2x2 pixels, ten couplings of one transformer layer each.
The 8x8 digits of scikit-learn, 17 levels, bits per dimension counted per level. One candidate, not
tuned; the parameters are the average that scored best on the validation split.
"""

from jaxgen.training import Experiment, TrainSettings

experiment = Experiment(
    model="jet",
    data="digits",
    dequantize=True,
    model_args={
        "patch": 2,
        "couplings": 10,
        "depth": 1,
        "width": 64,
        "heads": 2,
        "dropout": 0.3,
        "bounds": [0, 17],
    },
    train=TrainSettings(
        steps=1200,
        batch_size=128,
        learning_rate=0.002,
        warmup_steps=100,
        weight_decay=0.001,
        eval_every=100,
        checkpoint_every=400,
    ),
)
