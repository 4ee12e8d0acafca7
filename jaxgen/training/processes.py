"""What several processes of one training have to agree on.

All of them take the same steps and decide by the same numbers. Signals and answers of callbacks
reach each on its own, so they are asked for those. The first one alone writes and prints.
"""

import jax
import numpy as np
from jax.experimental import multihost_utils


def is_first() -> bool:
    """Whether this process writes and prints."""
    return jax.process_index() == 0


def any_of_all(said: bool) -> bool:
    """Whether any process says so; all have to ask."""
    if jax.process_count() == 1:
        return said
    return bool(np.any(multihost_utils.process_allgather(np.asarray(said))))
