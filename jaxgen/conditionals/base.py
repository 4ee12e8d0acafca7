"""The contract of an autoregressive network, and what every one of them gets for free."""

import functools
import inspect
import math
from collections.abc import Callable
from typing import Any, Self

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array

from jaxgen.core import Shape, ShapeError, batch_shape, check_context, check_method, is_concrete
from jaxgen.functional import autoregressive, masks
from jaxgen.functional.autoregressive import Cache, Stretch


def _checked_call(call: Callable[..., Array]) -> Callable[..., Array]:
    """Wraps ``__call__`` with the checks that all share, and drops a key that it does not take."""
    takes_key = "key" in inspect.signature(call).parameters

    @functools.wraps(call)
    def checked(
        self: "Conditional",
        x: Array,
        context: Array | None = None,
        order: Array | None = None,
        **options: Array | None,
    ) -> Array:
        x, name = jnp.asarray(x), type(self).__name__
        batch = batch_shape(x, self.event_shape, name)
        context = check_context(context, self.context_shape, batch, name)
        if not takes_key:
            options.pop("key", None)
        return call(self, x, context, self._given(self.resolve_order(order)), **options)

    return checked


def _checked_init_cache(init_cache: Callable[..., Cache]) -> Callable[..., Cache]:
    """Wraps ``init_cache`` with the checks that all share."""

    @functools.wraps(init_cache)
    def checked(
        self: "Conditional", batch: Shape, context: Array | None = None, order: Array | None = None
    ) -> Cache:
        batch, name = tuple(batch), f"{type(self).__name__}.init_cache"
        context = check_context(context, self.context_shape, batch, name)
        cache = init_cache(self, batch, context, self._given(self.resolve_order(order)))
        if not isinstance(cache, Cache):
            raise TypeError(
                f"{name}: expected a jaxgen.functional.autoregressive.Cache(fixed, state), got "
                f"{type(cache).__name__}"
            )
        return cache

    return checked


def _checked_prefill(prefill: Callable[..., Cache]) -> Callable[..., Cache]:
    """Wraps ``prefill`` with the checks that all share, and zeros for what is not yet known.

    Networks of a full pass read that too, behind masks through which a NaN would come.
    """

    @functools.wraps(prefill)
    def checked(
        self: "Conditional",
        x: Array,
        n: int,
        context: Array | None = None,
        order: Array | None = None,
    ) -> Cache:
        x, name = jnp.asarray(x), f"{type(self).__name__}.prefill"
        batch = batch_shape(x, self.event_shape, name)
        context = check_context(context, self.context_shape, batch, name)
        if not 0 <= n <= self.num_positions:
            raise ShapeError(
                f"{name}: expected a prefix of 0 to {self.num_positions} positions, got {n}"
            )
        order = self.resolve_order(order)
        rank = masks.rank_of(order).reshape(self.grid_shape)
        known = jnp.expand_dims(rank < n - 1, tuple(range(rank.ndim, len(self.event_shape))))
        return prefill(self, jnp.where(known, x, 0), n, context, self._given(order))

    return checked


_CHECKED: dict[str, Callable[[Callable[..., Any]], Callable[..., Any]]] = {
    "__call__": _checked_call,
    "init_cache": _checked_init_cache,
    "prefill": _checked_prefill,
}


class Conditional(nnx.Module):
    """Parameters for every position of a grid, each from the positions before it in an order.

    The event is a grid of positions, ``event_shape = grid_shape + position_shape``; a position is
    what one generation step emits: a scalar, or a vector of channels. A subclass sets these two,
    ``num_params`` and ``context_shape``, and defines :meth:`init_cache` and :meth:`step`; one that
    can do all positions in parallel also defines ``__call__``, whose default is a scan of steps.

    An ``order`` is an integer array ``(D,)``, ``D`` the number of positions: ``order[t]`` is the
    position (counted in raster order) generated at step ``t``. It may be traced, so a new order
    never recompiles. Conditionals with ``fixed_order`` take none. Those that are ``order_agnostic``
    define :meth:`predict`, by which :class:`~jaxgen.models.Ensemble` trains on all orders at once.

    ``__call__``, :meth:`init_cache` and :meth:`prefill` of a subclass are wrapped once, when its
    class is made. What reaches them is checked: arrays of the right shapes, a context broadcast to
    the batch, and the order resolved; or None for a network of one order, which looks it up in
    :meth:`own_order`. A ``__call__`` without dropout need not name ``key``.
    """

    grid_shape: Shape
    position_shape: Shape = ()
    num_params: int
    context_shape: Shape | None = None
    fixed_order: bool = False
    order_agnostic: bool = False

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for name, checked in _CHECKED.items():
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

    def init_cache(
        self, batch: Shape, context: Array | None = None, order: Array | None = None
    ) -> Cache:
        """The cache that ``step(cache, 0, zeros)`` expects."""
        raise NotImplementedError(f"{type(self).__name__} defines no init_cache")

    def step(self, cache: Cache, t: Array, x_previous: Array) -> tuple[Array, Cache]:
        """Parameters ``(*batch, num_params)`` of step ``t``, given the value of step ``t - 1``.

        All steps together cost about one full pass, though a single one may cost more.
        """
        raise NotImplementedError(f"{type(self).__name__} defines no step")

    @_checked_prefill
    def prefill(
        self, x: Array, n: int, context: Array | None = None, order: Array | None = None
    ) -> Cache:
        """The cache that ``step(n, x_{n-1})`` expects, given the first ``n`` steps of ``x``.

        Raises:
            ShapeError: if ``x`` is no batch of events, or the prefix is longer than an event.
        """
        batch = x.shape[: x.ndim - len(self.event_shape)]
        previous = _shift(self.to_sequence(x, self.resolve_order(order)))

        def body(state: Any, inputs: tuple[Array, Array]) -> tuple[Any, None]:
            _, new = self.step(Cache(cache.fixed, state), *inputs)
            return new.state, None

        cache = self.init_cache(batch, context, order)
        state, _ = jax.lax.scan(body, cache.state, (jnp.arange(n), previous[:n]))
        return Cache(cache.fixed, state)

    def run(self, cache: Cache, emit: autoregressive.Emit, first: Array, start: int = 0) -> Any:
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

    def initialize(self, x: Array, context: Array | None = None) -> Self:
        """The network adapted to a first batch of what it reads; most return themselves.

        Args:
            x: real array ``(*batch, *event_shape)``.
            context: array ``(*batch, *context_shape)`` for a conditional network.

        Returns:
            A network of the same structure.
        """
        return self

    def rewired(self, key: Array) -> Self:
        """The network with another connectivity, drawn at random, of the same parameters.

        :class:`~jaxgen.models.Ensemble` trains and averages over them.

        Raises:
            TypeError: if the network has one connectivity only.
        """
        raise TypeError(
            f"{type(self).__name__} has one connectivity only; a MADE with hidden layers has many"
        )

    def predict(
        self, x: Array, seen: Array, context: Array | None = None, *, key: Array | None = None
    ) -> Array:
        """Parameters of all positions given those that are seen, in one pass.

        Args:
            x: real array ``(*batch, *event_shape)``; what is not seen is ignored.
            seen: boolean array ``(*batch, *grid_shape)``, or one that broadcasts against it.
            context: array ``(*batch, *context_shape)`` for a conditional network.
            key: turns dropout on; None means evaluation.

        Returns:
            ``(*batch, *grid_shape, num_params)``; those of the seen positions mean nothing.
        """
        raise NotImplementedError(f"{type(self).__name__} defines no predict")

    def generate(
        self,
        emit: autoregressive.Emit,
        batch: Shape,
        context: Array | None = None,
        order: Array | None = None,
        *,
        method: str = "auto",
        dtype: Any = None,
    ) -> Any:
        """Runs the network against its own emissions: sampling, or a flow's sequential direction.

        Args:
            emit: ``(t, params_t) -> (value_t, output_t)``; the value, shape
                ``(*batch, *position_shape)``, is what the network sees at the next steps; outputs
                are any arrays of that shape.
            batch: the batch shape.
            context, order: as in ``__call__``.
            method: ``"incremental"`` (what ``"auto"`` means), ``"naive"``, ``"jacobi"`` or
                ``"wavefront"``; they return the same arrays at different costs, see
                :mod:`jaxgen.functional.autoregressive`.
            dtype: of the values that the network sees; float32 or the default float dtype.

        Returns:
            The outputs, each as ``(*batch, *event_shape)``.
        """
        check_method(method)
        if method == "jacobi":
            return self.generate_with_certificate(emit, batch, context, order, dtype=dtype)[0]
        where = f"{type(self).__name__}.generate"
        context = check_context(context, self.context_shape, batch, where)
        given, order = order, self.resolve_order(order)
        depth = self.parallel_depth(given) if method == "wavefront" else 0
        zeros = self._zeros(batch, dtype)
        if method == "naive":
            initial = jnp.broadcast_to(zeros, (self.num_positions, *zeros.shape))
            outputs = autoregressive.naive(self._in_order(context, order), emit, initial)
        elif method == "wavefront":
            network = self._in_order(context, order)
            initial = jnp.broadcast_to(zeros, (self.num_positions, *zeros.shape))
            outputs = autoregressive.wavefront(network, emit, initial, depth)
        else:
            cache = self.init_cache(batch, context, self._given(order))
            outputs = self.run(cache, emit, zeros)
        return jax.tree.map(lambda output: self.from_sequence(output, order), outputs)

    def generate_with_certificate(
        self,
        emit: autoregressive.Emit,
        batch: Shape,
        context: Array | None = None,
        order: Array | None = None,
        *,
        tolerance: float = 0.0,
        dtype: Any = None,
    ) -> tuple[Any, autoregressive.FixedPoint]:
        """:meth:`generate` by ``"jacobi"``, with what its fixed-point iteration can vouch for.

        Args:
            emit, batch, context, order, dtype: as in :meth:`generate`.
            tolerance: the iteration stops once no value moves by more than this.

        Returns:
            The outputs, each as ``(*batch, *event_shape)``, and a
            :class:`~jaxgen.functional.autoregressive.FixedPoint`: the number of passes and the
            largest change in the last of them. A change of 0, or ``D`` passes, certify that the
            outputs are those of the other methods, to rounding.
        """
        where = f"{type(self).__name__}.generate_with_certificate"
        context = check_context(context, self.context_shape, batch, where)
        order = self.resolve_order(order)
        zeros = self._zeros(batch, dtype)
        initial = jnp.broadcast_to(zeros, (self.num_positions, *zeros.shape))
        network = self._in_order(context, order)
        outputs, report = autoregressive.jacobi(network, emit, initial, tolerance)
        return jax.tree.map(lambda output: self.from_sequence(output, order), outputs), report

    def _given(self, order: Array) -> Array | None:
        """A resolved order as an argument: a network whose order is fixed takes none."""
        return None if self.fixed_order else order

    def _zeros(self, batch: Shape, dtype: Any) -> Array:
        return jnp.zeros((*batch, *self.position_shape), dtype or jnp.result_type(float))

    def _in_order(self, context: Array | None, order: Array) -> Callable[[Array], Array]:
        """The full pass from values to parameters, both with time as their leading axis."""

        def network(values: Array) -> Array:
            params = self(self.from_sequence(values, order), context, self._given(order))
            return self.to_sequence(params, order, params=True)

        return network

    @_checked_call
    def __call__(
        self,
        x: Array,
        context: Array | None = None,
        order: Array | None = None,
        *,
        key: Array | None = None,
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
        batch = x.shape[: x.ndim - len(self.event_shape)]
        cache = self.init_cache(batch, context, order)
        order = self.resolve_order(order)

        def body(state: Any, inputs: tuple[Array, Array]) -> tuple[Any, Array]:
            params, new = self.step(Cache(cache.fixed, state), *inputs)
            return new.state, params

        previous = _shift(self.to_sequence(x, order))
        _, params = jax.lax.scan(body, cache.state, (jnp.arange(self.num_positions), previous))
        return self.from_sequence(params, order, params=True)

    def own_order(self) -> np.ndarray:
        """The generation order when none is given: raster, unless a network has another."""
        return np.arange(self.num_positions)

    def dependencies(self, order: Array | np.ndarray | None = None) -> np.ndarray | None:
        """Which positions (rows) depend on which in an order, ``(D, D)``: the receptive field.

        None for all that come before, unless a network knows better.
        """
        return None

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

    def resolve_order(self, order: Array | None) -> Array:
        """The given order, checked, or the network's own.

        Raises:
            ShapeError: if it is not a permutation of the positions, or the order is fixed.
        """
        size = self.num_positions
        if order is None:
            return jnp.asarray(self.own_order())
        name = type(self).__name__
        if self.fixed_order:
            raise ShapeError(f"{name}: its generation order is fixed, but an order was given")
        known = np.asarray(order) if is_concrete(order) else None
        order = jnp.asarray(order)
        if order.shape != (size,) or not jnp.issubdtype(order.dtype, jnp.integer):
            raise ShapeError(
                f"{name}: expected an order of {size} integers, got {order.dtype}{order.shape}"
            )
        if known is not None and sorted(known.tolist()) != list(range(size)):
            raise ShapeError(f"{name}: the order is not a permutation of 0..{size - 1}")
        return order

    def to_sequence(self, value: Array, order: Array, *, params: bool = False) -> Array:
        """Grid to time: ``(*batch, *grid, ...)`` as ``(D, *batch, ...)`` in generation order.

        ``params`` says that the axes behind the grid are the parameters, not a position's value.
        """
        trailing = 1 if params else len(self.position_shape)
        start = value.ndim - trailing - len(self.grid_shape)
        stop = value.ndim - trailing
        flat = value.reshape(*value.shape[:start], self.num_positions, *value.shape[stop:])
        return jnp.moveaxis(flat, start, 0)[order]

    def from_sequence(self, sequence: Array, order: Array, *, params: bool = False) -> Array:
        """Time to grid, the inverse of :meth:`to_sequence`."""
        trailing = 1 if params else len(self.position_shape)
        batch_ndims = sequence.ndim - 1 - trailing
        flat = jnp.moveaxis(sequence[masks.rank_of(order)], 0, batch_ndims)
        return flat.reshape(
            *flat.shape[:batch_ndims], *self.grid_shape, *flat.shape[batch_ndims + 1 :]
        )


def _shift(sequence: Array) -> Array:
    """What each step sees as the previous value: zeros, then the sequence without its end."""
    return jnp.concatenate([jnp.zeros_like(sequence[:1]), sequence[:-1]])
