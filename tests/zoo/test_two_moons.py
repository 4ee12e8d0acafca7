"""Trained flows in the plane integrate to one, and put their mass where the data are."""

from typing import Any

import jax
import jax.numpy as jnp
import pytest
from flax import nnx

import jaxgen
from jaxgen import zoo
from jaxgen.evaluation import density_2d
from jaxgen.evaluation.plots import grid_2d
from jaxgen.models import Flow
from jaxgen.training import TrainSettings, fit


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("realnvp", {"steps": 6, "hidden": [64, 64]}),
        ("maf", {"layers": 8, "hidden": [64, 64]}),
    ],
)
def test_trained_density_integrates_to_one(name: str, arguments: dict[str, Any]) -> None:
    data = jaxgen.data.load("toy:two_moons", "train")
    flow = zoo.build(name, (2,), arguments, rngs=nnx.Rngs(0))
    settings = TrainSettings(steps=1500, batch_size=256, learning_rate=2e-3)
    flow = fit(flow, data.x, settings=settings, progress=False).model

    log_prob = jax.jit(Flow.log_prob)
    points, area = grid_2d((-5.0, 5.0, -5.0, 5.0), 1000)
    total = float(jnp.sum(jnp.exp(log_prob(flow, points.reshape(-1, 2)))) * area)
    assert total == pytest.approx(1.0, abs=1e-3)

    # A Gaussian with the data's mean and covariance reaches -2.3 nats.
    held_out = jaxgen.data.load("toy:two_moons", "test").x
    assert float(log_prob(flow, held_out).mean()) > -1.3
    samples = jax.jit(Flow.sample, static_argnums=2)(flow, jax.random.key(0), 2000)
    assert float(log_prob(flow, samples).mean()) > -1.3
    figure = density_2d(flow, samples)
    assert [axes.get_title() for axes in figure.axes[:2]] == ["density", "samples"]
