"""Neural spline flow on the digits.

Command: ``jaxgen train experiments/nsf_digits.py --out runs/nsf_digits``
Cost: 75 seconds on 2 CPU cores, beside other work.
Published: none for this data set.
Result: 1.93 ± 0.02 bits/dim (ELBO, one sample), test split of 180 examples.

Glow's architecture of one level with six rational-quadratic couplings.
The 8x8 digits of scikit-learn, 17 levels, bits per dimension counted per level. One candidate, not
tuned; the parameters are the average that scored best on the validation split.
"""

from jaxgen.training import Experiment, TrainSettings

experiment = Experiment(
    model="nsf",
    data="digits",
    dequantize=True,
    model_args={
        "levels": 1,
        "steps": 6,
        "width": 48,
        "blocks": 1,
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
