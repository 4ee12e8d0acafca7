"""NICE on the digits.

Command: ``jaxgen train experiments/nice_digits.py --out runs/nice_digits``
Cost: 16 seconds on 2 CPU cores, beside other work.
Published: none for this data set.
Result: 2.30 ± 0.02 bits/dim (ELBO, one sample), test split of 180 examples.

Two hidden layers of 256 instead of the paper's five of 1000; logit preprocessing.
The 8x8 digits of scikit-learn, 17 levels, bits per dimension counted per level. One candidate, not
tuned; the parameters are the average that scored best on the validation split.
"""

from jaxgen.training import Experiment, TrainSettings

experiment = Experiment(
    model="nice",
    data="digits",
    dequantize=True,
    model_args={"hidden": [256, 256], "dropout": 0.3, "bounds": [0, 17]},
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
