"""A thousand steps of training at a rate of 1e-3 stay finite, for flows and models with latents."""

from functools import partial
from typing import Any

import jax
import numpy as np
import pytest
from flax import nnx

from jaxgen import zoo
from jaxgen.data import load
from jaxgen.models import Dequantized
from jaxgen.training import TrainSettings, fit, objectives

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

# With what they are trained by.
LATENT: dict[str, tuple[dict[str, Any], Any]] = {
    "vae": ({"latents": 20}, objectives.elbo),
    "vae_iaf": ({"latents": 20, "layer_hidden": (64,)}, objectives.elbo),
    "sylvester": ({"latents": 20}, objectives.elbo),
    "vampprior": ({"latents": 20, "pseudo_inputs": 50}, objectives.elbo),
    "pixelvae": ({"latents": 10, "width": 8, "widths": (8,)}, objectives.elbo),
    "fvae": (
        {"latents": 10, "layer_hidden": (64,), "width": 16, "steps": 2, "widths": (8,)},
        objectives.elbo,
    ),
    "vqvae": (
        {
            "codes": 32,
            "code_width": 8,
            "widths": (16,),
            "blocks": 1,
            "prior_args": {"width": 8, "depth": 2, "out_width": 8, "first_size": 3},
        },
        objectives.vector_quantized,
    ),
    "vdvae": (
        {"blocks": (0, 1, 1, 1), "width": 16, "latent_width": 2},
        objectives.elbo,
    ),
    "iwae": (
        {"layer_sizes": (20, 10), "hidden": ((64,), (32,))},
        partial(objectives.importance_weighted, num_samples=5, gradient="dreg"),
    ),
    "helmholtz": (
        {"layer_sizes": (50, 20), "hidden": ((64,), (32,))},
        partial(objectives.reweighted_wake_sleep, num_samples=5),
    ),
}


@pytest.mark.slow
@pytest.mark.usefixtures("optimized")
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", LATENT)
def test_a_thousand_steps_with_latents_stay_finite(name: str, seed: int) -> None:
    data = load("digits")
    arguments, objective = LATENT[name]
    model = zoo.build(name, data.event_shape, {"levels": 17, **arguments}, rngs=nnx.Rngs(seed))
    settings = TrainSettings(
        steps=1000, batch_size=64, learning_rate=1e-3, schedule="constant", seed=seed
    )
    # fit raises at the first loss or gradient that is not finite.
    result = fit(model, data.x, settings=settings, objective=objective, progress=False)
    losses = np.array([row["loss"] for row in result.history])
    assert np.isfinite(losses).all()
    assert losses[-5:].mean() < losses[0]
    bound = np.asarray(jax.jit(type(model).elbo)(result.model, data.x[:200], jax.random.key(0)))
    assert np.isfinite(bound).all()
    assert -bound.mean() < data.x[0].size * np.log(17)


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


def test_every_flow_and_every_model_with_latents_is_trained() -> None:
    # Those that are neither, of images: direct densities, the noise of a dequantization, angles.
    others = {"attention", "dequantizer", "eonade", "fvsbn", "gated_pixelcnn", "growing", "lmconv"}
    others |= {"made", "markov", "multiscale_pixelrnn", "nade", "pixelcnn", "pixelrnn", "recurrent"}
    others |= {"cylinder", "mixture", "pixelcnnpp", "tabular", "torus", "wavenet"}
    assert {*MEMBERS, *LATENT} == {name for name, _ in zoo.names()} - others
