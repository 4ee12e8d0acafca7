"""Autoregressive models code any events without loss, in as many bits as they say."""

import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import registry
from flax import nnx

from jaxgen.compression import decode, encode
from jaxgen.compression.chain import Chain
from jaxgen.compression.header import SIZE
from jaxgen.compression.stack import Stack
from jaxgen.conditionals import MADE
from jaxgen.core import ShapeError
from jaxgen.likelihoods import (
    Bernoulli,
    Categorical,
    DiscretizedLogisticMixture,
    Ordinal,
)
from jaxgen.models import Autoregressive, Embedded, Frame, Model
from jaxgen.models.coding import Steps
from jaxgen.models.scoring import score
from jaxgen.networks import Embedding
from jaxgen.testing import perturb, to_float64

KEY = jax.random.key(0)


def made(shape=(6,), likelihood=None, seed=0, scale=0.5, position=(), **options):
    """A perturbed MADE under a head."""
    likelihood = likelihood or Bernoulli()
    parts = (shape, likelihood.num_params(position))
    rngs = nnx.Rngs(seed)
    network = MADE(*parts, hidden=(16,), position_shape=position, rngs=rngs, **options)
    return perturb(Autoregressive(network, likelihood), jax.random.key(seed), scale)


def payload(model, x, context=None):
    """Encodes and decodes; returns the size in bits without the header."""
    data = encode(model, x, context)
    back = decode(model, data, context)
    np.testing.assert_array_equal(back, x)
    assert (back.dtype, type(back)) == (x.dtype, np.ndarray)
    return 8 * (len(data) - SIZE)


def stated(model, x, context=None):
    """``-log2 p(x)`` of all events together, by the parallel pass."""
    return float(-score(model, x, context).sum() / np.log(2.0))


def assert_as_stated(model, x, context=None):
    """At most 0.1 % and 8 bytes more than the model says, and never less."""
    bits, expected = payload(model, x, context), stated(model, x, context)
    assert 0.999 * expected <= bits <= 1.001 * expected + 64


KINDS = (
    "nade",
    "attention binary",
    "lmconv of channels",
    "factorized pixels",
    "recurrent of frames of levels, context",
    "wavenet of logistics, global context",
)


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_of_network_and_head(name):
    example = registry.MODELS[name]
    model = perturb(example.make(nnx.Rngs(0)), KEY)
    x, context = example.data(model.levels), example.context(model)
    assert_as_stated(model, x, context)
    # Without the end of the stack, which few events hide behind.
    stack, given = Counting(), None if context is None else jnp.asarray(context)
    Chain(model, given).push(stack, x, given, len(x))
    np.testing.assert_allclose(stack.total, stated(model, x, context), rtol=1e-4)


class Counting(Stack):
    """Counts the bits of what is put on it, with their fractions."""

    total = 0.0

    def push(self, begin, length):
        self.total += np.sum(24.0 - np.log2(length))


def test_in_double_precision(x64):
    example = registry.MODELS["pixelcnnpp of channels"]
    model = to_float64(perturb(example.make(nnx.Rngs(0)), KEY))
    assert_as_stated(model, example.data(model.levels))


HEADS = {
    "bits": (Bernoulli(), ()),
    "names": (Categorical(256, "one_hot"), ()),
    "ordinal": (Ordinal(9), ()),
    "colours": (DiscretizedLogisticMixture(256, components=3), (3,)),
}


@pytest.mark.parametrize("name", HEADS)
def test_the_size_of_many_draws_is_what_the_model_says(name):
    likelihood, position = HEADS[name]
    reads = likelihood.input_shape(position)
    network = MADE(
        (8,),
        likelihood.num_params(position),
        hidden=(16,),
        position_shape=reads,
        rngs=nnx.Rngs(0),
    )
    model = perturb(Autoregressive(network, likelihood), KEY, 1.0)
    x = np.asarray(model.sample(KEY, 400)).astype(np.uint8)
    assert stated(model, x) > 1500
    assert_as_stated(model, x)


def test_entries_follow_each_other_as_the_head_has_it():
    """What a position's entries are coded by adds up to what it is scored by."""
    inside = MADE((3,), 4, hidden=(8,), context_features=2, rngs=nnx.Rngs(0))
    heads = [
        (DiscretizedLogisticMixture(7, components=3), (3,)),
        (Categorical(4), (3,)),
        (Frame(perturb(inside, KEY, 1.0), Categorical(4)), (3,)),
    ]
    for head, position in heads:
        levels = int(head.levels)
        value = np.random.default_rng(0).integers(0, levels, (5, *position))
        params = jax.random.normal(KEY, (5, head.num_params(position)))
        total, known = 0.0, np.zeros_like(value)
        for entry in head.entry_order(position):
            each = head.entry_log_probs(int(entry), jnp.asarray(known), params)
            assert each.shape == (5, levels)
            np.testing.assert_allclose(jnp.exp(each).sum(-1), 1.0, rtol=1e-5)
            total = total + np.asarray(each)[np.arange(5), value[:, entry]]
            known[:, entry] = value[:, entry]
        np.testing.assert_allclose(total, head.log_prob(jnp.asarray(value), params), rtol=1e-4)


@pytest.mark.parametrize("number", [0, 1, 2, 300])
def test_any_number_of_events(number):
    """None, one, and more than go into a batch, which the last does not fill."""
    model = made(likelihood=Categorical(5))
    x = np.random.default_rng(number).integers(0, 5, (number, 6), np.int16)
    data = encode(model, x)
    back = decode(model, data)
    np.testing.assert_array_equal(back, x)
    assert back.dtype == np.int16
    assert (len(data) == SIZE) == (number == 0)


@pytest.mark.parametrize("scale", [0.0, 30.0])
def test_extreme_levels_and_probabilities(scale):
    """Also what the model takes for impossible, at the price of 24 bits a level."""
    model = made((6,), DiscretizedLogisticMixture(256, components=2), scale=scale)
    rng = np.random.default_rng(0)
    x = np.concatenate([np.zeros((2, 6)), np.full((2, 6), 255), rng.integers(0, 256, (3, 6))])
    bits = payload(model, x.astype(np.uint8))
    assert 64 < bits <= 24 * x.size + 64


def test_what_is_certain_costs_next_to_nothing():
    model = made((50,))
    bias = jnp.full_like(model.border.start[...], -60.0)
    model.border.start[...] = bias  # of this test's own model
    certain, surprise = np.zeros((400, 50), np.uint8), np.zeros((400, 50), np.uint8)
    surprise[17, 33] = 1
    assert payload(model, certain) <= 64
    assert 24 <= payload(model, surprise) <= 24 + 64


def test_contexts_reach_a_model_that_is_embedded():
    labels = Embedding(3, 4, rngs=nnx.Rngs(1))
    model = Embedded(made(context_features=4, scale=1.0), perturb(labels, KEY, 3.0))
    y = np.arange(300) % 3
    x = np.asarray(model.sample(KEY, 1, y))[0].astype(np.uint8)
    assert_as_stated(model, x, y)
    assert payload(model, x, y) != payload(model, x, (y + 1) % 3)
    with pytest.raises(ShapeError, match="context"):
        encode(model, x)


class Mine(Model):
    """A user's own: an autoregressive network that is used in a way of its own."""

    def __init__(self, network):
        self.network = network
        self.event_shape = self.grid_shape = network.event_shape
        self.levels = 2

    def log_prob(self, x, context=None, *, key=None):
        x, _ = self._events(x, context, "log_prob")
        each = Bernoulli().log_prob(x, 2.0 * self.network(x.astype(float)))
        return jnp.sum(each, tuple(range(-len(self.event_shape), 0)))

    def steps(self, context=None):
        return Steps(self.network, Doubled(), None)


class Doubled(Bernoulli):
    """Of twice the logit."""

    def log_prob(self, value, params):
        return super().log_prob(value, 2.0 * params)


def test_a_model_of_ones_own():
    network = perturb(MADE((7,), 1, hidden=(8,), rngs=nnx.Rngs(0)), KEY, 1.0)
    x = np.random.default_rng(0).integers(0, 2, (100, 7))
    assert_as_stated(Mine(network), x)


PROCESS = """
import sys
import numpy as np
from flax import nnx
import jax
from jaxgen import zoo
from jaxgen.compression import decode, encode
from jaxgen.testing import perturb

model = zoo.made((12,), levels=16, hidden=(64, 64), rngs=nnx.Rngs(0))
model = perturb(model, jax.random.key(0), 1.0)
x = np.random.default_rng(0).integers(0, 16, (500, 12), np.uint8)
if sys.argv[1] == "encode":
    open(sys.argv[2], "wb").write(encode(model, x))
else:
    assert (decode(model, open(sys.argv[2], "rb").read()) == x).all()
"""


def test_another_process_decodes(tmp_path):
    for what in ("encode", "decode"):
        command = [sys.executable, "-c", PROCESS, what, str(tmp_path / "x")]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
