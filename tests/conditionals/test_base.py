"""What the base class checks for every network, and what then reaches a subclass."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jaxgen.conditionals import Conditional
from jaxgen.core import ShapeError
from jaxgen.functional.autoregressive import Cache
from jaxgen.likelihoods import Bernoulli
from jaxgen.models import Autoregressive


class Mean(Conditional):
    """The mean of the values before, plus a context; keeps what reached its methods."""

    num_params = 1

    def __init__(self, size=3, context_features=None):
        self.grid_shape = (size,)
        self.context_shape = None if context_features is None else (context_features,)
        self.reached = nnx.data([])

    def __call__(self, x, context=None, order=None):
        self.reached.append((x, context, order))
        order = self.resolve_order(order)
        sequence = self.to_sequence(x, order)
        before = jnp.cumsum(sequence, axis=0) - sequence
        return self.from_sequence(before[..., None], order, params=True)

    def init_cache(self, batch, context=None, order=None):
        self.reached.append((batch, context, order))
        return Cache(None, jnp.zeros(batch))

    def step(self, cache, t, x_previous):
        state = cache.state + x_previous
        return state[..., None], Cache(None, state)

    def prefill(self, x, n, context=None, order=None):
        self.reached.append((x, context, order))
        return super().prefill(x, n, context, order)


class Fixed(Mean):
    fixed_order = True

    def own_order(self):
        return np.array([2, 0, 1])


def run(network, method, context=None, order=None):
    """One of the three methods on a batch of four, and what reached it."""
    if method == "__call__":
        with jax.disable_jit():  # what a compiled network keeps is traced
            network(np.ones((4, 3)), context, order)
    elif method == "init_cache":
        network.init_cache([4], context, order)
    else:
        network.prefill(np.ones((4, 3)), 2, context, order)
    return network.reached[0]


METHODS = ("__call__", "init_cache", "prefill")


@pytest.mark.parametrize("method", METHODS)
def test_arguments_are_checked_before_they_reach_a_network(method):
    first, context, order = run(Mean(context_features=2), method, context=[0.5, -1.0])
    assert first == (4,) if method == "init_cache" else isinstance(first, jax.Array)
    np.testing.assert_array_equal(context, np.tile([0.5, -1.0], (4, 1)))
    np.testing.assert_array_equal(order, np.arange(3))
    given = run(Mean(), method, order=np.array([1, 2, 0]))[2]
    assert isinstance(given, jax.Array)
    np.testing.assert_array_equal(given, [1, 2, 0])


@pytest.mark.parametrize("method", METHODS)
def test_a_network_of_one_order_gets_none(method):
    assert run(Fixed(), method)[2] is None
    with pytest.raises(ShapeError, match="Fixed: its generation order is fixed"):
        run(Fixed(), method, order=jnp.arange(3))


@pytest.mark.parametrize("method", METHODS)
def test_what_does_not_fit_is_refused(method):
    with pytest.raises(ShapeError, match=r"Mean.*expected a context of shape \(\*batch, 2\)"):
        run(Mean(context_features=2), method)
    with pytest.raises(ShapeError, match=r"batch shape \(5,\) does not broadcast"):
        run(Mean(context_features=2), method, context=jnp.ones((5, 2)))
    with pytest.raises(ShapeError, match="Mean: the order is not a permutation"):
        run(Mean(), method, order=jnp.array([0, 1, 1]))


def test_a_cache_of_another_kind_is_refused():
    class Bare(Mean):
        def init_cache(self, batch, context=None, order=None):
            return jnp.zeros(batch)

    with pytest.raises(TypeError, match=r"Bare\.init_cache: expected a .*Cache.*, got float32"):
        Bare().init_cache((4,))


def test_a_network_without_dropout_need_not_name_a_key():
    model = Autoregressive(Mean(), Bernoulli())
    x = jnp.array([[0, 1, 1]])
    expected = model.log_prob(x)
    np.testing.assert_array_equal(model.log_prob(x, key=jax.random.key(0)), expected)
