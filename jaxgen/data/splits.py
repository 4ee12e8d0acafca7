"""Which rows belong to which split, where the source itself does not say."""

import numpy as np

SPLITS = ("train", "valid", "test")


def shuffled_rows(num_examples: int, split: str) -> np.ndarray:
    """The rows of one split when all rows come as one array: shuffled, then 80/10/10.

    The permutation is ``np.random.default_rng(0).permutation(num_examples)``, cut at
    ``8 * num_examples // 10`` and ``9 * num_examples // 10``.

    Args:
        num_examples: the number of rows in all.
        split: ``"train"``, ``"valid"`` or ``"test"``.

    Returns:
        Row indices, (rows,).

    Raises:
        ValueError: there are too few rows for this split to have any.

    >>> [len(shuffled_rows(1797, split)) for split in SPLITS]
    [1437, 180, 180]
    """
    cuts = [num_examples * tenths // 10 for tenths in (0, 8, 9, 10)]
    part = SPLITS.index(split)
    if cuts[part] == cuts[part + 1]:
        raise _too_few(num_examples, split)
    return np.random.default_rng(0).permutation(num_examples)[cuts[part] : cuts[part + 1]]


def last_tenth(num_examples: int, split: str) -> slice:
    """The rows of ``"train"`` or ``"valid"`` where a source has no validation set.

    Args:
        num_examples: the number of rows in the source's training set.
        split: ``"valid"``, the last ``num_examples // 10`` rows, or ``"train"``, the rows before
            them.

    Returns:
        A slice of the source's training rows.

    Raises:
        ValueError: there are too few rows for a validation set.

    >>> last_tenth(60000, "train"), last_tenth(60000, "valid")
    (slice(0, 54000, None), slice(54000, 60000, None))
    """
    cut = num_examples - num_examples // 10
    if cut == num_examples and split == "valid":
        raise _too_few(num_examples, split)
    return slice(0, cut) if split == "train" else slice(cut, num_examples)


def _too_few(num_examples: int, split: str) -> ValueError:
    return ValueError(
        f"expected at least 10 rows to take the split {split!r} from, got {num_examples}; "
        "provide more rows, or store the splits as separate arrays"
    )
