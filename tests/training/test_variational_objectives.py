"""What trains latent-variable models, against sums over all latents where they are bits."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jaxgen import ShapeError, zoo
from jaxgen.bijectors import ActNorm, Logit
from jaxgen.likelihoods import Bernoulli, GaussianMixture, Normal
from jaxgen.models import VAE, Factorized, Flow, Model, StandardNormal
from jaxgen.models.posterior import direct, fixed, path, wake
from jaxgen.networks import MLP
from jaxgen.testing import perturb
from jaxgen.training import Batch, TrainSettings, fit, negative_log_likelihood
from jaxgen.training.objectives import (
    elbo,
    importance_weighted,
    named_objective,
    reweighted_wake_sleep,
    wake_sleep,
)

KEY = jax.random.key(0)
LATENTS = np.array(list(itertools.product([0, 1], repeat=2)))
EVENTS = np.array(list(itertools.product([0, 1], repeat=3)))
X = EVENTS[[0, 3, 5, 6]]
C = np.random.default_rng(0).normal(size=(4, 2)).astype(np.float32)
WEIGHTS = np.array([2.0, 0.0, 1.5, 0.5], np.float32)
KEYS = 20_000


def factorized(inputs, outputs, likelihood):
    network = MLP(inputs, outputs * likelihood.num_params(()), hidden=(), rngs=nnx.Rngs(0))
    return Factorized(network, likelihood, (outputs,), context_shape=(inputs,))


def of_bits():
    """Three bits of two, whose prior has parameters."""
    prior = zoo.fvsbn((2,), rngs=nnx.Rngs(0))
    model = VAE(prior, factorized(2, 3, Bernoulli()), factorized(3, 2, Bernoulli()))
    return perturb(model, KEY, 1.0)


def of_normals(context=0, posterior=None, outer=None):
    """Three bits of two real latents."""
    head = Normal() if posterior is None else posterior
    prior = StandardNormal((2,)) if outer is None else outer
    decoder = factorized(2 + context, 3, Bernoulli())
    posterior = factorized(3 + context, 2, head)
    model = VAE(prior, decoder, posterior, context_features=context or None)
    return perturb(model, KEY, 0.7)


def of_two_layers():
    inner = VAE(StandardNormal((1,)), factorized(1, 2, Normal()), factorized(2, 1, Normal()))
    return of_normals(outer=inner)


def gradients(objective, model, count=KEYS, **options):
    """Their means over many keys, and five standard errors, of every parameter."""

    def one(model, key):
        return jax.grad(objective)(model, Batch(X), key, **options)

    keys = jax.random.split(KEY, count)
    drawn = by_path(jax.jit(jax.vmap(one, (None, 0)))(model, keys))
    error = {path: 5 * each.std(0) / np.sqrt(count) + 1e-5 for path, each in drawn.items()}
    return {path: each.mean(0) for path, each in drawn.items()}, error


def by_path(grads):
    states = nnx.to_flat_state(nnx.state(grads, nnx.Param))
    return {".".join(map(str, path)): np.asarray(value[...]) for path, value in states}


def scaled(bits):
    """As networks read them."""
    return 2.0 * bits - 1.0


def log_joint(model):
    """``log p(x, z)`` of all events and all latents, ``(8, 4)``."""
    x = np.broadcast_to(EVENTS[:, None], (8, 4, 3))
    z = np.broadcast_to(LATENTS, (8, 4, 2))
    return model.decoder.log_prob(x, scaled(z)) + model.prior.log_prob(LATENTS)


def log_posterior(model):
    """``log q(z | x)`` of all events and all latents, ``(8, 4)``."""
    x = np.broadcast_to(EVENTS[:, None], (8, 4, 3))
    z = np.broadcast_to(LATENTS, (8, 4, 2))
    return model.posterior.log_prob(z, scaled(x))


def of_data(values):
    """The rows of the data, which are four of all eight events."""
    return values[jnp.asarray([0, 3, 5, 6])]


def awake(model):
    """``E_q[log p(x, z)]``, in the model's parameters alone."""
    q = jax.lax.stop_gradient(jnp.exp(of_data(log_posterior(model))))
    return jnp.mean(jnp.sum(q * of_data(log_joint(model)), axis=-1))


def asleep(model):
    """``E_p[log q(z | x)]``, in the posterior's alone."""
    p = jax.lax.stop_gradient(jnp.exp(log_joint(model)))
    return jnp.sum(p * log_posterior(model))


def of_pairs(model):
    """What two weighted draws ascend on average: a sum over all pairs of latents."""
    log_p, log_q = of_data(log_joint(model)), of_data(log_posterior(model))
    q = jax.lax.stop_gradient(jnp.exp(log_q))
    log_w = jax.lax.stop_gradient(log_p - log_q)
    both = log_p + log_q
    share = jax.nn.sigmoid(log_w[:, :, None] - log_w[:, None, :])
    value = share * both[:, :, None] + (1.0 - share) * both[:, None, :]
    return jnp.mean(jnp.sum(q[:, :, None] * q[:, None, :] * value, axis=(1, 2)))


def of_the_true_posterior(model):
    """``E_{p(z | x)}[log p(x, z) + log q(z | x)]``."""
    log_p = of_data(log_joint(model))
    true = jax.lax.stop_gradient(jax.nn.softmax(log_p, axis=-1))
    return jnp.mean(jnp.sum(true * (log_p + of_data(log_posterior(model))), axis=-1))


@pytest.mark.parametrize(
    ("objective", "options", "ascended"),
    [
        (wake_sleep, {}, lambda m: awake(m) + asleep(m)),
        (reweighted_wake_sleep, {"num_samples": 2}, of_pairs),
        (
            reweighted_wake_sleep,
            {"num_samples": 2, "sleep": True},
            lambda m: of_pairs(m) + asleep(m),
        ),
    ],
    ids=["wake-sleep", "reweighted", "reweighted, with sleep"],
)
def test_gradients_are_those_of_sums_over_all_latents(objective, options, ascended):
    model = of_bits()
    expected = by_path(jax.jit(jax.grad(lambda model: -ascended(model)))(model))
    got, error = gradients(objective, model, **options)
    assert got.keys() == expected.keys()
    for name, each in expected.items():
        assert np.all(np.abs(got[name] - each) < error[name]), name
        assert np.all(error[name] < 0.06)
        assert np.any(np.abs(each) > 0.05), name


def test_many_weighted_draws_follow_the_true_posterior():
    model = of_bits()
    expected = by_path(jax.jit(jax.grad(lambda model: -of_the_true_posterior(model)))(model))
    got, error = gradients(reweighted_wake_sleep, model, 100, num_samples=500)
    few, _ = gradients(reweighted_wake_sleep, model, 2000, num_samples=1)
    for name, each in expected.items():
        np.testing.assert_array_less(np.abs(got[name] - each), error[name] + 5e-3)
    far = max(np.abs(few[name] - each).max() for name, each in expected.items())
    assert far > 0.1


def test_no_gradient_goes_through_a_draw():
    """Awake, the model learns of latents as of data; asleep, only posteriors learn."""
    model, x = of_two_layers(), jnp.asarray(X)

    @jax.jit
    def latents(model):
        found = []

        def keep(posterior, key, batch, context):
            found.append(fixed(posterior, key, batch, context)[0])
            return found[-1], jnp.zeros(batch)

        model.log_weight(x, KEY, draw=keep)
        return found

    drawn = latents(model)
    assert len(drawn) == 2

    def at(model, sign):
        """``log w`` at the latents that were drawn, with ``sign`` times the posteriors' part."""
        left = list(drawn)

        def given(posterior, key, batch, context):
            z = left.pop(0)
            return z, -sign * posterior.log_prob(z, context)

        return jnp.sum(model.log_weight(x, KEY, draw=given))

    def by(model, draw):
        return jnp.sum(model.log_weight(x, KEY, draw=draw))

    for draw, sign in ((wake, 1.0), (fixed, 0.0)):
        got = jax.jit(jax.grad(by), static_argnums=1)(model, draw)
        expected = by_path(jax.jit(jax.grad(at))(model, sign))
        for name, each in by_path(got).items():
            np.testing.assert_allclose(each, expected[name], rtol=1e-4, atol=1e-5, err_msg=name)
            assert np.any(each) == (draw is wake or "posterior" not in name), name
    draws = (direct, path(), wake, fixed)
    values = jax.jit(lambda model: [by(model, draw) for draw in draws])(model)
    np.testing.assert_allclose(values, values[0], rtol=1e-5)
    dreamt = jax.jit(jax.grad(lambda m: jnp.sum(m.dream(KEY, 5)[1])))(model)
    for name, each in by_path(dreamt).items():
        assert np.any(each) == ("posterior" in name), name


def closed_divergence(model, x=X, context=None):
    given = scaled(x) if context is None else np.concatenate([scaled(x), context], -1)
    mean, log_scale = model.posterior.as_normal(given)
    return np.asarray(0.5 * (mean**2 + np.exp(2 * log_scale) - 1) - log_scale)


def test_the_divergence_is_weighted():
    model, batch = of_normals(), Batch(X)
    none, half, two = (elbo(model, batch, KEY, beta=beta) for beta in (0.0, 0.5, 2.0))
    divergence = closed_divergence(model).sum(-1).mean()
    assert divergence > 0.1
    np.testing.assert_allclose([half - none, two - none], [0.5 * divergence, 2 * divergence], 1e-4)
    # Without a weight it is the model's own bound.
    many = jax.jit(jax.vmap(lambda key: jnp.stack([elbo(model, batch, key), bound(model, key)])))
    ours, own = np.asarray(many(jax.random.split(KEY, 4000))).T
    assert abs(np.mean(ours - own)) < 5 * np.std(ours - own) / np.sqrt(4000)


def bound(model, key):
    return -jnp.mean(model.elbo(X, jax.random.fold_in(key, 1)))


@pytest.mark.parametrize(
    ("step", "share"),
    [(0, 0.1), (4, 0.5), (9, 1.0), (10, 1.0), (1000, 1.0), (jnp.asarray(4), 0.5), (None, 1.0)],
)
def test_warm_up(step, share):
    model, batch = of_normals(), Batch(X)
    got = elbo(model, batch, KEY, beta=3.0, warmup_steps=10, step=step)
    none = elbo(model, batch, KEY, beta=0.0)
    divergence = closed_divergence(model).sum(-1).mean()
    np.testing.assert_allclose(got - none, 3.0 * share * divergence, rtol=1e-4)


def test_free_bits_cost_the_same_whether_they_are_used_or_not():
    model, batch = of_normals(), Batch(X)
    each = closed_divergence(model).mean(0)
    assert each.min() < 0.8 * each.max()
    none = elbo(model, batch, KEY, beta=0.0)
    for free in (0.0, float(each.mean()), float(2 * each.max())):
        got = elbo(model, batch, KEY, beta=2.0, free_bits=free)
        np.testing.assert_allclose(got - none, 2 * np.maximum(each, free).sum(), rtol=1e-4)

    def divergence(model):
        options = {"free_bits": float(2 * each.max())}
        return elbo(model, batch, KEY, **options) - elbo(model, batch, KEY, beta=0.0)

    for gradient in by_path(jax.jit(jax.grad(divergence))(model)).values():
        np.testing.assert_allclose(gradient, 0.0, atol=1e-6)


OBJECTIVES = {
    "elbo": (elbo, {}),
    "importance_weighted": (importance_weighted, {"num_samples": 3, "gradient": "dreg"}),
    "wake_sleep": (wake_sleep, {}),
    "reweighted_wake_sleep": (reweighted_wake_sleep, {"num_samples": 3}),
    "negative_log_likelihood": (negative_log_likelihood, {}),
}


@pytest.mark.parametrize("name", OBJECTIVES)
def test_examples_count_by_their_weights(name):
    """A loss is linear in them: that of one example is found by giving it all the weight."""
    objective, options = OBJECTIVES[name]
    model = of_normals()

    @jax.jit
    def loss(weights):
        return objective(model, Batch(X, weights=weights), KEY, **options)

    nothing = loss(np.zeros(4, np.float32))
    single = np.array([loss(4 * row) - nothing for row in np.eye(4, dtype=np.float32)])
    assert np.ptp(single) > 0.1
    got = loss(WEIGHTS) - nothing
    np.testing.assert_allclose(got, np.mean(WEIGHTS * single), rtol=1e-4)
    np.testing.assert_allclose(loss(np.ones(4, np.float32)) - nothing, single.mean(), rtol=1e-4)
    np.testing.assert_allclose(loss(None), loss(np.ones(4, np.float32)), rtol=1e-5)
    if name == "wake_sleep":  # dreams, that are of no example, remain
        assert nothing > 0.1
    else:
        np.testing.assert_allclose(nothing, 0.0, atol=1e-6)


def test_the_divergence_is_weighted_by_example_before_its_bits_are_free():
    model, batch = of_normals(), Batch(X, weights=WEIGHTS)
    each = (WEIGHTS[:, None] * closed_divergence(model)).mean(0)
    free = float(each.mean())
    got = elbo(model, batch, KEY, free_bits=free) - elbo(model, batch, KEY, beta=0.0)
    np.testing.assert_allclose(got, np.maximum(each, free).sum(), rtol=1e-4)


def test_the_divergence_given_a_context():
    model, batch = of_normals(context=2), Batch(X, C)
    got = elbo(model, batch, KEY) - elbo(model, batch, KEY, beta=0.0)
    expected = closed_divergence(model, context=C).sum(-1).mean()
    np.testing.assert_allclose(got, expected, rtol=1e-4)
    assert abs(expected - closed_divergence(model, context=0 * C).sum(-1).mean()) > 1e-3


@pytest.mark.parametrize("name", OBJECTIVES)
def test_each_example_has_its_own_context(name):
    objective, options = OBJECTIVES[name]
    model = of_normals(context=2)
    weights = np.array([4.0, 0.0, 0.0, 0.0], np.float32)
    loss = jax.jit(lambda c: objective(model, Batch(X, c, weights=weights), KEY, **options))
    slope = np.asarray(jax.grad(lambda c: loss(c))(jnp.asarray(C)))
    assert np.all(slope[0])
    np.testing.assert_array_equal(slope[1:], 0.0)
    with pytest.raises(ShapeError, match="expected a context"):
        objective(model, Batch(X), KEY, **options)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_by_name(name):
    objective, options = OBJECTIVES[name]
    model = of_normals()
    named = jax.jit(named_objective(name, options))(model, Batch(X), KEY)
    assert named == jax.jit(lambda model: objective(model, Batch(X), KEY, **options))(model)


@pytest.mark.parametrize(
    ("name", "arguments", "said"),
    [
        ("importance_weighted", {}, "importance_weighted: missing a required .*'num_samples'"),
        ("reweighted_wake_sleep", {}, "missing a required .*'num_samples'"),
        ("elbo", {"betta": 1.0}, "elbo: got an unexpected keyword argument 'betta'"),
        ("wake_sleap", {}, "did you mean 'wake_sleep'"),
    ],
)
def test_wrong_names_and_arguments(name, arguments, said):
    with pytest.raises(ValueError, match=said):
        named_objective(name, arguments)


def settings(**options):
    defaults = {"steps": 60, "batch_size": 16, "learning_rate": 0.03, "steps_per_dispatch": 20}
    return TrainSettings(**{**defaults, **options})


@pytest.mark.parametrize("name", [name for name in OBJECTIVES if name != "negative_log_likelihood"])
def test_fit_trains_by_each(name):
    rng = np.random.default_rng(0)
    x = np.repeat(rng.integers(0, 2, (64, 1)), 3, axis=1) ^ (rng.random((64, 3)) < 0.05)
    model = of_normals() if "sleep" not in name else of_bits()
    objective = named_objective(name, OBJECTIVES[name][1])
    result = fit(model, x, objective=objective, settings=settings(), progress=False)
    before, after = (
        np.mean(jax.jit(type(m).importance_log_prob, static_argnums=3)(m, x, KEY, 100))
        for m in (model, result.model)
    )
    assert after > before + 0.1
    old, new = by_path(model), by_path(result.model)
    for path_, each in old.items():
        assert np.any(each != new[path_]), path_


def test_training_gives_the_bound_its_step():
    """The divergence outweighs all else, and nothing learns: its weight is seen in the loss."""
    model = of_normals()
    losses = []
    fit(
        model,
        X,
        objective=named_objective("elbo", {"beta": 1e4, "warmup_steps": 4}),
        settings=settings(steps=6, batch_size=4, learning_rate=0.0, steps_per_dispatch=1),
        callbacks=[lambda row: losses.append(row["loss"])],
        progress=False,
    )
    divergence = 1e4 * closed_divergence(model).sum(-1).mean()
    np.testing.assert_allclose(np.array(losses) / divergence, [0.25, 0.5, 0.75, 1, 1, 1], rtol=0.01)


def mixture():
    return of_normals(posterior=GaussianMixture(2))


def flow_on_a_mixture():
    head = factorized(3, 2, GaussianMixture(2))
    return VAE(StandardNormal((2,)), factorized(2, 3, Bernoulli()), Flow(ActNorm((2,)), head))


def mixture_further_down():
    inner = VAE(
        StandardNormal((1,)), factorized(1, 2, Normal()), factorized(2, 1, GaussianMixture(2))
    )
    return of_normals(outer=inner)


@pytest.mark.parametrize("name", ["elbo", "importance_weighted", "negative_log_likelihood"])
@pytest.mark.parametrize(
    ("make", "part"),
    [
        (of_bits, "Factorized"),
        (mixture, "GaussianMixture"),
        (flow_on_a_mixture, "GaussianMixture"),
        (mixture_further_down, "GaussianMixture"),
    ],
)
def test_draws_without_a_gradient_are_refused(name, make, part):
    objective, options = OBJECTIVES[name]
    said = f"{name}: draws of the posterior of VAE have no gradient in all parameters of its {part}"
    with pytest.raises(ValueError, match=said + ".*train the model by wake_sleep or reweighted"):
        objective(make(), Batch(X), KEY, **options)


@pytest.mark.parametrize("name", ["wake_sleep", "reweighted_wake_sleep"])
@pytest.mark.parametrize("make", [of_bits, mixture])
def test_sleep_needs_no_gradient_of_draws(name, make):
    objective, options = OBJECTIVES[name]
    grads = jax.jit(jax.grad(lambda m: objective(m, Batch(X), KEY, **options)))(make())
    for path_, each in by_path(grads).items():
        assert np.all(np.isfinite(each))
        assert np.any(each), path_


def test_training_by_the_wrong_objective_is_refused_before_it_starts():
    with pytest.raises(ValueError, match="train the model by wake_sleep"):
        fit(of_bits(), X, settings=settings(batch_size=4), progress=False)


@pytest.mark.parametrize(
    ("objective", "options", "said"),
    [
        (elbo, {"beta": -1.0}, "elbo: expected beta >= 0, got -1.0"),
        (elbo, {"beta": float("nan")}, "elbo: expected a finite number for beta, got nan"),
        (elbo, {"warmup_steps": -1}, "elbo: expected warmup_steps >= 0, got -1"),
        (elbo, {"free_bits": -0.1}, "elbo: expected free_bits >= 0, got -0.1"),
        (
            importance_weighted,
            {"num_samples": 0},
            r"an integer from 1 to 2\*\*24 for num_samples, got 0",
        ),
        (
            importance_weighted,
            {"num_samples": 2, "gradient": "drag"},
            "unknown gradient 'drag': did you mean 'dreg'",
        ),
        (
            reweighted_wake_sleep,
            {"num_samples": 0},
            r"an integer from 1 to 2\*\*24 for num_samples, got 0",
        ),
    ],
)
def test_wrong_arguments(objective, options, said):
    with pytest.raises(ValueError, match=said):
        objective(of_normals(), Batch(X), KEY, **options)


@pytest.mark.parametrize("name", [name for name in OBJECTIVES if name != "negative_log_likelihood"])
@pytest.mark.parametrize(
    ("part", "value"), [("observed", np.ones((4, 3), bool)), ("lengths", np.full(4, 3))]
)
def test_parts_of_examples_are_refused(name, part, value):
    objective, options = OBJECTIVES[name]
    said = f"{name}: expected whole examples, got {part}; negative_log_likelihood is for"
    with pytest.raises(ValueError, match=said):
        objective(of_normals(), Batch(X, **{part: value}), KEY, **options)


def between():
    """Three numbers between 0 and 1."""
    decoder = Flow(Logit(alpha=0.0), factorized(2, 3, Normal()))
    return perturb(VAE(StandardNormal((2,)), decoder, factorized(3, 2, Normal())), KEY, 0.7)


IMPOSSIBLE = {
    "levels": (of_normals, np.array([0, 1, 2])),
    "numbers": (between, np.array([0.5, 0.2, 1.5], np.float32)),
}
OF_MANY = {
    "iwae": (importance_weighted, {"num_samples": 3}),
    "dreg": (importance_weighted, {"num_samples": 3, "gradient": "dreg"}),
    "reweighted": (reweighted_wake_sleep, {"num_samples": 3}),
}


@pytest.mark.parametrize("name", OF_MANY)
@pytest.mark.parametrize("kind", IMPOSSIBLE)
def test_nothing_is_learnt_of_what_is_impossible(name, kind):
    (objective, options), (make, bad) = OF_MANY[name], IMPOSSIBLE[kind]
    good = np.clip(bad, 0, 1).astype(bad.dtype) if kind == "levels" else 0.5 * bad
    slope = jax.jit(jax.grad(lambda m, x: objective(m, Batch(x), KEY, **options)))
    for each in by_path(slope(make(), np.stack([bad, bad]))).values():
        np.testing.assert_array_equal(each, 0.0)
    for path_, each in by_path(slope(make(), np.stack([bad, good]))).items():
        assert np.all(np.isfinite(each)), path_
        assert np.any(each), path_


class Lottery(Model):
    """Half of its weights are 0, the others of a density with a parameter."""

    exactness = "lower_bound"

    def __init__(self):
        self.event_shape = (3,)
        self.scale = nnx.Param(jnp.ones(()))

    def log_weight(self, x, key, context=None, *, dropout_key=None, draw=direct):
        possible = jax.random.bernoulli(key, shape=x.shape[:-1])
        return jnp.where(possible, -self.scale[...] * jnp.sum(x * x, axis=-1), -jnp.inf)


@pytest.mark.parametrize("name", OF_MANY)
def test_weights_of_nothing_count_nothing_beside_others(name):
    objective, options = OF_MANY[name]
    x = np.ones((4, 3), np.float32)
    value, slope = jax.jit(
        jax.value_and_grad(lambda m: objective(m, Batch(x), KEY, **options | {"num_samples": 16}))
    )(Lottery())
    assert np.isfinite(value)
    np.testing.assert_allclose(slope.scale[...], 3.0, rtol=1e-5)


def test_a_model_without_a_posterior_has_no_terms():
    with pytest.raises(TypeError, match=r"elbo: expected a model with latents.*got a StandardN"):
        elbo(StandardNormal((3,)), Batch(np.zeros((4, 3), np.float32)), KEY)


def test_an_exact_model_is_trained_by_its_likelihood():
    """Its weight is exact, so many are no better than one."""
    x = np.random.default_rng(0).normal(size=(4, 2)).astype(np.float32)
    flow = perturb(Flow(ActNorm((2,))), KEY)
    expected = negative_log_likelihood(flow, Batch(x), KEY)
    got = importance_weighted(flow, Batch(x), KEY, num_samples=3)
    np.testing.assert_allclose(got, expected, rtol=1e-6)
