"""Angles beside real numbers: exact, periodic, in any unit."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import jaxgen
from jaxgen import zoo
from jaxgen.core import ShapeError
from jaxgen.models import Cylinder, DiagonalNormal, VonMises
from jaxgen.testing import perturb, to_float64
from jaxgen.training import TrainSettings, fit

SMALL = {"layers": 1, "hidden": [6]}
TURN = {"steps": 1, "bins": 3, "hidden": [6]}
FLOWS = {
    "maf": SMALL,
    "nsf": {"structure": "autoregressive", "steps": 1, "bins": 3, "hidden": [6]},
    "made": {"levels": None, "components": 2, "hidden": [6]},
}


def build(flow="maf", shape=(2,), angles=(0,), **options):
    return zoo.cylinder(
        shape,
        angles=angles,
        rest=flow,
        rest_args=FLOWS.get(flow, SMALL),
        torus_args=TURN,
        rngs=nnx.Rngs(0),
        **options,
    )


@pytest.mark.parametrize("flow", FLOWS)
def test_the_density_integrates_to_one(flow, x64):
    model = to_float64(perturb(build(flow, bounds=[(0, 360), None]), jax.random.key(0)))
    directions = np.linspace(0, 360, 200, endpoint=False) + 0.9
    speeds = np.linspace(-15, 15, 1201)
    at = np.stack(np.meshgrid(directions, speeds, indexing="ij"), -1)
    density = jnp.exp(jax.jit(type(model).log_prob)(model, jnp.asarray(at)))
    total = float(jnp.sum(density)) * 1.8 * (speeds[1] - speeds[0])
    assert total == pytest.approx(1.0, abs=2e-4)


def test_directions_that_differ_by_turns_are_one(x64):
    model = to_float64(perturb(build(bounds=[(0, 360), None]), jax.random.key(0)))
    low, high = model.log_prob(jnp.array([[1e-9, 0.3], [360 - 1e-9, 0.3]]))
    assert float(low) == pytest.approx(float(high), abs=1e-6)


def test_it_learns_what_the_direction_tells_of_the_speed():
    rng = np.random.default_rng(0)
    direction = rng.vonmises(0.0, 1.0, 4000)
    speed = 1000 * (np.cos(direction) + 0.1 * rng.normal(size=4000))
    x = np.stack([speed, np.degrees(direction) % 360], 1).astype(np.float32)
    model = zoo.cylinder(
        (2,),
        angles=[1],
        bounds=[None, (0, 360)],
        rest_args={"layers": 2, "hidden": [32], "activation": "tanh"},
        torus_args=TURN,
        rngs=nnx.Rngs(0),
    )
    settings = TrainSettings(steps=500, batch_size=128, learning_rate=1e-2)
    model = fit(model, x[:3500], settings=settings, progress=False).model
    truth = -np.log(180 / np.pi) - np.log(100) - 0.5 * np.log(2 * np.pi * np.e)
    entropy = np.log(2 * np.pi * np.i0(1.0)) - np.mean(np.cos(direction))
    assert np.mean(model.log_prob(x[3500:])) > truth - entropy - 0.25
    drawn = np.asarray(model.sample(jax.random.key(0), 2000))
    assert np.corrcoef(drawn[:, 0], np.cos(np.radians(drawn[:, 1])))[0, 1] > 0.97


def test_latents_lead_back():
    model = perturb(build(shape=(4,), angles=(2, 0)), jax.random.key(0))
    x = model.sample(jax.random.key(1), 20)
    np.testing.assert_allclose(model.decode(model.infer(x)), x, atol=1e-4)


def test_contexts_reach_both_parts(tmp_path):
    model = perturb(build(shape=(3,), angles=(1,), context_features=2), jax.random.key(0))
    contexts = jnp.array([[0.0, 1.0], [3.0, -1.0]])
    x = jnp.zeros((2, 3))
    one, other = model.log_prob(x, contexts), model.log_prob(x, contexts[::-1])
    assert np.all(np.abs(np.asarray(one - other)) > 1e-3)
    assert model.sample(jax.random.key(0), 5, contexts).shape == (5, 2, 3)
    jaxgen.save(model, tmp_path / "model")
    again = jaxgen.load(tmp_path / "model")
    np.testing.assert_array_equal(again.log_prob(x, contexts), one)


@pytest.mark.parametrize(
    ("build", "error", "message"),
    [
        (lambda: build(shape=(2, 2)), ShapeError, "an event shape"),
        (lambda: build(angles=(0, 1)), ValueError, "not all of them"),
        (lambda: build(angles=()), ValueError, "not all of them"),
        (lambda: build(angles=(2,)), ValueError, "entries 0 to 1"),
        (lambda: build(shape=(3,), angles=(1, 1)), ValueError, "not all of them"),
        (
            lambda: zoo.cylinder((2,), rest="realnvp", rngs=nnx.Rngs(0)),
            ShapeError,
            r"cylinder: rest, realnvp of \(1,\): realnvp: Coupling",
        ),
        (
            lambda: zoo.cylinder((2,), rest_args={"bounds": (0, 1)}, rngs=nnx.Rngs(0)),
            ValueError,
            "no bounds in rest_args",
        ),
        (lambda: build(bounds=[(0, None), None]), ValueError, "two ends of an angle's turn"),
        (
            lambda: Cylinder(VonMises((1,)), DiagonalNormal((1,)), [0], [(0.0, 1.0)]),
            ShapeError,
            "whose context is 2 numbers",
        ),
    ],
)
def test_wrong_parts_are_refused(build, error, message):
    with pytest.raises(error, match=message):
        build()
