"""f-VAES is a VAE at one end, and a flow at the other."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jaxgen import zoo
from jaxgen.bijectors import Chain, Scan
from jaxgen.likelihoods import Normal
from jaxgen.models import VAE, Factorized, Flow
from jaxgen.testing import perturb

KEY = jax.random.key(0)
SMALL = {"layer_hidden": (4,), "features": 3, "widths": (4,)}
GLOW = {"scales": 1, "width": 4}
X = np.random.default_rng(0).normal(size=(5, 2, 2, 1))


def rngs():
    return nnx.Rngs(0)


def bijectors(model):
    return [part for _, part in nnx.iter_modules(model) if isinstance(part, Scan)]


def parameter_shapes(model):
    return sorted(np.shape(leaf) for leaf in jax.tree.leaves(nnx.state(model, nnx.Param)))


def test_without_flows_it_is_a_vae_of_normals():
    model = zoo.fvae(
        (2, 2, 1), levels=None, latents=2, layers=None, steps=None, widths=(4,), rngs=rngs()
    )
    assert not bijectors(model)
    assert isinstance(model.posterior, Factorized)
    plain = zoo.vae((2, 2, 1), levels=None, latents=2, network="conv", widths=(4,), rngs=rngs())
    shapes = [
        sorted(np.shape(leaf) for leaf in jax.tree.leaves(nnx.state(m, nnx.Param)))
        for m in (model, plain)
    ]
    assert shapes[0] == shapes[1]
    # The same numbers, where the parameters are the same.
    model = perturb(model, KEY)
    by_hand = VAE(model.prior, model.decoder.base, model.posterior)
    np.testing.assert_allclose(model.elbo(X, KEY), by_hand.elbo(X, KEY), rtol=1e-5)


@pytest.mark.parametrize("layers", [None, 2])
def test_where_latents_tell_nothing_every_weight_is_the_density_of_the_flow(layers, x64):
    own = {"widths": (4,)} if layers is None else SMALL
    model = zoo.fvae(
        (2, 2, 1), levels=None, latents=2, layers=layers, steps=2, **own, **GLOW, rngs=rngs()
    )
    log_p = model.decoder.log_prob(X, jnp.zeros(2))
    for seed in range(3):
        np.testing.assert_allclose(model.log_weight(X, jax.random.key(seed)), log_p, rtol=1e-12)
    assert np.ptp(perturb(model, KEY).log_weight(X[:1].repeat(9, 0), KEY)) > 0.1


@pytest.mark.parametrize("sigma", [0.5, 1e-3])
def test_with_latents_of_the_shape_of_the_data_it_is_a_flow_but_for_the_noise(sigma, x64):
    flow = perturb(zoo.realnvp((2,), steps=2, rngs=rngs()), KEY)

    class Around(nnx.Module):
        """A normal around the context, of this scale."""

        def __call__(self, c):
            return jnp.stack([c, jnp.full_like(c, np.log(sigma))], axis=-1)

    def around():
        return Factorized(Around(), Normal(), (2,), context_shape=(2,))

    model = VAE(flow, around(), around())
    x = X.reshape(10, 2)
    z = model.infer(x, key=jax.random.split(KEY, 3)[0])
    np.testing.assert_allclose(np.std(z - x), sigma, rtol=0.5)
    np.testing.assert_allclose(model.log_weight(x, KEY), flow.log_prob(z), rtol=1e-9)
    if sigma < 0.01:
        np.testing.assert_allclose(model.log_weight(x, KEY), flow.log_prob(x), atol=0.1)


def test_levels_are_dequantized_inside_of_their_bounds():
    model = zoo.fvae(
        (4, 4, 1), levels=17, latents=2, layers=1, steps=1, **SMALL, **GLOW, rngs=rngs()
    )
    x = np.random.default_rng(0).integers(0, 17, (3, 4, 4, 1))
    assert model.levels == 17
    assert np.isfinite(model.elbo(x, KEY)).all()
    samples = perturb(model, KEY).sample(KEY, 20)
    assert samples.min() >= 0
    assert samples.max() <= 16
    assert model.reconstruct(x).shape == x.shape


def test_a_further_context_reaches_all_parts():
    options = {"latents": 2, "layers": 1, "steps": 1, "context_features": 3, **SMALL, **GLOW}
    model = perturb(zoo.fvae((2, 2, 1), levels=None, **options, rngs=rngs()), KEY)
    one, other = np.zeros((5, 3)), np.ones((5, 3))
    assert not np.allclose(model.elbo(X, KEY, one), model.elbo(X, KEY, other))
    assert isinstance(model.decoder, Flow)
    assert isinstance(model.decoder.bijector, Chain)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"layers": None, "layer_hidden": (9,)}, "layer_hidden means nothing without layers"),
        ({"steps": None, "scales": 7}, "scales means nothing without steps"),
        ({"levels": None, "alpha": 0.1}, "alpha means nothing for real values"),
        ({"scales": 9}, "scales: expected sides divisible by 512"),
    ],
)
def test_what_means_nothing_is_refused(options, said):
    with pytest.raises(ValueError, match=said):
        zoo.fvae((8, 8, 1), **options, rngs=rngs())


def test_levels_have_a_margin():
    arguments = {"latents": 2, "layers": 1, "steps": 1, **SMALL, **GLOW}
    x, bounds = np.zeros((1, 4, 4, 1), int), []
    for alpha in (0.05, 0.2):
        model = zoo.fvae((4, 4, 1), levels=2, alpha=alpha, **arguments, rngs=rngs())
        bounds.append(float(model.elbo(x, KEY)[0]))
    assert bounds[0] != bounds[1]
