"""Two moons: the density beside samples.

Command: ``jaxgen train experiments/two_moons.py:realnvp --out runs/realnvp_two_moons``, or ``:maf``

The data are drawn, see ``jaxgen.data.toy``. The picture of samples shows the density on the same
axes.
"""

from typing import Any

from jaxgen.runs import Recipe
from jaxgen.training import TrainSettings


def recipe(model: str, summary: str, rate: float = 2e-3, **model_args: Any) -> Recipe:
    return Recipe(
        model,
        "toy:two_moons",
        {**model_args, "hidden": [64, 64]},
        train=TrainSettings(
            steps=6000, batch_size=256, learning_rate=rate, eval_every=500, checkpoint_every=2000
        ),
        name=f"{model}_two_moons",
        summary=summary,
    )


# Chosen on validation: with relu and the rate of the other, training is rough, and two seeds of
# eight end 0.05 nats behind.
maf = recipe(
    "maf", "MAF of eight layers: the density beside samples.", 4e-3, layers=8, activation="tanh"
)
realnvp = recipe("realnvp", "RealNVP of six steps: the density beside samples.", steps=6)
