"""Latent-variable models broken on purpose must fail the kit, and for the right reason."""

import functools

import jax
import jax.numpy as jnp
import pytest
from flax import nnx

from jaxgen.bijectors import ActNorm
from jaxgen.functional import support
from jaxgen.likelihoods import Bernoulli, Normal
from jaxgen.models import VAE, Factorized, Flow, StandardNormal
from jaxgen.models.posterior import direct, fixed
from jaxgen.networks import MLP
from jaxgen.testing import check_model

BITS = jnp.array([[0, 1, 1], [1, 0, 0], [1, 1, 1]])


def factorized(inputs, outputs, likelihood):
    size = outputs * likelihood.num_params(())
    network = MLP(inputs, size, hidden=(4,), activation="tanh", rngs=nnx.Rngs(0))
    return Factorized(network, likelihood, (outputs,), context_shape=(inputs,))


def build(kind=VAE, posterior=None):
    posterior = factorized(3, 1, Normal()) if posterior is None else posterior
    return kind(StandardNormal((1,)), factorized(1, 3, Bernoulli()), posterior)


class WrongSign(VAE):
    """Adds the divergence."""

    def elbo(self, x, key, context=None, *, dropout_key=None):
        fit, divergence = self.elbo_terms(x, key, context, dropout_key=dropout_key)
        return fit + jnp.sum(divergence, axis=-1)


class HalfDivergence(VAE):
    def elbo(self, x, key, context=None, *, dropout_key=None):
        fit, divergence = self.elbo_terms(x, key, context, dropout_key=dropout_key)
        return fit - 0.5 * jnp.sum(divergence, axis=-1)


class OverTheBatch(VAE):
    """Averages the weights of the examples, and not those of the samples."""

    def importance_log_prob(self, x, key, num_samples, context=None):
        keys = jax.random.split(key, num_samples)
        log_w = jax.vmap(lambda key: self.log_weight(x, key, context))(keys)
        mean = support.logsumexp(log_w, 1) - jnp.log(log_w.shape[1])
        return jnp.full(x.shape[:-1], jnp.mean(mean))


class Summed(VAE):
    """The sum of the weights in place of their mean."""

    def importance_log_prob(self, x, key, num_samples, context=None):
        return super().importance_log_prob(x, key, num_samples, context) + jnp.log(num_samples)


class MeanOfLogs(VAE):
    """The mean of the logarithms, and less: more weights are no better."""

    def importance_log_prob(self, x, key, num_samples, context=None):
        keys = jax.random.split(key, num_samples)
        return jnp.mean(jax.vmap(lambda key: self.log_weight(x, key, context))(keys), 0) - 1.0


class AnotherExample(VAE):
    """``log q`` is that of the latent given the example before."""

    def log_weight(self, x, key, context=None, *, dropout_key=None, draw=direct):
        def rolled(posterior, key, batch, given):
            z, log_q = draw(posterior, key, batch, given)
            if not batch:  # an example alone is the one before, too
                return z, log_q
            before = posterior.log_prob(z, jnp.roll(given, 1, axis=0))
            return z, log_q + before - posterior.log_prob(z, given)

        return super().log_weight(x, key, context, dropout_key=dropout_key, draw=rolled)


class RolledPosterior(VAE):
    """The posterior reads the example before, when it is drawn and when it is evaluated."""

    def _posterior_context(self, x, c):
        given = super()._posterior_context(x, c)
        return jnp.roll(given, 1, axis=0) if given.ndim > 1 else given


class ForgetsPosterior(VAE):
    def log_weight(self, x, key, context=None, *, dropout_key=None, draw=direct):
        def without(posterior, key, batch, given):
            z, log_q = draw(posterior, key, batch, given)
            return z, jnp.zeros_like(log_q)

        return super().log_weight(x, key, context, dropout_key=dropout_key, draw=without)


class PriorTwice(VAE):
    def log_weight(self, x, key, context=None, *, dropout_key=None, draw=direct):
        z = []

        def keep(posterior, key, batch, given):
            z.append(draw(posterior, key, batch, given))
            return z[-1]

        log_w = super().log_weight(x, key, context, dropout_key=dropout_key, draw=keep)
        return log_w + self.prior.log_prob(z[0][0])


class ForgetsPrior(VAE):
    """Of no mass: what is left of its weight has no integral."""

    def log_weight(self, x, key, context=None, *, dropout_key=None, draw=direct):
        z = []

        def keep(posterior, key, batch, given):
            z.append(draw(posterior, key, batch, given))
            return z[-1]

        log_w = super().log_weight(x, key, context, dropout_key=dropout_key, draw=keep)
        return log_w - self.prior.log_prob(z[0][0])


class NoPath(VAE):
    """Its bound has the right value, and no gradient for the posterior."""

    def elbo(self, x, key, context=None, *, dropout_key=None):
        return self.log_weight(x, key, context, dropout_key=dropout_key, draw=fixed)


class Known(VAE):
    """Says that its likelihood is known, and returns a bound."""

    def log_prob(self, x, context=None, *, key=None):
        return self.elbo(x, jax.random.key(0), context)


class NoJacobian(Flow):
    """Forgets the volume when it draws."""

    def sample_and_log_prob(self, key, num_samples, context=None, *, method="auto"):
        z, log_q = self.base.sample_and_log_prob(key, num_samples, context)
        return self.bijector.forward(z), log_q


class NoJacobianAtAll(NoJacobian):
    """Forgets it when it evaluates, too."""

    def log_prob(self, x, context=None, *, key=None):
        z, _ = self.bijector.inverse_and_log_det(x)
        return self.base.log_prob(z, context, key=key)


def flow(kind=Flow):
    return kind(ActNorm((1,)), factorized(3, 1, Normal()))


slow = functools.partial(pytest.param, marks=pytest.mark.slow)
BOUND = r"elbo is no lower bound: on average"
EXPECTED = r": on average .*, expected E_q\[log w\] = .*, integrated over the latents"
ABOVE = r"importance_log_prob: on average .*, above log p = .*, integrated over the latents"
ONE_BY_ONE = r"log_weight of a batch against examples one by one, with the same latents"


@pytest.mark.parametrize("flows", [False, slow(True)])
def test_models_to_be_broken_pass(flows):
    report = check_model(build(posterior=flow() if flows else None), BITS, eager=False)
    assert report["latents"] == "passed"


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        pytest.param(lambda: build(WrongSign), BOUND, id="wrong sign"),
        slow(lambda: build(HalfDivergence), "elbo" + EXPECTED, id="half the divergence"),
        pytest.param(lambda: build(OverTheBatch), ABOVE, id="over the batch"),
        slow(lambda: build(Summed), ABOVE, id="summed"),
        slow(lambda: build(MeanOfLogs), BOUND, id="mean of logs"),
        slow(lambda: build(AnotherExample), ONE_BY_ONE, id="log q of another example"),
        pytest.param(lambda: build(RolledPosterior), ONE_BY_ONE, id="posterior of another example"),
        pytest.param(lambda: build(ForgetsPosterior), BOUND, id="forgets log q"),
        slow(lambda: build(PriorTwice), BOUND, id="the prior twice"),
        slow(lambda: build(ForgetsPrior), "log_weight, expected the same mean", id="no prior"),
        slow(
            lambda: build(NoPath),
            r"the gradient of the parameter posterior\..* is zero everywhere",
            id="no path",
        ),
        pytest.param(
            lambda: build(Known), "'lower_bound', yet log_prob returned", id="known after all"
        ),
        pytest.param(
            lambda: build(posterior=flow(NoJacobian)),
            "VAE.log_weight" + EXPECTED,
            id="no Jacobian in draws",
        ),
        slow(
            lambda: build(posterior=flow(NoJacobianAtAll)),
            "VAE.log_weight" + EXPECTED,
            id="no Jacobian at all",
        ),
    ],
)
def test_broken_model_fails(make, reason):
    with pytest.raises(AssertionError, match=reason):
        check_model(make(), BITS, eager=False)
