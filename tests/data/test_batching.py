"""Batches are a pure function of seed and step; an epoch repeats nothing."""

import numpy as np
import pytest

from jaxgen.data import batch_indices


def test_values_are_fixed():
    first = batch_indices(seed=0, start=0, stop=3, num_examples=5, batch_size=2)
    assert first.dtype == np.int32
    np.testing.assert_array_equal(first, [[2, 4], [3, 0], [1, 4]])


def test_epochs_are_the_documented_permutations():
    whole = batch_indices(seed=7, start=0, stop=6, num_examples=10, batch_size=3)
    for epoch in range(2):
        order = np.random.default_rng([7, epoch]).permutation(10)
        np.testing.assert_array_equal(whole[3 * epoch : 3 * epoch + 3].ravel(), order[:9])


@pytest.mark.parametrize(
    ("num_examples", "batch_size"), [(10, 3), (10, 5), (10, 10), (11, 10), (1, 1), (100, 7)]
)
@pytest.mark.parametrize("cut", [0, 1, 4, 17, 40])
def test_ranges_join(num_examples, batch_size, cut):
    def between(start, stop):
        return batch_indices(3, start, stop, num_examples, batch_size)

    whole = between(0, 40)
    assert whole.shape == (40, batch_size)
    np.testing.assert_array_equal(whole, np.concatenate([between(0, cut), between(cut, 40)]))


def test_no_epoch_repeats_a_row_and_the_remainder_differs():
    batches = batch_indices(seed=1, start=0, stop=60, num_examples=10, batch_size=3)
    left_over = []
    for epoch in batches.reshape(20, 9):
        assert len(set(epoch)) == 9
        left_over += set(range(10)) - set(epoch)
    assert len(set(left_over)) > 5  # 20 draws of 10: fewer has probability below 1e-6


def test_seeds_and_epochs_differ():
    def epoch(seed, e):
        return tuple(batch_indices(seed, e, e + 1, 50, 50)[0])

    assert len({epoch(seed, e) for seed in range(4) for e in range(4)}) == 16


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"batch_size": 11}, "1 to the 10 examples there are, got 11; choose a smaller batch"),
        ({"num_examples": 0}, "1 to the 0 examples there are, got 3"),
        ({"batch_size": 0}, "at least 1, got 0"),
        ({"start": -1}, "start=-1"),
        ({"start": 6}, "start=6 and stop=5"),
        ({"seed": -1}, "not negative, got -1"),
    ],
)
def test_refuses(change, said):
    arguments = {"seed": 0, "start": 0, "stop": 5, "num_examples": 10, "batch_size": 3} | change
    with pytest.raises(ValueError, match=said):
        batch_indices(**arguments)
