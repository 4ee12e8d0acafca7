"""What a coupling keeps, and bijectors of events of another shape."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jaxgen.bijectors import (
    ActNorm,
    Alternating,
    Chain,
    Coupling,
    Flip,
    Permutation,
    Random,
    Reshape,
)
from jaxgen.core import ShapeError
from jaxgen.functional import rearrange
from jaxgen.networks import MLP


@pytest.mark.parametrize("size", [2, 3, 6, 7])
@pytest.mark.parametrize("swap", [False, True])
def test_splits_part_and_merge(size, swap):
    x = jnp.arange(2.0 * size).reshape(2, size)
    for split in (Alternating(swap), Random(size, swap, rngs=nnx.Rngs(0))):
        kept, changing = split.split(x)
        assert (kept.shape[-1], changing.shape[-1]) == split.widths((size,))
        assert kept.shape[-1] + changing.shape[-1] == size
        np.testing.assert_array_equal(split.merge(kept, changing), x)


def test_alternating_keeps_even_places():
    kept, changing = Alternating().split(jnp.arange(5))
    assert (kept.tolist(), changing.tolist()) == ([0, 2, 4], [1, 3])
    swapped, _ = Alternating(swap=True).split(jnp.arange(5))
    assert swapped.tolist() == [1, 3]
    assert rearrange.merge_alternating(kept, changing).tolist() == [0, 1, 2, 3, 4]


def test_random_with_the_same_permutation_exchanges_the_parts():
    permutation = jax.random.permutation(jax.random.key(0), 5)
    parts = [Random(5, swap, permutation).split(jnp.arange(5.0))[0] for swap in (False, True)]
    assert sorted(np.concatenate(parts).tolist()) == [0, 1, 2, 3, 4]


def test_random_wants_a_permutation_or_randomness():
    with pytest.raises(ValueError, match="expected a permutation or rngs"):
        Random(4)
    with pytest.raises(ValueError, match=r"expected a permutation of 0\.\.3"):
        Random(4, permutation=jnp.zeros(4, int))


@pytest.mark.parametrize("swap", [False, True])
def test_one_entry_has_nothing_to_keep_or_nothing_to_change(swap):
    make = lambda n, m: MLP(n, m, hidden=(2,), rngs=nnx.Rngs(0))  # noqa: E731
    with pytest.raises(ShapeError, match="at least 2 channels to split"):
        Coupling((1,), make, split=Alternating(swap))


def test_reshape_runs_in_raster_order_and_keeps_the_shape():
    bijector = Reshape(Permutation((4,), jnp.array([1, 2, 3, 0])), (2, 2, 1))
    chain = Chain([Flip(3), bijector])
    x = jnp.arange(8.0).reshape(2, 2, 2, 1)
    assert chain.forward(x).shape == x.shape
    np.testing.assert_array_equal(bijector.forward(x)[0, :, :, 0], [[1.0, 2.0], [3.0, 0.0]])


def test_reshape_initializes_what_it_holds():
    x = jnp.asarray(np.random.default_rng(0).normal(3.0, 2.0, (64, 2, 2)))
    new, z = Reshape(ActNorm((4,)), (2, 2)).initialize(x)
    np.testing.assert_allclose(z.mean(0), 0.0, atol=1e-5)
    np.testing.assert_array_equal(z, new.inverse(x))


@pytest.mark.parametrize("inner", [ActNorm((5,)), Flip()], ids=["another size", "any shape"])
def test_reshape_needs_a_bijector_of_that_size(inner):
    with pytest.raises(ShapeError, match=r"of 4 entries, \(2, 2\), got a \w+ of events of shape"):
        Reshape(inner, (2, 2))
