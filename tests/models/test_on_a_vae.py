"""What stands on a VAE: flows, integers and cylinders, whose dreams, bounds and latents are its."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jaxgen.bijectors import Chain, Logit, MaskedAutoregressive, Standardize
from jaxgen.conditionals import MADE
from jaxgen.likelihoods import Bernoulli, Normal
from jaxgen.models import (
    VAE,
    Cylinder,
    Dequantized,
    Factorized,
    Flow,
    Logistic,
    Mixture,
    Model,
    StandardNormal,
    VonMises,
)
from jaxgen.networks import MLP
from jaxgen.testing import perturb
from jaxgen.training import Batch
from jaxgen.training.objectives import wake_sleep

KEY = jax.random.key(0)


def factorized(inputs, outputs, likelihood):
    network = MLP(inputs, outputs * likelihood.num_params(()), hidden=(), rngs=nnx.Rngs(0))
    return Factorized(network, likelihood, (outputs,), context_shape=(inputs,))


def by_path(grads):
    states = nnx.to_flat_state(nnx.state(grads, nnx.Param))
    return {".".join(map(str, path)): np.asarray(value[...]) for path, value in states}


# --- dreams ---


class Shown(nnx.Module):
    """A normal around the latents, which are 1 or -1, so narrow that the data show them."""

    def __init__(self, size):
        self.size = size

    def __call__(self, x):
        mean = x[..., : self.size]
        return jnp.stack([mean, jnp.full_like(mean, -12.0)], axis=-1)


def of_bits(size, context=0):
    """Numbers near 1 or -1 that show bits, of which the posterior knows less."""
    prior = Mixture((size,), Bernoulli(), 1, rngs=nnx.Rngs(0))
    decoder = Factorized(Shown(size), Normal(), (size,), context_shape=(size + context,))
    posterior = perturb(factorized(size + context, size, Bernoulli()), KEY, 1.0)
    return VAE(perturb(prior, KEY, 1.0), decoder, posterior, context_features=context or None)


def noise():
    """Inside of a cell, given its levels."""
    made = MADE((2,), 2, hidden=(5,), activation="tanh", context_features=2, rngs=nnx.Rngs(0))
    layers = Chain([MaskedAutoregressive(made), Logit(alpha=0.0)])
    return perturb(Flow(layers, Logistic((2,))), KEY)


def flow():
    """Numbers near 0.5 or 2.5."""
    return Flow(Standardize((2,), mean=1.5), of_bits(2))


def cylinder():
    """The angle stands behind the other number."""
    return Cylinder(of_bits(1), of_bits(1, context=2), [1], [(0.0, 2.0 * np.pi)])


def log_q(vae, x, *context):
    """Of the bits that these numbers show."""
    return vae.posterior.log_prob((x > 0).astype(int), jnp.concatenate([x, *context], axis=-1))


def of_cylinder(model, x):
    rest, angle = x[:, :1], x[:, 1:]
    seen = [jnp.cos(angle), jnp.sin(angle)]
    return log_q(model.angles, angle) + log_q(model.rest, rest, *seen)


def of_noise(model, x):
    middle = jnp.full(x.shape, 0.5)
    return log_q(model.flow.base, x - 1.0) + model.noise.log_prob(middle, 2.0 * x / 3.0 - 1.0)


# A model, and log q of what its dreams show.
DREAMERS = {
    "flow": (flow, lambda model, x: log_q(model.base, x - 1.5)),
    "integers": (lambda: Dequantized(flow(), 4), lambda model, x: log_q(model.flow.base, x - 1.0)),
    "integers with noise": (lambda: Dequantized(flow(), 4, noise()), of_noise),
    "cylinder": (cylinder, of_cylinder),
}


@pytest.mark.parametrize("name", DREAMERS)
def test_a_dream_comes_with_log_q_of_what_it_is_made_of(name):
    make, expected = DREAMERS[name]
    model = make()
    x, got = jax.jit(lambda m: m.dream(KEY, 200))(model)
    assert len(np.unique(np.round(2.0 * x), axis=0)) == 4  # all bits were dreamt
    np.testing.assert_allclose(got, expected(model, x), rtol=1e-4, atol=1e-4)
    assert np.ptp(got) > 0.1


@pytest.mark.parametrize("name", DREAMERS)
def test_posteriors_learn_asleep(name):
    model = DREAMERS[name][0]()
    x = model.dream(KEY, 20)[0]
    grads = by_path(jax.jit(jax.grad(wake_sleep))(model, Batch(x), KEY))
    learning = [path for path in grads if "posterior" in path or "noise" in path]
    assert len(learning) >= 2
    for path in learning:
        assert np.all(np.isfinite(grads[path]))
        assert np.any(grads[path]), path


def test_of_an_exact_cylinder_nothing_is_inferred():
    made = MADE((1,), 2, hidden=(4,), context_features=2, rngs=nnx.Rngs(0))
    model = Cylinder(VonMises((1,)), Flow(MaskedAutoregressive(made)), [0], [(-np.pi, np.pi)])
    x, nothing = model.dream(KEY, 5)
    assert x.shape == (5, 2)
    np.testing.assert_array_equal(nothing, np.zeros(5))


class Bound(Model):
    exactness = "lower_bound"

    def __init__(self):
        self.event_shape = (2,)

    def _draw(self, key, batch, context, how):
        return jnp.zeros((*batch, 2))


@pytest.mark.parametrize("make", [Bound, lambda: Flow(Standardize((2,)), Bound())])
def test_what_has_latents_and_no_dream_says_so(make):
    with pytest.raises(NotImplementedError, match="Bound defines no dream"):
        make().dream(KEY, 3)


def given():
    """Two numbers of a further context of three."""
    decoder, posterior = factorized(2 + 3, 2, Normal()), factorized(2 + 3, 2, Normal())
    vae = VAE(StandardNormal((2,)), decoder, posterior, context_features=3)
    return Flow(Standardize((2,)), vae)


@pytest.mark.parametrize("make", [given, lambda: Dequantized(given(), 4)])
def test_dreams_are_given_contexts(make):
    model, c = perturb(make(), KEY, 1.0), np.random.default_rng(0).normal(size=(4, 5, 3))
    x, got = jax.eval_shape(lambda: model.dream(KEY, 6, c))
    assert (x.shape, got.shape) == ((6, 4, 5, 2), (6, 4, 5))


# --- bounds ---


def of_normals(scale=0.5, posterior=None):
    """Two numbers of which the latents say little."""
    decoder = perturb(factorized(2, 2, Normal()), KEY, 0.1)
    posterior = perturb(factorized(2, 2, Normal()), KEY, scale)
    return VAE(StandardNormal((2,)), decoder, posterior)


def on_a_vae(levels=None, **options):
    flow = Flow(Standardize((2,), mean=2.0, scale=2.0), of_normals(**options))
    return flow if levels is None else Dequantized(flow, levels)


BOUNDS = {
    "flow": (on_a_vae, np.array([[1.2, 0.3], [3.0, 2.0]], np.float32)),
    "integers": (lambda: on_a_vae(4), np.array([[1, 0], [3, 2]])),
}


@pytest.mark.parametrize("name", BOUNDS)
def test_a_bound_is_its_terms_and_varies_less_than_a_weight(name):
    make, x = BOUNDS[name]
    model = make()
    assert model.has_posterior
    assert model.exactness == "lower_bound"

    @jax.jit
    @jax.vmap
    def draws(key):
        return model.log_weight(x, key), model.elbo(x, key), model.elbo_terms(x, key)

    weights, bounds, (fit, divergence) = draws(jax.random.split(KEY, 4000))
    assert divergence.shape == (4000, 2, 2)  # in closed form, of each latent dimension
    np.testing.assert_allclose(fit - divergence.sum(-1), bounds, rtol=1e-4, atol=1e-5)
    error = np.hypot(np.std(weights, 0), np.std(bounds, 0)) / np.sqrt(4000)
    assert np.all(np.abs(np.mean(weights, 0) - np.mean(bounds, 0)) < 5 * error)
    assert np.all(np.std(bounds, 0) < 0.6 * np.std(weights, 0))


def inside(levels=None, noise=None):
    """From 0 to 3 alone, which one of four levels is beyond."""
    flow = Flow(Logit(0.0, 3.0, alpha=0.0), of_normals())
    return flow if levels is None else Dequantized(flow, levels, noise)


def decoded():
    """By a decoder that knows numbers from 0 to 3 alone."""
    decoder = Flow(Logit(0.0, 3.0, alpha=0.0), factorized(2, 2, Normal()))
    return perturb(VAE(StandardNormal((2,)), decoder, factorized(2, 2, Normal())), KEY)


# A model, and a possible and an impossible example.
IMPOSSIBLE = {
    "vae": (decoded, np.array([[1.0, 0.5], [1.0, 4.0]], np.float32)),
    "flow": (inside, np.array([[1.0, 0.5], [1.0, 4.0]], np.float32)),
    "no level": (lambda: on_a_vae(4), np.array([[1, 0], [1, 4]])),
    "a level outside of the flow": (lambda: inside(4), np.array([[1, 0], [1, 3]])),
    "a level outside of the flow, with noise": (
        lambda: inside(4, noise()),
        np.array([[1, 0], [1, 3]]),
    ),
}
PARTS = {
    "log_weight": lambda model, x: model.log_weight(x, KEY),
    "elbo": lambda model, x: model.elbo(x, KEY),
    "fit": lambda model, x: model.elbo_terms(x, KEY)[0],
    "divergence": lambda model, x: model.elbo_terms(x, KEY)[1].sum(-1),
}


@pytest.mark.parametrize("name", IMPOSSIBLE)
def test_what_is_impossible_has_no_slope(name):
    make, x = IMPOSSIBLE[name]
    slope = jax.jacrev(lambda model, x: jnp.stack([each(model, x) for each in PARTS.values()]))
    values = jnp.stack([each(make(), jnp.asarray(x[:1])) for each in PARTS.values()])
    assert np.all(np.isfinite(values))
    for each in by_path(jax.jit(slope)(make(), x)).values():
        np.testing.assert_array_equal(each[:, 1], 0.0)
        assert np.any(each[:, 0])


# --- latents ---


def test_integers_are_inferred_with_the_noise_of_the_posterior():
    """Of one that is N(0, 1) whatever it reads: the noise of the cell alone would say nothing."""
    model, x = on_a_vae(4, scale=0.0), np.array([[1, 0], [3, 2]])
    np.testing.assert_array_equal(model.infer(x), np.zeros((2, 2)))
    keys = jax.random.split(KEY, 4000)
    drawn = np.asarray(jax.jit(jax.vmap(lambda key: model.infer(x, key=key)))(keys))
    np.testing.assert_allclose(drawn.std(0), 1.0, atol=0.06)
    np.testing.assert_allclose(drawn.mean(0), 0.0, atol=0.08)


def test_the_noise_of_a_cell_is_seen_by_the_posterior():
    model, x = on_a_vae(4), np.array([1, 0])
    given = model.flow.bijector.inverse(x + np.float32(0.5))
    mean, log_scale = model.flow.base.posterior.as_normal(given)
    np.testing.assert_allclose(model.infer(x), mean, rtol=1e-6)
    keys = jax.random.split(KEY, 4000)
    drawn = np.asarray(jax.jit(jax.vmap(lambda key: model.infer(x, key=key)))(keys))
    assert np.all(np.abs(drawn.mean(0) - mean) < 0.1 * np.exp(log_scale))
