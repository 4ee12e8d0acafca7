"""Models with latents get their bits back: a code is as long as the bound says."""

import jax
import numpy as np
import pytest
import registry
from flax import nnx

from jaxgen import data, zoo
from jaxgen.compression import decode, encode, measure
from jaxgen.compression.choice import coder_of
from jaxgen.compression.coding import pushed
from jaxgen.compression.latents import Grid
from jaxgen.compression.stack import Stack
from jaxgen.models import StandardNormal
from jaxgen.testing import perturb
from jaxgen.training import TrainSettings, fit

KEY = jax.random.key(0)

# Real latents, given contexts, under an autoregressive decoder, in two layers; and bits.
KINDS = ("vae context", "pixelvae", "iwae", "vae of bits")


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_of_latents(name):
    example = registry.MODELS[name]
    model = perturb(example.make(nnx.Rngs(0)), KEY)
    x, context = example.data(model.levels), example.context(model)
    coded = encode(model, x, context)
    np.testing.assert_array_equal(decode(model, coded, context), x)


def test_the_size_is_the_bound():
    """Of a trained model, whose posterior knows much, on data that it has not seen."""
    train, test = (data.load("digits", split).x for split in ("train", "test"))
    model = zoo.vae((8, 8, 1), levels=17, latents=8, hidden=(50,), rngs=nnx.Rngs(0))
    settings = TrainSettings(steps=200, batch_size=100, learning_rate=3e-3)
    model = fit(model, train, None, settings, objective="elbo", progress=False).model
    found = measure(model, np.concatenate([test] * 3))
    assert abs(found.excess_bits) <= 0.02 * found.stated_bits
    # They are paid once, not with each of the batches: 24 bits for each latent, and the state.
    assert 8 * 24 + 64 < found.initial_bits <= 8 * 24 + 64 + 32
    # A posterior that told nothing would cost as much as the prior; it must be worth its bits.
    z_bits = 8 * np.log2(1.0 / 2.0**-8)
    assert found.stated_bits / len(test) / 3 < 64 * np.log2(17) - z_bits


def test_latents_on_the_grid_cost_their_mass():
    model = StandardNormal((50,))
    grid, stack = Grid(model), Stack()
    z = np.round(np.asarray(model.sample(KEY, 40)) * 256) / 256
    grid.push(stack, z.astype(np.float32), None, 40)
    mass = float(-model.log_prob(z).sum() / np.log(2.0)) + z.size * 8  # steps of 2^-8
    assert abs(stack.bits - mass) <= 1e-3 * mass + 32
    np.testing.assert_array_equal(grid.pop(stack, 40, None, 40), z)
    assert stack.is_empty


def test_latents_far_from_any_other_cost_much_and_lose_nothing():
    """Posteriors beyond the grid, narrower than a step, or wider than all of it."""
    model = perturb(registry.MODELS["vae context"].make(nnx.Rngs(0)), KEY, 30.0)
    x = np.random.default_rng(0).integers(0, 2, (20, 3))
    context = 100.0 * np.random.default_rng(1).normal(size=(20, 2))
    np.testing.assert_array_equal(decode(model, encode(model, x, context), context), x)


def test_more_bits_are_taken_to_begin_with_where_there_are_too_few():
    model = zoo.vae((2,), levels=2, latents=6, hidden=(4,), rngs=nnx.Rngs(0))
    x, coder = np.zeros((30, 2), np.uint8), coder_of(model, None)
    sizes = [pushed(coder, x, None, words)[1] for words in (0, 1, 3, 8)]
    assert sizes == [8 * 32, 8 * 32, 12 * 32, 8 * 32]
    assert all(size > 6 * 24 + 64 for size in sizes)  # what an event may take, and the state


REFUSED = {
    "vae, flows as prior and posterior": "normals with independent entries",
    "vampprior": "normals with independent entries",
    "vqvae": "can be coded",
    "vdvae": "can be coded",
    "mixture of bernoullis": "can be coded",
    "dequantized": "can be coded",
}


@pytest.mark.parametrize("name", REFUSED)
def test_models_that_cannot_be_coded_say_which_can(name):
    example = registry.MODELS[name]
    model = example.make(nnx.Rngs(0))
    with pytest.raises(TypeError, match=REFUSED[name]) as error:
        coder_of(model, None)
    assert "\n" not in str(error.value)
