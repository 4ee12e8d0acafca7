r"""The passes of an autoregressive model, written once for flows and direct densities.

An autoregressive network gives, for every step ``t`` of a generation order, parameters
``params_t`` that depend on the values of the steps before ``t`` only. Whatever turns parameters
into a value is an *emission*: ``emit(t, params_t) -> (value, output)``. A flow emits
``value = T(z_t; params_t)``; a sampler emits a draw that is a function of ``params_t`` and of noise
which belongs to the position. The five ways to run it return the same arrays:

========================  ==========================================  ========================
:func:`incremental`       one step of the network after another       about one full pass
:func:`naive`             a full pass for every step                  ``D`` full passes
:func:`jacobi`            full passes until nothing changes           at most ``D`` passes
:func:`in_blocks`         the same, block after block                 at most a block's length
:func:`wavefront`         full passes, as many as the order is deep   its parallel depth
========================  ==========================================  ========================

The other direction, from values to parameters, is :func:`parallel`: one pass.
All sequences have time as their leading axis. An *order* is the permutation from time to positions:
``order[t]`` is generated at step ``t``. Its inverse, the *rank* of a position, is that step.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

Emit = Callable[[Array, Array], tuple[Array, Any]]


class Cache(NamedTuple):
    """What a network remembers between steps.

    ``fixed`` does not change from step to step (masked weights, a projected context) and stays out
    of the loop's carry, so that differentiating through a sampler does not store it ``D`` times.
    ``state`` is what a step replaces.
    """

    fixed: Any
    state: Any


class Stretch(NamedTuple):
    """How a network runs ``span`` steps on a cutout of its cache, see :func:`in_stretches`.

    ``open(cache, t, previous)`` is the cutout for step ``t`` of the whole, which the value
    ``previous`` comes before; ``step`` runs its steps, the first of which is number 0; and
    ``close(cache, t, state)`` is the whole cache again, given the state that they left. An
    ``aligned`` stretch opens at multiples of its span only.
    """

    span: int
    open: Callable[[Cache, Array, Array], Cache]
    step: Callable[[Cache, Array, Array], tuple[Array, Cache]]
    close: Callable[[Cache, Array, Any], Cache]
    aligned: bool = False


class FixedPoint(NamedTuple):
    """The certificate of an iteration: how many passes it took and the last largest change.

    Of :func:`in_blocks`, the largest of all blocks; one that took as many passes as it has steps
    counts as unchanged. A change is no bound of the error, which what comes later may amplify.
    """

    iterations: Array
    residual: Array


def rank_of(order: Array) -> Array:
    """The inverse permutation: ``rank[order[t]] = t``.

    >>> rank_of(jnp.array([2, 0, 1])).tolist()
    [1, 2, 0]
    """
    return jnp.argsort(order)


def parallel(
    x: Array,
    params: Array,
    transform: Callable[[Array, Array], tuple[Array, Array]],
    event_ndims: int,
) -> tuple[Array, Array]:
    """All steps at once: ``transform(x, params)`` and its log-derivatives summed over the event."""
    value, log_derivative = transform(x, params)
    return value, jnp.sum(log_derivative, tuple(range(x.ndim - event_ndims, x.ndim)))


def follow(
    step: Callable[[Cache, Array, Array], tuple[Array, Cache]], cache: Cache, values: Array
) -> tuple[Cache, Array]:
    """The first steps of a network along values that are known, one after another.

    Args:
        step: ``(cache, t, previous value) -> (params_t, cache)``.
        cache: what step 0 expects.
        values: ``(n, ...)``, those of the first ``n`` steps.

    Returns:
        What step ``n`` expects, and the parameters of these steps ``(n, ...)``.
    """

    def body(state: Any, inputs: tuple[Array, Array]) -> tuple[Any, Array]:
        params, new = step(Cache(cache.fixed, state), *inputs)
        return new.state, params

    previous = jnp.concatenate([jnp.zeros_like(values[:1]), values[:-1]])
    state, params = jax.lax.scan(body, cache.state, (jnp.arange(len(values)), previous))
    return Cache(cache.fixed, state), params


def incremental(
    step: Callable[[Cache, Array, Array], tuple[Array, Cache]],
    cache: Cache,
    emit: Emit,
    first: Array,
    num_steps: int,
    start: int = 0,
) -> Any:
    """Runs the steps of a network, feeding each emitted value to the next step.

    Args:
        step: ``(cache, t, previous value) -> (params_t, cache)``.
        cache: what the first of them expects.
        emit: ``(t, params_t) -> (value_t, output_t)``.
        first: what the first step gets as the previous value. At step 0 zeros of a value's shape:
            garbage there would poison gradients even where a mask discards it.
        num_steps: ``D``.
        start: the first step; steps ``start .. D - 1`` are run.

    Returns:
        The outputs of these steps, stacked along a leading axis.
    """
    return _steps(step, cache, emit, first, jnp.arange(start, num_steps))[1]


def in_stretches(
    step: Callable[[Cache, Array, Array], tuple[Array, Cache]],
    cache: Cache,
    emit: Emit,
    first: Array,
    num_steps: int,
    start: int,
    stretch: Stretch,
) -> Any:
    """:func:`incremental` for a network that does some of its work for many steps together.

    Of a dense network it is the substitution that solves a triangular system, in blocks: what a
    stretch of steps takes from everything before it is one matrix product, when it is opened, and
    its steps read the cutout alone. The last stretch may reach beyond ``D``; what it emits there is
    dropped. Before the first aligned stretch, ``step`` runs one after the other.
    """

    def body(carry: tuple[Any, Array], t: Array) -> tuple[tuple[Any, Array], Any]:
        state, previous = carry
        whole = Cache(cache.fixed, state)

        def emit_later(i: Array, params: Array) -> tuple[Array, Any]:
            return emit(t + i, params)

        cutout, times = stretch.open(whole, t, previous), jnp.arange(stretch.span)
        carry, outputs = _steps(stretch.step, cutout, emit_later, previous, times)
        return (stretch.close(whole, t, carry[0]).state, carry[1]), outputs

    carry, parts = (cache.state, first), []
    lead = min(-start % stretch.span, num_steps - start) if stretch.aligned else 0
    if lead:
        carry, outputs = _steps(step, cache, emit, first, jnp.arange(start, start + lead))
        parts.append(outputs)
    _, outputs = jax.lax.scan(body, carry, jnp.arange(start + lead, num_steps, stretch.span))
    flat = jax.tree.map(lambda o: o.reshape(o.shape[0] * stretch.span, *o.shape[2:]), outputs)
    parts.append(jax.tree.map(lambda o: o[: num_steps - start - lead], flat))
    return jax.tree.map(lambda *each: jnp.concatenate(each), *parts)


def _steps(
    step: Callable[[Cache, Array, Array], tuple[Array, Cache]],
    cache: Cache,
    emit: Emit,
    first: Array,
    times: Array,
) -> tuple[tuple[Any, Array], Any]:
    """The steps at these times: the last state and value, and all outputs."""

    def body(carry: tuple[Any, Array], t: Array) -> tuple[tuple[Any, Array], Any]:
        state, previous = carry
        params, new_cache = step(Cache(cache.fixed, state), t, previous)
        value, output = emit(t, params)
        return (new_cache.state, value.astype(first.dtype)), output

    return jax.lax.scan(body, (cache.state, first), times)


def naive(network: Callable[[Array], Array], emit: Emit, initial: Array) -> Any:
    """One full pass of the network for every step: slow, obviously right, the reference.

    Args:
        network: ``values (D, ...) -> params (D, ...)``.
        emit: ``(t, params_t) -> (value_t, output_t)``.
        initial: zeros of shape ``(D, ...)``.

    Returns:
        The outputs of all steps, stacked along a leading axis.
    """

    def body(values: Array, t: Array) -> tuple[Array, Any]:
        params = network(values)[t]
        value, output = emit(t, params)
        return values.at[t].set(value.astype(values.dtype)), output

    return jax.lax.scan(body, initial, jnp.arange(initial.shape[0]))[1]


def jacobi(
    network: Callable[[Array], Array], emit: Emit, initial: Array, tolerance: float = 0.0
) -> tuple[Any, FixedPoint]:
    r"""Iterates ``values <- emit(network(values))``, all steps at once, to its fixed point.

    After ``k`` passes the first ``k`` steps are exact, so ``D`` passes always suffice; with weak
    dependencies far fewer do (Song et al. 2021). The loop stops when no value moves by more than
    ``tolerance``; at 0 that is a certificate that one more pass would change nothing.
    ``jax.lax.while_loop`` cannot be differentiated in reverse; use :func:`incremental` for that.

    Returns:
        The outputs of all steps and a :class:`FixedPoint`.
    """

    def sweep(values: Array, state: tuple[()]) -> tuple[Array, tuple[()], Any]:
        new, outputs = _sweep(network, emit, values)
        return new, state, outputs

    _, _, outputs, report = _fixed_point(sweep, initial, (), tolerance)
    return outputs, report


def in_blocks(
    several: Callable[[Cache, Array, Array], tuple[Array, Cache]],
    cache: Cache,
    emit: Emit,
    first: Array,
    num_steps: int,
    span: int,
    tolerance: float = 0.0,
) -> tuple[Any, FixedPoint]:
    """:func:`incremental` block by block, the steps of a block at once, by iteration.

    Gauss-Seidel over the blocks and Jacobi inside of them (Song et al. 2021). A pass runs the
    network on the block alone. Where a value depends little on its neighbours a block takes a few
    passes, of which every one uses the machine better than as many steps.

    Args:
        several: ``(cache, t, previous values (n, ...)) -> (params (n, ...), cache)`` of the steps
            ``t .. t + n - 1``, each given the values before it. Run again from the cache that it
            returned, it replaces what it stored of these steps.
        cache: what step 0 expects.
        emit: ``(t, params_t) -> (value_t, output_t)``.
        first: zeros of a value's shape.
        num_steps: ``D``.
        span: steps of a block; the first block is shorter where they do not divide ``D``.
        tolerance: a block is done when none of its values moves by more than this.

    Returns:
        The outputs of all steps and a :class:`FixedPoint`.
    """

    def block(
        carry: tuple[Any, Array, FixedPoint], t: Array | int, size: int
    ) -> tuple[tuple[Any, Array, FixedPoint], Any]:
        state, previous, most = carry

        def sweep(values: Array, state: Any) -> tuple[Array, Any, Any]:
            before = jnp.concatenate([previous[None], values[:-1]])
            params, new = several(Cache(cache.fixed, state), jnp.asarray(t), before)
            values, outputs = jax.vmap(emit)(t + jnp.arange(size), params)
            return values.astype(first.dtype), new.state, outputs

        initial = jnp.zeros((size, *first.shape), first.dtype)
        values, state, outputs, found = _fixed_point(sweep, initial, state, tolerance)
        # As many passes as steps leave nothing to change, whatever the last one did.
        residual = jnp.where(found.iterations < size, found.residual, 0.0)
        found = FixedPoint(found.iterations, residual.astype(first.dtype))
        return (state, values[-1], FixedPoint(*map(jnp.maximum, most, found))), outputs

    carry = (cache.state, first, FixedPoint(jnp.asarray(0), jnp.zeros((), first.dtype)))
    rest, parts = num_steps % span, []
    if rest:
        carry, outputs = block(carry, 0, rest)
        parts.append(outputs)
    carry, outputs = jax.lax.scan(
        lambda carry, t: block(carry, t, span), carry, jnp.arange(rest, num_steps, span)
    )
    parts.append(jax.tree.map(lambda o: o.reshape(num_steps - rest, *o.shape[2:]), outputs))
    return jax.tree.map(lambda *each: jnp.concatenate(each), *parts), carry[2]


def _fixed_point(
    sweep: Callable[[Array, Any], tuple[Array, Any, Any]],
    initial: Array,
    state: Any,
    tolerance: float,
) -> tuple[Array, Any, Any, FixedPoint]:
    """Sweeps ``(values, state) -> (values, state, outputs)`` until no value moves further."""

    def unfinished(carry: tuple[Array, Any, Any, FixedPoint]) -> Array:
        report = carry[3]
        # A NaN residual compares False and would pass for convergence; run on to D instead.
        return (report.iterations < len(initial)) & ~(report.residual <= tolerance)

    def body(carry: tuple[Array, Any, Any, FixedPoint]) -> tuple[Array, Any, Any, FixedPoint]:
        values, state, _, report = carry
        new, state, outputs = sweep(values, state)
        residual = jnp.max(jnp.abs(new - values), initial=0.0).astype(report.residual.dtype)
        return new, state, outputs, FixedPoint(report.iterations + 1, residual)

    start = FixedPoint(jnp.asarray(0), jnp.asarray(jnp.inf, initial.dtype))
    shapes = jax.eval_shape(sweep, initial, state)[2]
    outputs = jax.tree.map(lambda shape: jnp.zeros(shape.shape, shape.dtype), shapes)
    return jax.lax.while_loop(unfinished, body, (initial, state, outputs, start))


def wavefront(network: Callable[[Array], Array], emit: Emit, initial: Array, depth: int) -> Any:
    """As many passes as the order is deep, each of them at all steps at once.

    Steps that need nothing of each other come out of one pass together: after ``k`` passes all are
    exact whose chain of dependencies is no longer than ``k``.

    Args:
        network: ``values (D, ...) -> params (D, ...)``.
        emit: ``(t, params_t) -> (value_t, output_t)``.
        initial: zeros of shape ``(D, ...)``.
        depth: the parallel depth, see :func:`~jaxgen.functional.masks.wave_numbers`.

    Returns:
        The outputs of all steps, stacked along a leading axis.
    """

    def body(_: Array, values: Array) -> Array:
        return _sweep(network, emit, values)[0]

    values = jax.lax.fori_loop(0, depth - 1, body, initial)
    return _sweep(network, emit, values)[1]


def _sweep(network: Callable[[Array], Array], emit: Emit, values: Array) -> tuple[Array, Any]:
    """All steps at once: what they emit given the values before them."""
    times = jnp.arange(values.shape[0])
    new, outputs = jax.vmap(emit)(times, network(values))
    return new.astype(values.dtype), outputs
