"""Steps and the batches they see.

Data in memory are on the device, or are sent there a dispatch at a time. Stored ones are read by
Grain, in the background, while the device computes. Whichever it is, a batch is a function of the
seed and the step alone.
"""

from collections.abc import Callable, Iterator, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from jaxgen.data.batching import batch_indices
from jaxgen.training.compiled import Run
from jaxgen.training.objectives import Batch
from jaxgen.training.rows import stored_in, take_rows
from jaxgen.training.settings import TrainSettings
from jaxgen.training.sharding import DATA
from jaxgen.training.state import TrainState
from jaxgen.training.steps import Metrics

# Data up to this size live on the device; larger sets are sent a dispatch at a time.
DEVICE_DATA_BYTES = 2 * 1024**3

# Of stored data so many dispatches are read before they are needed, by so many threads.
_AHEAD = 2
_THREADS = 2


def is_streamed(data: Batch) -> bool:
    """Whether data are sent to the devices a dispatch at a time.

    So they are if they are large or stored, or devices belong to several processes: each reads only
    the rows that its own devices see.
    """
    arrays = jax.tree.leaves(data)
    large = sum(array.nbytes for array in arrays) > DEVICE_DATA_BYTES
    several = bool(arrays) and jax.process_count() > 1
    return large or several or bool(stored_in(data))


class Feed:
    """Runs steps, and gives each its batch.

    Args:
        run_steps: compiled for these data, see :func:`~jaxgen.training.compiled.steps_for`.
        check: refuses examples outside of the model's support, of each batch of stored data.
        data, count: the training data, and how many examples they are.
        settings: of the training.
        mesh: the devices.
        start: the steps that have been taken.
    """

    def __init__(
        self,
        run_steps: Run,
        check: Callable[[np.ndarray], None],
        data: Batch,
        count: int,
        settings: TrainSettings,
        mesh: Mesh,
        start: int,
    ):
        self._run, self._data, self._count, self._settings = run_steps, data, count, settings
        self._check, self._at = check, start
        self._batches = NamedSharding(mesh, PartitionSpec(None, DATA))
        self._streamed, self._checked = is_streamed(data), bool(stored_in(data))
        if not self._streamed:
            self._data = jax.device_put(data, NamedSharding(mesh, PartitionSpec()))
            return
        reader = Reader(data, count, settings, self._columns())
        starts = dispatches(start, settings)
        self._read = reader.ahead(starts) if self._checked else map(reader, starts)

    def next(self, state: TrainState) -> tuple[int, TrainState, Metrics]:
        """Takes the steps to the next multiple of a dispatch; the state is donated.

        Returns:
            The steps that have been taken, the state and the metrics.
        """
        settings, start = self._settings, self._at
        self._at = stop = dispatch_after(start, settings)
        if not self._streamed:
            indices = batch_indices(settings.seed, start, stop, self._count, settings.batch_size)
            return stop, *self._run(state, self._data, jnp.asarray(indices))
        parts = next(self._read)
        if self._checked:  # stored data, of which nobody has seen all
            for part in parts.values():
                if part.x is not None:
                    self._check(np.reshape(part.x, (-1, *part.x.shape[2:])))
        return stop, *self._run(state, self._joined(parts, stop - start), None)

    def _columns(self) -> list[tuple[int, int]]:
        """The parts of a batch that this process's devices see, from and to."""
        shape = (1, self._settings.batch_size)
        found = self._batches.addressable_devices_indices_map(shape).values()
        return sorted({_ends(where[1], shape[1]) for where in found if where is not None})

    def _joined(self, parts: dict[tuple[int, int], Batch], steps: int) -> Batch:
        """The batches of some steps, of which this process has its parts."""
        size = self._settings.batch_size
        leaves, structure = jax.tree.flatten(next(iter(parts.values())))
        by_part = {ends: jax.tree.leaves(part) for ends, part in parts.items()}
        arrays = [
            jax.make_array_from_callback(
                (steps, size, *leaf.shape[2:]),
                self._batches,
                lambda where, of=of: by_part[_ends(where[1], size)][of],  # type: ignore[misc]
            )
            for of, leaf in enumerate(leaves)
        ]
        return jax.tree.unflatten(structure, arrays)


class Reader:
    """Reads what a process needs of the batches of a dispatch, by its first step.

    Args:
        data, count, settings: as of :class:`Feed`.
        columns: the parts of a batch that are needed, from and to.
    """

    def __init__(
        self, data: Batch, count: int, settings: TrainSettings, columns: list[tuple[int, int]]
    ):
        self._data, self._count, self._settings, self._columns = data, count, settings, columns

    def __call__(self, start: int) -> dict[tuple[int, int], Batch]:
        settings, stop = self._settings, dispatch_after(start, self._settings)
        indices = batch_indices(settings.seed, start, stop, self._count, settings.batch_size)
        return {
            (first, last): take_rows(self._data, indices[:, first:last])
            for first, last in self._columns
        }

    def ahead(self, starts: Sequence[int]) -> Iterator[dict[tuple[int, int], Batch]]:
        """What is needed of some dispatches, read before it is asked for.

        Raises:
            ImportError: if Grain is not installed.
        """
        try:
            import grain
            from absl import flags
        except ImportError as error:
            raise ImportError(
                "data that stay on disk are read by Grain, which is not installed; run: "
                'pip install "jaxgen[data]"'
            ) from error
        read = grain.MapDataset.source(starts).map(self)
        options = grain.ReadOptions(num_threads=_THREADS, prefetch_buffer_size=_AHEAD)
        batches = read.to_iter_dataset(options)
        if self._settings.workers:
            if not flags.FLAGS.is_parsed():  # Grain's own, of which there are none here
                flags.FLAGS.mark_as_parsed()
            batches = batches.mp_prefetch(
                grain.MultiprocessingOptions(num_workers=self._settings.workers)
            )
        return iter(batches)


def dispatches(start: int, settings: TrainSettings) -> list[int]:
    """The first steps of the dispatches from one on.

    >>> dispatches(3, TrainSettings(steps=10, steps_per_dispatch=4))
    [3, 4, 8]
    """
    every = settings.steps_per_dispatch
    return sorted({start, *range((start // every + 1) * every, settings.steps, every)})


def dispatch_after(step: int, settings: TrainSettings) -> int:
    """The step that ends the dispatch which begins at one."""
    every = settings.steps_per_dispatch
    return min((step // every + 1) * every, settings.steps)


def _ends(part: slice, size: int) -> tuple[int, int]:
    return part.indices(size)[:2]
