"""The split of a grid's tokens: which half is kept, and errors."""

import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.bijectors import Tokens
from jaxgen.core import ShapeError

PATTERNS = {
    "checkerboard": [[1, 0, 1], [0, 1, 0]],
    "rows": [[1, 1, 1], [0, 0, 0]],
}


@pytest.mark.parametrize("swap", [False, True])
@pytest.mark.parametrize("pattern", PATTERNS)
def test_halves_hold_the_pattern_in_raster_order(pattern, swap):
    split = Tokens((2, 3), pattern, swap)
    x = jnp.asarray(np.random.default_rng(0).normal(size=(4, 5, 2, 3, 2)))
    mask = np.array(PATTERNS[pattern], bool) != swap
    kept, changing = split.split(x)
    np.testing.assert_array_equal(kept, x[:, :, mask])
    np.testing.assert_array_equal(changing, x[:, :, ~mask])
    np.testing.assert_array_equal(split.merge(kept, changing), x)
    assert split.widths((2, 3, 2)) == (2, 2)


def test_columns():
    kept, changing = Tokens((1, 4), "columns").split(jnp.arange(4.0).reshape(1, 4, 1))
    assert kept.ravel().tolist() == [0.0, 2.0]
    assert changing.ravel().tolist() == [1.0, 3.0]


@pytest.mark.parametrize(
    ("grid", "pattern"),
    [((3, 3), "checkerboard"), ((3, 2), "rows"), ((2, 3), "columns"), ((4,), "rows")],
)
def test_grids_without_halves_are_refused(grid, pattern):
    with pytest.raises(ShapeError, match=f"of which the {pattern} pattern keeps one half"):
        Tokens(grid, pattern)


def test_unknown_patterns_are_refused():
    with pytest.raises(ValueError, match="unknown pattern of tokens 'row': did you mean 'rows'"):
        Tokens((2, 2), "row")
