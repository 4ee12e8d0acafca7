"""A small multi-scale Glow on MNIST, 8 bits, with splines for the pixels' marginals.

Paper: Kingma and Dhariwal 2018.
Command: ``JAXGEN_DATA=DIR jaxgen train experiments/glow_mnist.py --out RUN``
Cost: 27 minutes on 2 CPU cores, beside other work.
Published: 1.05 bits/dim (Glow), as recalled.
Result: 1.12 bits/dim (1.1151 ± 0.0026; ELBO, one sample), test split of 10,000 images.

28x28 images of 256 levels, uniform dequantization; the estimator is the bound with one sample of
the noise. Most pixels are background, and the logit of their uniform noise is far from normal,
which affine couplings cannot mend: a spline for every pixel can.
Tried on the first 1000 images of the validation split, each with 1000 steps of training: a margin
of 1e-3 (1.366) and of 1e-5 (1.334), and at 1e-5 splines of 32 bins (1.208); with 600 steps at 1e-3,
variational dequantization (1.300, four times as dear a step). Before, on the whole split, each for
about 100 seconds: learning rates 1e-3 (1.92) and 4e-3 (1.75); margins of 0.05 (1.75), 0.01 (1.54)
and 0.001 (1.39); at 1e-3 also four steps of width 64 (1.98), and RealNVP of three scales (1.89).
Without splines, twelve steps of flow and a margin of 1e-3 reached 1.174 (test) in 39 minutes. The
length is untuned.
"""

from jaxgen.training import Experiment, TrainSettings

experiment = Experiment(
    model="glow",
    data="npz:mnist.npz",
    dequantize=True,
    model_args={
        "levels": 2,
        "steps": 8,
        "width": 32,
        "bounds": [0, 256],
        "alpha": 1e-5,
        "marginal_bins": 32,
    },
    train=TrainSettings(
        steps=10000,
        batch_size=32,
        learning_rate=4e-3,
        warmup_steps=200,
        clip_norm=50.0,
        ema_decay=0.999,
        eval_every=2500,
        checkpoint_every=2500,
    ),
)
