"""A head for every column: what each would say of its own, and nothing else."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.core import ShapeError
from jaxgen.likelihoods import (
    Bernoulli,
    Categorical,
    Columns,
    GaussianMixture,
    NegativeBinomial,
    Normal,
    Ordinal,
    Poisson,
)

HEADS = [
    Normal(),
    Bernoulli(),
    Categorical(4, "one_hot"),
    GaussianMixture(2),
    Normal(),
    Poisson(),
    Ordinal(3),
    NegativeBinomial(),
    Categorical(4, "both"),
]
ROWS = np.array(
    [[0.5, 1, 3, -1.5, 2.5, 7, 2, 0, 0], [-0.5, 0, 0, 1.5, 1e4, 0, 0, 12, 3]], np.float64
)


@pytest.fixture
def params():
    count = Columns(HEADS).num_params(())
    return np.random.default_rng(0).normal(size=(2, len(HEADS), count))


def integers(head, values):
    return jnp.asarray(values if head.levels is None else values.astype(int))


def test_a_row_scores_what_its_heads_score(params, x64):
    ours = Columns(HEADS).log_prob(jnp.asarray(ROWS), jnp.asarray(params))
    for column, head in enumerate(HEADS):
        own = jnp.asarray(params[:, column, : head.num_params(())])
        theirs = head.log_prob(integers(head, ROWS[:, column]), own)
        np.testing.assert_array_equal(ours[:, column], theirs, err_msg=str(head))


def test_a_network_reads_what_the_heads_encode(x64):
    read = Columns(HEADS).encode(jnp.asarray(ROWS))
    assert read.shape == (2, len(HEADS), 5)
    for column, head in enumerate(HEADS):
        own = head.encode(integers(head, ROWS[:, column])).reshape(2, -1)
        np.testing.assert_array_equal(read[:, column, : own.shape[1]], own)
        assert not np.any(read[:, column, own.shape[1] :])
        one = Columns(HEADS).at(jnp.array(column)).encode(jnp.asarray(ROWS[:, column]))
        np.testing.assert_array_equal(one, read[:, column])


def test_a_column_is_drawn_by_its_head(params):
    columns, size = Columns(HEADS), 20000
    params = jnp.broadcast_to(jnp.asarray(params[0], jnp.float32), (size, *params.shape[1:]))
    noise = columns.noise(jax.random.key(0), (size, len(HEADS)), jnp.dtype(jnp.float32))
    drawn = columns.sample(params, noise, ())
    # A position's own likelihood, of a number that is traced, draws the same.
    here = jax.jit(lambda i, p, n: columns.at(i).sample(p, n, ()))
    for column, head in enumerate(HEADS):
        own = params[:, column, : head.num_params(())]
        one = head.noise(jax.random.key(1), (size,), jnp.dtype(jnp.float32))
        theirs = np.asarray(head.sample(own, one, ()), np.float64)
        ours = np.asarray(drawn[:, column], np.float64)
        error = np.hypot(ours.std(), theirs.std()) / np.sqrt(size)
        assert abs(ours.mean() - theirs.mean()) < 5 * error, head
        np.testing.assert_array_equal(here(column, params[:, column], noise[:, column]), ours)


def test_units_are_of_real_columns_alone():
    columns = Columns(HEADS)
    assert columns.discrete == (1, 2, 5, 6, 7, 8)
    x = np.random.default_rng(0).integers(0, 2, (50, len(HEADS))) * 3.0
    mean, scale = columns.location_and_scale(x, 1)
    assert np.all(mean[[1, 2, 5, 6, 7, 8]] == 0)
    assert np.all(scale[[1, 2, 5, 6, 7, 8]] == 1)
    np.testing.assert_allclose(scale[[0, 3, 4]], x.std(0)[[0, 3, 4]])


def test_parameters_start_at_the_rates_of_every_column():
    rng = np.random.default_rng(0)
    x = np.stack([rng.normal(size=9999), rng.random(9999) < 0.1, rng.poisson(3.0, 9999)], 1)
    columns = Columns([Normal(), Bernoulli(), Poisson()])
    start = np.asarray(columns.marginal(x, (), 1))
    assert start.shape == (3, 2)
    assert jax.nn.sigmoid(start[1, 0]) == pytest.approx(x[:, 1].mean(), abs=1e-4)
    assert np.exp(start[2, 0]) == pytest.approx(x[:, 2].mean(), rel=1e-5)


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        (0, np.nan, "column 0: Normal: expected finite"),
        (1, 0.5, "column 1: expected whole numbers below 2\\*\\*24 for Bernoulli, got 0.5"),
        (1, 2.0, "column 1: Bernoulli: expected values 0 and 1, got 2"),
        (2, 4.0, "column 2: Categorical: .*0 to 3"),
        (2, np.nan, "column 2: expected whole numbers"),
        (5, -1.0, "column 5: Poisson: expected counts from 0 on, got -1"),
        (5, 2.0**25, "column 5: expected whole numbers below"),
    ],
)
def test_values_outside_are_named_and_have_no_mass(column, value, message, params):
    columns, rows = Columns(HEADS), ROWS.astype(np.float32)
    rows[0, column] = value
    with pytest.raises(ValueError, match=message):
        columns.check(rows)
    if np.isnan(value) and column == 0:
        return  # a density at NaN is NaN

    def score(rows, params):
        return columns.log_prob(rows, params).sum(-1)

    params = jnp.asarray(params, jnp.float32)
    total = jax.jit(score)(rows, params)
    slope = jax.jit(jax.grad(lambda params: score(rows, params)[0]))(params)
    assert total[0] == -np.inf
    assert np.isfinite(total[1])
    assert np.all(np.isfinite(slope))
    assert not np.any(slope[0, column])


def test_rows_of_other_lengths_are_refused(params):
    columns = Columns(HEADS)
    with pytest.raises(ShapeError, match="rows of 9 columns, got shape"):
        columns.log_prob(jnp.zeros((2, 8)), jnp.zeros((2, 8, columns.num_params(()))))
    with pytest.raises(ValueError, match="a head for every column, got none"):
        Columns([])
