"""RealNVP on the digits.

Command: ``jaxgen train experiments/realnvp_digits.py --out runs/realnvp_digits``
Cost: 3 minutes on 2 CPU cores, beside other work.
Published: none for this data set.
Result: 1.98 ± 0.02 bits/dim (ELBO, one sample), test split of 180 examples;
1.90 ± 0.02 with 100 importance samples.

Two scales, two pairs of couplings for each mask.
The 8x8 digits of scikit-learn, 17 levels, bits per dimension counted per level. One candidate, not
tuned; the parameters are the average that scored best on the validation split.
"""

from jaxgen.training import Experiment, TrainSettings

experiment = Experiment(
    model="realnvp",
    data="digits",
    dequantize=True,
    model_args={
        "steps": 2,
        "scales": 2,
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
