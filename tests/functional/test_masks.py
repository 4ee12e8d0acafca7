"""Generation orders visit every position once, as they are drawn."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.functional import masks


def steps(order, width):
    """How far the order moves at each step."""
    at = np.stack(np.divmod(order, width), -1)
    return np.abs(np.diff(at, axis=0)).sum(-1)


@pytest.mark.parametrize("variant", range(8))
def test_an_s_curve_moves_to_a_neighbour(variant):
    order = masks.s_curve(3, 4, variant)
    assert sorted(order) == list(range(12))
    assert np.all(steps(order, 4) == 1)


def test_s_curves_start_in_every_corner_in_two_directions():
    starts = {tuple(masks.s_curve(3, 4, v)[:2].tolist()) for v in range(8)}
    corners = {(0, 1), (0, 4), (3, 2), (3, 7), (8, 9), (8, 4), (11, 10), (11, 7)}
    assert starts == corners
    with pytest.raises(ValueError, match=r"expected a variant 0\.\.7, got 8"):
        masks.s_curve(3, 4, 8)


@pytest.mark.parametrize("side", [1, 2, 4, 8, 16])
def test_hilberts_curve_moves_to_a_neighbour(side):
    order = masks.hilbert(side, side)
    assert sorted(order) == list(range(side * side))
    assert np.all(steps(order, side) == 1)


def test_a_stretch_of_hilberts_curve_is_compact():
    rows, columns = np.divmod(masks.hilbert(16, 16), 16)
    for start in range(0, 256, 16):
        part = slice(start, start + 16)
        assert np.ptp(rows[part]) == np.ptp(columns[part]) == 3


@pytest.mark.parametrize("shape", [(3, 5), (7, 2), (1, 6)])
def test_hilberts_order_of_any_grid(shape):
    assert sorted(masks.hilbert(*shape)) == list(range(shape[0] * shape[1]))


def test_observed_first_keeps_both_parts_in_order():
    rng = np.random.default_rng(0)
    order, observed = rng.permutation(20), rng.random(20) < 0.4
    expected = [i for i in order if observed[i]] + [i for i in order if not observed[i]]
    got = jax.jit(masks.observed_first)(jnp.asarray(order), jnp.asarray(observed))
    assert got.tolist() == expected


def test_waves_of_a_convolution_are_its_diagonals():
    """A position that sees its left, upper left, upper and upper right neighbours."""
    height, width = 4, 5
    depends = np.zeros((20, 20), bool)
    for i in range(20):
        row, column = divmod(i, width)
        for r, c in ((row, column - 1), *((row - 1, column + d) for d in (-1, 0, 1))):
            if 0 <= r < height and 0 <= c < width:
                depends[i, r * width + c] = True
    row, column = np.divmod(np.arange(20), width)
    np.testing.assert_array_equal(masks.wave_numbers(np.arange(20), depends), column + 2 * row)
    with pytest.raises(ValueError, match="depends on what comes after it"):
        masks.wave_numbers(np.arange(20)[::-1], depends)
