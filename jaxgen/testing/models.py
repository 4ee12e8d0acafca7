"""The contract of a model, checked."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array

from jaxgen.conditionals import Conditional
from jaxgen.core import METHODS, Context, ShapeError, checked_arguments, float_dtype
from jaxgen.models import Model
from jaxgen.testing import compare, members
from jaxgen.testing.compare import PASSED, Report, attempt, tolerance_of, wave
from jaxgen.testing.conditionals import distinct
from jaxgen.testing.latents import check_latents
from jaxgen.testing.normalisation import Support, check_normalisation

# Random bounds and samples are compared by means: a deviation of this many standard errors fails.
_DEVIATIONS = 5.0


@checked_arguments
def check_model(
    model: Model,
    x: Array,
    context: Context = None,
    *,
    bounds: Support = (-np.inf, np.inf),
    num_samples: int = 5000,
    perturb: bool = True,
    tolerance: float | None = None,
    unused: Sequence[str] = (),
    eager: bool = True,
    seed: int = 0,
) -> Report:
    r"""Checks that a model is a distribution, and that its sampler draws from it.

    - **Normalisation**: :math:`\sum_x p(x) = 1` over all events of a small discrete model,
      :math:`\int p(x)\,dx = 1` by quadrature for one or two real dimensions.
    - **Samples**: shapes, dtypes, levels; equal for equal keys and for every method;
      ``sample_and_log_prob`` is ``sample`` and ``log_prob``; and their law: frequencies against
      probabilities where these can be enumerated, else, for real values, the identities
      :math:`\mathbb{E}[\partial_i \log p(x)] = 0` and
      :math:`\mathbb{E}[x_i\,\partial_i \log p(x)] = -1` of a smooth density, weighted so that
      they hold between ``bounds`` too.
    - **Exactness**: a model that is not exact raises ``TypeError`` in ``log_prob``; ``elbo`` does
      not exceed ``log_prob``, or ``importance_log_prob``, on average.
    - **Latents** of one or two real dimensions, or few discrete ones: with them integrated or
      summed out, the expectations of ``exp(log_weight)``, ``log_weight`` and ``elbo`` are what they
      should be, and ``importance_log_prob`` lies between, on average no lower
      for more weights.
    - Batches of any rank, empty ones too, ``jax.jit``, ``jax.vmap``, finite gradients that reach
      every parameter, ``initialize`` and ``calibrate``, contexts, and clean attributes, as for
      :func:`~jaxgen.testing.check_bijector`.

    Args:
        model: what to check; its parameters are cast to the dtype of real ``x``.
        x: data ``(*batch, *event_shape)``. Two to four examples do.
        context: ``(*batch, *context_shape)`` for a conditional model, which has to depend on it.
        bounds: the support of the entries of a real event, for the quadrature: ``(low, high)``, or
            one for each entry.
        num_samples: how many samples the statistical checks draw.
        perturb, tolerance, unused, eager, seed: as for :func:`~jaxgen.testing.check_bijector`.

    Returns:
        ``{check: "passed" or "skipped: why"}``.

    Raises:
        AssertionError: naming the promise that was broken, with numbers.
        ValueError: for data, a context or names of parameters that are not the model's.

    >>> from jaxgen.models import StandardNormal
    >>> report = check_model(StandardNormal((1,)), jnp.array([[0.5], [1.0]]))
    >>> report["normalisation"], report["law of the samples"]
    ('passed', 'passed')
    """
    name = type(model).__name__
    x, context = members.flat_batch(model, x, context, model.event_shape)
    real = jnp.issubdtype(x.dtype, jnp.floating)
    dtype = x.dtype if real else jnp.result_type(float)
    model = members.prepare(model, dtype, perturbed=perturb, seed=seed, unused=unused)
    tolerance = tolerance_of(dtype) if tolerance is None else tolerance
    exact = model.exactness == "exact"
    report = {"attributes": PASSED, "exactness": PASSED}

    _check_exactness(model, x, context, name)
    _check_contexts(model, x, name)
    report["contexts"] = PASSED
    found = jax.jit(_examine)(model, x, context, jax.random.key(seed))
    _check_scores(found, x, float_dtype(dtype), name, tolerance, exact)
    report |= {"batch ranks": PASSED, "vmap": PASSED}
    where = f"{name}.{'log_prob' if exact else 'elbo'}"
    report |= members.check_context_used(found["one"], found["other"], context, where)
    members.check_gradients(found["gradients"], unused, name)
    report["gradients"] = PASSED
    _check_bound(found, name)
    report["elbo"] = PASSED
    for method, new in found["adapted"].items():
        members.check_structure(new, model, f"{name}.{method}")
    new, again = found["adapted"]["initialize"], found["again"]
    members.check_adapted_once(new, again, f"{name}.initialize")
    report |= {"initialize": PASSED, "calibrate": PASSED}
    drawn = _draw(model, context, num_samples, name)
    report["sample methods"] = _check_samples(drawn, model, x, context, name, tolerance)
    report["samples"] = PASSED
    report["jit = eager"] = PASSED if eager else "skipped: eager=False"
    if eager:
        _check_eager(model, x, context, found, drawn, name, tolerance)
    if not exact:
        report |= check_latents(model, x, context, _DEVIATIONS, tolerance, name)
    report |= check_normalisation(model, x, context, drawn, bounds, _DEVIATIONS, name)
    return report


def _score(model: Model, x: Array, context: Context, key: Array) -> Array:
    """The log-likelihood, or its random bound."""
    return model.log_prob(x, context) if model.exactness == "exact" else model.elbo(x, key, context)


def _examine(model: Model, x: Array, context: Context, key: Array) -> dict[str, Any]:
    """What the checks of the likelihood look at, as one program: compiling is the cost."""
    found: dict[str, Any] = {}
    kind = type(model).__name__
    exact = model.exactness == "exact"
    name = f"{kind}.{'log_prob' if exact else 'elbo'}"

    def loss(model: Model) -> tuple[Array, Array]:
        score = _score(model, x, context, key)
        return jnp.sum(score * wave(score.shape, score.dtype)), score

    with attempt(f"{name} of a batch, and its gradient"):
        found["gradients"], found["score"] = jax.grad(loss, has_aux=True)(model)
    with attempt(f"{name} of one example, under jax.vmap"):
        # With the contexts of other examples too: here one key serves all, which makes a bound
        # comparable.
        every, contexts = x, context
        if context is not None:
            every = jnp.concatenate([x, x])
            contexts = jnp.concatenate([context, members.other_contexts(context)])
        scores = jax.vmap(lambda x, c: _score(model, x, c, key))(every, contexts)
        found["one"], found["other"] = scores[: len(x)], scores[len(x) :]
    with attempt(f"{name} of a batch of batches"):
        pair = None if context is None else jnp.stack([context, context])
        found["pair"] = _score(model, jnp.stack([x, x]), pair, key)
    none = None if context is None else context[:0]
    with attempt(f"{name} of an empty batch"):
        jax.eval_shape(lambda: _score(model, x[:0], none, key))
    with attempt(f"{kind}.sample of no samples"):
        jax.eval_shape(lambda: model.sample(key, 0, context))
    if type(model).elbo is not Model.elbo:
        keys = jax.random.split(key, 64)
        with attempt(f"{kind}.elbo"):
            found["elbo"] = jax.lax.map(lambda key: model.elbo(x, key, context), keys)
    if not exact:
        with attempt(f"{kind}.importance_log_prob"):
            bound = model.importance_log_prob
            found["bounded"] = bound(x, key, 256, context)
    found["adapted"] = {}
    for method, adapt in members.adaptations(model).items():
        with attempt(f"{kind}.{method}"), members.unchanged(model, f"{kind}.{method}"):
            found["adapted"][method] = adapt(x, key, context)
    first = jnp.broadcast_to(x[:1], x.shape)
    found["again"] = found["adapted"]["initialize"].initialize(first, key, context)
    return found


def _check_exactness(model: Model, x: Array, context: Context, name: str) -> None:
    if model.exactness not in ("exact", "lower_bound"):
        raise AssertionError(f"{name}: unknown exactness {model.exactness!r}")
    if model.exactness == "exact":
        return
    key = jax.random.key(0)
    for what, call in (
        ("log_prob", lambda: model.log_prob(x, context)),
        ("sample_and_log_prob", lambda: model.sample_and_log_prob(key, 1, context)),
    ):
        try:
            call()
        except TypeError:
            continue
        raise AssertionError(f"{name}: exactness is {model.exactness!r}, yet {what} returned")


def _check_contexts(model: Model, x: Array, name: str) -> None:
    """A missing context, or one too many, is a ShapeError and never ignored."""
    wrong = None if model.context_shape is not None else jnp.zeros((len(x), 1))
    key = jax.random.key(0)
    for what, call in (
        ("the likelihood", lambda: _score(model, x, wrong, key)),
        ("sample", lambda: model.sample(key, 1, wrong)),
    ):
        try:
            call()
        except ShapeError:
            continue
        case = "without its context" if wrong is None else "with a context it does not take"
        raise AssertionError(f"{name}: {what} {case} returned; expected a ShapeError")


def _check_scores(
    found: dict[str, Any], x: Array, dtype: Any, name: str, tolerance: float, exact: bool
) -> None:
    score = found["score"]
    name = f"{name}.{'log_prob' if exact else 'elbo'}"
    compare.shape(name, score, x.shape[:1])
    compare.dtype(name, score, dtype)
    compare.close(f"{name}, is finite", score, score, tolerance)
    for way, what in (("one", "one example, under jax.vmap"), ("pair", "a batch of batches")):
        expected = score if way == "one" else jnp.stack([score, score])
        compare.shape(f"{name} of {what}", found[way], expected.shape)
        if exact:  # the noise of a bound depends on the batch's shape
            compare.close(f"{name} of {what}", found[way], expected, tolerance)


def _check_bound(found: dict[str, Any], name: str) -> None:
    if "elbo" not in found:
        return
    elbo = np.asarray(found["elbo"], np.float64).mean(axis=1)
    bounded = np.asarray(found.get("bounded", found["score"]), np.float64).mean()
    error = elbo.std() / np.sqrt(len(elbo))
    compare.close(f"{name}.elbo, is finite", elbo, elbo, 0.0)
    slack = _DEVIATIONS * error + 1e-5 * (1.0 + abs(bounded))
    if elbo.mean() > bounded + slack:
        raise AssertionError(
            f"{name}: elbo is no lower bound: on average {elbo.mean():.6g} ± {error:.2g}, above "
            f"the log-likelihood (or its importance-weighted estimate) {bounded:.6g}"
        )


def _draw(model: Model, context: Context, num_samples: int, name: str) -> dict[str, Any]:
    """Samples by every method, of two keys, with their log-probabilities and slopes."""
    networks = [m for _, m in nnx.iter_modules(model) if isinstance(m, Conditional)]
    methods = distinct(METHODS[1:], networks) if networks else ()

    @jax.jit
    def draw(model: Model, key: Array, context: Context) -> dict[str, Any]:
        drawn: dict[str, Any] = {"methods": {}}
        with attempt(f"{name}.sample"):
            drawn["samples"] = model.sample(key, num_samples, context)
        for method in methods:
            with attempt(f"{name}.sample(method={method!r})"):
                drawn["methods"][method] = model.sample(key, num_samples, context, method=method)
        if model.exactness == "exact":
            with attempt(f"{name}.sample_and_log_prob"):
                x, _ = drawn["pair"] = model.sample_and_log_prob(key, num_samples, context)
            with attempt(f"{name}.log_prob of samples, and its gradient"):

                def total(x: Array) -> tuple[Array, Array]:
                    score = model.log_prob(x, context)
                    return jnp.sum(score), score

                if model.levels is None:
                    drawn["slopes"], drawn["scores"] = jax.grad(total, has_aux=True)(x)
                else:
                    drawn["scores"] = total(x)[1]
        return drawn

    drawn = draw(model, jax.random.key(0), context)
    drawn["other key"] = draw(model, jax.random.key(1), context)["samples"]
    return drawn


def _check_samples(
    drawn: dict[str, Any], model: Model, x: Array, context: Context, name: str, tolerance: float
) -> str:
    samples = drawn["samples"]
    batch = () if context is None else (len(x),)
    compare.shape(f"{name}.sample", samples, (len(samples), *batch, *model.event_shape))
    if model.levels is None:
        compare.dtype(f"{name}.sample", samples, x.dtype)
    else:
        compare.dtype(f"{name}.sample", samples, jnp.int32)
        if int(samples.min()) < 0 or int(samples.max()) >= model.levels:
            raise AssertionError(f"{name}.sample: levels outside 0..{model.levels - 1}")
    if np.array_equal(samples, drawn["other key"]):
        raise AssertionError(f"{name}.sample: two keys gave the same samples")
    for method, got in drawn["methods"].items():
        what = f"{name}.sample(method={method!r}) against method='auto'"
        compare.close(what, got, samples, tolerance)
    if "pair" in drawn:
        where = f"{name}.sample_and_log_prob"
        compare.shape(
            f"{where}, log-probabilities", drawn["pair"][1], samples.shape[: 1 + len(batch)]
        )
        compare.close(f"{where}, samples against sample", drawn["pair"][0], samples, tolerance)
        compare.close(f"{where} against log_prob", drawn["pair"][1], drawn["scores"], tolerance)
    return PASSED if drawn["methods"] else "skipped: no autoregressive part"


def _check_eager(
    model: Model,
    x: Array,
    context: Context,
    found: dict[str, Any],
    drawn: dict[str, Any],
    name: str,
    tolerance: float,
) -> None:
    if model.exactness == "exact":
        with attempt(f"{name}.log_prob outside jax.jit"):
            scores = model.log_prob(x, context)
        compare.close(f"{name}.log_prob outside jax.jit", scores, found["score"], tolerance)
    where = f"{name}.sample outside jax.jit, with the same key"
    with attempt(where):
        samples = model.sample(jax.random.key(0), len(drawn["samples"]), context)
    compare.close(where, samples, drawn["samples"], tolerance)
