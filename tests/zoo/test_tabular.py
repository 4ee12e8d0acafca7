"""Tables of mixed columns: exact, in any unit, completed from any part."""

import itertools
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from flax import nnx

import jaxgen
from jaxgen import zoo
from jaxgen.core import ShapeError
from jaxgen.testing import perturb, to_float64
from jaxgen.training import Batch, ColumnWarning, TrainSettings, fit

NETWORKS = ("eonade", "made")
# What both compile for long, one does in the quick suite.
QUICK = ("made", pytest.param("eonade", marks=pytest.mark.slow))
MIXED = ("binary", "real", "categorical:3", "ordinal:3")
FEW = TrainSettings(steps=60, batch_size=64, eval_every=30, steps_per_dispatch=30)


def build(columns, network="eonade", *, num_orders=2, components=2, **options):
    return zoo.tabular(
        (len(columns),),
        columns=columns,
        network=network,
        hidden=(6,),
        activation="tanh",
        num_orders=num_orders,
        components=components,
        rngs=nnx.Rngs(0),
        **options,
    )


def table(size=600, seed=0):
    """A row's flag, category and grade depend on its real number."""
    rng = np.random.default_rng(seed)
    real = rng.normal(size=size)
    flag = (rng.random(size) < jax.nn.sigmoid(3.0 * real)).astype(float)
    category = np.where(real > 0.5, 2, rng.integers(0, 2, size))
    grade = np.clip(np.round(real + 1), 0, 2)
    return np.stack([flag, 1e6 * real + 5e5, category, grade], 1).astype(np.float32)


def grid():
    """All rows of the mixed columns, the real one on a grid, and what each stands for."""
    reals = np.linspace(-12.0, 12.0, 401)
    rows = np.array(list(itertools.product([0, 1], reals, range(3), range(3))), np.float64)
    return jnp.asarray(rows), reals[1] - reals[0]


@pytest.mark.parametrize("network", NETWORKS)
def test_the_density_sums_and_integrates_to_one(network, x64):
    model = to_float64(perturb(build(MIXED, network), jax.random.key(0)))
    rows, width = grid()
    total = jnp.sum(jnp.exp(jax.jit(type(model).log_prob)(model, rows))) * width
    assert float(total) == pytest.approx(1.0, abs=1e-9)


@pytest.mark.parametrize("network", QUICK)
@pytest.mark.parametrize("real_is_known", [True, False])
def test_conditionals_sum_and_integrate_to_one(network, real_is_known, x64):
    model = to_float64(perturb(build(MIXED, network), jax.random.key(0)))
    rows, width = grid()
    observed = np.array([True, real_is_known, False, True])
    rows = rows[(rows[:, 0] == 1) & (rows[:, 3] == 2)]
    if real_is_known:
        rows, width = rows[rows[:, 1] == rows[210, 1]], 1.0
    scores = model.conditional_log_prob(rows, observed)
    assert float(jnp.sum(jnp.exp(scores)) * width) == pytest.approx(1.0, abs=1e-9)


@pytest.mark.parametrize("network", QUICK)
def test_samples_come_as_often_as_they_are_likely(network):
    columns = ("binary", "categorical:3", "ordinal:4")
    model = perturb(build(columns, network), jax.random.key(0), 1.0)
    drawn = np.asarray(model.sample(jax.random.key(1), 20000))
    rows = np.array(list(itertools.product(range(2), range(3), range(4))))
    expected = np.exp(np.asarray(model.log_prob(rows), np.float64))
    assert expected.sum() == pytest.approx(1.0, abs=1e-5)
    seen = np.array([np.mean((drawn == row).all(1)) for row in rows])
    error = np.sqrt(expected * (1 - expected) / len(drawn))
    assert np.all(np.abs(seen - expected) < 5 * error + 1e-4)


@pytest.mark.parametrize("network", QUICK)
def test_all_methods_draw_the_same_rows(network):
    model = perturb(build((*MIXED, "count", "poisson"), network), jax.random.key(0)).model
    drawn = [
        np.asarray(model.sample(jax.random.key(1), 50, method=method))
        for method in ("incremental", "naive")
    ]
    np.testing.assert_allclose(*drawn, rtol=1e-5, atol=1e-5)
    assert np.all(np.isfinite(model.log_prob(drawn[0])))


def test_a_temperature_reaches_every_column():
    model = perturb(build(MIXED, num_orders=1), jax.random.key(0)).model
    draw = jax.jit(lambda t: model.sample(jax.random.key(1), 400, temperature=t))
    warm, cold = (np.asarray(draw(t)) for t in (1.0, 1e-4))
    assert np.all(warm.std(0) > 0.3)
    assert np.all(cold.std(0) < 1e-3)
    model.check_data(cold)


@pytest.mark.parametrize("network", QUICK)
def test_a_row_is_completed_given_what_is_known(network):
    x = table()
    model = fit(build(MIXED, network), x, settings=FEW).model
    known = np.tile([False, True, False, True], (40, 1))
    known[::2] = [True, False, True, False]
    x[0, 1] = np.nan  # is missing there, and is not read
    drawn = np.asarray(model.complete(jax.random.key(0), x[:40], known, 30))
    assert drawn.shape == (30, 40, 4)
    np.testing.assert_array_equal(drawn[:, known], np.broadcast_to(x[:40][known], (30, 80)))
    model.check_data(drawn)  # whole numbers, in range


def test_units_and_rates_are_those_of_the_columns():
    x = table()
    model = build(MIXED).standardize(x, None).initialize(x, jax.random.key(0))
    scaled = x * np.array([1, 1e-9, 1, 1], np.float32)
    other = build(MIXED).standardize(scaled, None).initialize(scaled, jax.random.key(0))
    difference = other.log_prob(scaled) - model.log_prob(x)
    np.testing.assert_allclose(difference, np.log(1e9), atol=1e-3)
    rates = [np.mean(x[:, 0] == k) for k in range(2)]
    flags = build(("binary",)).initialize(x[:, :1], jax.random.key(0))
    for k, rate in enumerate(rates):
        assert flags.log_prob(np.array([k])) == pytest.approx(np.log(rate), abs=1e-2)


@pytest.mark.parametrize("network", QUICK)
def test_training_finds_what_columns_tell_of_each_other(network):
    x, test = table(2000), table(500, seed=1)
    settings = TrainSettings(steps=400, batch_size=64, learning_rate=5e-3, steps_per_dispatch=100)
    start = build(MIXED, network).standardize(x, None).initialize(x, jax.random.key(0))
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # repeated levels are no repeated values
        model = fit(build(MIXED, network), x, settings=settings).model
    gain = np.mean(model.log_prob(test) - start.log_prob(test))
    assert gain > 0.6  # the columns are dependent by 0.9 nats


def test_a_constant_real_column_is_still_told_of():
    x = table()
    x[:, 1] = 3.0
    with pytest.warns(ColumnWarning, match="no bound over constant columns, here 1:"):
        fit(build(MIXED), x, settings=FEW)


@pytest.mark.parametrize("network", QUICK)
def test_rows_with_holes_train(network):
    x = table()
    observed = np.random.default_rng(0).random(x.shape) < 0.8
    x[~observed] = np.nan
    model = fit(build(MIXED, network), Batch(x, observed=observed), settings=FEW).model
    assert np.all(np.isfinite(model.observed_log_prob(x[:8], observed[:8])))


def test_it_is_saved_and_loaded(tmp_path):
    model = perturb(build(MIXED), jax.random.key(0))
    jaxgen.save(model, tmp_path / "model")
    again = jaxgen.load(tmp_path / "model")
    np.testing.assert_array_equal(again.log_prob(table()[:5]), model.log_prob(table()[:5]))


def test_integers_and_booleans_are_rows_too():
    model = build(("binary", "real"))
    np.testing.assert_array_equal(
        model.log_prob(np.array([1, 3])), model.log_prob(np.array([1.0, 3.0]))
    )
    small = build(("binary", "categorical:3", "count"))
    rows = np.array([[1, 2, 1], [0, 0, 0]])
    for dtype in (np.uint8, np.int8, np.int16, np.uint16, np.uint32, np.int64, np.float16):
        same = small.log_prob(rows.astype(dtype))
        np.testing.assert_array_equal(same, small.log_prob(rows.astype(np.float32)), str(dtype))
    flags = build(("binary", "binary"))
    rows = np.array([[True, False], [True, True]])
    np.testing.assert_array_equal(flags.log_prob(rows), flags.log_prob(rows.astype(float)))
    fit(flags, np.tile(rows, (40, 1)), settings=FEW, progress=False)


@pytest.mark.parametrize("dtype", [np.int64, np.float64])
def test_large_integers_of_real_columns_are_refused_or_told_of(dtype):
    flags = np.arange(1200) % 2
    with pytest.raises(ValueError, match=r"column 0 varies by .* its content would be lost"):
        fit(build(("real", "binary")), np.stack([10**9 + np.arange(1200), flags], 1).astype(dtype))
    x = np.stack([123456789 + np.arange(1200), flags], 1).astype(dtype)
    with pytest.warns(ColumnWarning, match="repeated values, here 0"):
        fit(build(("real", "binary")), x, settings=FEW, progress=False)


@pytest.mark.parametrize("scale", [1e1, 1e3, 1e5])
def test_counts_start_with_the_spread_they_have(scale):
    rng = np.random.default_rng(0)
    counts = rng.poisson(scale * rng.gamma(0.8, size=2000))[:, None].astype(np.float32)
    model = build(("count",)).initialize(counts, jax.random.key(0))
    mean, excess = counts.mean(), counts.var() / counts.mean() - 1
    size = mean / excess
    right = scipy.stats.nbinom(size, size / (size + mean)).logpmf(counts).mean()
    assert float(model.log_prob(counts).mean()) == pytest.approx(right, abs=1e-3)


def test_a_column_that_nobody_has_seen_is_refused():
    x = table()
    observed = np.ones(x.shape, bool)
    observed[:, 1] = False
    with pytest.raises(ValueError, match="position 1 is observed in no row"):
        fit(build(MIXED), Batch(x, observed=observed), settings=FEW)


@pytest.mark.parametrize(
    ("event_shape", "columns", "error", "message"),
    [
        ((2, 2), None, ShapeError, r"expected rows, of shape \(columns,\), got \(2, 2\)"),
        ((2,), ("real",), ShapeError, "a kind for each of 2 columns, got 1"),
        ((1,), ("reel",), ValueError, "reel.*real"),
        ((1,), ("categorical",), ValueError, "categorical:LEVELS"),
        ((1,), ("categorical:x",), ValueError, "categorical:LEVELS"),
        ((1,), ("categorical:1",), ValueError, "at least 2 levels, got 1"),
        ((1,), ("real:3",), ValueError, "kind of column"),
    ],
)
def test_wrong_columns_are_refused(event_shape, columns, error, message):
    with pytest.raises(error, match=message):
        zoo.tabular(event_shape, columns=columns, rngs=nnx.Rngs(0))


def test_values_outside_are_named():
    model = build(MIXED)
    with pytest.raises(ValueError, match=r"column 2: Categorical: .*0 to 2"):
        model.log_prob(np.array([1, 0.0, 3, 0]))
    with pytest.raises(ValueError, match="column 0: expected whole numbers"):
        fit(model, np.full((20, 4), 0.5), settings=FEW)
    assert jax.jit(lambda x: model.log_prob(x))(np.array([1, 0.0, 3, 0])) == -np.inf
