"""Which rows form which batch: a pure function of seed and step, so that a run can resume anywhere.

Epoch e visits the rows in the order ``np.random.default_rng([seed, e]).permutation(num_examples)``,
in ``num_examples // batch_size`` whole batches. The rows left over differ from epoch to epoch with
the permutation, so none is left out for good.
"""

import numpy as np


def batch_indices(
    seed: int, start: int, stop: int, num_examples: int, batch_size: int
) -> np.ndarray:
    """The rows of the batches of steps start, ..., stop - 1.

    Args:
        seed: not negative; chooses the permutations.
        start: the first step, counted from 0 over all epochs.
        stop: the step after the last.
        num_examples: rows in the data set.
        batch_size: rows in a batch.

    Returns:
        int32 (stop - start, batch_size), values in [0, num_examples).

    Raises:
        ValueError: the batch is larger than the data set, or an argument is out of range.

    >>> batch_indices(seed=0, start=0, stop=3, num_examples=5, batch_size=2)
    array([[2, 4],
           [3, 0],
           [1, 4]], dtype=int32)
    """
    if seed < 0:
        raise ValueError(f"expected a seed that is not negative, got {seed}; use 0 or more")
    if not 0 <= start <= stop:
        raise ValueError(
            f"expected steps 0 <= start <= stop, got start={start} and stop={stop}; "
            "count steps from 0 and let stop be the step after the last"
        )
    if not 1 <= batch_size <= num_examples:
        raise ValueError(
            f"expected a batch size from 1 to the {num_examples} examples there are, got "
            f"{batch_size}; choose a smaller batch or more data"
            if batch_size > 0
            else f"expected a batch size of at least 1, got {batch_size}"
        )
    steps_per_epoch = num_examples // batch_size
    batches = np.empty((stop - start, batch_size), np.int32)
    step = start
    while step < stop:  # once an epoch
        epoch, first = divmod(step, steps_per_epoch)
        count = min(steps_per_epoch - first, stop - step)
        order = np.random.default_rng([seed, epoch]).permutation(num_examples)
        rows = order[first * batch_size : (first + count) * batch_size]
        batches[step - start : step - start + count] = rows.reshape(count, batch_size)
        step += count
    return batches
