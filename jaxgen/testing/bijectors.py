"""The contract of a bijector, checked."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxgen.bijectors import Bijector
from jaxgen.core import Context, Shape, checked_arguments, float_dtype
from jaxgen.testing import compare, members
from jaxgen.testing.compare import PASSED, Report, attempt, tolerance_of, wave

# Draws of the base for each example: so many that a part of the line with a tenth of the mass is
# hit. They cost no compiling.
_DRAWS = 16
# A quarter of them are so many times as far out, beyond a bound that draws seldom reach.
_FAR = 3.0


@checked_arguments
def check_bijector(
    bijector: Bijector,
    x: Array,
    context: Context = None,
    *,
    z: Array | None = None,
    perturb: bool = True,
    tolerance: float | None = None,
    unused: Sequence[str] = (),
    eager: bool = True,
    seed: int = 0,
) -> Report:
    r"""Checks that a bijector is one: inverse, log-determinant, shapes, transformations.

    With ``z, l = inverse_and_log_det(x)`` it asks for

    .. math:: f(f^{-1}(x)) = x, \quad f^{-1}(f(z)) = z, \quad
              l = \log\left|\det \partial z/\partial x\right|, \quad
              \text{forward log-det} = -l,

    the Jacobian by automatic differentiation, from the data and from draws of the base, a quarter
    of them three times as far out, which reach what is not near to the data; and for the same
    numbers from a single example, a batch and a batch of batches, eagerly, under ``jax.jit`` and
    under ``jax.vmap``; that an empty batch goes through; for finite gradients that reach every
    parameter and no buffer; for an ``initialize`` and a ``calibrate`` that change neither the
    bijector nor its structure, the first of which changes nothing when it is called again; and for
    clean attributes (:func:`~jaxgen.testing.check_attributes`).

    Args:
        bijector: what to check; its parameters are cast to the dtype of ``x``.
        x: data, ``(*batch, *event_shape)``, inside the bijector's range. Two to four examples do.
        context: ``(*batch, *context_shape)`` for a conditional bijector, which has to depend on it.
        z: draws of its base, ``(*draws, *base_shape)``, where that is not the whole space, as
            angles; by default of the standard normal.
        perturb: adds noise to the parameters first. Turn it off only for a bijector that is
            invertible at special parameters alone.
        tolerance: relative to ``1 + |expected|``; by default 1e-9 in float64, 1e-3 in float32.
            A numerical inverse states its own.
        unused: paths of parameters that the density does not use and that get no gradient.
        eager: also runs without ``jax.jit``, which costs a second or more for a deep scan.
        seed: of the perturbation.

    Returns:
        ``{check: "passed" or "skipped: why"}``.

    Raises:
        AssertionError: naming the promise that was broken, with numbers.
        ValueError: for data, draws, a context or names of parameters that are not the bijector's.

    >>> class Shift(Bijector):
    ...     def forward_and_log_det(self, z, context=None):
    ...         return z + 1.0, jnp.zeros(z.shape[:-1])
    ...     def inverse_and_log_det(self, x, context=None):
    ...         return x - 1.0, jnp.zeros(x.shape[:-1])
    >>> report = check_bijector(Shift(), jnp.array([[0.5, 2.0], [1.0, -1.0]]))
    >>> report["round trip"]
    'passed'
    """
    name = type(bijector).__name__
    event = bijector.event_shape or jnp.shape(x)[jnp.ndim(x) - bijector.side_ndims("data") :]
    x, context = members.flat_batch(bijector, x, context, event)
    bijector = members.prepare(bijector, x.dtype, perturbed=perturb, seed=seed, unused=unused)
    tolerance = tolerance_of(x.dtype) if tolerance is None else tolerance

    draws = _draws(z, bijector.side_shape("base") or event, x, seed)
    whence = "the standard normal, which `z=` replaces" if z is None else "`z=`"

    found = jax.jit(_examine)(bijector, x, context, draws)
    _check_values(found, x, name, whence, tolerance)
    report = {"attributes": PASSED, "round trip": PASSED, "forward log-det = -inverse": PASSED}
    _check_jacobian(found, name, whence, tolerance)
    report["log-determinant"] = PASSED
    _check_ranks(found, x, name, tolerance)
    report |= {"batch ranks": PASSED, "vmap": PASSED}
    where = f"{name}.inverse_and_log_det"
    own = found["z"], found["inverse"]
    report |= members.check_context_used(own, found["other"], context, where)
    members.check_gradients(found["gradients"], unused, where)
    report["gradients"] = PASSED
    _check_adapted(found, bijector, name, tolerance)
    report |= {"initialize": PASSED, "calibrate": PASSED}
    report["jit = eager"] = PASSED if eager else "skipped: eager=False"
    if eager:
        where = f"{name}.inverse_and_log_det outside jax.jit"
        with attempt(where):
            z, log_det = bijector.inverse_and_log_det(x, context)
        compare.close(f"{where}, value", z, found["z"], tolerance)
        compare.close(f"{where}, log-det", log_det, found["inverse"], tolerance)
    return report


def _draws(z: Array | None, base_shape: Shape, x: Array, seed: int) -> Array:
    """Draws of the base, ``(k, n, *base_shape)``: batches of as many as there are examples."""
    normal = np.random.default_rng(seed).normal(size=(_DRAWS * len(x), *base_shape))
    normal[: len(normal) // 4] *= _FAR
    given = normal if z is None else z
    draws, _ = members.flat_events(given, base_shape, "the draws of the base", "z")
    count = -(-len(draws) // len(x)) * len(x)
    filled = np.asarray(draws)[np.arange(count) % len(draws)]
    return jnp.asarray(filled.reshape(-1, len(x), *base_shape), x.dtype)


def _examine(bijector: Bijector, x: Array, context: Context, draws: Array) -> dict[str, Any]:
    """Everything that the checks look at, as one program: compiling is what a check costs.

    So no direction is run more often than needed: the batch comes with the parameters' gradient,
    the single examples under ``vmap`` with the Jacobian.
    """
    found: dict[str, Any] = {}
    name = type(bijector).__name__
    contexts = with_others = None
    if context is not None:
        contexts = jnp.stack([context] * (1 + len(draws)))
        with_others = jnp.concatenate([contexts, members.other_contexts(context)[None]])

    def loss(bijector: Bijector) -> tuple[Array, tuple[Array, Array]]:
        z, log_det = bijector.inverse_and_log_det(x, context)
        total = jnp.sum(z * wave(z.shape, z.dtype)) + jnp.sum(
            log_det * wave(log_det.shape, z.dtype)
        )
        return total, (z, log_det)

    def flat(x: Array, context: Context) -> tuple[Array, tuple[Array, Array]]:
        z, log_det = bijector.inverse_and_log_det(x, context)
        return z.ravel(), (z, log_det)

    with attempt(f"{name}.inverse_and_log_det of a batch, and its gradient"):
        found["gradients"], (z, found["inverse"]) = jax.grad(loss, has_aux=True)(bijector)
        found["z"] = z
    found["latents"] = jnp.concatenate([z[None], draws])
    with attempt(f"{name}.forward_and_log_det of a batch of batches"):
        data, found["forward"] = bijector.forward_and_log_det(found["latents"], contexts)
        found["data"] = data
    data = jnp.concatenate([x[None], data[1:]])
    with attempt(f"{name}.inverse_and_log_det of a batch of batches"):
        # Last the data again, with the contexts of other examples.
        back = bijector.inverse_and_log_det(jnp.concatenate([data, x[None]]), with_others)
        found["back"], found["other"] = zip(*((each[:-1], each[-1]) for each in back), strict=True)
    with attempt(f"{name}.inverse_and_log_det of one example, its Jacobian, under jax.vmap"):
        every = jax.tree.map(lambda each: each.reshape(-1, *each.shape[2:]), (data, contexts))
        jacobian, found["inverse, one"] = jax.vmap(jax.jacrev(flat, has_aux=True))(*every)
        found["jacobian"] = jacobian.reshape(*jacobian.shape[:2], -1)
    with attempt(f"{name}.forward_and_log_det of one example, under jax.vmap"):
        found["forward, one"] = jax.vmap(bijector.forward_and_log_det)(z, context)
    with attempt(f"{name}.forward_and_log_det of a batch"):
        found["forward, shapes"] = jax.tree.map(
            lambda array: jnp.zeros(array.shape, array.dtype),
            jax.eval_shape(lambda: bijector.forward_and_log_det(z, context)),
        )
    none = None if context is None else context[:0]
    with attempt(f"{name}.inverse_and_log_det of an empty batch"):
        jax.eval_shape(lambda: bijector.inverse_and_log_det(x[:0], none))
    with attempt(f"{name}.forward_and_log_det of an empty batch"):
        jax.eval_shape(lambda: bijector.forward_and_log_det(z[:0], none))
    found["adapted"] = {}
    for method, adapt in members.adaptations(bijector).items():
        with attempt(f"{name}.{method}"):
            with members.unchanged(bijector, f"{name}.{method}"):
                new, start = adapt(x, context)
            if new is not bijector:  # else there is nothing in it that looks at data
                found["adapted"][method] = new, start, new.inverse(x, context)
                if method == "initialize":
                    found["again"] = new.initialize(jnp.broadcast_to(x[:1], x.shape), context)[0]
    return found


def _check_values(
    found: dict[str, Any], x: Array, name: str, whence: str, tolerance: float
) -> None:
    log_dtype = float_dtype(x.dtype)
    data, log_det = found["forward, shapes"]
    for way, value, total in (
        ("inverse", found["z"], found["inverse"]),
        ("forward", data, log_det),
    ):
        compare.dtype(f"{name}.{way}_and_log_det, value", value, x.dtype)
        compare.shape(f"{name}.{way}_and_log_det, log-det", total, x.shape[:1])
        compare.dtype(f"{name}.{way}_and_log_det, log-det", total, log_dtype)
    compare.shape(f"{name}.forward_and_log_det, value", data, x.shape)
    z, inverse = found["back"]
    compare.close(f"{name}: round trip, forward(inverse(x)) = x", found["data"][0], x, tolerance)
    where = f"{name}: round trip, inverse(forward(z)) = z, at draws of {whence}"
    compare.close(where, z[1:], found["latents"][1:], tolerance)
    where = f"{name}: forward log-det = -(inverse log-det)"
    compare.close(f"{where}, from the data", found["forward"][0], -found["inverse"], tolerance)
    drawn = found["forward"][1:]
    compare.close(f"{where}, at draws of {whence}", drawn, -inverse[1:], tolerance)


def _check_jacobian(found: dict[str, Any], name: str, whence: str, tolerance: float) -> None:
    jacobian = np.asarray(found["jacobian"], np.float64)
    if jacobian.shape[1] != jacobian.shape[2]:
        raise AssertionError(
            f"{name}: {jacobian.shape[2]} numbers of data become {jacobian.shape[1]} of the base"
        )
    where = f"{name}: log-determinant of the inverse against the autodiff Jacobian's"
    expected, size = np.linalg.slogdet(jacobian)[1], len(found["inverse"])
    compare.close(where, found["inverse"], expected[:size], tolerance)
    drawn = found["back"][1][1:].ravel()
    compare.close(f"{where}, at draws of {whence}", drawn, expected[size:], tolerance)


def _check_ranks(found: dict[str, Any], x: Array, name: str, tolerance: float) -> None:
    """One example under vmap, and a batch of batches, against the batch."""
    where = f"{name}.inverse_and_log_det of one example, under jax.vmap"
    z, log_det = (each[: len(x)] for each in found["inverse, one"])
    compare.close(f"{where}, value", z, found["z"], tolerance)
    compare.close(f"{where}, log-det", log_det, found["inverse"], tolerance)
    where = f"{name}.inverse_and_log_det of a batch of batches"
    compare.close(f"{where}, value", found["back"][0][0], found["z"], tolerance)
    compare.close(f"{where}, log-det", found["back"][1][0], found["inverse"], tolerance)
    where = f"{name}.forward_and_log_det of one example, under jax.vmap"
    compare.close(f"{where}, value", found["forward, one"][0], x, tolerance)
    compare.close(f"{where}, log-det", found["forward, one"][1], -found["inverse"], tolerance)


def _check_adapted(found: dict[str, Any], bijector: Bijector, name: str, tolerance: float) -> None:
    for method, (new, start, expected) in found["adapted"].items():
        members.check_structure(new, bijector, f"{name}.{method}")
        where = f"{name}.{method}: its z is what the new bijector's inverse gives"
        compare.close(where, start, expected, tolerance)
        if method == "initialize":
            members.check_adapted_once(new, found["again"], f"{name}.{method}")
