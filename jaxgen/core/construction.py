"""Models built without compiling: their construction is traced, and evaluated on the host.

Outside ``jax.jit`` JAX compiles a program for every shape that parameters are drawn, cut, scaled
or filled in: seconds for a model of some size. One program for all of them takes XLA as long. So
the constructor is traced, which compiles nothing, and its equations are evaluated by NumPy. Of the
random bits and the inverse error function, XLA compiles one program for all shapes; what NumPy has
no rule for here is done by JAX, eagerly. The numbers do not depend on the backend. They are those
of the constructor run as it is: with jax 0.10 to the bit, with later ones but for the last place of
some, for their XLA fuses the draws of many keys otherwise than those of one.
"""

import contextlib
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.extend.core import Jaxpr, JaxprEqn, Literal

from jaxgen.core import draws
from jaxgen.core.draws import Draws
from jaxgen.core.keys import Counted, rngs_of

T = TypeVar("T")

_FEW = 1024
_CALLS = ("jit", "pjit", "closed_call")
_DTYPES = tuple(map(np.dtype, ("float32", "float64", "int32", "int64", "uint32", "uint64", "bool")))


def constructed(
    build: Callable[[nnx.Rngs], T], rngs: nnx.Rngs, check: Callable[[T], None] = lambda _: None
) -> T:
    """``build(rngs)``, evaluated on the host; ``rngs`` end where that call would leave them.

    Args:
        build: from random keys to a module. It is traced; one that looks at what it draws, and
            keys of another generator than JAX's default one, are left to JAX.
        rngs: the random keys.
        check: is given the module before it has numbers, and may refuse it by raising.
    """
    streams = dict(rngs.items())
    keys = {name: stream.key[...] for name, stream in streams.items()}
    if not all(map(_is_ours, keys.values())):
        return build(rngs)
    drawn: dict[str, int] = {}

    def traced(keys: dict[str, jax.Array]) -> T:
        inside = {n: Counted(key, int(streams[n].count[...]), tag=n) for n, key in keys.items()}
        module = build(rngs_of(**inside))
        drawn.update({name: stream.drawn for name, stream in inside.items()})
        return module

    try:
        jaxpr, shapes = jax.make_jaxpr(traced, return_shape=True)(keys)
    except jax.errors.ConcretizationTypeError:
        return build(rngs)
    check(shapes)
    with _on_cpu(), np.errstate(all="ignore"):  # XLA warns of nothing either
        values = _evaluate(jaxpr.jaxpr, jaxpr.consts, list(map(_entering, jax.tree.leaves(keys))))
    leaves = [_leaving(v, out) for v, out in zip(values, jaxpr.jaxpr.outvars, strict=True)]
    for name, stream in streams.items():
        stream.count[...] = jnp.asarray(drawn[name], stream.count.dtype)
    return jax.tree.unflatten(jax.tree.structure(shapes), leaves)


def _is_ours(key: jax.Array) -> bool:
    """Whether a key is known, and of the generator that :mod:`jaxgen.core.draws` is."""
    partitionable = jax.config.jax_threefry_partitionable  # type: ignore[attr-defined]
    known = not isinstance(key, jax.core.Tracer) and key.shape == ()
    return known and partitionable and str(jax.random.key_impl(key)) == "threefry2x32"


def _on_cpu() -> contextlib.AbstractContextManager[Any]:
    """Where numbers are the same whatever the accelerator, if there is a CPU backend."""
    try:
        return jax.default_device(jax.local_devices(backend="cpu")[0])
    except RuntimeError:
        return contextlib.nullcontext()


def _aval(atom: Any) -> Any:
    """The shape and dtype of a variable of a program."""
    return atom.aval


def _is_key(value: Any) -> bool:
    return jnp.issubdtype(value.dtype, jax.dtypes.prng_key)


def _entering(value: Any) -> Any:
    """A value as the rules see it: of keys, their two words."""
    return np.asarray(jax.random.key_data(value)) if _is_key(value) else value


def _leaving(value: Any, variable: Any) -> jax.Array:
    array = value if isinstance(value, jax.Array) else jax.device_put(np.asarray(value))
    return jax.random.wrap_key_data(array) if _is_key(_aval(variable)) else array


def _evaluate(jaxpr: Jaxpr, consts: Sequence[Any], arguments: Sequence[Any]) -> list[Any]:
    """The outputs of a program, whose keys are pairs of words."""
    known: dict[Any, Any] = dict(zip(jaxpr.constvars, map(_entering, consts), strict=True))
    known.update(zip(jaxpr.invars, arguments, strict=True))

    def read(atom: Any) -> Any:
        return np.asarray(atom.val, _aval(atom).dtype) if isinstance(atom, Literal) else known[atom]

    for equation in jaxpr.eqns:
        outputs = _outputs(equation, [read(atom) for atom in equation.invars])
        known.update(zip(equation.outvars, outputs, strict=True))
    return [read(atom) for atom in jaxpr.outvars]


def _outputs(equation: JaxprEqn, values: list[Any]) -> Sequence[Any]:
    primitive, params, name = equation.primitive, equation.params, equation.primitive.name
    shape = _aval(equation.outvars[0]).shape
    # Two functions of JAX's own, of which the rules would make something slower, or rounded twice.
    if name in _CALLS and params["name"] == "_uniform" and _is_key(_aval(equation.invars[0])):
        keys, *bounds = map(np.asarray, values)
        if _aval(equation.outvars[0]).dtype == np.float32:
            return [Draws(keys, shape, tuple(bounds))]
    if name in _CALLS and params["name"] == "diagonal" and _square(np.shape(values[0])):
        return [np.diagonal(values[0], axis1=-2, axis2=-1)]
    if name in _CALLS and _has_rules(params["jaxpr"].jaxpr):
        return _evaluate(params["jaxpr"].jaxpr, params["jaxpr"].consts, values)
    drawn = [each for each in values if isinstance(each, Draws)]
    if len(drawn) == 1:
        later = drawn[0].then(name, shape, [each for each in values if each is not drawn[0]])
        if later is not None:
            return [later]
    if _has_rule(equation) and name in _RULES:
        result = _RULES[name](params, *map(np.asarray, values))
        if result is not None:
            return result if primitive.multiple_results else [result]
    arrays = [_leaving(v, atom) for v, atom in zip(values, equation.invars, strict=True)]
    result = primitive.bind(*arrays, **primitive.get_bind_params(params))
    # To NumPy, which frees them of the device that they were computed on.
    results = result if primitive.multiple_results else [result]
    return [np.asarray(_entering(each)) for each in results]


def _has_rules(jaxpr: Jaxpr) -> bool:
    def has(each: JaxprEqn) -> bool:
        if each.primitive.name not in _CALLS:
            return _has_rule(each)
        return each.params["name"] == "diagonal" or _has_rules(each.params["jaxpr"].jaxpr)

    return all(map(has, jaxpr.eqns))


def _has_rule(equation: JaxprEqn) -> bool:
    atoms = [*equation.invars, *equation.outvars]
    known = all(_is_key(_aval(a)) or np.dtype(_aval(a).dtype) in _DTYPES for a in atoms)
    return known and equation.primitive.name in (*_RULES, "erf_inv")


def _few(function: Callable[[jax.Array], jax.Array]) -> Callable[..., Any]:
    """What XLA computes of each of a few numbers, by a program for all shapes."""
    compiled = jax.jit(function)

    def rule(params: Any, x: Any) -> Any:
        if x.size > _FEW:
            return None
        return np.asarray(compiled(np.resize(x, _FEW)))[: x.size].reshape(x.shape)

    return rule


def _broadcast_in_dim(params: Any, x: Any) -> Any:
    sizes = dict(zip(params["broadcast_dimensions"], np.shape(x), strict=True))
    shape = [sizes.get(axis, 1) for axis in range(len(params["shape"]))]
    return np.broadcast_to(np.reshape(x, shape), params["shape"])


def _iota(params: Any) -> Any:
    shape, axis = params["shape"], params["dimension"]
    column = (
        np.arange(shape[axis]).astype(params["dtype"]).reshape(-1, *[1] * (len(shape) - axis - 1))
    )
    return np.broadcast_to(column, shape)


def _slice(params: Any, x: Any) -> Any:
    strides = params["strides"] or [1] * x.ndim
    return x[tuple(map(slice, params["start_indices"], params["limit_indices"], strides))]


def _sort(params: Any, *arrays: Any) -> Any:
    if params["num_keys"] != 1 or not params["is_stable"]:
        return None
    order = np.argsort(arrays[0], axis=params["dimension"], kind="stable")
    return [np.take_along_axis(each, order, params["dimension"]) for each in arrays]


def _bitcast(params: Any, x: Any) -> Any:
    same = x.dtype.itemsize == np.dtype(params["new_dtype"]).itemsize
    return np.ascontiguousarray(x).view(params["new_dtype"]) if same else None


def _square(shape: tuple[int, ...]) -> bool:
    return shape[-1] == shape[-2] > 0


def _lapack(names: tuple[str, ...], x: Any) -> Any:
    """Routines of LAPACK for arrays of this dtype; SciPy is slow to import."""
    from scipy.linalg import get_lapack_funcs

    return get_lapack_funcs(names, (x,))


def _qr(params: Any, x: Any) -> Any:
    """By the routines of LAPACK that JAX calls on a CPU."""
    if params["full_matrices"] or params["pivoting"] or not _square(x.shape):
        return None
    factor, unpack = _lapack(("geqrf", "orgqr"), x)
    pairs = []
    for matrix in x.reshape(-1, *x.shape[-2:]):
        packed, scales, *_ = factor(matrix)
        pairs.append((unpack(packed, scales)[0], np.triu(packed)))
    return [np.stack(each).reshape(x.shape) for each in zip(*pairs, strict=True)]


def _lu(params: Any, x: Any) -> Any:
    """As there: the factors, the rows' exchanges, and the permutation that these are."""
    if not _square(x.shape):
        return None
    (factor,) = _lapack(("getrf",), x)
    factors, exchanges, permutations = [], [], []
    for matrix in x.reshape(-1, *x.shape[-2:]):
        packed, rows, _ = factor(matrix)
        permutation = np.arange(len(rows), dtype=np.int32)
        for row, other in enumerate(rows):
            permutation[[row, other]] = permutation[[other, row]]
        factors.append(packed)
        exchanges.append(rows.astype(np.int32))
        permutations.append(permutation)
    vectors = [np.stack(each).reshape(x.shape[:-1]) for each in (exchanges, permutations)]
    return [np.stack(factors).reshape(x.shape), *vectors]


def _argmax(params: Any, x: Any) -> Any:
    if len(params["axes"]) != 1 or (x.dtype.kind == "f" and np.isnan(x).any()):
        return None
    return np.argmax(x, params["axes"][0]).astype(params["index_dtype"])


def _select(params: Any, which: Any, *cases: Any) -> Any:
    return np.where(which, cases[1], cases[0]) if which.dtype == bool else None


def _plain(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda params, *values: function(*values)


# Each gives None for what it does not do as XLA does.
_RULES: dict[str, Callable[..., Any]] = {
    **{name: _plain(getattr(np, name)) for name in ("sqrt", "abs", "sign", "nextafter")},
    "add": _plain(np.add),
    "sub": _plain(np.subtract),
    "mul": _plain(np.multiply),
    "div": _plain(lambda a, b: np.divide(a, b) if a.dtype.kind == "f" else None),
    "max": _plain(np.maximum),
    "min": _plain(np.minimum),
    "or": _plain(np.bitwise_or),
    "eq": _plain(np.equal),
    "ge": _plain(np.greater_equal),
    "shift_right_logical": _plain(lambda a, b: a >> b if a.dtype.kind == "u" else None),
    "integer_pow": lambda params, x: x * x if params["y"] == 2 else None,
    "convert_element_type": lambda params, x: x.astype(params["new_dtype"]),
    "bitcast_convert_type": _bitcast,
    "stop_gradient": _plain(lambda x: x),
    "copy": _plain(lambda x: x),
    "iota": _iota,
    "broadcast_in_dim": _broadcast_in_dim,
    "reshape": lambda params, x: np.reshape(x, params["new_sizes"]),
    "squeeze": lambda params, x: np.squeeze(x, params["dimensions"]),
    "transpose": lambda params, x: np.transpose(x, params["permutation"]),
    "slice": _slice,
    "sort": _sort,
    "select_n": _select,
    "argmax": _argmax,
    "qr": _qr,
    "lu": _lu,
    "erf": _few(jax.lax.erf),
    "log": _few(jax.lax.log),
    "random_bits": draws.random_bits,
    "random_split": draws.random_split,
    "random_fold_in": draws.random_fold_in,
    "random_wrap": _plain(lambda x: x),
    "random_unwrap": _plain(lambda x: x),
}
