"""MADE: normalisation in any order, traced orders, errors."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jaxgen.conditionals import MADE
from jaxgen.core import ShapeError
from jaxgen.likelihoods import Bernoulli
from jaxgen.models import Autoregressive
from jaxgen.testing import perturb, to_float64

BITS = np.array(list(itertools.product([0, 1], repeat=6)))


def model(**options):
    made = MADE((6,), 1, rngs=nnx.Rngs(0), **options)
    return perturb(to_float64(Autoregressive(made, Bernoulli())), jax.random.key(0), 1.0)


@pytest.mark.parametrize("hidden", [(), (3,), (7, 9)])
def test_probabilities_sum_to_one_in_every_order_with_one_compilation(hidden, x64):
    traces = []

    @jax.jit
    def log_prob(model, x, order):
        traces.append(None)
        return model.log_prob(x, order=order)

    made = model(hidden=hidden, direct=True, order_features=True)
    scores = []
    for seed in range(4):
        order = jax.random.permutation(jax.random.key(seed), 6)
        scores.append(log_prob(made, BITS, order))
        assert np.exp(scores[-1]).sum() == pytest.approx(1.0, abs=1e-12)
    assert len(traces) == 1
    assert np.abs(scores[0] - scores[1]).max() > 1e-3  # an order does change the model


def test_a_connectivity_is_one_of_many_and_normalised(x64):
    made = model(hidden=(7, 9), direct=True, order_features=True)

    @jax.jit
    def log_prob(model, x, key):
        rewired = model.conditional.rewired(key)
        return Autoregressive(rewired, Bernoulli()).log_prob(x, order=jnp.array([3, 0, 5, 1, 4, 2]))

    scores = [log_prob(made, BITS, jax.random.key(seed)) for seed in range(3)]
    for score in scores:
        assert np.exp(score).sum() == pytest.approx(1.0, abs=1e-12)
    assert np.abs(scores[0] - scores[1]).max() > 1e-3
    np.testing.assert_array_equal(scores[0], log_prob(made, BITS, jax.random.key(0)))


def test_a_connectivity_permutes_the_units_and_nothing_else(x64):
    made = model(hidden=(7, 9), order_features=True).conditional
    rewired = made.rewired(jax.random.key(0))
    # Units that no mask tells apart may stand anywhere: without masks it is the same network.
    h, same = BITS.astype(float), BITS.astype(float)
    for i in range(2):
        h = np.tanh(h @ made.kernels[i][...] + made.biases[i][...])
        same = np.tanh(same @ rewired.kernels[i][...] + rewired.biases[i][...])
        assert np.abs(h - same).max() > 1e-3
    np.testing.assert_allclose(
        np.einsum("nh,hdp->ndp", h, made.out_kernel[...]),
        np.einsum("nh,hdp->ndp", same, rewired.out_kernel[...]),
        rtol=1e-9,
        atol=1e-12,
    )


def test_each_example_may_have_its_own_order(x64):
    made = model(hidden=(7,))
    orders = jnp.stack([jax.random.permutation(jax.random.key(s), 6) for s in range(4)])
    each = jax.jit(jax.vmap(lambda m, x, o: m.log_prob(x, order=o), (None, 0, 0)))
    one = jax.jit(lambda m, x, o: m.log_prob(x, order=o))
    expected = [one(made, x, o) for x, o in zip(BITS[10:14], orders, strict=True)]
    np.testing.assert_allclose(each(made, BITS[10:14], orders), expected, rtol=1e-12)


def test_raster_order_is_the_default(x64):
    made = model(hidden=(7,))
    run = jax.jit(lambda m, x, o: m.log_prob(x, order=o))
    np.testing.assert_array_equal(run(made, BITS, None), run(made, BITS, jnp.arange(6)))


def test_first_position_of_the_order_is_unconditional(x64):
    made = model(hidden=(24,)).conditional
    order = jnp.array([3, 0, 1, 2, 4, 5])
    params = jax.jit(MADE.__call__)(made, BITS.astype(float), None, order)
    assert np.ptp(params[:, 3]) == 0.0
    assert np.all(np.ptp(np.delete(params, 3, 1), axis=0) > 0.0)


@pytest.mark.parametrize(
    ("order", "message"),
    [
        (jnp.array([0, 1]), "an order of 3 integers"),
        (jnp.array([0.0, 1.0, 2.0]), "an order of 3 integers, got float32"),
        (jnp.array([0, 1, 1]), "not a permutation"),
    ],
)
def test_wrong_orders_are_refused(order, message):
    made = MADE((3,), 1, hidden=(), rngs=nnx.Rngs(0))
    with pytest.raises(ShapeError, match=message):
        made(jnp.zeros(3), None, order)


def test_fixed_orders_are_refused():
    class Fixed(MADE):
        fixed_order = True

    with pytest.raises(ShapeError, match="Fixed: its generation order is fixed"):
        Fixed((3,), 1, hidden=(), rngs=nnx.Rngs(0))(jnp.zeros(3), None, jnp.arange(3))


def test_unknown_methods_are_refused():
    made = MADE((3,), 1, hidden=(2,), rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match="unknown sampling method 'fast'"):
        made.generate(lambda t, p: (p, p), (), method="fast")


def test_default_call_is_the_scan_of_steps(x64):
    """A conditional that defines no ``__call__`` of its own."""

    class Stepwise(MADE):
        __call__ = MADE.__mro__[1].__call__

    made = Stepwise((6,), 2, hidden=(4,), rngs=nnx.Rngs(0))
    reference = MADE((6,), 2, hidden=(4,), rngs=nnx.Rngs(0))
    made, reference = (perturb(to_float64(m), jax.random.key(0)) for m in (made, reference))
    order = jax.random.permutation(jax.random.key(1), 6)
    x = np.random.default_rng(0).normal(size=(3, 6))
    np.testing.assert_allclose(
        jax.jit(Stepwise.__call__)(made, x, None, order), reference(x, None, order), rtol=1e-9
    )


SIZE = 263  # a prime number: stretches of 16 steps do not tile it


def stretched(**options):
    made = MADE((SIZE,), 2, context_features=3, rngs=nnx.Rngs(0), **options)
    assert made.stretch().span == 16
    return perturb(to_float64(made), jax.random.key(0), 0.3)


def emission(noise, order):
    def emit(t, params):
        value = noise[:, order[t]] * jnp.exp(0.1 * jnp.tanh(params[..., 1])) + params[..., 0]
        return value, value

    return emit


@pytest.mark.parametrize("hidden", [(), (300, 40), pytest.param((20, 700), marks=pytest.mark.slow)])
def test_stretches_of_steps_follow_the_parallel_pass(hidden, x64):
    made = stretched(hidden=hidden, direct=True)
    noise, context = (jax.random.normal(jax.random.key(i), (4, n)) for i, n in ((1, SIZE), (2, 3)))
    order = jax.random.permutation(jax.random.key(3), SIZE)

    def both(made):
        x = made.generate(emission(noise, order), (4,), context, order)
        return x, made(x, context, order)

    x, params = jax.jit(both)(made)
    explained = (x - params[..., 0]) * jnp.exp(-0.1 * jnp.tanh(params[..., 1]))
    np.testing.assert_allclose(explained, noise, rtol=0, atol=1e-10)
    assert np.abs(params[..., 0]).max() > 0.1  # there is something to follow
    sequence = made.to_sequence(x, order)

    @functools.partial(jax.jit, static_argnums=1)
    def go_on(made, n):
        cache = made.prefill(x, n, context, order)
        return made.run(cache, emission(noise, order), sequence[n - 1], n)

    for n in (1, 100, SIZE - 1):
        rest = go_on(made, n)
        np.testing.assert_allclose(rest, sequence[n:], rtol=0, atol=1e-10)


def test_gradients_through_stretches_are_those_of_full_passes(x64):
    made = stretched(hidden=(300,))
    noise, context = (jax.random.normal(jax.random.key(i), (2, n)) for i, n in ((1, SIZE), (2, 3)))

    def loss(made, method):
        emit = emission(noise, jnp.arange(SIZE))
        return jnp.mean(made.generate(emit, (2,), context, method=method) ** 2)

    gradient = jax.jit(jax.grad(loss), static_argnums=1)
    pairs = zip(
        *(jax.tree.leaves(gradient(made, m)) for m in ("incremental", "naive")), strict=True
    )
    for got, expected in pairs:
        np.testing.assert_allclose(got, expected, rtol=0, atol=1e-10 * np.abs(expected).max())
