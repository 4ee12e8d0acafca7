"""The contract of an autoregressive network, and what every one of them gets for free."""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxgen.conditionals.abilities import Abilities
from jaxgen.conditionals.checks import (
    CHECKED,
    check_batch,
    check_tolerance,
    checked_call,
    checked_prefill,
)
from jaxgen.core import (
    FUNCTION,
    Context,
    Key,
    Order,
    Shape,
    ShapeError,
    batch_shape,
    check_array,
    check_context,
    check_method,
    check_order,
    checked_arguments,
    is_concrete,
    read_as,
    required,
    unknown,
)
from jaxgen.functional import autoregressive, masks
from jaxgen.functional.autoregressive import Cache, Emit, FixedPoint, Stretch

_ADVICE = "call super().__init__(grid_shape, num_params) in its constructor"


class Conditional(Abilities):
    """Parameters for every position of a grid, each from the positions before it in an order.

    The event is a grid of positions, ``event_shape = grid_shape + position_shape``; a position is
    what one generation step emits: a scalar, or a vector of channels, as the network reads it (of a
    level, the vector that stands for it). A subclass gives these two,
    ``num_params`` and ``context_shape`` to this constructor, or sets them, and defines
    :meth:`init_cache` and :meth:`step`; one that can do all positions in parallel also defines
    ``__call__``, whose default is a scan of steps. What only some can do has a default in
    :class:`~jaxgen.conditionals.abilities.Abilities`.

    An ``order`` is an integer array ``(D,)``, ``D`` the number of positions: ``order[t]`` is the
    position (counted in raster order) generated at step ``t``. It may be traced, so a new order
    never recompiles. Conditionals with ``fixed_order`` take none.

    ``__call__``, :meth:`init_cache` and :meth:`prefill` of a subclass are wrapped once, when its
    class is made. What reaches them is checked: arrays of the right shapes, a context broadcast to
    the batch, and the order resolved; or None for a network of one order, which looks it up in
    :meth:`own_order`. A ``__call__`` without dropout need not name ``key``.
    """

    grid_shape: Shape = required(_ADVICE)
    position_shape: Shape = ()
    num_params: int = required(_ADVICE)
    context_shape: Shape | None = None
    fixed_order: bool = False

    @checked_arguments
    def __init__(
        self,
        grid_shape: Shape,
        num_params: int,
        position_shape: Shape = (),
        context_shape: Shape | None = None,
    ):
        self.grid_shape = tuple(grid_shape)
        self.num_params = num_params
        self.position_shape = tuple(position_shape)
        self.context_shape = context_shape

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for name, checked in CHECKED.items():
            if name in cls.__dict__:
                setattr(cls, name, checked(cls.__dict__[name]))

    @property
    def event_shape(self) -> Shape:
        """``grid_shape + position_shape``."""
        return self.grid_shape + self.position_shape

    @property
    def num_positions(self) -> int:
        """``D``, the number of generation steps."""
        return math.prod(self.grid_shape)

    def check_inputs(self, x: Array, context: Context, where: str) -> tuple[Array, Context]:
        """A batch of events and a context for each, refused unless of the right shapes."""
        x = jnp.asarray(check_array(x, where))
        batch = batch_shape(x, self.event_shape, where)
        return x, check_context(context, self.context_shape, batch, where)

    @checked_call
    def __call__(
        self, x: Array, context: Context = None, order: Order = None, *, key: Key = None
    ) -> Array:
        """Parameters of all positions.

        Args:
            x: real array ``(*batch, *event_shape)``.
            context: array ``(*batch, *context_shape)`` for a conditional network.
            order: the generation order; None means the network's own.
            key: turns dropout on; None means evaluation.

        Returns:
            ``(*batch, *grid_shape, num_params)``.
        """
        cache = self.init_cache(x.shape[: x.ndim - len(self.event_shape)], context, order)
        order = self.resolve_order(order)
        _, params = autoregressive.follow(self.step, cache, self.to_sequence(x, order))
        return self.from_sequence(params, order, params=True)

    def init_cache(self, batch: Shape, context: Context = None, order: Order = None) -> Cache:
        """The cache that ``step(cache, 0, zeros)`` expects, for a batch of this shape."""
        raise NotImplementedError(f"{type(self).__name__} defines no init_cache")

    def step(self, cache: Cache, t: Array, x_previous: Array) -> tuple[Array, Cache]:
        """Parameters ``(*batch, num_params)`` of step ``t``, given the value of step ``t - 1``.

        All steps together cost about one full pass, though a single one may cost more.
        """
        raise NotImplementedError(f"{type(self).__name__} defines no step")

    @checked_prefill
    def prefill(self, x: Array, n: int, context: Context = None, order: Order = None) -> Cache:
        """The cache that ``step(n, x_{n-1})`` expects, given the first ``n`` steps of ``x``.

        Raises:
            ShapeError: if ``x`` is no batch of events, or the prefix is longer than an event.
        """
        cache = self.init_cache(x.shape[: x.ndim - len(self.event_shape)], context, order)
        known = self.to_sequence(x, self.resolve_order(order))[:n]
        return autoregressive.follow(self.step, cache, known)[0]

    def generate(
        self,
        emit: Emit,
        batch: Shape,
        context: Context = None,
        order: Order = None,
        *,
        method: str = "auto",
        depth: int | None = None,
        dtype: Any = None,
    ) -> Any:
        """Runs the network against its own emissions: sampling, or a flow's sequential direction.

        Args:
            emit: ``(t, params_t) -> (value_t, output_t)``; the value, shape
                ``(*batch, *position_shape)``, is what the network sees at the next steps; outputs
                are any arrays of that shape.
            batch, context, order: as in :meth:`init_cache`.
            method: ``"incremental"`` (what ``"auto"`` means), ``"naive"``, ``"jacobi"``,
                ``"block"`` (Jacobi in blocks; in one where the network cannot run :meth:`several`
                steps) or ``"wavefront"``; they return the same arrays at different costs, see
                :mod:`jaxgen.functional.autoregressive`. Iterations end by themselves, so through
                ``"jacobi"`` and ``"block"`` there is no gradient in reverse mode.
            depth: the passes of ``"wavefront"``; None for :meth:`parallel_depth`.
            dtype: of the values that the network sees; float32 or the default float dtype.

        Returns:
            The outputs, each as ``(*batch, *event_shape)``.
        """
        check_method(method)
        emit = read_as(FUNCTION, emit, "emit", f"{type(self).__name__}.generate")
        if method in ("jacobi", "block"):
            return self.generate_with_certificate(
                emit, batch, context, order, method=method, dtype=dtype
            )[0]
        where = f"{type(self).__name__}.generate"
        batch = check_batch(batch, where)
        context = check_context(context, self.context_shape, batch, where)
        resolved = self.resolve_order(order)
        network, initial = self._full_pass(batch, context, resolved, dtype)
        if method == "naive":
            outputs = autoregressive.naive(network, emit, initial)
        elif method == "wavefront":
            depth = self.parallel_depth(order) if depth is None else depth
            outputs = autoregressive.wavefront(network, emit, initial, depth)
        else:
            outputs = self.run(self.init_cache(batch, context, order), emit, initial[0])
        return self._outputs(outputs, resolved, len(batch))

    def generate_with_certificate(
        self,
        emit: Emit,
        batch: Shape,
        context: Context = None,
        order: Order = None,
        *,
        method: str = "jacobi",
        tolerance: float = 0.0,
        dtype: Any = None,
    ) -> tuple[Any, FixedPoint]:
        """:meth:`generate` by fixed-point iteration, with what that can vouch for.

        Args:
            emit, batch, context, order, dtype: as in :meth:`generate`.
            method: ``"jacobi"`` or ``"block"``.
            tolerance: the iteration stops once no value moves by more than this.

        Returns:
            The outputs, each as ``(*batch, *event_shape)``, and a
            :class:`~jaxgen.functional.autoregressive.FixedPoint`: the number of passes and the
            largest change in the last of them. A change of 0, or ``D`` passes of ``"jacobi"``,
            certify that the outputs are those of the other methods, to rounding.

        Raises:
            ValueError: for a method that does not iterate, or a tolerance that is none.
        """
        if method not in (iterative := ("jacobi", "block")):
            raise unknown("iterative method", method, iterative)
        check_tolerance(tolerance, f"{type(self).__name__}.generate_with_certificate")
        where = f"{type(self).__name__}.generate_with_certificate"
        batch = check_batch(batch, where)
        context = check_context(context, self.context_shape, batch, where)
        order = self.resolve_order(order)
        network, initial = self._full_pass(batch, context, order, dtype)
        if method == "jacobi" or self.block is None:
            outputs, report = autoregressive.jacobi(network, emit, initial, tolerance)
        else:
            cache = self.init_cache(batch, context, self.given(order))
            span = min(self.block, self.num_positions)
            outputs, report = autoregressive.in_blocks(
                self.several, cache, emit, initial[0], self.num_positions, span, tolerance
            )
        return self._outputs(outputs, order, len(batch)), report

    def _outputs(self, outputs: Any, order: Array, batch_ndims: int) -> Any:
        """What steps put out, which may have another shape than what they read, on the grid."""
        return jax.tree.map(
            lambda each: self.from_sequence(
                each, order, entries=max(each.ndim - 1 - batch_ndims, 0)
            ),
            outputs,
        )

    def _full_pass(
        self, batch: Shape, context: Context, order: Array, dtype: Any
    ) -> tuple[Callable[[Array], Array], Array]:
        """The network from values to parameters, both in order of time; and values of zero."""

        def network(values: Array) -> Array:
            params = self(self.from_sequence(values, order), context, self.given(order))
            return self.to_sequence(params, order, params=True)

        shape = (self.num_positions, *batch, *self.position_shape)
        return network, jnp.zeros(shape, dtype or jnp.result_type(float))

    def given(self, order: Array) -> Array | None:
        """A resolved order as an argument: a network whose order is fixed takes none."""
        return None if self.fixed_order else order

    def run(self, cache: Cache, emit: Emit, first: Array, start: int = 0) -> Any:
        """Emits the steps from ``start`` on, each after those that it needs.

        Args:
            cache: what ``step(start, first)`` expects.
            emit: ``(t, params_t) -> (value_t, output_t)``, see :meth:`generate`; under
                ``jax.vmap`` where a network can run several steps together.
            first: the value of the step before; zeros at 0.
            start: the first step.

        Returns:
            The outputs of these steps, stacked along a leading axis.
        """
        stretch, size = self.stretch(), self.num_positions
        if stretch is None:
            return autoregressive.incremental(self.step, cache, emit, first, size, start)
        return autoregressive.in_stretches(self.step, cache, emit, first, size, start, stretch)

    def stretch(self) -> Stretch | None:
        """How to run several steps on a cutout of the cache; None for all on the whole."""
        return None

    def own_order(self) -> np.ndarray:
        """The generation order when none is given: raster, unless a network has another."""
        return np.arange(self.num_positions)

    def parallel_depth(self, order: Array | np.ndarray | None = None) -> int:
        """How many passes ``"wavefront"`` takes: the longest chain of dependent positions.

        ``D``, unless a network knows that its positions depend on few others; and under a trace,
        where the order cannot be seen.
        """
        if order is not None and not is_concrete(order):
            return self.num_positions
        # Under a trace even a constant order would become a traced array of JAX's.
        known = self.own_order() if order is None else np.asarray(order)
        depends = self.dependencies(known)
        if depends is None:
            return self.num_positions
        return int(masks.wave_numbers(known, depends).max()) + 1

    def resolve_order(self, order: Order) -> Array:
        """The given order, checked, or the network's own.

        Raises:
            ShapeError: if it is not a permutation of the positions, or the order is fixed.
        """
        if order is None:
            return jnp.asarray(self.own_order())
        name = type(self).__name__
        if self.fixed_order:
            raise ShapeError(f"{name}: its generation order is fixed, but an order was given")
        return check_order(order, self.num_positions, name)

    def to_sequence(
        self, value: Array, order: Array, *, params: bool = False, entries: int | None = None
    ) -> Array:
        """Grid to time: ``(*batch, *grid, ...)`` as ``(D, *batch, ...)`` in generation order.

        ``params`` says that the axes behind the grid are the parameters, not what a position reads;
        ``entries``, that there are so many.
        """
        stop = value.ndim - (1 if params else self._behind(entries))
        start = stop - len(self.grid_shape)
        flat = value.reshape(*value.shape[:start], self.num_positions, *value.shape[stop:])
        return jnp.moveaxis(flat, start, 0)[order]

    def _behind(self, entries: int | None) -> int:
        return len(self.position_shape) if entries is None else entries

    def from_sequence(
        self, sequence: Array, order: Array, *, params: bool = False, entries: int | None = None
    ) -> Array:
        """Time to grid, the inverse of :meth:`to_sequence`."""
        start = sequence.ndim - 1 - (1 if params else self._behind(entries))
        flat = jnp.moveaxis(sequence[autoregressive.rank_of(order)], 0, start)
        return flat.reshape(*flat.shape[:start], *self.grid_shape, *flat.shape[start + 1 :])
