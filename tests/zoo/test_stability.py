"""A thousand steps of training at a rate of 1e-3 stay finite, for every flow of the zoo."""

import numpy as np
import pytest
from flax import nnx

from jaxgen import zoo
from jaxgen.data import load
from jaxgen.models import Dequantized
from jaxgen.training import TrainSettings, fit

PIXELS = {"bounds": (0.0, 17.0)}
MEMBERS = {
    "nice": {"hidden": (64, 64), **PIXELS},
    "realnvp": {"steps": 2, "width": 16, "blocks": 1, **PIXELS},
    "glow": {"levels": 2, "steps": 4, "width": 16, **PIXELS},
    "maf": {"hidden": (128,), **PIXELS},
    "maf_mog": {"layers": 3, "hidden": (128,), **PIXELS},
    "iaf": {"layers": 2, "hidden": (128,), **PIXELS},
    "nsf": {"steps": 4, "width": 32, **PIXELS},
    "flowpp": {"steps": (1, 1, 1), "width": 16, "blocks": 1, "components": 4, **PIXELS},
    "tarflow": {"patch": 2, "blocks": 4, "layers": 2, "width": 32, "heads": 2, **PIXELS},
    "jet": {"patch": 2, "couplings": 10, "depth": 1, "width": 32, "heads": 2, **PIXELS},
}


@pytest.mark.slow
@pytest.mark.usefixtures("optimized")
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", MEMBERS)
def test_a_thousand_steps_stay_finite(name: str, seed: int) -> None:
    data = load("digits")
    flow = zoo.build(name, data.event_shape, MEMBERS[name], rngs=nnx.Rngs(seed))
    settings = TrainSettings(
        steps=1000, batch_size=64, learning_rate=1e-3, schedule="constant", seed=seed
    )
    # fit raises at the first loss or gradient that is not finite.
    result = fit(Dequantized(flow, 17), data.x, settings=settings, progress=False)
    losses = np.array([row["loss"] for row in result.history])
    assert np.isfinite(losses).all()
    assert losses[-5:].mean() < losses[0]
    # Less than a code that knows nothing of digits: uniform over 17 levels.
    assert losses[-5:].mean() < data.x[0].size * np.log(17)


def test_every_flow_of_the_zoo_is_trained() -> None:
    # Those that are no flows of images: direct densities, the noise of a dequantization, angles,
    # models with latents.
    others = {"attention", "dequantizer", "eonade", "fvsbn", "gated_pixelcnn", "growing", "lmconv"}
    others |= {"made", "markov", "multiscale_pixelrnn", "nade", "pixelcnn", "pixelrnn", "recurrent"}
    others |= {"cylinder", "mixture", "pixelcnnpp", "tabular", "torus", "wavenet"}
    others |= {"helmholtz", "iwae", "pixelvae", "sylvester", "vae", "vae_iaf", "vampprior"}
    assert set(MEMBERS) == {name for name, _ in zoo.names()} - others
