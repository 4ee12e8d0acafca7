"""Counting floating-point operations, shared by the benchmarks.

From the shapes of every operation of a program, as jax traces it: products of matrices and
convolutions, padding included, two for each product that is summed, and one for each entry of an
elementwise operation. And by XLA, as a check.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend import core

from jaxgen.conditionals import Conditional

Step = Callable[[Any, jax.Array, jax.Array], tuple[jax.Array, Any]]

# One operation for each entry of the result, or, of a reduction, for each that goes into it.
_ARITHMETIC = {"abs", "add", "div", "max", "min", "mul", "neg", "select_n", "square", "sub"}
_FUNCTIONS = {"exp", "expm1", "integer_pow", "log", "log1p", "logistic", "pow", "sqrt", "tanh"}
_REDUCTIONS = {"cumsum", "reduce_max", "reduce_min", "reduce_sum"}


class Operations(NamedTuple):
    """Floating-point operations of a density pass and of the incremental sampler."""

    density: float
    incremental: float

    def __str__(self) -> str:
        share = self.incremental / self.density
        return f"{self.incremental:.4g} / {self.density:.4g} = {share:.3f}"


def network_operations(network: Conditional, batch: int) -> Operations:
    """Of one parallel pass, and of all steps as the sampler takes them; counted from the shapes."""
    x, context = _inputs(network, batch)
    return Operations(_count(_density, network, x, context), _steps(network, x, context))


def operations(function: Callable[..., Any], *arguments: Any) -> float:
    """Of a call of these arguments, counted from the shapes."""
    return _count(function, *arguments)


def xla_operations(network: Conditional, batch: int) -> float:
    """XLA's count of all steps, the loop unrolled, because XLA counts its body once.

    For small networks, and of single steps where a sampler takes several together. It holds what a
    sigmoid is made of and what fusions compute twice, too, so it agrees with the first count
    roughly.
    """

    def unrolled(network: Conditional, x: jax.Array, context: jax.Array | None) -> list[jax.Array]:
        previous, cache = _begin(network, x, context)
        outputs = []
        for t in range(network.num_positions):
            params, cache = network.step(cache, jnp.asarray(t), previous[t])
            outputs.append(params)
        return outputs

    compiled = jax.jit(unrolled).lower(network, *_inputs(network, batch)).compile()
    return compiled.cost_analysis()["flops"]


def _inputs(network: Conditional, batch: int) -> tuple[jax.Array, jax.Array | None]:
    shape = network.context_shape
    context = None if shape is None else jnp.zeros((batch, *shape))
    return jnp.zeros((batch, *network.event_shape)), context


def _density(network: Conditional, x: jax.Array, context: jax.Array | None) -> jax.Array:
    return network(x, context)


def _begin(network: Conditional, x: jax.Array, context: jax.Array | None) -> tuple[jax.Array, Any]:
    """What each step is told, the previous value, and the first cache."""
    sequence = network.to_sequence(x, network.resolve_order(None))
    previous = jnp.concatenate([jnp.zeros_like(sequence[:1]), sequence[:-1]])
    return previous, network.init_cache(x.shape[:1], context)


def _steps(network: Conditional, x: jax.Array, context: jax.Array | None) -> float:
    sequence, cache = jax.eval_shape(_begin, network, x, context)
    previous = jax.ShapeDtypeStruct(sequence.shape[1:], sequence.dtype)
    if type(network).run is not Conditional.run:

        def run(network: Conditional, cache: Any, first: jax.Array) -> jax.Array:
            return network.run(cache, lambda t, params: (jnp.zeros_like(first), params), first)

        return _count(run, network, cache, previous)
    stretch, size = network.stretch(), network.num_positions
    if stretch is None:
        return sum(_each_step(network.step, cache, previous, size))
    first = jnp.asarray(0)
    inner = jax.eval_shape(stretch.open, cache, first, previous)
    steps = sum(_each_step(stretch.step, inner, previous, stretch.span))
    around = _count(stretch.open, cache, first, previous)
    around += _count(stretch.close, cache, first, inner.state)
    return -(-size // stretch.span) * (around + steps)


def _each_step(step: Step, cache: Any, previous: Any, count: int) -> Iterator[float]:
    numbered = jax.make_jaxpr(lambda t, cache, previous: step(cache, t, previous))
    program = numbered(jnp.asarray(0), cache, previous)
    unknown = [None] * (len(program.in_avals) - 1)
    for t in np.arange(count, dtype=np.int32):
        yield _walk(program.jaxpr, [t, *unknown], program.consts)[0]


def _count(function: Callable[..., Any], *arguments: Any) -> float:
    program = jax.make_jaxpr(function)(*arguments)
    return _walk(program.jaxpr, [None] * len(program.in_avals), program.consts)[0]


def _walk(jaxpr: core.Jaxpr, inputs: Sequence[Any], consts: Sequence[Any]) -> tuple[float, list]:
    """The operations of a program, and of its results what is known, else None.

    Known are a step's number and what is computed from it, since whether a step begins a row is
    decided by it.
    """
    known = dict(zip([*jaxpr.invars, *jaxpr.constvars], [*inputs, *consts], strict=True))

    def value(atom: Any) -> Any:
        return atom.val if isinstance(atom, core.Literal) else known[atom]

    total = 0.0
    for equation in jaxpr.eqns:
        operations, outputs = _equation(equation, [value(v) for v in equation.invars])
        total += operations
        known.update(zip(equation.outvars, outputs, strict=True))
    return total, [value(v) for v in jaxpr.outvars]


def _equation(equation: core.JaxprEqn, values: list) -> tuple[float, list]:
    """Operations of one primitive, and what is known of its results."""
    name, params = equation.primitive.name, equation.params
    inputs, outputs = ([v.aval for v in vs] for vs in (equation.invars, equation.outvars))
    unknown = [None] * len(outputs)
    if name == "dot_general":
        (contracted, _), _ = params["dimension_numbers"]
        depth = math.prod(inputs[0].shape[axis] for axis in contracted)
        return 2.0 * outputs[0].size * depth, unknown
    if name == "conv_general_dilated":
        features = params["dimension_numbers"].rhs_spec[0]
        depth = math.prod(inputs[1].shape) / inputs[1].shape[features]
        return 2.0 * outputs[0].size * depth, unknown
    if name == "convolve":  # of jaxgen.functional.convolution
        return 2.0 * outputs[0].size * math.prod(inputs[1].shape[:3]), unknown
    if name == "while":
        raise ValueError("a loop of unknown length")
    if name == "cond":
        index, *rest = values
        branches = params["branches"] if index is None else [params["branches"][int(index)]]
        return max(_walk(b.jaxpr, rest, b.consts)[0] for b in branches), unknown
    if name == "scan":
        body = params["jaxpr"]
        each = _walk(body.jaxpr, [None] * len(values), body.consts)[0]
        return params["length"] * each, unknown
    for inner in params.values():
        if isinstance(inner, core.ClosedJaxpr):
            return _walk(inner.jaxpr, values, inner.consts)
        if isinstance(inner, core.Jaxpr):
            return _walk(inner, values, [])
    if all(v is not None for v in values) and max((v.size for v in inputs), default=0) == 1:
        results = equation.primitive.bind(*values, **params)
        unknown = list(results) if equation.primitive.multiple_results else [results]
    if name in _ARITHMETIC | _FUNCTIONS:
        return float(outputs[0].size), unknown
    if name in _REDUCTIONS:
        return float(inputs[0].size), unknown
    return 0.0, unknown
