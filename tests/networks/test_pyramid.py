"""Convolutional pyramids: shapes, where pixels go, and what they start from."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jaxgen import ShapeError
from jaxgen.networks import ConvDecoder, ConvEncoder
from jaxgen.testing import perturb

KEY = jax.random.key(0)
X = np.random.default_rng(0).normal(size=(3, 8, 4, 2)).astype(np.float32)
Z = np.random.default_rng(1).normal(size=(3, 5)).astype(np.float32)


def encoder(shape=(8, 4, 2), **options):
    options = {"widths": (3, 4), "blocks": 1, **options}
    return ConvEncoder(shape, 5, **options, rngs=nnx.Rngs(0))


def decoder(shape=(8, 4, 2), **options):
    options = {"widths": (3, 4), "blocks": 1, **options}
    return ConvDecoder(5, shape, **options, rngs=nnx.Rngs(0))


def noisy(network):
    return perturb(network, KEY)


def shapes(network):
    """Of the kernels, by their paths."""
    states = nnx.to_flat_state(nnx.state(network, nnx.Param))
    found = {".".join(map(str, path)): value.shape for path, value in states}
    return {path: shape for path, shape in found.items() if path.endswith("kernel")}


@pytest.mark.parametrize("batch", [(), (0,), (2, 3)])
def test_any_batch(batch):
    x, z = np.zeros((*batch, 8, 4, 2), np.float32), np.zeros((*batch, 5), np.float32)
    assert jax.eval_shape(encoder(), x).shape == (*batch, 5)
    assert jax.eval_shape(decoder(), z).shape == (*batch, 8, 4, 2)


@pytest.mark.parametrize(
    ("shape", "widths", "smallest"),
    [((2, 2, 1), (3,), (1, 1)), ((12, 20, 1), (3, 4), (3, 5)), ((8, 16, 3), (3, 4, 5), (1, 2))],
)
def test_each_width_halves_the_image(shape, widths, smallest):
    enc, dec = encoder(shape, widths=widths), decoder(shape, widths=widths)
    assert enc.input_shape == shape
    assert dec.output_shape == shape
    assert dec.input_shape == (5,)
    assert shapes(enc)["last.kernel"] == (np.prod(smallest) * widths[-1], 5)
    assert shapes(dec)["first.kernel"] == (5, np.prod(smallest) * widths[-1])
    assert dec.small_shape == (*smallest, widths[-1])
    assert jax.eval_shape(dec, np.zeros(5, np.float32)).shape == shape
    assert jax.eval_shape(enc, np.zeros(shape, np.float32)).shape == (5,)


def test_widths_stand_from_the_image_inwards_and_back():
    assert shapes(encoder(widths=(3, 7)))["convolutions.1.kernel"] == (3, 3, 4 * 3, 7)
    assert shapes(encoder(widths=(3, 7)))["stages.1.0.first.kernel"] == (3, 3, 7, 7)
    back = shapes(decoder(widths=(3, 7)))
    assert back["stages.0.0.first.kernel"] == (3, 3, 7, 7)
    assert back["convolutions.0.kernel"] == (3, 3, 7, 4 * 3)
    assert back["last.kernel"] == (3, 3, 3, 4 * 2)
    assert len([path for path in shapes(encoder(blocks=3)) if "first" in path]) == 6
    assert not [path for path in shapes(encoder(blocks=0)) if "stages" in path]


def test_both_start_at_zero():
    np.testing.assert_array_equal(encoder()(X), np.zeros((3, 5)))
    np.testing.assert_array_equal(decoder()(Z), np.zeros((3, 8, 4, 2)))


def test_every_pixel_is_read_and_written():
    """No pixel is left out, and where they are written depends on the latent everywhere."""
    enc, dec = noisy(encoder()), noisy(decoder())
    slope = jax.jit(jax.grad(lambda x: jnp.sum(jnp.sin(enc(x)))))(jnp.asarray(X))
    assert np.all(slope)
    both = jax.jit(jax.jacobian(lambda z: dec(z)))(jnp.asarray(Z[0]))
    assert np.all(both)


def test_a_block_of_a_small_image_is_a_block_of_the_large_one():
    """Without residual blocks, a small pixel reaches its own block and what is next to it."""
    network = noisy(ConvDecoder(5, (16, 16, 1), widths=(3,), blocks=0, rngs=nnx.Rngs(0)))
    small = jax.random.normal(KEY, (8, 8, 3))

    @jax.jit
    def image(small):
        first = nnx.Linear(5, 192, rngs=nnx.Rngs(0))
        first.kernel[...] = jnp.zeros((5, 192))
        first.bias[...] = small.reshape(-1)
        changed = nnx.clone(network)
        changed.first = first
        return changed(jnp.zeros(5))

    changed = np.any(image(small.at[3, 2].add(1.0)) != image(small), axis=-1)
    rows, columns = np.arange(16)[:, None], np.arange(16)
    # A convolution of 3 x 3 reaches one small pixel, of 2 x 2, further.
    expected = (rows >= 4) & (rows < 10) & (columns >= 2) & (columns < 8)
    np.testing.assert_array_equal(changed, expected)


@pytest.mark.parametrize("blocks", [0, 2])
@pytest.mark.parametrize(("make", "value"), [(encoder, X), (decoder, Z)])
def test_gradients_reach_every_parameter(make, value, blocks):
    loss = lambda network: jnp.sum(jnp.sin(network(value)))  # noqa: E731
    grads = jax.jit(jax.grad(loss))(noisy(make(blocks=blocks)))
    found = nnx.to_flat_state(nnx.state(grads, nnx.Param))
    for path, each in found:
        assert np.all(np.isfinite(each[...]))
        assert np.any(each[...]), path


def test_residual_blocks_are_sums():
    """Their second convolution starts at zero, so that they are the identity at first."""
    block = encoder().stages[0][0]
    h = np.random.default_rng(0).normal(size=(4, 2, 3)).astype(np.float32)
    np.testing.assert_array_equal(block(h), h)
    kernel = block.second.kernel
    kernel[...] = jnp.ones_like(kernel[...])
    new = jax.nn.elu(block.first(jax.nn.elu(h)))
    np.testing.assert_allclose(block(h), h + block.second(new), rtol=1e-5)


@pytest.mark.parametrize(("make", "value"), [(encoder, X), (decoder, Z)])
def test_dropout_needs_a_key(make, value):
    network = noisy(make(dropout=0.5))
    call = jax.jit(lambda key: network(value, key=key))
    first, second = (call(jax.random.key(seed)) for seed in (0, 1))
    assert np.any(first != second)
    np.testing.assert_array_equal(first, call(jax.random.key(0)))
    np.testing.assert_allclose(
        call(None), noisy(make())(value), rtol=1e-5, atol=1e-5
    )  # evaluation has none


@pytest.mark.parametrize(("make", "name"), [(encoder, "ConvEncoder"), (decoder, "ConvDecoder")])
@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"shape": (6, 4, 1)}, ShapeError, r"halved once for each of widths=\(3, 4\), got 6 x 4"),
        ({"shape": (4, 6, 1)}, ShapeError, r"halved once for each of widths=\(3, 4\), got 4 x 6"),
        ({"widths": ()}, ShapeError, r"one width or more, got widths=\(\)"),
        ({"shape": (8, 4)}, ShapeError, r"\(8, 4\)"),
        ({"widths": (3, 0)}, ValueError, "for widths, got"),
        ({"blocks": -1}, ValueError, "for blocks, got -1"),
        ({"activation": "rely"}, ValueError, "did you mean 'relu'"),
        ({"dropout": 1.0}, ValueError, "a rate from 0 to less than 1"),
    ],
)
def test_refuses(make, name, options, error, said):
    with pytest.raises(error, match=said) as caught:
        make(**options)
    assert name in str(caught.value) or "activation" in options


def test_every_pixel_sees_a_context():
    network = noisy(encoder((4, 4, 2), widths=(3,), context_features=2))
    x, context = np.ones((5, 4, 4, 2)), np.random.default_rng(0).normal(size=(5, 2))
    assert network.context_shape == (2,)
    pixels = np.broadcast_to(context[:, None, None], (5, 4, 4, 2))
    plain = noisy(encoder((4, 4, 4), widths=(3,)))  # of the same shapes, and so weights
    both = np.concatenate([x, pixels], axis=-1)
    np.testing.assert_allclose(network(x, context), plain(both), rtol=1e-6)
    np.testing.assert_allclose(network(x, context[0])[0], network(x, context)[0], rtol=1e-5)
