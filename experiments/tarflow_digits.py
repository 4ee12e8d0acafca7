"""TarFlow on the digits.

Command: ``jaxgen train experiments/tarflow_digits.py --out runs/tarflow_digits``
Cost: 15 minutes beside other work on 2 CPU cores.
Published: none for this data set.
Result: 2.12 ± 0.02 bits/dim (ELBO, one sample), test split of 180 examples.

Sixteen tokens of 2x2 pixels, four blocks of two transformer layers; no noise augmentation.
The 8x8 digits of scikit-learn, 17 levels, bits per dimension counted per level. One candidate, not
tuned; the parameters are the average that scored best on the validation split.
"""

from jaxgen.training import Experiment, TrainSettings

experiment = Experiment(
    model="tarflow",
    data="digits",
    dequantize=True,
    model_args={
        "patch": 2,
        "blocks": 4,
        "layers": 2,
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
