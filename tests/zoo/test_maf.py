"""MAF, its mirror image IAF, and MAF on a base of mixtures; MADE for real values."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jaxgen import zoo
from jaxgen.bijectors import ActNorm, BatchNorm, Flip
from jaxgen.likelihoods import GaussianMixture
from jaxgen.models import Autoregressive
from jaxgen.testing import perturb
from jaxgen.training import TrainSettings, fit

KEY = jax.random.key(0)
X = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
TINY = {"layers": 1, "hidden": (6,)}


def build(constructor, **options):
    return perturb(constructor((3,), **TINY, rngs=nnx.Rngs(0), **options), KEY)


def test_norms_between_the_layers():
    kinds = {
        norm: [type(layer) for layer in build(zoo.maf, norm=norm).bijector.layers[0].steps.layers]
        for norm in ("actnorm", "batchnorm", None)
    }
    assert kinds["actnorm"][2:] == [ActNorm]
    assert kinds["batchnorm"][2:] == [BatchNorm]
    assert kinds[None][2:] == []
    with pytest.raises(ValueError, match="unknown norm 'batch_norm': did you mean 'batchnorm'"):
        build(zoo.maf, norm="batch_norm")


def test_iaf_is_the_mirror_image_of_maf():
    maf, iaf = build(zoo.maf, norm=None), build(zoo.iaf, norm=None)
    flip = Flip()
    x, log_det = iaf.bijector.forward_and_log_det(flip.forward(jnp.asarray(X)))
    z, other = maf.bijector.inverse_and_log_det(X)
    np.testing.assert_allclose(x, flip.forward(z), rtol=1e-6)
    np.testing.assert_allclose(log_det, other, rtol=1e-6)


def test_iaf_samples_in_one_pass():
    def loops(model):
        """The lengths of the loops of a sampler: the layers' one, and the positions'."""
        jaxpr = str(jax.make_jaxpr(lambda model: model.sample(KEY, 2))(model))
        return sorted(int(part.split()[0]) for part in jaxpr.split(" length=")[1:])

    deep = {"layers": 2, "hidden": (6,), "rngs": nnx.Rngs(0)}
    assert loops(zoo.iaf((3,), **deep)) == [2]
    assert loops(zoo.maf((3,), **deep)) == [2, 3]


def test_maf_mog_is_the_flow_on_its_base():
    flow = build(zoo.maf_mog, components=4)
    assert isinstance(flow.base, Autoregressive)
    assert flow.base.likelihood.components == 4
    z, log_det = flow.bijector.inverse_and_log_det(X)
    np.testing.assert_allclose(flow.log_prob(X), flow.base.log_prob(z) + log_det, rtol=1e-6)


@pytest.mark.slow
def test_a_mixture_learns_two_modes_that_a_normal_cannot():
    rng = np.random.default_rng(0)
    x = (rng.normal(size=(256, 1)) * 0.2 + rng.choice([-1.5, 1.5], (256, 1))).astype(np.float32)
    settings = TrainSettings(steps=150, batch_size=64, learning_rate=0.05, ema_decay=0.9)
    means = []
    for components in (None, 3):
        model = zoo.made((1,), levels=None, components=components, hidden=(), rngs=nnx.Rngs(0))
        trained = fit(model, x, settings=settings, progress=False).model
        means.append(float(trained.log_prob(x).mean()))
    # The entropies: of a normal of this variance 1.83 nats, of the two modes 0.5.
    assert means[0] < -1.75
    assert means[1] > -0.65


def test_made_mixture_has_the_head():
    model = zoo.made((2,), levels=None, components=3, hidden=(4,), rngs=nnx.Rngs(0))
    assert isinstance(model.likelihood, GaussianMixture)


def test_made_of_bounded_values_is_the_density_behind_a_logit():
    options = {"levels": None, "hidden": (4,)}
    free = perturb(zoo.made((2,), rngs=nnx.Rngs(0), **options), KEY)
    bounded = perturb(zoo.made((2,), bounds=(0.0, 4.0), rngs=nnx.Rngs(0), **options), KEY)
    x = np.random.default_rng(0).uniform(0.1, 3.9, (5, 2))
    unit = 1e-6 + (1 - 2e-6) * x / 4
    slope = (1 - 2e-6) / 4 / (unit * (1 - unit))
    expected = free.log_prob(np.log(unit / (1 - unit))) + np.log(slope).sum(-1)
    np.testing.assert_allclose(bounded.log_prob(x), expected, rtol=1e-5)


def test_made_of_levels_refuses_bounds():
    with pytest.raises(ValueError, match="bounds is for real values, that is levels=None"):
        zoo.made((2,), levels=2, bounds=(0.0, 1.0), rngs=nnx.Rngs(0))
