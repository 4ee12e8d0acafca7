"""Paths through latent space, in closed form where the flow is linear."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import jaxgen
from jaxgen import zoo
from jaxgen.bijectors import ActNorm, Coupling, Flip, Standardize
from jaxgen.cli import main
from jaxgen.core import ShapeError
from jaxgen.evaluation import interpolate, interpolation_grid
from jaxgen.models import ClassConditionalNormal, Dequantized, Embedded, Flow, StandardNormal
from jaxgen.networks import MLP, Embedding
from jaxgen.runs import Recipe, RunError, interpolate_run
from jaxgen.testing import perturb, to_float64

KEY = jax.random.key(0)
RNG = np.random.default_rng(0)
IDENTITY = Flow(Flip(), StandardNormal((5,)))


def test_the_sphere_keeps_the_norm_and_equal_angles(x64):
    x0, x1 = (v / np.linalg.norm(v, axis=-1, keepdims=True) for v in RNG.normal(size=(2, 3, 5)))
    path = np.asarray(interpolate(IDENTITY, 3.0 * x0, 3.0 * x1, 7))
    assert path.shape == (7, 3, 5)
    np.testing.assert_allclose(np.linalg.norm(path, axis=-1), 3.0, rtol=1e-12)
    steps = np.sum(path[1:] * path[:-1], -1)  # cosines of the angles, all the same
    np.testing.assert_allclose(steps, np.broadcast_to(steps[0], steps.shape), rtol=1e-9)
    np.testing.assert_array_equal(path[0], 3.0 * x0)
    np.testing.assert_array_equal(path[-1], 3.0 * x1)


def test_the_straight_line(x64):
    x0, x1 = RNG.normal(size=(2, 3, 5))
    path = interpolate(IDENTITY, x0, x1, 5, spherical=False)
    np.testing.assert_allclose(path, np.linspace(x0, x1, 5), rtol=1e-12)
    assert np.abs(path - interpolate(IDENTITY, x0, x1, 5)).max() > 0.01


@pytest.mark.parametrize("factor", [1.0, 2.0, -1.0, 1.0 + 1e-9, 0.0])
def test_directions_without_an_arc_between_them(factor, x64):
    x0 = np.array([1.0, 2.0, 0.5, 0.0, -1.0])
    path = interpolate(IDENTITY, x0, factor * x0, 3)
    # Of a zero vector any direction will do, as long as nothing is NaN.
    middle = np.sqrt(0.5) * x0 if factor == 0.0 else 0.5 * (1 + factor) * x0
    np.testing.assert_allclose(path, [x0, middle, factor * x0], atol=1e-8)


def test_a_path_follows_the_flow_and_its_context(x64):
    flow = zoo.realnvp((3,), steps=1, hidden=(4,), context_features=2, rngs=nnx.Rngs(0))
    flow = perturb(to_float64(flow), KEY)
    (x0, x1), context = RNG.normal(size=(2, 4, 3)), RNG.normal(size=(4, 2))
    path = jax.jit(interpolate, static_argnums=3)(flow, x0, x1, 4, context)
    np.testing.assert_allclose(path[0], x0, atol=1e-9)
    np.testing.assert_allclose(path[-1], x1, atol=1e-9)
    z = flow.infer(path, context)
    expected = interpolate(Flow(Flip(), StandardNormal((3,))), z[0], z[-1], 4)
    np.testing.assert_allclose(z, expected, atol=1e-9)


def test_a_flow_on_a_flow_has_the_innermost_latents(x64):
    """Between them is a shift, after which a sphere is no sphere any more."""
    shift = Standardize((2,), mean=jnp.array([5.0, 0.0]))
    nested = Flow(Standardize((2,), scale=2.0), Flow(shift))
    x0, x1 = np.array([12.0, 0.0]), np.array([10.0, 2.0])  # latents (1, 0) and (0, 1)
    path = interpolate(nested, x0, x1, 3)
    np.testing.assert_allclose(path[1], 2.0 * (np.sqrt(0.5) + np.array([5.0, 0.0])), rtol=1e-12)


def test_integers_come_back_as_they_were():
    flow = Flow(Standardize((2, 2, 1), mean=8.0, scale=4.0))
    model = Dequantized(flow, 16)
    x0, x1 = RNG.integers(0, 16, (2, 3, 2, 2, 1))
    for key in (None, KEY):
        path = interpolate(model, x0, x1, 5, key=key)
        assert path.dtype == jnp.int32
        assert path.shape == (5, 3, 2, 2, 1)
        np.testing.assert_array_equal(path[0], x0)
        np.testing.assert_array_equal(path[-1], x1)
        assert path.min() >= 0
        assert path.max() < 16
    middles = interpolate(flow, x0 + 0.5, x1 + 0.5, 5)
    np.testing.assert_array_equal(interpolate(model, x0, x1, 5), np.floor(middles).clip(0, 15))


def test_labels_are_embedded():
    make = lambda n, m: MLP(n, m, hidden=(4,), context_features=3, rngs=nnx.Rngs(0))  # noqa: E731
    model = Embedded(Flow(Coupling((2,), make)), Embedding(2, 3, rngs=nnx.Rngs(1)))
    model = perturb(model, KEY)
    x0, x1 = RNG.normal(size=(2, 4, 2)).astype(np.float32)
    labels = jnp.array([0, 1, 1, 0])
    path = interpolate(model, x0, x1, 3, labels)
    expected = interpolate(model.model, x0, x1, 3, model.embed(labels))
    np.testing.assert_array_equal(path, expected)


def test_the_picture_has_a_pair_in_each_row():
    path = np.arange(3 * 2, dtype=float).reshape(3, 2, 1, 1, 1)
    (axes,) = interpolation_grid(path).axes
    picture = axes.images[0].get_array()
    assert picture[::2, ::2].tolist() == [[0, 2, 4], [1, 3, 5]]


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A run of a class-conditional model of the digits, as far as it matters, without training."""
    experiment = Recipe(model="glow", data="digits", dequantize=True, class_features=2)
    config = {"name": "glow", "event_shape": [8, 8, 1], "levels": 17, "num_classes": 10}
    (tmp_path / "run").mkdir()
    config["recipe"] = experiment.to_dict()
    (tmp_path / "run" / "config.json").write_text(json.dumps(config))
    flow = Flow(Standardize((8, 8, 1), mean=8.0, scale=4.0), ClassConditionalNormal((8, 8, 1), 10))
    monkeypatch.setattr("jaxgen.runs.Run.load", lambda *arguments: Dequantized(flow, 17))
    return tmp_path / "run"


def test_the_command_line(run, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["interpolate", str(run), "--num", "4", "--pairs", "2"]) == 0
    assert capsys.readouterr().out == "interpolation.png\n"
    first = (tmp_path / "interpolation.png").read_bytes()
    assert first.startswith(b"\x89PNG")
    again = ["interpolate", str(run), "--num", "4", "--pairs", "2", "--out", "again.png"]
    assert main(again) == 0
    assert (tmp_path / "again.png").read_bytes() == first
    assert main([*again, "--seed", "1"]) == 0
    assert (tmp_path / "again.png").read_bytes() != first
    assert main(["interpolate", str(run), "--pairs", "91"]) == 1
    assert capsys.readouterr().err == (
        "jaxgen: interpolate: expected from 1 pair to half of the 180 test examples, got 91\n"
    )


def test_pairs_of_a_class(run, tmp_path, monkeypatch):
    seen = {}

    def record(model, x0, x1, num, labels):
        seen.update(x0=x0, x1=x1, labels=labels)
        return np.zeros((num, len(x0), 8, 8, 1), int)

    monkeypatch.setattr("jaxgen.runs.latents.interpolate", record)
    interpolate_run(run, tmp_path / "picture.png", num=2, pairs=5)
    data = jaxgen.data.load("digits", "test")
    for x, label in [*zip(seen["x0"], seen["labels"]), *zip(seen["x1"], seen["labels"])]:  # noqa: B905
        rows = np.flatnonzero((data.x == x).all((1, 2, 3)))
        assert label in data.y[rows]


def test_a_picture_that_cannot_be_written(run, tmp_path):
    with pytest.raises(RunError, match=r"cannot write .*absent"):
        interpolate_run(run, tmp_path / "absent" / "picture.png", num=2, pairs=1)


MISTAKES = {
    "one point": (
        lambda: interpolate(IDENTITY, np.zeros(5), np.ones(5), 1),
        ValueError,
        "num >= 2, both ends included, got 1",
    ),
    "two shapes": (
        lambda: interpolate(IDENTITY, np.zeros(5), np.ones((2, 5)), 3),
        ShapeError,
        r"ends of one shape, got \(5,\) and \(2, 5\)",
    ),
    "another event": (
        lambda: interpolate(IDENTITY, np.zeros(4), np.ones(4), 3),
        ShapeError,
        r"interpolate: expected shape \(\*batch, 5\), got \(4,\)",
    ),
    "no latents": (
        lambda: interpolate(
            zoo.made((2,), hidden=(4,), rngs=nnx.Rngs(0)), np.zeros(2), np.ones(2), 3
        ),
        TypeError,
        r"Autoregressive\.infer: only models with latents",
    ),
    "levels out of range": (
        lambda: interpolate(
            Dequantized(Flow(ActNorm((2,))), 4), np.array([0, 4]), np.array([0, 1]), 3
        ),
        ValueError,
        r"Dequantized\.infer: expected levels from 0 to 3, got values from 0 to 4",
    ),
    "no context": (
        lambda: interpolate(
            zoo.maf((2,), layers=1, hidden=(4,), context_features=1, rngs=nnx.Rngs(0)),
            np.zeros(2),
            np.ones(2),
            3,
        ),
        ShapeError,
        "this is a conditional model; expected a context",
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes(name):
    act, error, said = MISTAKES[name]
    with pytest.raises(error, match=said):
        act()
