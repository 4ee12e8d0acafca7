"""Densities of angles have a period, no seam and no leak, and are learned at their ends."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from scipy import stats

from jaxgen import zoo
from jaxgen.core import ShapeError
from jaxgen.models import Flow, VonMises
from jaxgen.testing import perturb, to_float64
from jaxgen.training import TrainSettings, fit

KEY = jax.random.key(0)
SMALL = {
    "coupling": {"steps": 2, "bins": 4, "width": 8, "blocks": 1},
    "autoregressive": {"steps": 2, "bins": 4, "hidden": (8,)},
}
CASES = [
    ("coupling", "uniform"),
    ("autoregressive", "von_mises"),
    pytest.param("coupling", "von_mises", marks=pytest.mark.slow),
    pytest.param("autoregressive", "uniform", marks=pytest.mark.slow),
]


def torus(structure, base="uniform", shape=(2,), **options):
    options = SMALL[structure] | options
    model = zoo.torus(shape, structure=structure, base=base, **options, rngs=nnx.Rngs(0))
    # Couplings have more layers, and come to sharper peaks than a quadrature resolves.
    return perturb(model, KEY, 0.3 if structure == "coupling" else 1.0)


@pytest.mark.parametrize(("structure", "base"), CASES)
def test_the_density_integrates_to_one_and_has_the_period_of_the_data(structure, base, x64):
    model = to_float64(torus(structure, base, bounds=[(0, 360), (-1, 1)]))
    turn = np.array([360.0, 2.0])
    share = (np.arange(300) + 0.5) / 300
    grid = np.stack(np.meshgrid(share, share), -1).reshape(-1, 2)
    at = [0.0, -1.0] + turn * grid
    score = jax.jit(jax.vmap(jax.value_and_grad(lambda model, x: model.log_prob(x), 1), (None, 0)))
    log_prob, slope = score(model, at)
    # The mean over a grid, of a density that is smooth but for the curvature at knots.
    assert np.exp(log_prob).mean() * turn.prod() == pytest.approx(1.0, abs=1e-3)
    assert log_prob.max() - log_prob.min() > 1.0  # and is not uniform
    again, slope_again = score(model, at[::97] + turn * np.array([3.0, -2.0]))
    np.testing.assert_allclose(again, log_prob[::97], atol=1e-9)
    np.testing.assert_allclose(slope_again, slope[::97], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(("structure", "base"), CASES)
def test_there_is_no_seam(structure, base, x64):
    model = to_float64(torus(structure, base))
    score = jax.jit(Flow.log_prob)
    other = np.random.default_rng(0).uniform(-np.pi, np.pi, 50)
    for entry in (0, 1):
        ends = []
        for end in (-np.pi, -np.pi + 1e-9, np.pi - 1e-9, np.pi):
            x = np.stack([np.full(50, end), other], -1)
            ends.append(score(model, x if entry == 0 else x[:, ::-1]))
        np.testing.assert_allclose(np.asarray(ends) - ends[0], 0.0, atol=1e-6)


@pytest.mark.parametrize("structure", SMALL)
def test_samples_are_on_the_circle_and_follow_the_density(structure):
    model = torus(structure, "von_mises", bounds=[(0, 360), (-1, 1)])
    draw = jax.jit(lambda model: model.sample_and_log_prob(KEY, 4000))
    x, log_prob = draw(model)
    assert ((x >= jnp.array([0.0, -1.0])) & (x <= jnp.array([360.0, 1.0]))).all()
    # Single precision: angles of 360 have 2^-15 between them.
    np.testing.assert_allclose(jax.jit(Flow.log_prob)(model, x), log_prob, atol=0.02)
    # The probability of every quarter of the torus, by quadrature.
    share = (np.arange(200) + 0.5) / 200
    grid = np.stack(np.meshgrid(share, share, indexing="ij"), -1)
    at = jnp.asarray([0.0, -1.0] + grid * [360.0, 2.0], jnp.float32)
    density = np.exp(np.asarray(model.log_prob(at), np.float64))
    expected = density.reshape(2, 100, 2, 100).sum((1, 3)) / density.sum()
    places = ((np.asarray(x) - [0.0, -1.0]) / [360.0, 2.0] > 0.5).astype(int)
    observed = np.zeros((2, 2))
    np.add.at(observed, (places[:, 0], places[:, 1]), 1)
    assert stats.chisquare(observed.ravel(), 4000 * expected.ravel()).pvalue > 1e-4


def test_one_angle_is_a_flow_on_the_circle(x64):
    model = to_float64(torus("autoregressive", "von_mises", (1,)))
    grid = np.linspace(-np.pi, np.pi, 2001)
    density = np.exp(model.log_prob(grid[:, None]))
    cdf = np.concatenate([[0.0], np.cumsum((density[1:] + density[:-1]) / 2) * np.diff(grid)[0]])
    assert cdf[-1] == pytest.approx(1.0, abs=1e-5)
    samples = np.asarray(model.sample(KEY, 4000))[:, 0]
    assert stats.kstest(samples, lambda x: np.interp(x, grid, cdf)).pvalue > 1e-4


@pytest.mark.parametrize(
    "structure", ["autoregressive", pytest.param("coupling", marks=pytest.mark.slow)]
)
def test_what_is_common_at_the_seam_is_learned(structure):
    """Two angles that go together, most often where their intervals close."""
    truth = VonMises((2,), np.pi, 4.0)
    x = np.asarray(truth.sample(KEY, 4000))
    x = np.stack([x[:, 0], np.angle(np.exp(1j * (x[:, 0] + x[:, 1])))], -1).astype(np.float32)
    entropy = -float(np.mean(truth.log_prob(x)))
    model = zoo.torus(
        (2,), structure=structure, steps=2, bins=6, width=16, hidden=(16,), rngs=nnx.Rngs(0)
    )
    settings = TrainSettings(steps=300, batch_size=200, learning_rate=5e-3)
    result = fit(model, x, settings=settings, progress=False)
    own = -float(truth.log_prob(truth.sample(KEY, 4000)).mean())
    assert entropy > own + 0.5  # the marginals alone do not do
    assert -float(result.model.log_prob(x).mean()) < own + 0.1


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: torus("coupling", bounds=(0, None)), ValueError, "both bounds of every turn"),
        (lambda: torus("coupling", "normal"), ValueError, "unknown base 'normal'"),
        (
            lambda: zoo.torus((2,), structure="ring", rngs=nnx.Rngs(0)),
            ValueError,
            "unknown structure 'ring'",
        ),
        (lambda: torus("coupling", shape=(2, 2)), ShapeError, r"event shape \(D,\), got \(2, 2\)"),
        (lambda: torus("coupling", shape=(1,)), ShapeError, "at least 2 channels"),
        (
            lambda: torus("coupling").check_data(np.array([[10.0, 0.0], [350.0, 1.0]])),
            ValueError,
            r"within one turn of 6\.28319 in entry 0, got 10 to 350",
        ),
        (
            lambda: zoo.maf((2,), bounds=[None, "circular"], rngs=nnx.Rngs(0)),
            ValueError,
            "values on circles need maps of circles, .*torus has, and .*cylinder",
        ),
    ],
)
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call()
