"""IAF on the digits.

Command: ``jaxgen train experiments/iaf_digits.py --out runs/iaf_digits``
Cost: 16 seconds on 2 CPU cores, beside other work.
Published: none for this data set.
Result: 2.23 ± 0.02 bits/dim (ELBO, one sample), test split of 180 examples.

Trained by maximum likelihood, which runs through the 64 pixels one by one; IAF is made for fast
samples, and this is here to complete the row.
The 8x8 digits of scikit-learn, 17 levels, bits per dimension counted per level. One candidate, not
tuned; the parameters are the average that scored best on the validation split.
"""

from jaxgen.training import Experiment, TrainSettings

experiment = Experiment(
    model="iaf",
    data="digits",
    dequantize=True,
    model_args={"layers": 2, "hidden": [256], "bounds": [0, 17]},
    train=TrainSettings(
        steps=600,
        batch_size=128,
        learning_rate=0.002,
        warmup_steps=100,
        weight_decay=0.001,
        eval_every=100,
        checkpoint_every=400,
    ),
)
