"""Where the arrays of a training lie: on every device whole, or in parts.

Three ways, by the setting ``sharding``:

- ``"data"``: every device has all parameters, and its part of each batch.
- ``"fsdp"``: parameters, their average and the optimizer's state are cut over the same devices as
  the batch (Zhao et al. 2023; ZeRO, Rajbhandari et al. 2020); a layer is put together where it is
  used.
- ``[data, model]``: a mesh of so many devices by so many. The batch is cut over the first axis, the
  last axis of wide layers over the second.

An array is cut along one axis that the devices divide, and stays whole if it has none, or is
small. A parameter that says how it lies, as Flax documents it
(``nnx.Param(value, out_sharding=(None, "model"))``), is cut as it says; axes of a stack of layers
come in front, and names that the mesh does not have mean nothing. XLA inserts the communication;
the numbers are those of one device, but for the order of sums.
"""

import contextlib
import math
import warnings
from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

import jax
from flax import nnx
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from jaxgen.training.settings import TrainSettings

T = TypeVar("T")

DATA, MODEL = "data", "model"

# Arrays of fewer numbers stay whole: to send one takes longer than it saves memory.
SMALLEST = 256


def mesh_for(settings: TrainSettings, devices: Sequence[Any] | None = None) -> Mesh:
    """The mesh that the settings ask for.

    Args:
        settings: of which ``sharding``, ``batch_size`` and ``accumulate_steps`` are read.
        devices: all there are if None.

    Raises:
        ValueError: if a mesh of this shape has more devices than there are, or does not divide the
            batch.

    Warns:
        UserWarning: if devices stay idle, because the batch cannot be cut into so many parts.

    >>> mesh_for(TrainSettings(batch_size=32), jax.devices()[:1]).axis_names
    ('data',)
    """
    devices = jax.devices() if devices is None else list(devices)
    batch = settings.batch_size // settings.accumulate_steps
    if not isinstance(settings.sharding, str):
        data, model = settings.sharding
        if data * model > len(devices):
            raise ValueError(
                f"sharding: expected a mesh of at most {len(devices)} devices, as there are, got "
                f"{data} x {model}"
            )
        _require_divides(data, settings)
        if data * model < len(devices):
            warnings.warn(
                f"a mesh of {data} x {model} leaves {len(devices) - data * model} of "
                f"{len(devices)} devices idle",
                stacklevel=3,
            )
        return _of_all_processes(_mesh((data, model), (DATA, MODEL), devices))
    count = max(n for n in range(1, len(devices) + 1) if batch % n == 0)
    if count < len(devices):
        warnings.warn(
            f"{_batch(settings)} is cut over {count} of {len(devices)} devices, the most that "
            f"divide it; a multiple of {len(devices)} uses all",
            stacklevel=3,
        )
    return _of_all_processes(_mesh((count,), (DATA,), devices))


def automatic(mesh: Mesh, settings: TrainSettings) -> Mesh:
    """A mesh of the user's, with the sharding of intermediates left to the compiler.

    ``jax.make_mesh`` makes axes Explicit, by which every operation would have to say how its result
    lies.

    Raises:
        ValueError: if it has no axis ``"data"``, or one that does not divide the batch; or it is
            of another shape than the settings say.
    """
    if DATA not in mesh.shape:
        raise ValueError(f"mesh: expected one with an axis 'data', got {dict(mesh.shape)}")
    _require_divides(mesh.shape[DATA], settings)
    shape = [mesh.shape[DATA], mesh.shape.get(MODEL, 1)]
    if not isinstance(settings.sharding, str) and list(settings.sharding) != shape:
        raise ValueError(
            f"mesh: expected one of data x model = {list(settings.sharding)}, as the setting "
            f"sharding says, got {dict(mesh.shape)}"
        )
    types = (AxisType.Auto,) * len(mesh.axis_names)
    return _of_all_processes(Mesh(mesh.devices, mesh.axis_names, axis_types=types))


def _of_all_processes(mesh: Mesh) -> Mesh:
    """A mesh, if every process has a device in it."""
    there = {device.process_index for device in mesh.devices.flat}
    if len(there) < jax.process_count():
        raise ValueError(
            f"expected a mesh with devices of all {jax.process_count()} processes, got "
            f"{dict(mesh.shape)} of {len(there)}; a larger batch is cut over more devices"
        )
    return mesh


@contextlib.contextmanager
def within(mesh: Mesh) -> Iterator[None]:
    """Makes a mesh that of the context, where ``jax.set_mesh`` has set another."""
    if jax.sharding.get_abstract_mesh().empty:
        yield
        return
    with jax.set_mesh(mesh):
        yield


def as_in_context(tree: T, *, whole: bool = False) -> T:
    """Arrays of a training as parts of the mesh that ``jax.set_mesh`` has set, if any.

    Args:
        tree: of arrays.
        whole: whether all lie on every device where the mesh has Explicit axes, in which operations
            on arrays that are cut would have to say how their results lie.
    """
    context = jax.sharding.get_mesh()
    if context.empty:
        return tree

    def laid(leaf: Any) -> Any:
        explicit = whole and AxisType.Explicit in context.axis_types
        spec = () if explicit else getattr(leaf.sharding, "spec", ())
        axes = [axis if axis in context.shape else None for axis in spec]
        return jax.device_put(leaf, NamedSharding(context, PartitionSpec(*axes)))

    return jax.tree.map(laid, tree)


def shardings(tree: T, mesh: Mesh, *, fsdp: bool = False) -> T:
    """For every array of a tree (a model, a training state) how it lies on a mesh.

    Args:
        tree: of arrays.
        mesh: with an axis ``"data"``, and perhaps one ``"model"``.
        fsdp: cuts arrays over ``"data"``, too.

    Returns:
        The tree with a ``NamedSharding`` in the place of every array.

    >>> from jaxgen import zoo
    >>> mesh = mesh_for(TrainSettings(batch_size=1), jax.devices()[:1])
    >>> placed = shardings(zoo.maf((2,), layers=1, hidden=(8,), rngs=nnx.Rngs(0)), mesh)
    >>> {tuple(leaf.spec) for leaf in jax.tree.leaves(placed)}
    {()}
    """

    def place(part: Any) -> Any:
        said = part.get_metadata("out_sharding", None) if isinstance(part, nnx.Variable) else None
        return jax.tree.map(lambda leaf: NamedSharding(mesh, _spec(leaf, mesh, fsdp, said)), part)

    return jax.tree.map(place, tree, is_leaf=lambda part: isinstance(part, nnx.Variable))


def placed_at(tree: T, where: Any) -> T:
    """A tree with its arrays laid as a tree of shardings, or one for all, says."""
    if jax.process_count() == 1:
        return jax.device_put(tree, where)
    if isinstance(where, NamedSharding):
        return jax.tree.map(lambda leaf: _put(leaf, where), tree)
    return jax.tree.map(_put, tree, where)


def _put(leaf: Any, where: NamedSharding) -> Any:
    if jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key):  # JAX lays numbers across processes
        data = _put(jax.random.key_data(leaf), where)
        return jax.random.wrap_key_data(data, impl=jax.random.key_impl(leaf))
    return jax.device_put(leaf, where)


def _spec(leaf: Any, mesh: Mesh, fsdp: bool, said: Sequence[Any] | None) -> PartitionSpec:
    axes: list[Any] = [None] * leaf.ndim
    if said is not None and len(said) <= leaf.ndim:
        axes[leaf.ndim - len(said) :] = [name if name in mesh.shape else None for name in said]
    elif leaf.size >= SMALLEST:
        if MODEL in mesh.shape and leaf.ndim > 1 and leaf.shape[-1] % mesh.shape[MODEL] == 0:
            axes[-1] = MODEL
        if fsdp:
            free = [
                axis
                for axis, size in enumerate(leaf.shape)
                if axes[axis] is None and size % mesh.shape[DATA] == 0
            ]
            if free:
                axes[max(free, key=lambda axis: leaf.shape[axis])] = DATA
    while axes and axes[-1] is None:
        axes.pop()
    return PartitionSpec(*axes)


def _batch(settings: TrainSettings) -> str:
    size, parts = settings.batch_size, settings.accumulate_steps
    return f"a batch of {size}" if parts == 1 else f"a part of {size // parts} of a batch of {size}"


def _require_divides(parts: int, settings: TrainSettings) -> None:
    batch = settings.batch_size // settings.accumulate_steps
    if batch % parts:
        raise ValueError(
            f"expected a mesh whose axis 'data' divides {_batch(settings)}, got {parts} devices "
            f"along it"
        )


def _mesh(shape: tuple[int, ...], names: tuple[str, ...], devices: Sequence[Any]) -> Mesh:
    used = devices[: math.prod(shape)]
    return jax.make_mesh(shape, names, axis_types=(AxisType.Auto,) * len(shape), devices=used)
