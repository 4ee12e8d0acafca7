"""Estimators keep scikit-learn's rules, and give the densities of the models behind them."""

import os
import pickle
import subprocess
import sys
import textwrap
import warnings
from functools import partial

import jax
import joblib
import numpy as np
import pytest
import sklearn
from scipy import stats
from sklearn.base import clone, is_regressor
from sklearn.exceptions import NotFittedError
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.neighbors import KernelDensity
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.utils import estimator_checks
from sklearn.utils.fixes import parse_version

from jaxgen import zoo
from jaxgen.bijectors import ActNorm
from jaxgen.estimators import AutoregressiveDensity, ConditionalDensity, FlowDensity
from jaxgen.models import Flow
from jaxgen.training import ColumnWarning

# The data of scikit-learn's checks, and of some tests here, are integers and constants.
repeated = pytest.mark.filterwarnings("ignore::jaxgen.training.ColumnWarning")

MADE = {"levels": None, "components": 2, "hidden": (8,)}
MAF = {"layers": 1, "hidden": (8,)}


def affine(event_shape, rngs):
    """The smallest flow: an affine map of a standard normal, quick to compile."""
    return Flow(ActNorm(event_shape))


def flow(**parameters):
    return FlowDensity(**{"model": affine, "steps": 20, "random_state": 0} | parameters)


def autoregressive(**parameters):
    small = {"model": "made", "model_args": MADE, "steps": 20, "random_state": 0}
    return AutoregressiveDensity(**small | parameters)


def conditional(**parameters):
    small = {"model": "made", "model_args": MADE, "steps": 20, "random_state": 0, "num_draws": 50}
    return ConditionalDensity(**small | parameters)


@pytest.fixture(scope="module", name="X")
def correlated():
    """Correlated normals of other locations and scales."""
    rng = np.random.default_rng(0)
    return rng.normal(size=(200, 2)) @ np.array([[2.0, 0.0], [1.0, 0.5]]) + np.array([5.0, -3.0])


@pytest.fixture(scope="module")
def y(X):
    return X[:, 0] - X[:, 1] + np.random.default_rng(1).normal(size=len(X))


@pytest.fixture(scope="module")
def fitted(X):
    return flow(model="maf", model_args=MAF).fit(X)


@pytest.fixture(scope="module")
def fitted_conditional(X, y):
    return conditional().fit(X, y)


# --- scikit-learn's own checks ---

FAST = {
    "flow": flow(steps=2),
    "autoregressive": autoregressive(steps=2, model_args={"levels": None, "hidden": (4,)}),
    "conditional": conditional(steps=2, model_args={"levels": None, "hidden": (4,)}),
}
# What a first look at an estimator goes wrong by; all checks are among the slow tests.
FAST_CHECKS = (
    "check_estimator_cloneable",
    "check_no_attributes_set_in_init",
    "check_dont_overwrite_parameters",
    "check_estimators_unfitted",
    "check_parameters_default_constructible",
    "check_sample_weight_equivalence_on_dense_data",
    "check_methods_subset_invariance",
    "check_fit_idempotent",
    "check_set_params",
)
# Its density takes y, where these checks call `score_samples(X)`; see
# test_what_comes_of_a_row_depends_on_no_other.
NO_Y = "score_samples is given X without y"
EXPECTED = {
    "conditional": {
        "check_methods_sample_order_invariance": NO_Y,
        "check_methods_subset_invariance": NO_Y,
    }
}
# Where the lists of checks and of those that are expected to fail are public.
new_enough = pytest.mark.skipif(
    parse_version(sklearn.__version__) < parse_version("1.6"), reason="scikit-learn 1.6 has these"
)


def name_of(check):
    return getattr(check, "func", check).__name__


@repeated
@new_enough
@pytest.mark.parametrize("kind", FAST)
def test_the_quick_checks_of_scikit_learn_pass(kind):
    done = set()
    for estimator, check in estimator_checks.estimator_checks_generator(FAST[kind]):
        name = name_of(check)
        if name in FAST_CHECKS and name not in EXPECTED.get(kind, {}):
            check(estimator)
            done.add(name)
    assert done == set(FAST_CHECKS) - set(EXPECTED.get(kind, {}))


@pytest.mark.slow
@repeated
@new_enough
@pytest.mark.parametrize("kind", FAST)
def test_all_checks_of_scikit_learn_pass(kind):
    expected = EXPECTED.get(kind, {})
    results = estimator_checks.check_estimator(
        FAST[kind], expected_failed_checks=expected, on_skip=None
    )
    by_status = {status: set() for status in ("passed", "xfail", "skipped", "failed")}
    for result in results:
        by_status[result["status"]].add(result["check_name"])
    assert not by_status["failed"]
    assert by_status["xfail"] == set(expected)
    # Of what is not installed, or not asked for.
    assert by_status["skipped"] <= {
        "check_array_api_input",
        "check_sample_weights_pandas_series",
    }


# --- densities ---


def test_a_flow_learns_a_correlated_normal():
    truth = stats.multivariate_normal([1.0, -2.0], [[4.0, 1.5], [1.5, 1.0]])
    X, test = truth.rvs(4000, random_state=0), truth.rvs(4000, random_state=1)
    density = flow(model="maf", model_args=MAF, steps=400, learning_rate=1e-2).fit(X)
    errors = density.score_samples(test) - truth.logpdf(test)
    # Their mean is minus a divergence, of five parameters learned from 4000 rows or fewer.
    assert -0.01 < errors.mean() < 0.01
    assert np.abs(errors).mean() < 0.05
    drawn = density.sample(4000, random_state=0)
    np.testing.assert_allclose(drawn.mean(0), truth.mean, atol=0.15)
    np.testing.assert_allclose(np.cov(drawn.T), truth.cov, atol=0.35)


def test_a_density_of_reals_integrates_to_one():
    X = np.random.default_rng(0).normal(100.0, 30.0, size=(300, 1))
    density = autoregressive(steps=50).fit(X)
    grid = np.linspace(-200.0, 400.0, 4001)[:, None]
    total = np.trapezoid(np.exp(density.score_samples(grid)), grid[:, 0])
    assert total == pytest.approx(1.0, abs=1e-4)


def test_probabilities_of_levels_sum_to_one():
    X = np.random.default_rng(0).integers(0, 3, size=(100, 2))
    density = autoregressive(model_args={"levels": 3, "hidden": (4,)}).fit(X.astype(float))
    every = [[i, j] for i in range(3) for j in range(3)]
    assert np.exp(density.score_samples(every)).sum() == pytest.approx(1.0, abs=1e-6)
    drawn = density.sample(50, random_state=0)
    assert drawn.dtype == np.int64
    assert set(drawn.ravel()) == {0, 1, 2}
    for bad in ([[0, 3]], [[0.5, 1]]):
        with pytest.raises(ValueError, match="levels"):
            density.score_samples(bad)


def test_columns_of_whole_numbers_keep_their_unit():
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.normal(1e6, 1e5, 200), rng.poisson(3.0, 200)])
    args = {"columns": ["real", "poisson"], "hidden": (4,), "num_orders": 1}
    density = autoregressive(model="tabular", model_args=args).fit(X)
    assert density.units_.mean[1] == 0
    assert density.units_.scale[1] == 1
    assert density.units_.scale[0] == pytest.approx(1e5, rel=0.2)
    drawn = density.sample(20, random_state=0)
    assert (drawn[:, 1] == np.round(drawn[:, 1])).all()
    assert abs(drawn[:, 0].mean() - 1e6) < 2e5


def test_bounds_are_in_the_unit_of_the_data():
    X = np.random.default_rng(0).exponential(size=(200, 2)) * [50.0, 1.0] + [10.0, 0.0]
    density = flow(model="maf", model_args={**MAF, "bounds": [(10.0, None), None]}).fit(X)
    assert density.sample(500, random_state=0)[:, 0].min() > 10
    with pytest.raises(ValueError, match=r"within \(10.0, None\) in entry 0, got 9"):
        density.score_samples([[9.0, 0.0]])
    by_function = flow(model=partial(zoo.maf, **MAF, bounds=[(10.0, None), None])).fit(X)
    np.testing.assert_array_equal(by_function.score_samples(X), density.score_samples(X))


def test_angles_keep_their_unit(X):
    wind = np.column_stack([np.mod(X[:, 0], 6.28) - 3.14, 1000 * X[:, 1]])
    args = {"angles": [0], "rest_args": MAF, "torus_args": {"steps": 1, "hidden": (4,)}}
    density = flow(model="cylinder", model_args=args).fit(wind)
    assert (density.units_.mean[0], density.units_.scale[0]) == (0, 1)
    assert density.units_.scale[1] == pytest.approx(wind[:, 1].std())


# --- units ---


@pytest.mark.parametrize("kind", ["flow", "autoregressive"])
def test_a_scaler_before_it_changes_nothing(X, kind):
    density = (
        flow(model="maf", model_args=MAF, steps=100)
        if kind == "flow"
        else autoregressive(steps=100)
    )
    alone, scaler = clone(density).fit(X), StandardScaler()
    piped = make_pipeline(scaler, clone(density)).fit(X)
    by_scaler = piped.score_samples(X) - np.log(scaler.scale_).sum()
    np.testing.assert_allclose(by_scaler, alone.score_samples(X), atol=1e-5)


@pytest.mark.parametrize(("unit", "offset"), [(1e6, 0.0), (1e-6, 0.0), (1.0, 1e8), (1e6, -1e14)])
def test_no_unit_and_no_offset_costs_digits(X, unit, offset):
    # Numbers that an offset of 1e8 leaves as they are: 27 bits before the point, 20 behind it.
    X = np.round(X * 2**20) / 2**20
    density = flow(model="maf", model_args=MAF, steps=50)
    plain = clone(density).fit(X).score_samples(X)
    moved = clone(density).fit(X * unit + offset).score_samples(X * unit + offset)
    np.testing.assert_allclose(moved + 2 * np.log(unit), plain, atol=1e-5)


def test_a_conditional_density_has_no_units_either(X, y):
    X, y = (np.round(values * 2**20) / 2**20 for values in (X, y))
    plain = conditional().fit(X, y)
    moved = conditional().fit(X * 1e6 + 1e8, y * 1e3 - 1e8)
    given = X * 1e6 + 1e8
    log_density = moved.score_samples(given, y * 1e3 - 1e8) + np.log(1e3)
    np.testing.assert_allclose(log_density, plain.score_samples(X, y), atol=1e-5)
    np.testing.assert_allclose((moved.predict(given) + 1e8) / 1e3, plain.predict(X), atol=1e-4)


def test_extreme_units_do_not_overflow(X):
    plain = flow().fit(X).score_samples(X)
    for unit in (1e200, 1e-200):
        scores = flow().fit(X * unit).score_samples(X * unit)
        np.testing.assert_allclose(scores + 2 * np.log(unit), plain, atol=1e-4)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64, np.int16, object])
@repeated
def test_numbers_of_any_kind_come_in_and_float64_out(X, dtype):
    rows = np.round(X * 8).astype(dtype)
    density = flow().fit(rows)
    expected = flow().fit(rows.astype(np.float64)).score_samples(rows.astype(np.float64))
    np.testing.assert_array_equal(density.score_samples(rows), expected)
    for out in (density.score_samples(rows), density.transform(rows), density.sample(3)):
        assert out.dtype == np.float64


def test_a_constant_column_keeps_scale_1_and_is_warned_of(X):
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame({"a": X[:, 0], "zero": 7.0, "b": X[:, 1]})
    with pytest.warns(ColumnWarning, match="no bound over constant columns, here 'zero'"):
        density = flow().fit(frame)
    np.testing.assert_allclose(density.units_.mean[1], 7.0)
    assert density.units_.scale[1] == 1


def test_repeated_values_are_warned_of_once():
    X = np.random.default_rng(0).integers(0, 5, size=(100, 1))
    with pytest.warns(ColumnWarning, match="repeated values, here 0") as caught:
        flow().fit(X)
    assert len(caught) == 1


# --- weights ---


@repeated
@pytest.mark.parametrize("make", [flow, autoregressive])
def test_a_weight_is_so_many_rows_to_the_bit(X, make):
    weights = np.random.default_rng(0).integers(0, 4, size=len(X))
    weighted = make().fit(X, sample_weight=weights)
    shuffled = np.random.default_rng(1).permutation(np.repeat(X, weights, axis=0))
    np.testing.assert_array_equal(make().fit(shuffled).score_samples(X), weighted.score_samples(X))
    assert not np.array_equal(make().fit(X).score_samples(X), weighted.score_samples(X))


@repeated
def test_so_it_is_of_a_conditional_density(X, y):
    weights = np.random.default_rng(0).integers(0, 4, size=len(X))
    weighted = conditional().fit(X, y, sample_weight=weights)
    repeats = conditional().fit(np.repeat(X, weights, axis=0), np.repeat(y, weights))
    np.testing.assert_array_equal(repeats.score_samples(X, y), weighted.score_samples(X, y))


@pytest.mark.parametrize("unit", [1.0, 1.0 / 3.0, 1e12])
def test_weights_of_any_scale_are_learned_by(unit):
    bits = {"levels": 2, "hidden": (4,)}
    density = autoregressive(model_args=bits, validation_fraction=None, learning_rate=1e-2)
    density.fit(np.repeat([[0], [1]], 20, axis=0), sample_weight=unit * np.repeat([3, 1], 20))
    assert np.exp(density.score_samples([[0], [1]])) == pytest.approx([0.75, 0.25], abs=0.01)


def test_the_order_of_rows_says_nothing(X):
    weights = np.random.default_rng(0).uniform(size=len(X))
    order = np.random.default_rng(1).permutation(len(X))
    moved = flow().fit(X[order], sample_weight=weights[order])
    expected = flow().fit(X, sample_weight=weights)
    np.testing.assert_array_equal(moved.score_samples(X), expected.score_samples(X))


def test_rows_of_weight_0_are_none(X):
    far = np.vstack([X, np.full((5, 2), 1e6)])
    density = flow().fit(far, sample_weight=np.repeat([1.0, 0.0], [len(X), 5]))
    np.testing.assert_array_equal(density.units_, flow().fit(X).units_)
    np.testing.assert_array_equal(density.score_samples(X), flow().fit(X).score_samples(X))


@pytest.mark.parametrize(
    "weights", [np.full(200, -1.0), np.zeros(200), np.ones(199), np.full(200, np.nan), np.eye(200)]
)
def test_weights_that_are_none_are_refused(X, weights):
    with pytest.raises(ValueError, match=r"weight|NaN|dim 2"):
        flow().fit(X, sample_weight=weights)


def test_a_single_row_of_positive_weight_is_refused(X):
    with pytest.raises(ValueError, match="two or more not zero"):
        flow().fit(X, sample_weight=np.eye(200)[0])


# --- the interface ---


def test_parameters_are_stored_untouched_and_cloned():
    args = {"layers": 2}
    density = FlowDensity(model="nsf", model_args=args, steps=7)
    assert density.model_args is args
    copy = clone(density)
    assert copy.get_params() == density.get_params()
    assert list(density.get_params()) == sorted(density.get_params())
    assert repr(density) == "FlowDensity(model='nsf', model_args={'layers': 2}, steps=7)"
    assert "nsf" in density._repr_html_()


def test_pieces_of_the_arguments_are_set_by_name():
    args = {"layers": 2}
    density = FlowDensity(model_args=args)
    density.set_params(model_args__hidden=(4,), train_args__weight_decay=0.1, steps=3)
    assert density.model_args == {"layers": 2, "hidden": (4,)}
    assert density.train_args == {"weight_decay": 0.1}
    assert density.steps == 3
    assert args == {"layers": 2}
    density.set_params(model_args__layers=1, model_args={"hidden": (2,)})
    assert density.model_args == {"hidden": (2,), "layers": 1}
    with pytest.raises(ValueError, match="Invalid parameter 'layers'"):
        density.set_params(layers=2)


def test_a_grid_is_searched_through_a_pipeline(X):
    pipeline = make_pipeline(StandardScaler(), flow(model="maf", model_args=MAF, steps=5))
    grid = {
        "flowdensity__model_args__layers": [1, 2],
        "flowdensity__model_args": [{"hidden": (4,)}],
    }
    search = GridSearchCV(pipeline, grid, cv=2, error_score="raise").fit(X)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert search.best_estimator_[-1].model_args["hidden"] == (4,)
    assert np.isfinite(search.score_samples(X)).all()


def test_it_takes_the_place_of_the_densities_of_scikit_learn(X):
    for density in (KernelDensity(), GaussianMixture(), flow(), autoregressive()):
        scores = density.fit(X).score_samples(X)
        assert scores.shape == (200,)
        assert np.isfinite(cross_val_score(density, X, cv=2)).all()
    assert density.score(X) == pytest.approx(scores.mean())  # GaussianMixture's
    assert density.sample(3).shape == KernelDensity().fit(X).sample(3).shape == (3, 2)
    assert density.sample().shape == (1, 2)
    for wrong in (0, 1.5, True):
        with pytest.raises(ValueError, match="n_samples: expected a whole number of 1 or more"):
            density.sample(wrong)


def test_samples_are_reproducible(fitted, X):
    first = fitted.sample(20, random_state=3)
    np.testing.assert_array_equal(first, fitted.sample(20, random_state=3))
    np.testing.assert_array_equal(first[:5], fitted.sample(5, random_state=3))
    assert not np.array_equal(first, fitted.sample(20, random_state=4))
    state = np.random.RandomState(0)
    assert not np.array_equal(fitted.sample(5, state), fitted.sample(5, state))
    many = fitted.sample(600, random_state=0)  # of more than one chunk
    assert len(np.unique(many, axis=0)) == 600


def test_latents_and_back(fitted, X):
    Z = fitted.transform(X)
    back = fitted.inverse_transform(Z)
    # float32 of standardised values, through a layer of a slope of some ten.
    np.testing.assert_allclose(back, X, atol=1e-4)
    np.testing.assert_array_equal(flow(model="maf", model_args=MAF).fit_transform(X), Z)
    assert fitted.get_feature_names_out().tolist() == ["flowdensity0", "flowdensity1"]
    with pytest.raises(ValueError, match="latents of 2 columns, got 3"):
        fitted.inverse_transform(np.zeros((4, 3)))


def test_latents_have_the_density_of_the_base(fitted, X):
    """By the change of variables, with the Jacobian by differences in float64 of JAX."""
    eps = 1e-2 * X.std(axis=0)
    columns = [
        (fitted.transform(X + step) - fitted.transform(X - step)) / (2 * step.sum())
        for step in np.diag(eps)
    ]
    log_det = np.linalg.slogdet(np.stack(columns, axis=-1))[1]
    expected = stats.norm.logpdf(fitted.transform(X)).sum(axis=1) + log_det
    assert np.median(np.abs(fitted.score_samples(X) - expected)) < 1e-3


@repeated
def test_data_frames_come_in_and_out(X):
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(X, columns=["a", "b"], index=np.arange(len(X)) + 10)
    density = flow().set_output(transform="pandas").fit(frame)
    assert density.feature_names_in_.tolist() == ["a", "b"]
    latents = density.transform(frame)
    assert isinstance(latents, pd.DataFrame)
    assert latents.columns.tolist() == ["flowdensity0", "flowdensity1"]
    assert latents.index.tolist() == frame.index.tolist()
    np.testing.assert_array_equal(latents, flow().fit(X).transform(X))
    np.testing.assert_allclose(density.inverse_transform(latents), X, atol=1e-4)
    with pytest.raises(ValueError, match="feature names"):
        density.score_samples(frame[["b", "a"]])
    for kind in ("flow", "autoregressive"):
        estimator_checks.check_dataframe_column_names_consistency(kind, FAST[kind])
    given = conditional().fit(frame, frame["a"])
    assert given.predict(frame).shape == (200,)
    with pytest.raises(ValueError, match="feature names"):
        given.predict(frame[["b", "a"]])


@pytest.mark.parametrize("kind", FAST)
def test_what_cannot_be_scored_is_refused(X, y, kind):
    density, more = FAST[kind], (y,) if kind == "conditional" else ()
    with pytest.raises(NotFittedError):
        density.score_samples(X, *more)
    with pytest.raises(NotFittedError):
        density.sample(X) if more else density.sample()
    missing = np.where(np.arange(400).reshape(200, 2) == 7, np.nan, X)
    with pytest.raises(ValueError, match=r"contains NaN\. Drop or .* of jaxgen\.zoo\.tabular"):
        clone(density).fit(missing, *more)
    density = clone(density).fit(X, *more)
    with pytest.raises(ValueError, match="NaN"):
        density.score_samples(missing, *more)
    with pytest.raises(ValueError, match=r"X has 1 features, but .* is expecting 2"):
        density.score_samples(X[:, :1], *more)


def test_a_fit_that_failed_is_no_fit(X):
    density = flow(steps=0)
    with pytest.raises(ValueError, match="steps: expected at least 1"):
        density.fit(X)
    with pytest.raises(NotFittedError):
        density.sample()


def test_few_rows_make_one_batch():
    X = np.random.default_rng(0).normal(size=(5, 2))
    for share in (0.1, None):
        density = flow(validation_fraction=share).fit(X)
        assert np.isfinite(density.score(X))
    assert "valid_loss" not in density.history_[-1]
    assert np.isfinite(flow().fit(X[:2]).score(X))
    with pytest.raises(ValueError, match="minimum of 2 is required"):
        flow().fit(X[:1])
    with pytest.warns(ColumnWarning, match="constant"):
        flow().fit(np.repeat(X[:1], 3, axis=0))


def test_the_same_seed_gives_the_same_bits(X):
    np.testing.assert_array_equal(flow().fit(X).score_samples(X), flow().fit(X).score_samples(X))
    other = flow(random_state=1).fit(X)
    assert not np.array_equal(other.score_samples(X), flow().fit(X).score_samples(X))
    state = np.random.RandomState(0)
    first, second = (flow(random_state=state).fit(X).score(X) for _ in range(2))
    assert first != second
    # The weights of the network alone: all rows are in every batch.
    whole = flow(model="maf", model_args=MAF, validation_fraction=None, batch_size=200, steps=1)
    first, second = (whole.set_params(random_state=seed).fit(X).score(X) for seed in (0, 1))
    assert abs(first - second) > 1e-4


def test_training_stops_when_patience_runs_out(X):
    density = flow(steps=2000, patience=1, eval_every=50, learning_rate=0.1).fit(X)
    assert density.history_[-1]["step"] < 2000
    assert density.best_step_ < density.history_[-1]["step"]
    assert min(row["valid_loss"] for row in density.history_) == next(
        row["valid_loss"] for row in density.history_ if row["step"] == density.best_step_
    )


def test_progress_is_shown_if_asked_for(X, capfd):
    flow().fit(X)
    assert capfd.readouterr().err == ""
    flow(progress=True).fit(X)
    assert "loss" in capfd.readouterr().err


# --- programs ---


def test_nothing_is_compiled_again_for_data_of_the_same_shape(X, compilations):
    density = flow(model="maf", model_args=MAF).fit(X)
    density.score_samples(X), density.sample(3), density.transform(X)
    compilations.clear()
    again = clone(density).set_params(random_state=5).fit(X[::-1] * 3 + 1)
    for rows in (X, X[:7], np.repeat(X, 3, axis=0)):
        again.score_samples(rows), again.sample(len(rows)), again.transform(rows)
    assert compilations == []


@pytest.mark.parametrize("kind", ["flow", "autoregressive", "conditional"])
def test_what_comes_of_a_row_depends_on_no_other(X, y, kind):
    """What two of scikit-learn's checks ask, which cannot give a conditional density its y."""
    if kind == "conditional":
        density = conditional().fit(X, y)
        methods = [lambda r: density.score_samples(X[r], y[r]), lambda r: density.predict(X[r])]
        methods.append(lambda r: density.predict_interval(X[r])[0])
    else:
        density = flow(model="maf", model_args=MAF) if kind == "flow" else autoregressive()
        density.fit(X)
        methods = [lambda r: density.score_samples(X[r])]
        methods += [lambda r: density.transform(X[r])] if kind == "flow" else []
    order = np.random.default_rng(0).permutation(len(X))
    for method in methods:
        whole = method(np.arange(len(X)))
        np.testing.assert_allclose(method(order), whole[order], rtol=1e-7, atol=1e-9)
        alone = np.concatenate([method([i]) for i in range(20)])
        np.testing.assert_allclose(alone, whole[:20], rtol=1e-7, atol=1e-7)


# --- pickles ---


@pytest.mark.parametrize("dump", ["pickle", "joblib"])
def test_a_pickle_gives_the_same_bits(fitted, fitted_conditional, X, y, tmp_path, dump):
    def copied(density):
        if dump == "pickle":
            return pickle.loads(pickle.dumps(density))
        joblib.dump(density, tmp_path / "density.joblib")
        return joblib.load(tmp_path / "density.joblib")

    copy = copied(fitted)
    for method in ("score_samples", "transform"):
        np.testing.assert_array_equal(getattr(copy, method)(X), getattr(fitted, method)(X))
    np.testing.assert_array_equal(copy.sample(5, 0), fitted.sample(5, 0))
    copy = copied(fitted_conditional)
    np.testing.assert_array_equal(copy.predict(X), fitted_conditional.predict(X))
    assert copy.score(X, y) == fitted_conditional.score(X, y)


def test_so_it_does_in_another_process(fitted, X, tmp_path):
    (tmp_path / "density.pkl").write_bytes(pickle.dumps(fitted))
    np.save(tmp_path / "X.npy", X)
    script = """
        import pickle
        import jax, numpy as np
        jax.config.update("jax_disable_most_optimizations", True)  # as in the tests
        density, X = pickle.load(open("density.pkl", "rb")), np.load("X.npy")
        np.save("scores.npy", density.score_samples(X))
        np.save("samples.npy", density.sample(5, random_state=0))
    """
    environment = dict(os.environ)
    if jax.__version_info__ < (0, 11):  # as tests/conftest.py
        environment["XLA_FLAGS"] = "--xla_cpu_use_fusion_emitters=false"
    command = [sys.executable, "-c", textwrap.dedent(script)]
    subprocess.run(command, check=True, cwd=tmp_path, env=environment)
    scores, samples = np.load(tmp_path / "scores.npy"), np.load(tmp_path / "samples.npy")
    np.testing.assert_array_equal(scores, fitted.score_samples(X))
    np.testing.assert_array_equal(samples, fitted.sample(5, random_state=0))


# --- models of another kind ---

WRONG = {
    "a name that is none": (FlowDensity(model="mfa"), "unknown model 'mfa': did you mean 'maf'"),
    "an argument that is none": (
        FlowDensity(model_args={"layer": 2}),
        "unknown maf hyperparameter 'layer': did you mean 'layers'",
    ),
    "a setting that is none": (
        flow(train_args={"weight_decy": 2}),
        "unknown setting in train_args 'weight_decy': did you mean 'weight_decay'",
    ),
    "a share that is none": (flow(validation_fraction=2.0), "validation_fraction: expected a num"),
    "levels for a flow": (
        FlowDensity(model="made", model_args={"hidden": (4,)}),
        "FlowDensity: expected a flow of real vectors .* got one of 2 levels: Autoregressive",
    ),
    "a context for a flow": (
        FlowDensity(model_args={**MAF, "context_features": 1}),
        r"FlowDensity: expected a flow .* without a context, .*context_shape=\(1,\)",
    ),
    "a bound for a flow": (
        FlowDensity(model="vae", model_args={"hidden": (4,), "latents": 1}),
        "FlowDensity: expected a flow .* of exact likelihood, got one .* VAE",
    ),
    "a flow for the chain rule": (
        AutoregressiveDensity(model=affine),
        "AutoregressiveDensity: expected an autoregressive model .* Flow",
    ),
    "images": (FlowDensity(model="glow"), r"glow: .* expected an image .* got \(2,\)"),
}


@pytest.mark.parametrize("what", WRONG)
def test_models_of_another_kind_are_refused_in_a_line(X, what):
    density, message = WRONG[what]
    with pytest.raises(ValueError, match=message) as caught:
        density.fit(X)
    assert "\n" not in str(caught.value)


def test_what_is_no_model_is_refused(X, y):
    for wrong, got in ((3, "got 3"), (lambda event_shape, rngs: 5, "got 5")):
        with pytest.raises(TypeError, match=f"expected for model the name of one .* {got}"):
            FlowDensity(model=wrong).fit(X)
    message = "ConditionalDensity: expected a model of vectors with a context, got 'mixture'"
    with pytest.raises(ValueError, match=message):
        ConditionalDensity(model="mixture").fit(X, y)


# --- outputs given features ---


def test_the_form_of_y_comes_back(X, y, fitted_conditional):
    density = fitted_conditional
    assert density.predict(X).shape == (200,)
    assert density.sample(X[:7], n_samples=3).shape == (3, 7)
    assert [end.shape for end in density.predict_interval(X[:7])] == [(7,), (7,)]
    both = conditional().fit(X, np.column_stack([y, -y + X[:, 0]]))
    assert both.n_outputs_ == 2
    assert both.predict(X).shape == (200, 2)
    assert both.sample(X[:7], n_samples=3).shape == (3, 7, 2)
    assert [end.shape for end in both.predict_interval(X[:7])] == [(7, 2), (7, 2)]
    with pytest.raises(ValueError, match="y: expected 2 outputs, got 1"):
        both.score_samples(X, y)
    for missing in (both.score, both.fit):
        with pytest.raises(ValueError, match="requires y to be passed, but the target y is None"):
            missing(X, None)


def test_samples_of_outputs_are_independent_and_reproducible(X, fitted_conditional):
    density, same = fitted_conditional, np.repeat(X[:1], 300, axis=0)
    drawn = density.sample(same, n_samples=2, random_state=0)
    assert len(np.unique(drawn)) == 600
    np.testing.assert_array_equal(drawn, density.sample(same, n_samples=2, random_state=0))
    # Predictions of equal rows are equal, in every call.
    assert len(np.unique(density.predict(same))) == 1


def test_it_is_no_regressor_and_is_scored_as_one_if_asked(X, y):
    density = conditional(steps=100, learning_rate=1e-2)
    assert not is_regressor(density)
    fitted = density.fit(X, y)
    assert fitted.score(X, y) == pytest.approx(fitted.score_samples(X, y).mean())
    assert cross_val_score(density, X, y, cv=2, scoring="r2").min() > 0.5
    piped = make_pipeline(FunctionTransformer(), density).fit(X, y)
    np.testing.assert_array_equal(piped.predict(X), fitted.predict(X))


def test_a_mean_and_an_interval_of_a_known_normal():
    """p(y | x) = N(2 x, 1) to what 4000 rows teach; of 4000 draws an end is right to 0.04."""
    rng = np.random.default_rng(0)
    X = rng.uniform(-1, 1, size=(4000, 1))
    y = 2 * X[:, 0] + rng.normal(size=4000)
    args = {"levels": None, "hidden": (16,)}
    density = conditional(model_args=args, steps=300, learning_rate=1e-2, num_draws=4000)
    density.fit(X, y)
    points = np.linspace(-0.9, 0.9, 7)[:, None]
    np.testing.assert_allclose(density.predict(points), 2 * points[:, 0], atol=0.2)
    low, high = density.predict_interval(points, coverage=0.5)
    np.testing.assert_allclose(high - low, 2 * stats.norm.ppf(0.75), atol=0.2)
    truth = stats.norm.logpdf(y, 2 * X[:, 0])
    assert abs(density.score(X, y) - truth.mean()) < 0.01
    for wrong in (0, 1, 90):
        with pytest.raises(ValueError, match="coverage: expected a number between 0 and 1"):
            density.predict_interval(points, coverage=wrong)


def heteroscedastic(count, seed):
    rng = np.random.default_rng(seed)
    X = rng.uniform(-1, 1, size=(count, 1))
    return X, np.sin(3 * X[:, 0]) + np.exp(X[:, 0]) * rng.normal(size=count)


@pytest.mark.slow
def test_intervals_cover_what_they_say_where_the_spread_varies():
    args = {"hidden": (64, 64), "num_orders": 1}
    training = {"steps": 1000, "learning_rate": 5e-3, "num_draws": 4000, "random_state": 0}
    density = ConditionalDensity(model_args=args, **training).fit(*heteroscedastic(4000, seed=0))
    X, y = heteroscedastic(2000, seed=1)
    for coverage in (0.5, 0.9):
        low, high = density.predict_interval(X, coverage)
        inside = (low < y) & (y < high)
        error = np.sqrt(coverage * (1 - coverage) * (1 / 2000 + 1 / 4000 + 1 / 4000))
        assert abs(inside.mean() - coverage) < 4 * error  # of the test rows, the draws, the rest
        for half in (X[:, 0] < 0, X[:, 0] > 0):  # a width for all rows would fit neither
            assert abs(inside[half].mean() - coverage) < 6 * error
    truth = stats.norm.logpdf(y, np.sin(3 * X[:, 0]), np.exp(X[:, 0]))
    assert abs(density.score(X, y) - truth.mean()) < 0.03


def test_outputs_may_be_counts():
    rng = np.random.default_rng(0)
    X = rng.uniform(0, 2, size=(500, 1))
    y = rng.poisson(np.exp(X[:, 0]))
    args = {"columns": ["poisson"], "hidden": (8,), "num_orders": 1}
    density = conditional(
        model="tabular", model_args=args, steps=200, learning_rate=1e-2, num_draws=2000
    ).fit(X, y)
    truth = stats.poisson.logpmf(y, np.exp(X[:, 0])).mean()
    assert abs(density.score(X, y) - truth) < 0.05
    np.testing.assert_allclose(density.predict([[0.5], [1.5]]), np.exp([0.5, 1.5]), rtol=0.15)


def test_scikit_learn_stays_out_of_import_jaxgen():
    script = "import sys, jaxgen; assert 'sklearn' not in sys.modules"
    subprocess.run([sys.executable, "-c", script], check=True)


def test_warnings_of_others_are_not_swallowed(X, monkeypatch):
    """Only what has been said already is."""
    import jaxgen.estimators.base as module

    def noisy(*args, **kwargs):
        warnings.warn("of somebody else", UserWarning, stacklevel=2)
        return trained(*args, **kwargs)

    trained = module.fit
    monkeypatch.setattr(module, "fit", noisy)
    with pytest.warns(UserWarning, match="of somebody else"):
        flow().fit(X)


def test_a_failed_refit_leaves_nothing_fitted():
    """Or the model of two columns would be asked about four."""
    rows = np.random.default_rng(0).normal(size=(60, 4))
    density = flow().fit(rows[:, :2])
    with pytest.raises(ValueError, match="unknown model 'nope'"):
        density.set_params(model="nope").fit(rows)
    with pytest.raises(NotFittedError):
        density.score_samples(rows)
