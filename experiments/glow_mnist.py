"""A small multi-scale Glow on MNIST, 8 bits.

Paper: Kingma and Dhariwal 2018.
Command: ``JAXGEN_DATA=DIR jaxgen train experiments/glow_mnist.py --out RUN``
Cost: 39 minutes on 2 CPU cores, beside other work.
Published: 1.05 bits/dim (Glow), as recalled.
Result: 1.17 ± 0.00 bits/dim (ELBO, one sample), test split of 10,000 images.

28x28 images of 256 levels, uniform dequantization; the estimator is the bound with one sample of
the noise.
Tried on the validation split, each for about 100 seconds with 8 steps of flow and width 32:
learning rates 1e-3 (1.92) and 4e-3 (1.75); at 4e-3, the logit's margin at 0.05 (1.75), 0.01 (1.54)
and 0.001 (1.39). A background pixel's noise has a width of 1/256, which a wide margin leaves to the
couplings to blow up. At 1e-3 also four steps of width 64 (1.98), and RealNVP of three scales
(1.89). The depth and length here are larger, untuned.
"""

from jaxgen.training import Experiment, TrainSettings

experiment = Experiment(
    model="glow",
    data="npz:mnist.npz",
    dequantize=True,
    model_args={"levels": 2, "steps": 12, "width": 32, "bounds": [0, 256], "alpha": 1e-3},
    train=TrainSettings(
        steps=12000,
        batch_size=32,
        learning_rate=4e-3,
        warmup_steps=200,
        clip_norm=50.0,
        ema_decay=0.999,
        eval_every=1000,
        checkpoint_every=3000,
    ),
)
