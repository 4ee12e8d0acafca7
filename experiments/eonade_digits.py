"""EoNADE on the digits, averaged over sixteen orders.

Command: ``jaxgen train experiments/eonade_digits.py --out runs/eonade_digits``
Cost: at most 37 seconds of training on 2 CPU cores (timed beside other work).
Published: none for this data set.
Result: 1.96 ± 0.02 bits/dim (exact), test split of 180 examples.

The 8x8 digits of scikit-learn, 17 levels, bits per dimension, exact. One candidate, not tuned; the
parameters are the average that scored best on the validation split.
"""

from jaxgen.training import Experiment, TrainSettings

experiment = Experiment(
    model="eonade",
    data="digits",
    model_args={
        "levels": 17,
        "hidden": [500, 500],
        "num_orders": 16,
        "dropout": 0.3,
    },
    train=TrainSettings(
        steps=4000,
        batch_size=100,
        learning_rate=0.002,
        warmup_steps=100,
        weight_decay=0.01,
        eval_every=400,
        checkpoint_every=2000,
    ),
)
