"""Degrees, masks and the passes of an autoregressive model."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.functional import autoregressive, masks


@pytest.mark.parametrize(("width", "size", "lowest"), [(1, 4, 1), (7, 5, 1), (7, 5, 0), (3, 1, 1)])
def test_degrees_are_sorted_even_and_in_range(width, size, lowest):
    degrees = masks.hidden_degrees(width, size, lowest=lowest)
    assert len(degrees) == width
    assert np.all(np.diff(degrees) >= 0)
    assert degrees.min() >= lowest
    assert degrees.max() <= max(size - 1, lowest)
    counts = np.bincount(degrees, minlength=size)[lowest:size]
    assert size == 1 or counts.max() - counts.min() <= 1


def test_masks_compose_to_strictly_earlier_positions():
    order = jnp.array([2, 0, 3, 1])
    rank = autoregressive.rank_of(order)
    degrees = masks.hidden_degrees(9, 4, lowest=1)
    paths = (
        masks.mask(rank + 1, degrees).astype(int)
        @ masks.mask(degrees, degrees).astype(int)
        @ masks.mask(degrees, rank).astype(int)
    )
    earlier = rank[:, None] < rank[None, :]
    np.testing.assert_array_equal(paths > 0, earlier)
    np.testing.assert_array_equal(masks.mask(rank + 1, rank), earlier)


def sequential(network, emit, size):
    values = jnp.zeros(size)
    for t in range(size):
        values = values.at[t].set(emit(jnp.asarray(t), network(values)[t])[0])
    return values


@pytest.mark.parametrize(("reach", "most"), [(6, 6), (1, 3)])
def test_jacobi_certifies_its_fixed_point_and_stops_early(reach, most):
    """Where only odd positions look back, and one step far, two passes are all it takes."""
    weights = jnp.triu(jnp.tril(jax.random.normal(jax.random.key(0), (6, 6)), -1), -reach)
    if reach == 1:
        weights = weights * (jnp.arange(6)[:, None] % 2)

    def network(values):
        return weights @ values

    def emit(t, params):
        value = jnp.tanh(params) + t
        return value, value

    values, report = jax.jit(lambda: autoregressive.jacobi(network, emit, jnp.zeros(6)))()
    np.testing.assert_allclose(values, sequential(network, emit, 6), rtol=1e-5)
    assert int(report.iterations) <= most
    if reach == 1:
        assert float(report.residual) == 0.0


def test_jacobi_does_not_mistake_nan_for_convergence():
    def emit(t, params):
        value = jnp.where(t == 1, jnp.nan, params + 1.0)
        return value, value

    _, report = autoregressive.jacobi(lambda values: values, emit, jnp.zeros(3))
    assert int(report.iterations) == 3
    assert np.isnan(report.residual)


@pytest.mark.parametrize("span", [1, 2, 4, 6])
def test_blocks_certify_theirs_within_their_length(span):
    weights = jnp.tril(jax.random.normal(jax.random.key(0), (6, 6)), -1)

    def several(cache, t, previous):
        """A network that stores the values before each step, and reads the earlier ones."""
        stored = jax.lax.dynamic_update_slice(cache.state, previous, (t,))
        params = weights @ jnp.append(stored[1:], 0.0)
        rows = jax.lax.dynamic_slice(params, (t,), (len(previous),))
        return rows, autoregressive.Cache(cache.fixed, stored)

    def emit(t, params):
        value = jnp.tanh(params) + t
        return value, value

    cache = autoregressive.Cache(None, jnp.zeros(6))
    run = jax.jit(lambda: autoregressive.in_blocks(several, cache, emit, jnp.zeros(()), 6, span))
    values, report = run()
    np.testing.assert_allclose(values, sequential(lambda x: weights @ x, emit, 6), rtol=1e-5)
    assert int(report.iterations) == span or float(report.residual) == 0.0
    assert int(report.iterations) <= span
