"""Recurrent networks: sequences of any length, and padding that is left out exactly."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jaxgen.conditionals import Recurrent
from jaxgen.core import ShapeError
from jaxgen.likelihoods import Categorical, Normal
from jaxgen.models import Autoregressive
from jaxgen.testing import perturb, to_float64

KEY = jax.random.key(0)


def model(head, length=6, position=(), **options):
    num_params = head.num_params(position)
    network = Recurrent((length,), position, num_params, width=5, rngs=nnx.Rngs(0), **options)
    return to_float64(perturb(Autoregressive(network, head), KEY))


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_a_padded_sequence_is_scored_as_the_short_one(cell, x64):
    long = model(Categorical(4), cell=cell)
    x = jax.random.randint(KEY, (3, 6), 0, 4)
    lengths = jnp.array([0, 4, 6])
    got = jax.jit(lambda model: model.log_prob(x, lengths=lengths))(long)
    for i, length in enumerate(lengths.tolist()):
        expected = 0.0
        if length:
            short = Autoregressive(long.conditional.with_length(length), long.likelihood)
            expected = jax.jit(Autoregressive.log_prob)(short, x[i, :length])
        np.testing.assert_allclose(got[i], expected, atol=1e-12)


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_the_context_keeps_its_digits_whatever_is_read(cell):
    network = Recurrent((3,), (), 1, cell=cell, width=5, context_features=2, rngs=nnx.Rngs(0))
    network = perturb(network, KEY)
    context = jnp.array([0.4, 0.9])
    expected = network(jnp.array([1.0, 0.0, 1.0]), context)
    assert not np.array_equal(network(jnp.zeros(3), 0.0 * context), expected)
    for x in ([1, 0, 1], jnp.array([1, 0, 1]), jnp.array([1, 0, 1], jnp.float16)):
        np.testing.assert_array_equal(network(x, context), expected)


@pytest.mark.parametrize("head", [Categorical(4), Normal()])
def test_a_trained_model_goes_to_another_length_with_its_statistics(head, x64):
    x = jax.random.normal(KEY, (50, 6)) * 3.0 + 7.0
    x = x if head.levels is None else jnp.clip(x.astype(int), 0, 3)
    network = Recurrent((6,), (), head.num_params(()), width=5, stationary=True, rngs=nnx.Rngs(0))
    long = Autoregressive(network, head).standardize(x, None)
    short = long.with_length(4)
    expected = jax.jit(lambda model: model.log_prob(x, lengths=jnp.full(50, 4)))(long)
    np.testing.assert_allclose(jax.jit(Autoregressive.log_prob)(short, x[:, :4]), expected)
    with pytest.raises(TypeError, match="stationary=True"):
        model(head).with_length(4)


def test_padding_may_be_anything(x64):
    sequences = model(Normal(), position=(2,))
    x = jax.random.normal(KEY, (2, 6, 2))
    lengths = jnp.array([2, 5])
    padding = jnp.arange(6)[:, None] >= lengths[:, None, None]
    garbage = jnp.where(padding, jnp.nan, x)
    score = jax.jit(lambda model, x: model.log_prob(x, lengths=lengths))
    np.testing.assert_array_equal(score(sequences, garbage), score(sequences, x))
    slopes = jax.jit(jax.grad(lambda model: jnp.sum(score(model, garbage))))(sequences)
    assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(slopes))


@pytest.mark.parametrize(
    ("lengths", "error", "message"),
    [
        (jnp.array([7, 1]), ValueError, "expected lengths from 0 to 6, got 7"),
        (jnp.array([-1, 1]), ValueError, "expected lengths from 0 to 6, got -1"),
        (jnp.array([1]), ShapeError, r"expected integer lengths of shape \(2,\)"),
        (jnp.array([1.0, 2.0]), ShapeError, "expected integer lengths"),
    ],
)
def test_wrong_lengths_are_refused(lengths, error, message, x64):
    with pytest.raises(error, match=message):
        model(Categorical(4)).log_prob(jnp.zeros((2, 6), int), lengths=lengths)


def test_an_unknown_cell_and_an_order(x64):
    with pytest.raises(ValueError, match="lstm"):
        model(Normal(), cell="lstn")
    with pytest.raises(ShapeError, match="Recurrent: its generation order is fixed"):
        model(Categorical(4)).log_prob(jnp.zeros(6, int), order=jnp.arange(6))
