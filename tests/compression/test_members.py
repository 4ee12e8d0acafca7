"""Ensembles are coded as long as the mean of their members says, whichever codes an event."""

import jax
import numpy as np
import pytest
import registry
from flax import nnx

from jaxgen import zoo
from jaxgen.compression import decode, encode, measure
from jaxgen.compression.members import Members
from jaxgen.compression.stack import Stack
from jaxgen.models import Embedded
from jaxgen.networks import Embedding
from jaxgen.testing import perturb

KEY = jax.random.key(0)

# Networks of all orders, with masks and contexts of their own.
KINDS = ("eonade", "made ensemble of masks", "ensemble context")


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_of_ensemble(name):
    example = registry.MODELS[name]
    model = perturb(example.make(nnx.Rngs(0)), KEY)
    x, context = example.data(model.levels), example.context(model)
    np.testing.assert_array_equal(decode(model, encode(model, x, context), context), x)


def test_the_size_is_that_of_the_mean_of_members():
    """Members that differ much: the size is not that of any of them, nor of the best and its
    number."""
    made = zoo.made((12,), levels=4, hidden=(16,), num_orders=8, rngs=nnx.Rngs(0))
    model = perturb(made, KEY, 2.0)
    x = np.asarray(model.sample(KEY, 1000)).astype(np.uint8)
    found = measure(model, x)
    # Beside the end of the stack, 8 bits say how many events are in a batch; there are ten.
    assert abs(found.excess_bits) <= 1e-3 * found.stated_bits + 64 + 10 * 8
    each = -np.asarray(model.member_log_probs(x)) / np.log(2.0)
    best = each.min(axis=0).sum() + 3 * len(x)
    assert best > 1.01 * found.stated_bits


def test_bits_that_chose_the_members_come_back():
    made = zoo.made((6,), levels=4, hidden=(8,), num_orders=3, rngs=nnx.Rngs(0))
    coder, stack = Members(perturb(made, KEY, 1.0)), Stack(np.arange(1, 20, dtype=np.uint32))
    x, words = np.random.default_rng(0).integers(0, 4, (20, 6)), stack.words()
    coder.push(stack, x, None, 13)
    back = coder.pop(stack, 20, None, 13)
    np.testing.assert_array_equal(back[:13], x[:13])
    assert not back[13:].any()
    np.testing.assert_array_equal(stack.words(), words)


def test_contexts_reach_the_members():
    made = zoo.made((4,), hidden=(8,), num_orders=2, context_features=3, rngs=nnx.Rngs(0))
    model = Embedded(made, Embedding(5, 3, rngs=nnx.Rngs(1)))
    model, y = perturb(model, KEY, 1.0), np.arange(40) % 5
    x = np.asarray(model.sample(KEY, 1, y))[0]
    np.testing.assert_array_equal(decode(model, encode(model, x, y), y), x)
