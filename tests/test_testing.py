"""The conformance kit itself: members broken on purpose must fail it, and for the right reason."""

import functools
import math

import jax
import jax.numpy as jnp
import pytest
from flax import nnx

from jaxgen.bijectors import ActNorm, Bijector, Logit
from jaxgen.conditionals import MADE
from jaxgen.core import Buffer, ShapeError, replace
from jaxgen.functional import autoregressive
from jaxgen.likelihoods import Bernoulli, Normal
from jaxgen.models import Autoregressive, Dequantized, Flow, Logistic, StandardNormal
from jaxgen.testing import (
    cast,
    check_attributes,
    check_bijector,
    check_conditional,
    check_model,
    perturb,
    to_float64,
)

X = jnp.array([[0.5, -1.0, 0.3], [1.2, 0.4, -0.8], [-0.7, 2.0, 0.1], [0.2, 0.9, -1.5]])
BITS = jnp.array([[0, 1, 1], [1, 0, 0]])


class Scale(Bijector):
    """A correct bijector, such as a user would write."""

    def __init__(self):
        self.log_scale = nnx.Param(jnp.zeros(()))

    def forward_and_log_det(self, z, context=None):
        return z * jnp.exp(self.log_scale[...]), self._log_det(z)

    def inverse_and_log_det(self, x, context=None):
        return x * jnp.exp(-self.log_scale[...]), -self._log_det(x)

    def _log_det(self, value):
        return jnp.full(value.shape[:-1], value.shape[-1] * self.log_scale[...])


class WrongSign(Scale):
    def _log_det(self, value):
        return -super()._log_det(value)


class NotSummed(Scale):
    def _log_det(self, value):
        return jnp.broadcast_to(self.log_scale[...], value.shape)


class Averaged(Scale):
    def _log_det(self, value):
        return super()._log_det(value) / value.shape[-1]


class NoInverse(Scale):
    def inverse_and_log_det(self, x, context=None):
        return x, -self._log_det(x)


class Branches(Bijector):
    """Positive numbers are doubled; the inverse halves the negative ones instead."""

    def forward_and_log_det(self, z, context=None):
        return jnp.where(z > 0, 2 * z, z), jnp.log(2.0) * jnp.sum(z > 0, -1)

    def inverse_and_log_det(self, x, context=None):
        return jnp.where(x < 0, x / 2, x), -jnp.log(2.0) * jnp.sum(x < 0, -1)


class Mutating(Scale):
    def initialize(self, x, context=None):
        self.log_scale = nnx.Param(jnp.log(jnp.std(x)))
        return self, self.inverse(x)


class Restructured(Scale):
    def initialize(self, x, context=None):
        new = Scale()
        new.log_scale = Buffer(jnp.log(jnp.std(x)))
        return new, new.inverse(x)


class AdaptsAgain(Scale):
    def initialize(self, x, context=None):
        new = replace(self, log_scale=nnx.Param(self.log_scale[...] + jnp.mean(x)))
        return new, new.inverse(x)


class Idle(Scale):
    def __init__(self):
        super().__init__()
        self.spare = nnx.Param(jnp.zeros(2))


class MixesBatch(Scale):
    def inverse_and_log_det(self, x, context=None):
        z, log_det = super().inverse_and_log_det(x)
        return z, jnp.broadcast_to(log_det.sum(), log_det.shape)


class NaNGradient(Scale):
    def inverse_and_log_det(self, x, context=None):
        z, log_det = super().inverse_and_log_det(x)
        safe = jnp.sqrt(self.log_scale[...] - self.log_scale[...])
        return z + safe, log_det


class NoEmptyBatch(Scale):
    def inverse_and_log_det(self, x, context=None):
        return super().inverse_and_log_det(x.reshape(*x.shape[:-1], -1))


def test_users_bijector_passes_in_single_precision():
    report = check_bijector(Scale(), X)
    assert set(report.values()) == {"passed"}


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (WrongSign, "autodiff Jacobian"),
        (NotSummed, "must be summed"),
        (Averaged, "autodiff Jacobian"),
        (NoInverse, "round trip"),
        (Branches, "round trip"),
        (Mutating, "initialize"),
        (Restructured, "another structure"),
        (AdaptsAgain, "called again with other data, changed log_scale"),
        (Idle, "parameter spare is zero everywhere"),
        (MixesBatch, "log-det"),
        (NaNGradient, "gradient of log_scale is not finite"),
        (NoEmptyBatch, "inverse_and_log_det of an empty batch: raised ZeroDivisionError"),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else "",
)
def test_broken_bijector_fails(broken, reason):
    with pytest.raises(AssertionError, match=reason):
        check_bijector(broken(), X, eager=False)


def test_unused_parameter_can_be_exempted():
    check_bijector(Idle(), X, eager=False, unused=("spare",))


def made(cls=MADE, num_params=1, **options):
    return cls((3,), num_params, hidden=(8,), activation="tanh", rngs=nnx.Rngs(0), **options)


class ShiftedMask(MADE):
    """The strict inequality is missing: an output sees its own input."""

    def _masked(self, order):
        weights = super()._masked(order)
        rank = autoregressive.rank_of(order)
        loose = jnp.asarray(self._degrees()[-1])[:, None] <= rank[None, :] + 1
        return weights | {"out": self.out_kernel[...] * loose[..., None]}


class ReversedMask(MADE):
    """Looks at the later positions instead of the earlier ones."""

    def __call__(self, x, context=None, order=None, *, key=None):
        return super().__call__(x, context, order[::-1])


class RoundedLeak(MADE):
    """A leak from the future that has no gradient."""

    def __call__(self, x, context=None, order=None, *, key=None):
        return super().__call__(x) + jnp.round(x.sum(-1))[..., None, None]


class MissingDependency(MADE):
    """The last output does not see the first input."""

    def _masked(self, order):
        weights = super()._masked(order)
        first = jnp.arange(3)[:, None] == order[0]
        return weights | {"kernels": [weights["kernels"][0] * ~first]}


class StaleStep(MADE):
    """The incremental pass forgets the context of its second step."""

    def step(self, cache, t, x_previous):
        return super().step(cache, t, jnp.where(t == 2, 0.0, x_previous))


class StalePrefill(MADE):
    def prefill(self, x, n, context=None, order=None):
        return super().prefill(x, max(n - 1, 0), context, order)


class StaticOrder(MADE):
    """Uses the order as a static attribute of the program, so a new one is ignored."""

    def resolve_order(self, order):
        return jnp.arange(3)


class NoEmptyPrefill(MADE):
    def prefill(self, x, n, context=None, order=None):
        return super().prefill(x.reshape(*x.shape[:-1], -1), n, context, order)


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (ShiftedMask, "a leak"),
        (ReversedMask, "a leak"),
        (RoundedLeak, "a leak without a gradient"),
        (MissingDependency, "a missing dependency"),
        (StaleStep, "step 2"),
        (StalePrefill, "prefill"),
        (StaticOrder, "a leak"),
        (NoEmptyPrefill, "prefill and run of an empty batch: raised ZeroDivisionError"),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else "",
)
def test_broken_conditional_fails(broken, reason):
    with pytest.raises(AssertionError, match=reason):
        check_conditional(made(broken), X, eager=False)


class Unnormalised(Autoregressive):
    def log_prob(self, x, context=None, *, order=None, key=None):
        return 0.9 * super().log_prob(x, context)


class WrongSampler(Autoregressive):
    """Draws the opposite of every bit."""

    def sample(self, key, num_samples, context=None, *, order=None, method="auto"):
        return 1 - super().sample(key, num_samples, context, order=order, method=method)


class TooNarrow(Flow):
    """Its samples have nine tenths of the density's width."""

    def sample_and_log_prob(self, key, num_samples, context=None, *, method="auto"):
        x, _ = super().sample_and_log_prob(key, num_samples, context)
        return 0.9 * x, self.log_prob(0.9 * x)

    def sample(self, key, num_samples, context=None, **options):
        return self.sample_and_log_prob(key, num_samples, context)[0]


class HalfLogDet(Flow):
    def log_prob(self, x, context=None, *, key=None):
        x, _ = self._events(x, context, "log_prob")
        z, log_det = self.bijector.inverse_and_log_det(x)
        return self.base.log_prob(z) + 0.5 * log_det


class MethodMatters(Autoregressive):
    def sample(self, key, num_samples, context=None, *, order=None, method="auto"):
        key = jax.random.split(key)[0] if method == "jacobi" else key
        return super().sample(key, num_samples, context, method=method)


class NoBound(Dequantized):
    def elbo(self, x, key, context=None, *, dropout_key=None):
        return super().elbo(x, key, context) + 1.0

    def importance_log_prob(self, x, key, num_samples, context=None):
        return super().importance_log_prob(x, key, num_samples, context) - 1.0


class Overconfident(Dequantized):
    def log_prob(self, x, context=None, *, key=None):
        return self.elbo(x, jax.random.key(0))


class IgnoresContext(Autoregressive):
    def _context(self, context, batch, where):
        return None


class NoSamples(Autoregressive):
    def sample(self, key, num_samples, context=None, *, order=None, method="auto"):
        drawn = super().sample(key, num_samples, context, order=order, method=method)
        return drawn.reshape(*drawn.shape[:-1], -1)


def test_models_to_be_broken_pass():
    check_model(Autoregressive(made(), Bernoulli()), BITS, eager=False)
    check_model(Flow(ActNorm((3,))), X, eager=False)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: Unnormalised(made(), Bernoulli()), "sum to"),
        (lambda: WrongSampler(made(), Bernoulli()), "do not follow|sample_and_log_prob"),
        (lambda: NoSamples(made(), Bernoulli()), "sample of no samples: raised ZeroDivisionError"),
        (lambda: MethodMatters(made(), Bernoulli()), "method='jacobi'"),
        (lambda: IgnoresContext(made(), Bernoulli()), "expected a ShapeError"),
        (lambda: TooNarrow(ActNorm((3,))), "do not follow the density"),
        (lambda: HalfLogDet(ActNorm((3,))), "sample_and_log_prob against log_prob"),
        (lambda: Unnormalised(made(num_params=2), Normal()), "do not follow"),
        (lambda: NoBound(Flow(ActNorm((3,))), 2), "no lower bound"),
        (lambda: Overconfident(Flow(ActNorm((3,))), 2), "yet log_prob returned"),
    ],
    ids=[
        "unnormalised",
        "wrong sampler",
        "no samples",
        "method matters",
        "ignores context",
        "too narrow",
        "half log-det",
        "unnormalised real",
        "no bound",
        "overconfident",
    ],
)
def test_broken_model_fails(make, reason):
    model = make()
    with pytest.raises(AssertionError, match=reason):
        check_model(model, X if model.levels is None else BITS, eager=False)


def test_densities_that_do_not_vanish_at_their_bounds_are_understood():
    """Uniform noise on the unit interval; its narrower samples are found out."""
    unit, inside = Logit(alpha=0.0), 0.5 + 0.1 * X
    check = functools.partial(check_model, bounds=(0.0, 1.0), perturb=False, eager=False)
    check(Flow(unit, Logistic((3,))), inside)
    with pytest.raises(AssertionError, match="do not follow the density"):
        check(TooNarrow(unit, Logistic((3,))), inside)


def test_wrong_log_det_fails_the_quadrature():
    class Wrong(HalfLogDet):
        def sample_and_log_prob(self, key, num_samples, context=None, *, method="auto"):
            x, _ = super().sample_and_log_prob(key, num_samples, context)
            return x, self.log_prob(x)

    with pytest.raises(AssertionError, match="integrates to"):
        check_model(Wrong(ActNorm((1,))), X[:, :1], eager=False)


class Holder(nnx.Module):
    def __init__(self, value):
        self.value = value


class RawArray(nnx.Module):
    def __init__(self):
        self.mask = nnx.data(jnp.ones(3))


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (RawArray, "RawArray.mask: a raw array"),
        (lambda: Holder(lambda x: x), "lambda"),
        (lambda: Holder(nnx.initializers.he_normal()), "differs for every instance"),
        (lambda: Holder([1, 2]), "a list"),
        (lambda: Holder({"a": 1}), "a dict"),
        (lambda: Holder(nnx.Rngs(0)), "random state"),
        (lambda: Holder(nnx.BatchStat(jnp.zeros(2))), "a BatchStat"),
        (lambda: Holder(Buffer(jnp.arange(3))), "store floats"),
        (lambda: Holder(nnx.List([nnx.Dict(a=Holder([1]))])), "value.0.a.value: a list"),
    ],
    ids=["array", "lambda", "local", "list", "dict", "rngs", "batch stat", "integers", "nested"],
)
def test_forbidden_attribute_fails(make, reason):
    with pytest.raises(AssertionError, match=reason):
        check_attributes(make())


def test_perturb_is_seeded_and_leaves_the_original():
    norm = ActNorm((3,))
    one, two = (perturb(norm, jax.random.key(seed)) for seed in (0, 0))
    assert one.shift[...].tolist() == two.shift[...].tolist()
    assert norm.shift[...].tolist() == [0.0, 0.0, 0.0]
    other = perturb(norm, jax.random.key(1))
    assert other.shift[...].tolist() != one.shift[...].tolist()


def test_casts(x64):
    assert to_float64(ActNorm((3,))).shift[...].dtype == jnp.float64
    assert cast(ActNorm((3,)), jnp.float32).shift[...].dtype == jnp.float32


def test_float64_is_refused_where_it_is_off():
    with pytest.raises(RuntimeError, match="enable_x64"):
        to_float64(ActNorm((3,)))


def test_integers_are_refused_by_name():
    with pytest.raises(ValueError, match="expected real data"):
        check_bijector(Scale(), jnp.ones((2, 3), int))


def test_missing_context_is_named():
    model = Autoregressive(made(context_features=2), Bernoulli())
    with pytest.raises(ShapeError, match=r"expected a context of shape \(\*batch, 2\), got None"):
        check_model(model, BITS)


class HalfNormal(StandardNormal):
    """Normal entries folded to one side of 1; the density is this one's only there."""

    def _score(self, x, context):
        return super()._score(x - 1.0, context) + x.shape[-1] * jnp.log(2.0)

    def _draw(self, key, batch, context, how):
        return 1.0 + jnp.abs(super()._draw(key, batch, context, how))


def test_a_density_on_one_side_of_an_end_is_understood():
    check = functools.partial(check_model, eager=False)
    above = 1.0 + jnp.abs(X[:, :1])
    check(HalfNormal((1,)), above, bounds=(1.0, math.inf))
    with pytest.raises(AssertionError, match=r"integrates to 1\.\d+ over"):
        check(HalfNormal((1,)), above, bounds=(0.5, math.inf))
    with pytest.raises(AssertionError, match=r"integrates to 2 over"):
        check(HalfNormal((1,)), above, bounds=(-math.inf, math.inf))


def test_data_of_another_shape_are_not_taken_for_the_event():
    """Six numbers are no two events of three."""
    for check, part in (
        (check_bijector, ActNorm((3,))),
        (check_model, Flow(ActNorm((3,)))),
        (check_conditional, MADE((3,), 1, hidden=(4,), rngs=nnx.Rngs(0))),
    ):
        with pytest.raises(ShapeError, match="the data to check at"):
            check(part, jnp.ones((3, 2)))
        with pytest.raises(ValueError, match="expected an example or more"):
            check(part, jnp.ones((0, 3)))
