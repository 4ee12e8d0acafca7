"""Images at two scales: exact, by enumeration, and drawn around the small image."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jaxgen import zoo
from jaxgen.conditionals import PixelCNNPP, RowLSTM
from jaxgen.core import ShapeError
from jaxgen.likelihoods import Bernoulli
from jaxgen.models import Autoregressive, Dequantized, Embedded, MultiScale
from jaxgen.networks import Upsampling
from jaxgen.testing import perturb, to_float64

KEY = jax.random.key(0)
OPTIONS = {"levels": 2, "width": 4, "depth": 1, "first_size": 3, "out_width": 3}


def multiscale(layer="diagonal", event_shape=(4, 4, 1), **options):
    options = {**OPTIONS, "upsampled": 2, "upsampling_blocks": 0, "layer": layer, **options}
    model = zoo.multiscale_pixelrnn(event_shape, **options, rngs=nnx.Rngs(0))
    return to_float64(perturb(model, KEY))


def images(size):
    """All binary images of so many pixels."""
    return (np.arange(2**size)[:, None] >> np.arange(size)) & 1


def test_the_probabilities_of_all_images_and_of_all_small_ones(x64):
    """They sum to one, and those that share a small image sum to the small model's probability."""
    model = multiscale(event_shape=(2, 4, 1))
    x = images(8).reshape(-1, 2, 4, 1)
    probability = np.exp(jax.jit(MultiScale.log_prob)(model, x))
    np.testing.assert_allclose(probability.sum(), 1.0, rtol=1e-11)
    small = model.subsample(x).reshape(-1, 2)
    index = small @ (1 << np.arange(2))
    found = np.bincount(index, probability)
    expected = np.exp(model.small.log_prob(images(2).reshape(-1, 1, 2, 1)))
    np.testing.assert_allclose(found, expected, rtol=1e-11)


@pytest.mark.parametrize("method", ["incremental", "naive"])
def test_a_sample_holds_its_small_image(method, x64):
    model = multiscale("row")
    x = model.sample(KEY, 20, method=method)
    small = model.small.sample(jax.random.split(KEY)[0], 20)
    np.testing.assert_array_equal(model.subsample(x), small)
    assert np.ptp(small) == np.ptp(x) == 1


def test_the_large_model_sees_the_small_image_ahead_of_its_order(x64):
    """The first pixel that is not in the small image is drawn given all that are."""
    model = multiscale("row")
    context = jax.random.normal(KEY, (2, 2, 1))

    def second(small):
        embedded = model.large.embed(small)
        return model.large.model.conditional(jnp.zeros((4, 4, 1)), embedded)[0, 1, 0]

    assert np.all(jax.grad(second)(context)[0] != 0)


@pytest.mark.slow
def test_three_scales(x64):
    """The small model is another of the kind."""
    large = multiscale("row", (4, 4, 1)).large
    small = to_float64(perturb(tiny(), KEY))
    model = MultiScale(small, large)
    x = model.sample(KEY, 6)
    assert x.shape == (6, 4, 4, 1)
    # A fresh FVSBN is four fair coins.
    coins = MultiScale(zoo.fvsbn((2, 2, 1), rngs=nnx.Rngs(0)), large)
    rest = coins.log_prob(x) - 4 * np.log(0.5)
    np.testing.assert_allclose(model.log_prob(x), small.log_prob(x[:, ::2, ::2]) + rest, rtol=1e-12)
    np.testing.assert_array_equal(model.subsample(model.subsample(x)), x[:, ::4, ::4])


def tiny():
    """Two by two pixels around one."""
    context = {"context_features": 2, "context_grid": (2, 2)}
    network = RowLSTM((2, 2), (1,), 1, width=4, depth=1, first_size=3, **context, rngs=nnx.Rngs(0))
    upsampling = Upsampling((1, 1, 1), 2, 2, width=3, num_blocks=0, rngs=nnx.Rngs(0))
    large = Embedded(Autoregressive(network, Bernoulli()), upsampling)
    return MultiScale(zoo.fvsbn((1, 1, 1), rngs=nnx.Rngs(0)), large)


def test_mistakes_are_refused():
    large, rngs = tiny().large, nnx.Rngs(0)
    small = zoo.fvsbn((1, 1, 1), rngs=rngs)
    conditional = zoo.fvsbn((1, 1, 1), context_features=2, rngs=rngs)
    flow = Dequantized(zoo.maf((1, 1, 1), layers=1, hidden=(), rngs=rngs), 2)
    with pytest.raises(TypeError, match="an exact likelihood, got lower_bound"):
        MultiScale(flow, large)
    with pytest.raises(TypeError, match=r"expected .*Embedded.*, got a Autoregressive"):
        MultiScale(small, large.model)
    with pytest.raises(ShapeError, match=r"got contexts of shape \(2,\) and \(1, 1, 1\)"):
        MultiScale(conditional, large)
    with pytest.raises(ValueError, match="the same levels, got None and 2"):
        MultiScale(zoo.made((1, 1, 1), levels=None, hidden=(), rngs=rngs), large)
    with pytest.raises(ShapeError, match=r"sides divisible by 2, got \(5, 4, 1\)"):
        zoo.multiscale_pixelrnn((5, 4, 1), rngs=rngs)
    with pytest.raises(ShapeError, match=r"expected an image .*, got \(4, 4\)"):
        zoo.pixelrnn((4, 4), rngs=rngs)
    with pytest.raises(ValueError, match="unknown layer 'rows': did you mean 'row'"):
        zoo.pixelrnn((4, 4, 1), layer="rows", rngs=rngs)


class Reader(nnx.Module):
    """Small images as vectors."""

    input_shape = (2, 2, 1)

    def __call__(self, small):
        return small.reshape(*small.shape[:-3], 4)


def test_both_models_of_two_scales_are_initialised():
    options = {"width": 4, "blocks": 1, "resolutions": 1}
    network = PixelCNNPP((4, 4), (1,), 1, context_features=4, **options, rngs=nnx.Rngs(0))
    large = Embedded(Autoregressive(network, Bernoulli()), Reader())
    network = PixelCNNPP((2, 2), (1,), 1, **options, rngs=nnx.Rngs(1))
    small = Autoregressive(network, Bernoulli())
    x = jax.random.bernoulli(KEY, 0.3, (8, 4, 4, 1)).astype(jnp.int32)
    found = jax.jit(MultiScale.initialize)(MultiScale(small, large), x, KEY)
    images = x[:, ::2, ::2]
    expected = (
        jax.jit(Autoregressive.initialize)(small, images, KEY),
        jax.jit(Embedded.initialize)(large, x, KEY, images.astype(jnp.float32)),
    )
    for got, want, fresh in zip((found.small, found.large), expected, (small, large), strict=True):
        leaves = [jax.tree.leaves(each) for each in (got, want, fresh)]
        for a, b in zip(*leaves[:2], strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
        assert any(not np.allclose(a, b) for a, b in zip(leaves[0], leaves[2], strict=True))
