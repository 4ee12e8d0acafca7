"""Windows of a grid: whichever way they are read, a position sees the same."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.functional.windows import (
    above,
    causal,
    left,
    position_rows,
    rectangle,
    row_of,
    square,
)

GRID = (4, 6)
H = jax.random.normal(jax.random.key(0), (2, *GRID, 3))
WINDOWS = {
    "square": square(3),
    "above": above(5, middle=True),
    "left": left(5, middle=False),
    "causal": causal(5, middle=True),
    "down": rectangle((-1, 0), (-1, 0, 1)),
    "right": rectangle((-1, 0), (-1, 0)),
    "moved": rectangle((-1, 0), (-1, 0)).moved(-1, 0),
}
UP = [name for name in WINDOWS if name != "square"]  # those that see nothing below their middle


def brute_force(window, h):
    """Every window by its offsets."""
    height, width = h.shape[-3:-1]
    seen = np.zeros((*h.shape[:-1], len(window), h.shape[-1]), h.dtype)
    for row, column in np.ndindex(height, width):
        for i, (down, right) in enumerate(window.offsets):
            if 0 <= row + down < height and 0 <= column + right < width:
                seen[..., row, column, i, :] = h[..., row + down, column + right, :]
    return seen


@pytest.mark.parametrize("name", WINDOWS)
def test_everywhere_at_a_position_and_along_a_row(name):
    window, kept = WINDOWS[name], position_rows(H, H.dtype)
    expected = brute_force(window, H)
    np.testing.assert_array_equal(window.everywhere(H), expected)
    for row in range(GRID[0]):
        by_column = np.moveaxis(expected[:, row], 1, 0)
        np.testing.assert_array_equal(window.along(kept, GRID, row), by_column)
        position = row * GRID[1] + 2
        np.testing.assert_array_equal(window.at(kept, GRID, position), by_column[2])


@pytest.mark.parametrize("name", UP)
def test_of_the_rows_that_it_spans_and_of_rows_kept_in_turn(name):
    window, expected = WINDOWS[name], brute_force(WINDOWS[name], H)
    kept = window.turns(H, -1)
    np.testing.assert_array_equal(kept, 0.0)
    for row in range(GRID[0]):
        by_column = np.moveaxis(expected[:, row], 1, 0)
        spanned = jnp.stack([row_of(H, each) for each in range(row - window.rows + 1, row + 1)])
        np.testing.assert_array_equal(window.along_last(spanned), by_column)
        got, kept = window.in_turn(kept, row, 0, row_of(H, row))
        np.testing.assert_array_equal(got, by_column)
        np.testing.assert_array_equal(kept, window.turns(H, row))


def test_pixel_by_pixel_in_rows_kept_in_turn():
    window = WINDOWS["right"]
    expected, kept = brute_force(window, H), window.turns(H, -1)
    for row, column in np.ndindex(*GRID):
        got, kept = window.in_turn(kept, row, column, H[None, :, row, column])
        np.testing.assert_array_equal(got[0], expected[:, row, column])


@pytest.mark.parametrize("name", ["down", "right"])
def test_spread_features_of_a_row_and_of_a_pixel(name):
    window = WINDOWS[name]
    spread = np.zeros((2, 8, 12, 3), H.dtype)
    spread[:, ::2, ::2] = H
    expected = brute_force(window, spread)
    np.testing.assert_array_equal(window.spread(H), expected)
    for row in range(8):
        by_column = np.moveaxis(expected[:, row], 1, 0)
        small = row_of(H, row // 2)
        np.testing.assert_array_equal(window.spread_row(small, row, 0, 12), by_column)
    for column in range(12):
        got = WINDOWS["right"].spread_row(row_of(H, 1), 2, column, 1)
        np.testing.assert_array_equal(got[0], brute_force(WINDOWS["right"], spread)[:, 2, column])
