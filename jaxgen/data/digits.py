"""``digits``: the 1797 handwritten digits, 8x8 with 17 grey levels, that come with scikit-learn.

Small enough to train on within seconds, real enough to show a mistake. Source: the test set of
E. Alpaydin and C. Kaynak, "Optical Recognition of Handwritten Digits", UCI, 1998
(https://doi.org/10.24432/C50P49).
"""

import numpy as np

from jaxgen.data.arrays import Loaded
from jaxgen.data.splits import shuffled_rows

LEVELS = 17


def load_digits(split: str) -> Loaded:
    """The rows of one split: 1437 to train, 180 to validate, 180 to test (see ``shuffled_rows``).

    Args:
        split: ``"train"``, ``"valid"`` or ``"test"``.

    Returns:
        x uint8 (n, 8, 8, 1) in 0..16, y (n,) the digit, and 17 levels.

    Raises:
        ImportError: scikit-learn is not installed.

    >>> x, y, levels = load_digits("test")
    >>> x.shape, y.shape, levels
    ((180, 8, 8, 1), (180,), 17)
    """
    try:
        from sklearn.datasets import load_digits as sklearn_digits
    except ImportError as error:
        raise ImportError(
            "the data set 'digits' comes with scikit-learn, which is not installed; "
            "run: pip install scikit-learn"
        ) from error
    images, labels = sklearn_digits(return_X_y=True)
    rows = shuffled_rows(len(images), split)
    return images[rows].astype(np.uint8).reshape(-1, 8, 8, 1), labels[rows], LEVELS
