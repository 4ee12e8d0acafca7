"""Rows with missing values: the observed part is what is learned from, by models that know it."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jaxgen import zoo
from jaxgen.core import ShapeError
from jaxgen.models.scoring import score
from jaxgen.testing import perturb, to_float64
from jaxgen.training import Batch, TrainSettings, fit, negative_log_likelihood

KEY = jax.random.key(0)
SETTINGS = TrainSettings(steps=20, batch_size=20, eval_every=10)
ORDERS = [list(order) for order in itertools.permutations(range(3))]
ANY_PART = {
    "made": {"hidden": (8,), "num_orders": 3},
    "eonade": {"hidden": (8,), "num_orders": 3},
    "lmconv": {"levels": 2, "num_orders": 2, "width": 4, "depth": 1},
}


def member(name, **options):
    event = (2, 2, 1) if name == "lmconv" else (3,)
    return getattr(zoo, name)(event, **ANY_PART.get(name, {}) | options, rngs=nnx.Rngs(0))


def rows(model, size=40):
    rng = np.random.default_rng(0)
    observed = rng.random((size, *model.grid_shape)) < 0.7
    return rng.integers(0, 2, (size, *model.event_shape)), observed


@pytest.mark.parametrize("name", ["made", "eonade"])
def test_the_bound_is_the_mean_over_the_orders_of_the_observed_part(name, x64):
    ensemble = to_float64(perturb(member(name), KEY, 1.0))
    x, observed = jnp.array([[1, 0, 1], [0, 1, 1]]), np.array([[1, 0, 1], [1, 1, 1]], bool)
    orders = ORDERS if name == "eonade" else np.asarray(ensemble.orders[...]).astype(int)
    part = jax.jit(lambda order: ensemble.model.observed_log_prob(x, observed, order=order))
    expected = np.mean([part(jnp.asarray(order)) for order in orders], axis=0)
    keys = jax.random.split(KEY, 4000)
    draws = np.asarray(jax.lax.map(lambda key: ensemble.observed_elbo(x, observed, key), keys))
    error = draws.std(0) / np.sqrt(len(draws))
    assert np.all(np.abs(draws.mean(0) - expected) < 5 * error)
    whole = np.ones((2, 3), bool)
    np.testing.assert_allclose(
        ensemble.observed_elbo(x, whole, KEY), ensemble.elbo(x, KEY), atol=1e-12
    )


@pytest.mark.parametrize("name", ["made", "eonade", pytest.param("lmconv", marks=pytest.mark.slow)])
def test_what_stands_at_missing_positions_is_not_learned_from(name):
    model = member(name)
    x, observed = rows(model)
    hidden = np.where(observed.reshape(x.shape), x, np.nan)
    other = np.where(observed.reshape(x.shape), x, 7)
    trained = [
        fit(model, {"x": cells, "observed": observed}, 0.25, SETTINGS, progress=False)
        for cells in (np.nan_to_num(hidden, nan=-3).astype(int), other)
    ]
    for a, b in zip(*(jax.tree.leaves(result.model) for result in trained), strict=True):
        np.testing.assert_array_equal(a, b)
    scores = score(trained[0].model, other, known=observed)
    expected = trained[1].model.observed_log_prob(x, observed)
    np.testing.assert_allclose(scores, expected, rtol=1e-5)


def test_what_is_common_is_found_under_missing_values():
    """Of three equal bits, of which each row holds two on average."""
    rng = np.random.default_rng(0)
    x = np.repeat(rng.random((2000, 1)) < 0.3, 3, axis=1).astype(int)
    observed = rng.random(x.shape) < 0.6
    settings = TrainSettings(steps=800, batch_size=100, learning_rate=1e-2)
    result = fit(member("made"), {"x": x, "observed": observed}, settings=settings, progress=False)
    log_prob = result.model.log_prob(jnp.array([[1, 1, 1], [0, 0, 0]]))
    np.testing.assert_allclose(np.exp(log_prob), [0.3, 0.7], atol=0.03)


def test_real_values_that_are_missing_are_nan():
    model = member("made", levels=None)
    x = np.random.default_rng(0).normal([0.0, 5.0, 100.0], [1.0, 2.0, 10.0], (200, 3))
    x[np.random.default_rng(1).random(x.shape) < 0.3] = np.nan
    x = x.astype(np.float32)
    known = ~np.isnan(x)
    with pytest.raises(ValueError, match=r"NaN .* say what is observed"):
        fit(model, x, settings=SETTINGS, progress=False)
    result = fit(model, {"x": x, "observed": known}, 0.25, SETTINGS, progress=False)
    assert np.isfinite([row["valid_loss"] for row in result.history if "valid_loss" in row]).all()
    loss = jax.jit(negative_log_likelihood)
    value, slopes = jax.value_and_grad(loss)(result.model, Batch(x, observed=known), KEY)
    assert np.isfinite(value)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(slopes))


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("maf", {"layers": 1, "hidden": (4,)}),
        ("mixture", {"components": 2}),
        ("markov", {}),
        ("made", {"num_orders": 1}),
        ("nade", {"width": 4}),
        ("recurrent", {"width": 3}),
    ],
)
def test_a_model_that_knows_no_density_of_a_part_says_so(name, options):
    model = member(name, **options)
    x = np.random.default_rng(0).integers(0, 2, (40, 3))
    x = x.astype(np.float32) if name == "maf" else x
    observed = np.random.default_rng(0).random(x.shape) < 0.7
    with pytest.raises(TypeError, match=r"density of a part of an event|an average over orders"):
        fit(model, {"x": x, "observed": observed}, settings=SETTINGS, progress=False)


@pytest.mark.parametrize(
    ("part", "error", "message"),
    [
        ({"observed": np.ones((40, 2), bool)}, ShapeError, r"observed of shape \(40, 3\)"),
        ({"observed": np.ones((40, 3))}, ValueError, "to be booleans, got float64"),
        (
            {"observed": np.ones((40, 3), bool), "lengths": np.ones(40, int)},
            ValueError,
            "to go with whole examples, got lengths too",
        ),
    ],
)
def test_bad_masks(part, error, message):
    data = {"x": np.zeros((40, 3), int)} | part
    with pytest.raises(error, match=message):
        fit(member("made"), data, settings=SETTINGS, progress=False)
