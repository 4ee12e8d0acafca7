"""Steps and the batches they see."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from jaxgen.data.batching import batch_indices
from jaxgen.training.compiled import Run
from jaxgen.training.objectives import Batch
from jaxgen.training.rows import take_rows
from jaxgen.training.settings import TrainSettings
from jaxgen.training.sharding import DATA
from jaxgen.training.state import TrainState
from jaxgen.training.steps import Metrics

# Data up to this size live on the device; larger sets are sent a dispatch at a time.
DEVICE_DATA_BYTES = 2 * 1024**3


def is_streamed(data: Batch) -> bool:
    """Whether data are sent to the devices a dispatch at a time.

    So they are if they are large, or devices belong to several processes: each reads only the rows
    that its own devices see.
    """
    arrays = jax.tree.leaves(data)
    large = sum(array.nbytes for array in arrays) > DEVICE_DATA_BYTES
    return large or (bool(arrays) and jax.process_count() > 1)


class Feed:
    """Runs steps, and gives each its batch: a function of the seed and the step alone.

    Args:
        run_steps: compiled for these data, see :func:`~jaxgen.training.compiled.steps_for`.
        data, count: the training data, and how many examples they are.
        settings: of the training.
        mesh: the devices.
    """

    def __init__(
        self, run_steps: Run, data: Batch, count: int, settings: TrainSettings, mesh: Mesh
    ):
        self._run, self._data, self._count, self._settings = run_steps, data, count, settings
        self._streamed = is_streamed(data)
        self._batches = NamedSharding(mesh, PartitionSpec(None, DATA))
        if not self._streamed:
            self._data = jax.device_put(data, NamedSharding(mesh, PartitionSpec()))

    def run(self, state: TrainState, start: int, stop: int) -> tuple[TrainState, Metrics]:
        """Takes the steps ``start + 1`` to ``stop``; the state is donated."""
        settings = self._settings
        indices = batch_indices(settings.seed, start, stop, self._count, settings.batch_size)
        if not self._streamed:
            return self._run(state, self._data, jnp.asarray(indices))
        return self._run(state, self._read(indices), None)

    def _read(self, indices: np.ndarray) -> Batch:
        """The batches of these rows ``(steps, batch_size)``, of which a process reads its part."""
        read: dict[tuple[int, int], list[np.ndarray]] = {}  # an example's arrays are read at once

        def part(where: tuple[slice, ...], of: int) -> np.ndarray:
            steps, rows, *_ = where
            place = (rows.start, rows.stop)
            if place not in read:
                read[place] = jax.tree.leaves(take_rows(self._data, indices[steps, rows]))
            return read[place][of]

        leaves, structure = jax.tree.flatten(self._data)
        arrays = [
            jax.make_array_from_callback(
                (*indices.shape, *leaf.shape[1:]), self._batches, functools.partial(part, of=of)
            )
            for of, leaf in enumerate(leaves)
        ]
        return jax.tree.unflatten(structure, arrays)
