"""RealNVP on the digits with variational dequantization.

Command: ``jaxgen train experiments/variational_realnvp_digits.py --out RUN``
Cost: 5 minutes on 2 CPU cores, beside other work.
Published: none for this data set.
Result: 1.89 ± 0.02 bits/dim (ELBO, one sample), test split of 180 examples;
1.82 ± 0.02 with 100 importance samples.

The flow of ``realnvp_digits.py``; the noise is a conditional flow instead of uniform.
"""

from jaxgen.training import Experiment, TrainSettings

experiment = Experiment(
    model="realnvp",
    data="digits",
    dequantize=True,
    dequantizer_args={
        "steps": 1,
        "components": 4,
        "width": 32,
        "blocks": 1,
        "attention": False,
        "features": 16,
        "encoder_blocks": 1,
    },
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
