"""What a training was on, in a few words: a run goes on with the same data only."""

import hashlib
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from jaxgen.core.stored import Stored
from jaxgen.data.arrays import sha256_of
from jaxgen.training.objectives import Batch

# The parts of a batch, in its order.
_PARTS = ("examples", "contexts", "lengths", "weights", "observed")


def digests(data: Mapping[str, Batch | None]) -> dict[str, str]:
    """The type, the shape and the hash of every array of some data, by its name.

    The hash of examples without lengths is the ``sha256`` of their
    :class:`~jaxgen.data.Dataset`.

    Args:
        data: batches by the name of their split.

    >>> digests({"training": Batch(np.zeros((3, 2), np.float32))})["training examples"][:28]
    'float32(3, 2), sha256 65c036'
    """
    return {
        f"{split} {part}": _digest(array)
        for split, batch in data.items()
        if batch is not None
        for part, array in zip(_PARTS, batch, strict=True)
        if array is not None
    }


def digest_of(model: Any) -> str:
    """The hash of a model's numbers."""
    numbers = (sha256_of(np.asarray(leaf)).digest() for leaf in jax.tree.leaves(model))
    return hashlib.sha256(b"".join(numbers)).hexdigest()


def _digest(array: Any) -> str:
    digest = array.digest() if isinstance(array, Stored) else sha256_of(np.asarray(array))
    return f"{array.dtype}{array.shape}, sha256 {digest.hexdigest()}"
