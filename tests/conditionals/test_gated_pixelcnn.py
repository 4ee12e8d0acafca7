"""The gated PixelCNN: two stacks, no blind spot."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jaxgen.conditionals import GatedPixelCNN
from jaxgen.core import ShapeError
from jaxgen.testing import perturb, to_float64

KEY = jax.random.key(0)


def network(grid=(4, 5), depth=2, **options):
    options = {"width": 4, "first_size": 3, "out_width": 8} | options
    net = GatedPixelCNN(grid, (1,), 1, depth=depth, rngs=nnx.Rngs(0), **options)
    return to_float64(perturb(net, KEY))


@pytest.mark.parametrize("depth", [1, 2, pytest.param(3, marks=pytest.mark.slow)])
def test_the_receptive_field_is_what_the_windows_say(depth, x64):
    net = network(depth=depth)
    x = 2.0 * jax.random.normal(KEY, (20, 4, 5, 1))
    jacobian = np.abs(jax.jit(jax.vmap(jax.jacrev(lambda x: net(x)[..., 0])))(x))
    np.testing.assert_array_equal(jacobian.reshape(20, 20, 20).max(0) > 0, net.dependencies())


def test_there_is_no_blind_spot(x64):
    """Deep enough, a pixel sees everything before it."""
    np.testing.assert_array_equal(network(depth=5).dependencies(), np.tri(20, k=-1, dtype=bool))


def test_the_parallel_depth_is_all_positions_where_everything_is_seen(x64):
    assert network(depth=5).parallel_depth() == 20
    assert network((3, 8), depth=1).parallel_depth() < 24


@pytest.mark.parametrize(
    ("grid", "options", "error", "message"),
    [
        ((4, 4, 1), {}, ShapeError, r"expected a grid \(height, width\), got \(4, 4, 1\)"),
        (
            (4, 4),
            {"context_features": 2, "context_grid": (2, 2)},
            ShapeError,
            r"expected context_grid=\(4, 4\), that of the data, got \(2, 2\)",
        ),
        ((4, 4), {"first_size": 2}, ValueError, "expected odd windows of 3 or more, got 2"),
    ],
)
def test_mistakes_are_refused(grid, options, error, message):
    with pytest.raises(error, match=message):
        GatedPixelCNN(grid, (), 1, **options, rngs=nnx.Rngs(0))


def test_a_row_is_made_at_its_beginning_whatever_was_filled_in(x64):
    """Prefilling up to any step, in a row's middle or at its beginning, gives the same steps."""
    net = network((3, 4), depth=3)
    x = jax.random.normal(KEY, (12,))
    params = jax.jit(GatedPixelCNN.__call__)(net, x.reshape(3, 4, 1)).reshape(12)
    prefill = jax.jit(GatedPixelCNN.prefill, static_argnums=2)
    step = jax.jit(GatedPixelCNN.step)
    for n in range(12):
        cache = prefill(net, x.reshape(3, 4, 1), n)
        for t in range(n, min(n + 2, 12)):
            previous = x[t - 1 : t] if t else jnp.zeros(1)
            got, cache = step(net, cache, jnp.asarray(t), previous)
            np.testing.assert_allclose(got[0], params[t], atol=1e-12)


@pytest.mark.parametrize("start", [0, 3, 5, 18, 20])
def test_the_sampler_may_begin_in_the_middle_of_a_row(start, x64):
    """It runs the rest of that row step by step, and whole rows after it."""
    net = network()

    def emit(t, params):
        value = jnp.sin(params.sum(-1, keepdims=True) + t)
        return value, value

    whole = net.to_sequence(net.generate(emit, (2,)), net.resolve_order(None))
    first = whole[start - 1] if start else jnp.zeros_like(whole[0])
    cache = net.prefill(net.from_sequence(whole, net.resolve_order(None)), start)
    rest = net.run(cache, emit, first, start)
    np.testing.assert_allclose(rest, whole[start:], atol=1e-12)
    naive = net.generate(emit, (2,), method="naive")
    np.testing.assert_allclose(net.to_sequence(naive, net.resolve_order(None)), whole, atol=1e-12)
