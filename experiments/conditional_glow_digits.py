"""Glow of a digit given its class: p(x | label).

Command: ``jaxgen train experiments/conditional_glow_digits.py --out runs/conditional_glow_digits``
Cost: 73 seconds on 2 CPU cores, beside other work.
Published: none for this data set.
Result: 1.98 ± 0.02 bits/dim (ELBO, one sample), test split of 180 examples.

The flow of ``glow_digits.py``, every coupling seeing an embedding of the label; bits per
dimension given the label. In ``samples.png`` every column is a class.
The 8x8 digits of scikit-learn, 17 levels, bits per dimension counted per level. One candidate, not
tuned; the parameters are the average that scored best on the validation split.
"""

from jaxgen.training import Experiment, TrainSettings

experiment = Experiment(
    model="glow",
    data="digits",
    class_features=16,
    dequantize=True,
    model_args={
        "levels": 1,
        "steps": 8,
        "width": 48,
        "lu": False,
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
