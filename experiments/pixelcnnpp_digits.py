"""PixelCNN++ with a mixture of discretized logistics on the digits.

Paper: Salimans et al. 2017. Command: ``jaxgen train experiments/pixelcnnpp_digits.py --out
runs/pixelcnnpp_digits`` Cost: at most 6.3 minutes of training on 2 CPU cores (timed beside other
work). Published: none for this data set. Result: 1.73 ± 0.02 bits/dim (exact), test split of 180
examples.

The 8x8 digits of scikit-learn, 17 levels, bits per dimension, exact. Two resolutions, 8x8 and 4x4.
One candidate, not tuned; the parameters are the average that scored best on the validation split.
"""

from jaxgen.training import Experiment, TrainSettings

experiment = Experiment(
    model="pixelcnnpp",
    data="digits",
    model_args={
        "levels": 17,
        "components": 5,
        "blocks": 2,
        "width": 24,
        "resolutions": 2,
        "dropout": 0.3,
    },
    train=TrainSettings(
        steps=1500,
        batch_size=100,
        learning_rate=0.002,
        warmup_steps=100,
        optimizer_args={"b1": 0.95, "b2": 0.9995},
        eval_every=100,
        checkpoint_every=500,
    ),
)
