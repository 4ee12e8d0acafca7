"""The contract of an autoregressive network, checked."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxgen.conditionals import Conditional
from jaxgen.core import METHODS, Context, Order, checked_arguments
from jaxgen.functional.autoregressive import Cache
from jaxgen.testing import compare, members
from jaxgen.testing.compare import PASSED, Report, attempt, tolerance_of, wave
from jaxgen.testing.dependencies import check_dependencies, read_dense

# Extra inputs for the Jacobian, so that a unit which rests at the given ones is seen at work.
_EXTRA = 8


@checked_arguments
def check_conditional(
    conditional: Conditional,
    x: Array,
    context: Context = None,
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
        context: ``(*batch, *context_shape)`` for a conditional network, which has to depend on it.
        dense: whether every parameter of a step is to depend on *every* earlier position. False
            for a network that promises less (a narrow MADE): then the last step is to depend on
            some position. A boolean matrix ``(D, D)`` of positions (a graph, a finite receptive
            field) says on which a position (row) is to depend, and that it depends on no others.
        perturb, tolerance, unused, eager, seed: as for :func:`~jaxgen.testing.check_bijector`.

    Returns:
        ``{check: "passed" or "skipped: why"}``.

    Raises:
        AssertionError: naming the promise that was broken, with steps and numbers.
        ValueError: for data, a context, a matrix or names of parameters that are not the network's.

    >>> from flax import nnx
    >>> from jaxgen.conditionals import MADE
    >>> made = MADE((2,), 1, hidden=(4,), rngs=nnx.Rngs(0))
    >>> report = check_conditional(made, jnp.array([[0.5, 2.0], [1.0, -1.0]]), eager=False)
    >>> report["autoregressive"]
    'passed'
    """
    name = type(conditional).__name__
    x, context = members.flat_batch(conditional, x, context, conditional.event_shape)
    conditional = members.prepare(conditional, x.dtype, perturbed=perturb, seed=seed, unused=unused)
    tolerance = tolerance_of(x.dtype) if tolerance is None else tolerance
    dense = read_dense(dense, conditional.num_positions, name)
    report = {"attributes": PASSED}

    own = conditional.resolve_order(None)
    other = jax.random.permutation(jax.random.key(seed + 1), own)
    traces: list[None] = []

    def examine(conditional: Conditional, x: Array, context: Context, orders: Any) -> Any:
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
        compare.shape(f"{where}: __call__", found["params"], shape)
        compare.dtype(f"{where}: __call__", found["params"], x.dtype)
        check_dependencies(found, np.asarray(order), where, dense)
        _check_ranks(found, where, tolerance)
        _check_sequential(found, where, tolerance)
        report |= members.check_context_used(found["params"], found["other"], context, where)
        members.check_gradients(found["gradients"], unused, where)
    if len(runs) == 2:
        each, where = runs[0][2]["orders"], f"{name}.__call__ under jax.vmap over orders"
        for got, (_, _, found) in zip(each, runs, strict=True):
            compare.close(where, got, found["params"], tolerance)
    checks = ("autoregressive", "incremental", "prefill", "generate")
    report |= dict.fromkeys((*checks, "batch ranks", "vmap", "gradients"), PASSED)
    report["jit = eager"] = PASSED if eager else "skipped: eager=False"
    if eager:
        where = f"{name}.__call__ outside jax.jit, in the default order"
        with attempt(where):
            params = conditional(x, context)
        compare.close(where, params, runs[0][2]["params"], tolerance)
    return report


class _Run(NamedTuple):
    """A network and what it is run on; ``order`` is None for the network's own."""

    network: Conditional
    x: Array
    context: Context
    order: Order

    @property
    def name(self) -> str:
        return type(self.network).__name__

    @property
    def resolved(self) -> Array:
        return self.network.resolve_order(self.order)

    @property
    def sequence(self) -> Array:
        """The data, step by step."""
        return self.network.to_sequence(self.x, self.resolved)

    def in_steps(self, params: Array) -> Array:
        """Parameters of the grid, step by step."""
        return self.network.to_sequence(params, self.resolved, params=True)

    def params(self, x: Array) -> Array:
        """What one pass over ``x`` gives, on the grid."""
        return self.network(x, self.context, self.order)

    def cached_steps(self) -> Array:
        """What an empty cache and ``step`` give, step by step."""
        batch = self.x.shape[: self.x.ndim - len(self.network.event_shape)]
        cache = self.network.init_cache(batch, self.context, self.order)
        return _steps(self.network, cache, self.sequence, 0)


def _examine(
    conditional: Conditional, x: Array, context: Context, orders: Array | None
) -> dict[str, Any]:
    """Everything that the checks look at, as one program: compiling is what a check costs."""
    found: dict[str, Any] = {}
    run = _Run(conditional, x, context, None if orders is None else orders[0])
    name = run.name

    def loss(conditional: Conditional) -> tuple[Array, Array]:
        params = conditional(x, context, run.order)
        return jnp.sum(jnp.sin(params) * wave(params.shape, params.dtype)), params

    def one(x: Array, context: Context) -> tuple[Array, Array]:
        example = run._replace(x=x, context=context)
        steps = example.cached_steps()
        return example.params(x), steps

    with attempt(f"{name}.__call__ of a batch, and its gradient"):
        found["gradients"], found["params"] = jax.grad(loss, has_aux=True)(conditional)
    found["steps"] = run.in_steps(found["params"])
    with attempt(f"{name}.__call__, init_cache and step of one example, under jax.vmap"):
        found["one"], found["one, steps"] = jax.vmap(one, out_axes=(0, 1))(x, context)
    with attempt(f"{name}.__call__, prefill and run of an empty batch"):
        jax.eval_shape(lambda: _empty(run))
    with attempt(f"{name}.__call__, init_cache and step of a batch of batches"):
        both = context
        if context is not None:
            both = jnp.stack([members.other_contexts(context), context])
        pair = run._replace(x=jnp.stack([x, x]), context=both)
        found["other"], found["pair"] = pair.params(pair.x)
        found["pair, steps"] = pair.cached_steps()[:, 1]
    if orders is not None:
        with attempt(f"{name}.__call__ under jax.vmap over orders"):
            found["orders"] = jax.vmap(lambda order: conditional(x, context, order))(orders)
    found["later"] = _change_later(run)
    found["prefill"] = _prefill(run)
    found["generate"], found["emitted"] = _generate(run)
    found["jacobian"] = _jacobian(run)
    return found


def _empty(run: _Run) -> tuple[Array, Array]:
    """An empty batch, in one pass and step by step."""
    network, x = run.network, run.x[:0]
    context = None if run.context is None else run.context[:0]
    half = network.num_positions // 2
    nothing = jnp.zeros((0, *network.position_shape), x.dtype)
    cache = network.prefill(x, half, context, run.order)
    ran = network.run(cache, lambda t, params: (nothing, nothing), nothing, half)
    return network(x, context, run.order), ran


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


def _change_later(run: _Run) -> Array:
    """Parameters up to the middle, after the values from there on were replaced.

    A Jacobian cannot see a leak that has no gradient (a rounding, a comparison); this can.
    """
    half = run.network.num_positions // 2
    changed = jnp.concatenate([run.sequence[:half], 1.7 - 2.0 * run.sequence[half:]])
    return run.in_steps(run.params(run.network.from_sequence(changed, run.resolved)))[: half + 1]


def _prefill(run: _Run) -> dict[int, Array]:
    """Nothing, half and all but the last step are given; all steps follow, or one where cheap."""
    size = run.network.num_positions
    found = {}
    for n, until in {0: 1, size - 1: size, size // 2: size}.items():
        with attempt(f"{run.name}.prefill(x, {n}) and step"):
            cache = run.network.prefill(run.x, n, run.context, run.order)
            found[n] = _steps(run.network, cache, run.sequence[:until], n)
    return found


def _jacobian(run: _Run) -> Array:
    """The largest ``|d params / d x|`` of each (position, parameter, position), over examples."""
    network, x, order = run.network, run.x, run.order
    size, count = network.num_positions, len(x) + _EXTRA
    shape = (count, size, network.num_params, size, -1)  # last: the entries of a position
    noise = 2.0 * jax.random.normal(jax.random.key(0), (_EXTRA, *x.shape[1:]), x.dtype)
    points = jnp.concatenate([x, noise])
    contexts = None if run.context is None else run.context[jnp.arange(count) % len(x)]
    with attempt(f"{run.name}: the Jacobian of __call__"):
        jacobian = jax.vmap(jax.jacrev(lambda x, c: network(x, c, order)))(points, contexts)
    return jnp.max(jnp.abs(jacobian.reshape(shape)), axis=(0, -1))


def _generate(run: _Run) -> tuple[dict[str, Array], Array]:
    """The values of every method; and what one pass over the incremental method's values emits."""
    network = run.network
    noise = jax.random.normal(jax.random.key(1), run.sequence.shape, run.x.dtype)

    def emit(t: Array, params: Array) -> tuple[Array, Array]:
        """Made up: a bounded function of the parameters, plus noise."""
        value = jnp.tanh(jnp.sum(params * wave(params.shape[-1:], params.dtype), axis=-1))
        value = value.reshape(*value.shape, *(1,) * len(network.position_shape)) + noise[t]
        return value, value

    own = type(network).generate is not Conditional.generate
    methods = METHODS if own else METHODS[1:]  # the base class's "auto" is "incremental"
    generated = {}
    for method in distinct(methods, [network]):
        with attempt(f"{run.name}.generate(method={method!r})"):
            generated[method] = network.generate(
                emit, run.x.shape[:1], run.context, run.order, method=method, dtype=run.x.dtype
            )
    params = run.in_steps(run.params(generated["incremental"]))
    again = jax.vmap(emit)(jnp.arange(network.num_positions), params)[0]
    return generated, network.from_sequence(again, run.resolved)


def distinct(methods: Sequence[str], conditionals: Sequence[Conditional]) -> list[str]:
    """The methods without those that are ``"jacobi"``, for want of blocks or of a shallow order."""
    differ = {
        "block": any(each.block is not None for each in conditionals),
        "wavefront": any(each.parallel_depth() < each.num_positions for each in conditionals),
    }
    return [method for method in methods if differ.get(method, True)]


def _check_ranks(found: dict[str, Any], where: str, tolerance: float) -> None:
    """One example under vmap, and a batch of batches, against the batch."""
    params = found["params"]
    for way, what in (("one", "one example, under jax.vmap"), ("pair", "a batch of batches")):
        compare.close(f"{where}: __call__ of {what}", found[way], params, tolerance)
        steps = found[f"{way}, steps"]
        compare.shape(f"{where}: init_cache and step of {what}", steps, found["steps"].shape)
        for t, (got, expected) in enumerate(zip(steps, found["steps"], strict=True)):
            compare.close(
                f"{where}: step {t} of {what}, against __call__", got, expected, tolerance
            )


def _check_sequential(found: dict[str, Any], where: str, tolerance: float) -> None:
    for n, got in found["prefill"].items():
        what = f"{where}: prefill(x, {n}) and the steps after it, against __call__"
        compare.close(what, got, found["steps"][n : n + len(got)], tolerance)
    values = found["generate"]["incremental"]
    for method, got in found["generate"].items():
        what = f"{where}: generate(method={method!r}) against method='incremental'"
        compare.close(what, got, values, tolerance)
    what = f"{where}: generated values are what __call__ at these values emits"
    compare.close(what, found["emitted"], values, tolerance)
