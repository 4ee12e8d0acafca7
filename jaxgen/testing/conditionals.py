"""The contract of an autoregressive network, checked."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxgen.conditionals import Conditional
from jaxgen.core import METHODS
from jaxgen.functional.autoregressive import Cache
from jaxgen.testing.compare import (
    PASSED,
    Report,
    assert_close,
    assert_dtype,
    assert_shape,
    attempt,
    tolerance_of,
    wave,
)
from jaxgen.testing.members import check_gradients, prepare

# Extra inputs for the Jacobian, so that a unit which rests at the given ones is seen at work.
_EXTRA = 8


def check_conditional(
    conditional: Conditional,
    x: Array,
    context: Array | None = None,
    *,
    dense: bool | np.ndarray = True,
    perturb: bool = True,
    tolerance: float | None = None,
    unused: Sequence[str] = (),
    eager: bool = True,
    seed: int = 0,
) -> Report:
    r"""Checks that a network is autoregressive, and that its ways of running agree.

    With ``theta_t`` the parameters of step ``t`` of an order it asks for

    .. math:: \frac{\partial \theta_t}{\partial x_s} = 0 \text{ exactly for } s \ge t, \qquad
              \frac{\partial \theta_t}{\partial x_s} \ne 0 \text{ for } s < t,

    in the network's own order and in a random one, which must not compile again; for the same
    parameters from ``step``, one position at a time, and from ``prefill`` and then ``step``; for
    the same values from every ``generate`` method; and, as
    :func:`~jaxgen.testing.check_bijector` does, for batches of any rank, ``jax.jit``,
    ``jax.vmap`` (also over orders), gradients and clean attributes; an empty batch goes through.

    Args:
        conditional: what to check; its parameters are cast to the dtype of ``x``.
        x: real array ``(*batch, *event_shape)``: what the network reads. Two to four examples do.
        context: ``(*batch, *context_shape)`` for a conditional network.
        dense: whether every parameter of a step is to depend on *every* earlier position. False
            for a network that promises less (a narrow MADE): then the last step is to depend on
            some position. A boolean matrix ``(D, D)`` of positions (a graph, a finite receptive
            field) says on which a position (row) is to depend, and that it depends on no others.
        perturb, tolerance, unused, eager, seed: as for :func:`~jaxgen.testing.check_bijector`.

    Returns:
        ``{check: "passed" or "skipped: why"}``.

    Raises:
        AssertionError: naming the promise that was broken, with steps and numbers.

    >>> from flax import nnx
    >>> from jaxgen.conditionals import MADE
    >>> made = MADE((2,), 1, hidden=(4,), rngs=nnx.Rngs(0))
    >>> report = check_conditional(made, jnp.array([[0.5, 2.0], [1.0, -1.0]]), eager=False)
    >>> report["autoregressive"]
    'passed'
    """
    name = type(conditional).__name__
    x, context = jnp.asarray(x), None if context is None else jnp.asarray(context)
    x = x.reshape(-1, *conditional.event_shape)
    if conditional.context_shape is not None and context is not None:
        context = context.reshape(-1, *conditional.context_shape)
    conditional = prepare(conditional, x.dtype, perturbed=perturb, seed=seed)
    tolerance = tolerance_of(x.dtype) if tolerance is None else tolerance
    report = {"attributes": PASSED}

    own = conditional.resolve_order(None)
    other = jax.random.permutation(jax.random.key(seed + 1), own)
    traces: list[None] = []

    def examine(conditional: Conditional, x: Array, context: Array | None, orders: Any) -> Any:
        traces.append(None)
        return _examine(conditional, x, context, orders)

    compiled = jax.jit(examine)
    if conditional.fixed_order:
        runs = [("its order", own, compiled(conditional, x, context, None))]
        report["a second order compiles nothing"] = "skipped: the order is fixed"
    else:
        runs = [
            (what, first, compiled(conditional, x, context, jnp.stack([first, second])))
            for what, first, second in (("its order", own, other), ("a random order", other, own))
        ]
        if len(traces) > 1:
            raise AssertionError(f"{name}: a second order compiled the network again")
        report["a second order compiles nothing"] = PASSED
    for what, order, found in runs:
        where = f"{name}, {what}"
        shape = (len(x), *conditional.grid_shape, conditional.num_params)
        assert_shape(f"{where}: __call__", found["params"], shape)
        assert_dtype(f"{where}: __call__", found["params"], x.dtype)
        _check_jacobian(found, np.asarray(order), where, dense)
        _check_ranks(found, where, tolerance)
        _check_sequential(found, where, tolerance)
        check_gradients(found["gradients"], tuple(unused), where)
    if len(runs) == 2:
        each, where = runs[0][2]["orders"], f"{name}.__call__ under jax.vmap over orders"
        for got, (_, _, found) in zip(each, runs, strict=True):
            assert_close(where, got, found["params"], tolerance)
    for check in ("autoregressive", "incremental", "prefill", "generate"):
        report[check] = PASSED
    for check in ("batch ranks", "vmap", "gradients"):
        report[check] = PASSED
    report["jit = eager"] = PASSED if eager else "skipped: eager=False"
    if eager:
        where = f"{name}.__call__ outside jax.jit, in the default order"
        with attempt(where):
            params = conditional(x, context)
        assert_close(where, params, runs[0][2]["params"], tolerance)
    return report


def _examine(
    conditional: Conditional, x: Array, context: Array | None, orders: Array | None
) -> dict[str, Any]:
    """Everything that the checks look at, as one program: compiling is what a check costs."""
    found: dict[str, Any] = {}
    name = type(conditional).__name__
    order = None if orders is None else orders[0]
    resolved = conditional.resolve_order(order)

    def loss(conditional: Conditional) -> tuple[Array, Array]:
        params = conditional(x, context, order)
        return jnp.sum(jnp.sin(params) * wave(params.shape, params.dtype)), params

    def one(x: Array, context: Array | None) -> tuple[Array, Array]:
        cache = conditional.init_cache((), context, order)
        steps = _steps(conditional, cache, conditional.to_sequence(x, resolved), 0)
        return conditional(x, context, order), steps

    with attempt(f"{name}.__call__ of a batch, and its gradient"):
        found["gradients"], params = jax.grad(loss, has_aux=True)(conditional)
        found["params"] = params
    found["steps"] = conditional.to_sequence(params, resolved, params=True)
    with attempt(f"{name}.__call__, init_cache and step of one example, under jax.vmap"):
        found["one"], found["one, steps"] = jax.vmap(one, out_axes=(0, 1))(x, context)
    with attempt(f"{name}.__call__, prefill and run of an empty batch"):
        jax.eval_shape(lambda: _empty(conditional, x[:0], context, order))
    with attempt(f"{name}.__call__, init_cache and step of a batch of batches"):
        twice, both = jnp.stack([x, x]), None if context is None else jnp.stack([context, context])
        found["pair"] = conditional(twice, both, order)[1]
        cache = conditional.init_cache(twice.shape[:2], both, order)
        steps = _steps(conditional, cache, conditional.to_sequence(twice, resolved), 0)
        found["pair, steps"] = steps[:, 1]
    if orders is not None:
        with attempt(f"{name}.__call__ under jax.vmap over orders"):
            found["orders"] = jax.vmap(lambda order: conditional(x, context, order))(orders)
    _change_later(found, conditional, x, context, order)
    _prefill(found, conditional, x, context, order)
    _generate(found, conditional, x, context, order)
    found["jacobian"] = _jacobian(conditional, x, context, order)
    return found


def _empty(
    conditional: Conditional, x: Array, context: Array | None, order: Array | None
) -> tuple[Array, Array]:
    """An empty batch, in one pass and step by step."""
    context = None if context is None else context[:0]
    half = conditional.num_positions // 2
    nothing = jnp.zeros((0, *conditional.position_shape), x.dtype)
    cache = conditional.prefill(x, half, context, order)
    ran = conditional.run(cache, lambda t, params: (nothing, nothing), nothing, half)
    return conditional(x, context, order), ran


def _steps(conditional: Conditional, cache: Cache, sequence: Array, start: int) -> Array:
    """Parameters of the steps from ``start`` on, each given the true value before it."""
    previous = jnp.concatenate([jnp.zeros_like(sequence[:1]), sequence[:-1]])

    def body(state: Any, inputs: tuple[Array, Array]) -> tuple[Any, Array]:
        params, new = conditional.step(Cache(cache.fixed, state), *inputs)
        return new.state, params

    if len(sequence) == start + 1:  # cheaper to compile than a loop of one step
        return conditional.step(cache, jnp.asarray(start), previous[start])[0][None]
    times = jnp.arange(start, len(sequence))
    return jax.lax.scan(body, cache.state, (times, previous[start:]))[1]


def _change_later(
    found: dict[str, Any],
    conditional: Conditional,
    x: Array,
    context: Array | None,
    order: Array | None,
) -> None:
    """Parameters up to the middle, after the values from there on were replaced.

    A Jacobian cannot see a leak that has no gradient (a rounding, a comparison); this can.
    """
    resolved = conditional.resolve_order(order)
    half = conditional.num_positions // 2
    sequence = conditional.to_sequence(x, resolved)
    changed = jnp.concatenate([sequence[:half], 1.7 - 2.0 * sequence[half:]])
    params = conditional(conditional.from_sequence(changed, resolved), context, order)
    found["later"] = conditional.to_sequence(params, resolved, params=True)[: half + 1]


def _prefill(
    found: dict[str, Any],
    conditional: Conditional,
    x: Array,
    context: Array | None,
    order: Array | None,
) -> None:
    """Nothing, half and all but the last step are given; all steps follow, or one where cheap."""
    sequence = conditional.to_sequence(x, conditional.resolve_order(order))
    size = conditional.num_positions
    found["prefill"] = {}
    for n, until in {0: 1, size - 1: size, size // 2: size}.items():
        with attempt(f"{type(conditional).__name__}.prefill(x, {n}) and step"):
            cache = conditional.prefill(x, n, context, order)
            found["prefill"][n] = _steps(conditional, cache, sequence[:until], n)


def _jacobian(
    conditional: Conditional, x: Array, context: Array | None, order: Array | None
) -> Array:
    """The largest ``|d params / d x|`` of each (position, parameter, position), over examples."""
    size, count = conditional.num_positions, len(x) + _EXTRA
    shape = (count, size, conditional.num_params, size, -1)  # last: the entries of a position
    noise = 2.0 * jax.random.normal(jax.random.key(0), (_EXTRA, *x.shape[1:]), x.dtype)
    points = jnp.concatenate([x, noise])
    contexts = None if context is None else context[jnp.arange(count) % len(x)]
    with attempt(f"{type(conditional).__name__}: the Jacobian of __call__"):
        jacobian = jax.vmap(jax.jacrev(lambda x, c: conditional(x, c, order)))(points, contexts)
    return jnp.max(jnp.abs(jacobian.reshape(shape)), axis=(0, -1))


def _emit(noise: Array, position_ndims: int) -> Any:
    """A made-up emission: a bounded function of the parameters, plus noise."""

    def emit(t: Array, params: Array) -> tuple[Array, Array]:
        value = jnp.tanh(jnp.sum(params * wave(params.shape[-1:], params.dtype), axis=-1))
        value = value.reshape(*value.shape, *(1,) * position_ndims) + noise[t]
        return value, value

    return emit


def _generate(
    found: dict[str, Any],
    conditional: Conditional,
    x: Array,
    context: Array | None,
    order: Array | None,
) -> None:
    name = type(conditional).__name__
    resolved = conditional.resolve_order(order)
    noise = jax.random.normal(
        jax.random.key(1), conditional.to_sequence(x, resolved).shape, x.dtype
    )
    emit = _emit(noise, len(conditional.position_shape))
    found["generate"] = {}
    own = type(conditional).generate is not Conditional.generate
    methods = METHODS if own else METHODS[1:]  # the base class's "auto" is "incremental"
    for method in distinct(methods, [conditional]):
        with attempt(f"{name}.generate(method={method!r})"):
            found["generate"][method] = conditional.generate(
                emit, x.shape[:1], context, order, method=method, dtype=x.dtype
            )
    values = found["generate"]["incremental"]
    params = conditional.to_sequence(conditional(values, context, order), resolved, params=True)
    again = jax.vmap(emit)(jnp.arange(conditional.num_positions), params)[0]
    found["emitted"] = conditional.from_sequence(again, resolved)


def distinct(methods: Sequence[str], conditionals: Sequence[Conditional]) -> list[str]:
    """The methods without ``"wavefront"`` where it is ``"jacobi"`` that never stops early."""
    shallow = any(each.parallel_depth() < each.num_positions for each in conditionals)
    return [method for method in methods if method != "wavefront" or shallow]


def _check_ranks(found: dict[str, Any], where: str, tolerance: float) -> None:
    """One example under vmap, and a batch of batches, against the batch."""
    params = found["params"]
    for way, what in (("one", "one example, under jax.vmap"), ("pair", "a batch of batches")):
        assert_close(f"{where}: __call__ of {what}", found[way], params, tolerance)
        steps = found[f"{way}, steps"]
        assert_shape(f"{where}: init_cache and step of {what}", steps, found["steps"].shape)
        for t, (got, expected) in enumerate(zip(steps, found["steps"], strict=True)):
            assert_close(f"{where}: step {t} of {what}, against __call__", got, expected, tolerance)


def _check_jacobian(
    found: dict[str, Any], order: np.ndarray, where: str, dense: bool | np.ndarray
) -> None:
    jacobian = np.asarray(found["jacobian"], np.float64)
    size = len(order)
    if not np.all(np.isfinite(jacobian)):
        raise AssertionError(f"{where}: the Jacobian of __call__ is not finite")
    by_step = jacobian[order][:, :, order]  # (step, parameter, step)
    for t in range(size):
        for s in range(t, size):
            if by_step[t, :, s].max() != 0:
                raise AssertionError(
                    f"{where}: a leak: the parameters of step {t} (position {order[t]}) depend on "
                    f"the value of step {s} (position {order[s]}); |Jacobian| up to "
                    f"{by_step[t, :, s].max():.3g}, expected exactly 0"
                )
    assert_close(
        f"{where}: a leak without a gradient: parameters of the first steps, when later values "
        f"change",
        found["later"],
        found["steps"][: len(found["later"])],
        1e-12 if found["steps"].dtype == np.float64 else 1e-5,
    )
    if not isinstance(dense, bool):
        for i, s in np.argwhere(~dense):
            if jacobian[i, :, s].max() != 0:
                raise AssertionError(
                    f"{where}: the parameters of position {i} depend on position {s}; |Jacobian| "
                    f"up to {jacobian[i, :, s].max():.3g}, expected exactly 0"
                )
        promised = dense[order][:, order]
    else:
        promised = np.full((size, size), dense)
    for t, s in np.argwhere(np.tril(promised, -1)):
        if by_step[t, :, s].min() == 0:
            raise AssertionError(
                f"{where}: a missing dependency: parameter {by_step[t, :, s].argmin()} of step "
                f"{t} (position {order[t]}) does not depend on the value of step {s} (position "
                f"{order[s]}); pass dense=False if that is not promised"
            )
    if dense is False and size > 1 and by_step[-1, :, :-1].max() == 0:
        raise AssertionError(f"{where}: the parameters of the last step depend on nothing")


def _check_sequential(found: dict[str, Any], where: str, tolerance: float) -> None:
    for n, got in found["prefill"].items():
        what = f"{where}: prefill(x, {n}) and the steps after it, against __call__"
        assert_close(what, got, found["steps"][n : n + len(got)], tolerance)
    values = found["generate"]["incremental"]
    for method, got in found["generate"].items():
        what = f"{where}: generate(method={method!r}) against method='incremental'"
        assert_close(what, got, values, tolerance)
    what = f"{where}: generated values are what __call__ at these values emits"
    assert_close(what, found["emitted"], values, tolerance)
