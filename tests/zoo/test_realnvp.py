"""RealNVP's partitions of vectors."""

import jax
import numpy as np
import pytest
from flax import nnx

from jaxgen import zoo


def steps(split, size=6):
    flow = zoo.realnvp((size,), steps=3, hidden=(4,), split=split, rngs=nnx.Rngs(0))
    stacked = flow.bijector.layers[0].steps
    return [jax.tree.map(lambda leaf, i=i: leaf[i], stacked) for i in range(3)]


def kept(coupling, size=6):
    part, _ = coupling.split.split(np.arange(float(size)))
    return set(np.asarray(part, int).tolist())


def test_random_pairs_exchange_their_halves_and_every_step_has_its_own():
    halves = [(kept(step.layers[0]), kept(step.layers[2])) for step in steps("random")]
    for first, second in halves:
        assert first | second == set(range(6))
        assert not first & second
    assert len({frozenset(first) for first, _ in halves}) > 1


def test_alternating_pairs_exchange_even_and_odd():
    for step in steps("alternating"):
        assert kept(step.layers[0]) == {0, 2, 4}
        assert kept(step.layers[2]) == {1, 3, 5}


def test_the_default_is_halves():
    for step in steps("half"):
        assert (kept(step.layers[0]), kept(step.layers[2])) == ({0, 1, 2}, {3, 4, 5})


def test_splits_that_are_refused():
    with pytest.raises(ValueError, match="unknown split 'alternate': did you mean 'alternating'"):
        zoo.realnvp((4,), split="alternate", rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match=r"split='half' for an image.* got 'random'"):
        zoo.realnvp((4, 4, 1), split="random", rngs=nnx.Rngs(0))
