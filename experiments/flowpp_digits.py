"""Flow++ on the digits.

Command: ``jaxgen train experiments/flowpp_digits.py --out runs/flowpp_digits``
Cost: 4 minutes on 2 CPU cores, beside other work.
Published: none for this data set.
Result: 1.89 ± 0.02 bits/dim (ELBO, one sample), test split of 180 examples.

One pair of couplings in each stage, four logistics in a mixture; uniform dequantization.
The 8x8 digits of scikit-learn, 17 levels, bits per dimension counted per level. One candidate, not
tuned; the parameters are the average that scored best on the validation split.
"""

from jaxgen.training import Experiment, TrainSettings

experiment = Experiment(
    model="flowpp",
    data="digits",
    dequantize=True,
    model_args={
        "steps": [1, 1, 1],
        "components": 4,
        "width": 32,
        "blocks": 1,
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
