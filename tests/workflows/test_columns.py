"""fit says of columns of real values what makes a density mean little, and what float32 loses."""

import re
import time
import warnings

import numpy as np
import pytest
from flax import nnx

from jaxgen import zoo
from jaxgen.bijectors import ActNorm
from jaxgen.data.columns import refuse_lost
from jaxgen.models import Dequantized, Flow, StandardNormal
from jaxgen.training import Batch, ColumnWarning, TrainSettings, fit
from jaxgen.training.columns import warn_of_columns, warn_of_contexts

SETTINGS = TrainSettings(steps=1, batch_size=16)
ROWS = 400
RNG = np.random.default_rng(0)


def normal(n=ROWS, width=3):
    return np.random.default_rng(1).normal(size=(n, width))


def with_column(values, n=ROWS):
    x = normal(n)
    x[:, 1] = values
    return x


def told(x, model=None, names=None):
    """What fit says of the columns of these data, without training."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warn_of_columns(model or StandardNormal(x.shape[1:]), x, names)
    assert len(caught) <= 1
    assert all(issubclass(each.category, ColumnWarning) for each in caught)
    return str(caught[0].message) if caught else ""


def cell(value):
    column = RNG.normal(size=ROWS)
    column[7] = value
    return column


def spike(share):
    column = RNG.normal(size=ROWS)
    column[: int(share * ROWS)] = 0.0
    return column


ODD = {
    "zeros": (np.zeros(ROWS), "constant columns, here 1: leave"),
    "another constant": (np.full(ROWS, 12345.678), "constant columns, here 1: leave"),
    "a flag in one row": (np.arange(ROWS) == 3, "of repeated values, here 1: add"),
    "two decimals": (np.round(RNG.normal(size=ROWS), 1), "of repeated values, here 1: add"),
    "levels": (RNG.integers(0, 256, ROWS) / 255, "of repeated values, here 1: add"),
    "a tenth of zeros": (spike(0.1), "of repeated values, here 1: add"),
    "every row thrice": (
        np.repeat(RNG.normal(size=ROWS), 3)[:ROWS],
        "of repeated values, here 1: add",
    ),
    "an outlier": (cell(1e6), "heavy tails, here 1: clip"),
    "an outlier below": (cell(-1e6), "heavy tails, here 1: clip"),
    "Cauchy": (RNG.standard_cauchy(ROWS) * 1e-9, "heavy tails, here 1: .*StudentT"),
}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", ODD)
def test_an_odd_column_is_named(name, dtype):
    column, said = ODD[name]
    message = told(with_column(column).astype(dtype))
    assert message.startswith("fit: ")
    assert "\n" not in message
    assert re.search(said, message), message
    assert message.count(", here ") == 1


SOUND = {
    "normal": RNG.normal(size=100_000),
    "far from zero": RNG.normal(1e3, 1.0, 100_000),
    "ten thousand spreads from zero": RNG.normal(1e4, 1.0, 100_000),
    "small": 1e-12 * RNG.normal(size=1000),
    "large": 1e12 * RNG.normal(size=1000),
    "uniform": RNG.uniform(size=100_000),
    "exponential": RNG.exponential(size=100_000),
    "lognormal": RNG.lognormal(size=20_000),
    "Student t of 3": RNG.standard_t(3, 2000),
    "two clusters": np.concatenate([RNG.normal(size=500), RNG.normal(50.0, size=500)]),
    "a few ties": np.concatenate([RNG.normal(size=1000), np.ones(3)]),
    "few rows, some of them equal": np.repeat([0.0, 1.0], 4),
    "few rows, one of them far": np.array([*range(7), 1e6]),
    "a single row": np.zeros(1),
}


@pytest.mark.parametrize("name", SOUND)
def test_a_sound_column_is_passed_over(name):
    x = with_column(SOUND[name], len(SOUND[name]))
    for dtype in (np.float32, np.float64):
        assert told(x.astype(dtype)) == ""


@pytest.mark.parametrize("name", [*ODD, *SOUND])
def test_what_is_missing_changes_nothing(name):
    """It has been filled in, and that says nothing of the column."""
    column = ODD[name][0] if name in ODD else SOUND[name]
    x = with_column(column, len(column)).astype(np.float32)
    there = np.random.default_rng(2).random(x.shape) < 0.9
    # What decides stays: a flag or an outlier is a single value.
    there[:, 1] |= np.abs(x[:, 1] - np.median(x[:, 1])) > 5 * np.std(x[:, 1])
    filled = np.where(there, x, np.float32(1e9))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warn_of_columns(StandardNormal((3,)), filled, None, there)
    said = str(caught[0].message) if caught else ""
    assert said == told(x)


def told_of_contexts(context):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warn_of_contexts(context)
    return [str(each.message) for each in caught]


@pytest.mark.parametrize("value", [1e6, -1e6, 1e30])
def test_contexts_whose_outliers_leave_nothing_of_the_others_are_told(value):
    context = normal(4000)
    context[3, 1] = value
    for dtype in (np.float32, np.float64):
        (message,) = told_of_contexts(context.astype(dtype))
        assert "contexts are standardised" in message
        assert "here column 1: clip or transform them" in message
    heavy = normal(4000)
    heavy[:40, 2] = 1e5 * np.random.default_rng(0).standard_cauchy(40)
    assert "here column 2" in told_of_contexts(heavy)[0]
    assert told_of_contexts(np.clip(context, -1e6, 1e6).astype(int)) == []


@pytest.mark.parametrize("name", [n for n in SOUND if n != "few rows, one of them far"])
def test_sound_contexts_are_passed_over(name):
    assert told_of_contexts(with_column(SOUND[name], len(SOUND[name]))) == []
    pixels = np.random.default_rng(0).random((400, 3)) ** 20 * 255  # nearly all of them 0
    assert told_of_contexts(pixels) == []


def test_fit_tells_of_contexts():
    x, context = normal(4000, 2).astype(np.float32), normal(4000, 2).astype(np.float32)
    context[3] = 1e6
    model = zoo.maf((2,), layers=1, hidden=(4,), context_features=2, rngs=nnx.Rngs(0))
    with pytest.warns(ColumnWarning, match="here column 0, 1: clip"):
        fit(model, (x, context), settings=SETTINGS, progress=False)


def test_one_warning_names_columns_of_every_kind_and_no_more_than_ten():
    x = normal(width=14)
    x[:, :12] = 0.0
    x[3, 12] = 1e9
    message = told(x)
    assert "constant columns, here 0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 2 more: leave" in message
    assert "; one scale does not fit columns with outliers or heavy tails, here 12: clip" in message
    names = [f"c{n}" for n in range(14)]
    assert "constant columns, here 'c0', 'c1'" in told(x, names=names)


@pytest.mark.parametrize("rows", [2, 3, 8, 15, 16])
def test_two_rows_show_a_constant(rows):
    x = normal(rows)
    x[:, 1] = 0.1
    assert told(x.astype(np.float32)) == told(with_column(0.1).astype(np.float32)) != ""


def test_pixels_are_named_by_their_indices():
    x = normal(width=12).reshape(ROWS, 2, 3, 2)
    x[:, 1, 2, 0] = 0.5
    assert "constant columns, here (1, 2, 0):" in told(x)


LEVELS = {
    "levels": (lambda: zoo.made((3,), levels=4, hidden=(4,), rngs=nnx.Rngs(0)), np.int64),
    "binary": (lambda: zoo.made((3,), hidden=(4,), rngs=nnx.Rngs(0)), np.int64),
    "dequantized": (lambda: Dequantized(StandardNormal((3,)), 4), np.int64),
}


@pytest.mark.parametrize("name", LEVELS)
def test_levels_may_repeat(name):
    make, dtype = LEVELS[name]
    assert told(np.ones((ROWS, 3), dtype), make()) == ""


def test_an_objective_of_ones_own_may_add_noise_itself():
    x = np.zeros((ROWS, 3), np.float32)

    def objective(model, batch, key):
        return -model.log_prob(batch.x + 0.5).mean()

    flow = Flow(ActNorm((3,)))
    fit(flow, x, settings=SETTINGS, objective=objective, progress=False)
    with pytest.warns(ColumnWarning, match="constant columns, here 0, 1, 2:") as caught:
        fit(flow, x, settings=SETTINGS, progress=False)
    assert [warning.filename for warning in caught] == [__file__]


def test_looking_is_cheap():
    x = RNG.normal(size=(20_000, 784)).astype(np.float32)
    began = time.perf_counter()
    told(x)
    assert time.perf_counter() - began < 1.0  # 0.1 s on a machine that does nothing else


# --- precision ---

SECONDS = RNG.normal(1.7e9, 20.0, ROWS)

LOST = {
    "time stamps": (SECONDS, r"column 1 varies by [12]\d\.?\d* about \d{10}\.?\d*, .*of 128:"),
    "whole seconds": (np.round(SECONDS), r"column 1 varies by .* steps of 128: .*subtract an"),
    "digits behind a constant": (
        1 + 1e-9 * RNG.normal(size=ROWS),
        "column 1 varies by .*e-(09|10)",
    ),
    "smaller than float32 has": (1e-40 * RNG.normal(size=ROWS), "column 1 varies by .*e-4[01]"),
    "larger than float32 has": (1e39 * RNG.normal(size=ROWS), "column 1 reaches beyond the larg"),
}


@pytest.mark.parametrize("name", LOST)
def test_a_column_that_float32_would_lose_is_refused(name):
    column, said = LOST[name]
    flow = zoo.maf((3,), layers=1, hidden=(4,), rngs=nnx.Rngs(0))
    x = with_column(column)
    with pytest.raises(ValueError, match=f"^the training data: {said}.*jax_enable_x64"):
        fit(flow, x, settings=SETTINGS, progress=False)
    with pytest.raises(ValueError, match=r"^the validation data: column 1"):
        fit(flow, normal(), x, settings=SETTINGS, progress=False)
    conditional = zoo.maf((2,), hidden=(4,), context_features=3, rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match=r"^the contexts of the training data: column 1"):
        fit(conditional, Batch(normal(width=2), x), settings=SETTINGS, progress=False)


KEPT = {
    "an offset of a thousand spreads": RNG.normal(1e4, 10.0, ROWS),
    "of ten thousand": RNG.normal(1e8, 1e4, ROWS),
    "centred in float64": SECONDS - 1.7e9,
    "a constant": np.full(ROWS, 1.7e9),
    "hardly ever another value": np.where(np.arange(ROWS) == 3, 1.0, 1.0 + 1e-12),
}


@pytest.mark.parametrize("name", KEPT)
def test_a_column_that_float32_keeps_is_taken(name):
    refuse_lost(with_column(KEPT[name]), None, "the data")


def test_float64_keeps_time_stamps(x64):
    refuse_lost(with_column(SECONDS), None, "the data")
