"""PixelCNN++: a strided U-net of two streams, in raster order."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import jaxgen
from jaxgen.bijectors import MaskedAutoregressive
from jaxgen.conditionals import PixelCNNPP, pixelcnnpp, unet
from jaxgen.core import ShapeError, replace
from jaxgen.functional.windows import rectangle
from jaxgen.likelihoods import DiscretizedLogisticMixture
from jaxgen.models import Autoregressive
from jaxgen.networks.blocks import WeightNorm
from jaxgen.testing import perturb, to_float64

KEY = jax.random.key(0)


def fresh(grid=(4, 4), position=(1,), num_params=1, **options):
    options = {"width": 4, "blocks": 1, "resolutions": 2} | options
    return PixelCNNPP(grid, position, num_params, rngs=nnx.Rngs(0), **options)


def network(*arguments, **options):
    return to_float64(perturb(fresh(*arguments, **options), KEY))


def receptive_field(net):
    """Which positions (rows) have a gradient with respect to which, at some of many inputs."""
    x = 2.0 * jax.random.normal(KEY, (8, *net.event_shape))
    jacobian = jax.jit(jax.vmap(jax.jacrev(lambda x: net(x)[..., 0])))(x)
    return np.abs(jacobian).reshape(8, net.num_positions, -1).max(0) > 0


def test_every_earlier_pixel_is_seen_and_no_later_one(x64):
    """Promised of two resolutions on 4 x 4: all that is earlier in raster order."""
    net = network()
    np.testing.assert_array_equal(receptive_field(net), np.tri(16, k=-1, dtype=bool))
    np.testing.assert_array_equal(net.dependencies(), np.tri(16, k=-1, dtype=bool))
    assert net.parallel_depth() == 16


def test_the_receptive_field_of_a_wide_image_is_what_the_windows_say(x64):
    """With few layers a row far to the right is not seen; what is seen is promised exactly."""
    net = network((2, 16), resolutions=1)
    promised = net.dependencies()
    assert promised.sum() < np.tri(32, k=-1).sum()
    np.testing.assert_array_equal(receptive_field(net), promised)
    assert net.parallel_depth() < 32


def test_coarse_pixels_reach_farther():
    nets = [jax.eval_shape(lambda r=r: fresh((2, 32), resolutions=r)) for r in (1, 2)]
    near, far = (net.dependencies().sum() for net in nets)
    assert near < far


def broken_spread(sight, small, intact=unet.Everywhere.spread):
    return jnp.roll(intact(sight, small), -1, axis=-3)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("module", "name", "value"),
    [
        (pixelcnnpp, "FIRST_LEFT", rectangle((-1, 0), (0,))),
        (pixelcnnpp, "FIRST_ABOVE", rectangle((0,), (-1, 0, 1))),
        (pixelcnnpp, "FIRST_DOWN", unet.DOWN),
        (pixelcnnpp, "RIGHT", unet.RIGHT.moved(0, 1)),
        (pixelcnnpp, "DOWN", unet.DOWN.moved(1, 0)),
        (unet.Everywhere, "spread", broken_spread),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_wrong_shift_leaks(module, name, value, monkeypatch, x64):
    """The test above fails of a network whose windows are a row or a column off."""
    monkeypatch.setattr(module, name, value)
    assert np.any(np.triu(receptive_field(network((2, 4)))))


@pytest.fixture(scope="module")
def three_resolutions():
    """A network, values, its parameters, and a step, compiled once."""
    with jax.enable_x64(True):
        net = network((4, 8), (2,), 3, resolutions=3, context_features=2)
        x = jax.random.normal(KEY, (2, 4, 8, 2))
        context = jax.random.normal(jax.random.key(1), (2, 2))
        params = jax.jit(lambda net, x: net(x, context))(net, x)
        return net, x, context, params.reshape(2, 32, 3), jax.jit(PixelCNNPP.step)


@pytest.mark.parametrize(
    "n", [None, 11, 31, *(pytest.param(n, marks=pytest.mark.slow) for n in (0, 1, 7, 8, 18))]
)
def test_steps_are_the_parallel_pass_from_wherever_they_start(n, three_resolutions, x64):
    """From the beginning, or filled in up to a step: in the middle of a row, where a row begins,
    at odd rows and columns, at the last one. Three resolutions, all coarse ones off the pixel."""
    net, x, context, params, step = three_resolutions
    cache = net.init_cache((2,), context) if n is None else net.prefill(x, n, context)
    values = x.reshape(2, 32, 2)
    for t in range(n or 0, 32):
        previous = values[:, t - 1] if t else jnp.zeros((2, 2))
        got, cache = step(net, cache, jnp.asarray(t), previous)
        np.testing.assert_allclose(got, params[:, t], atol=1e-12, err_msg=f"step {t}")


def test_a_prefilled_cache_ignores_what_is_not_given(x64):
    net = network((2, 4))
    x = jax.random.normal(KEY, (2, 4, 1))
    hidden = x.reshape(8, 1).at[4:].set(jnp.nan).reshape(2, 4, 1)
    got, expected = (jax.jit(PixelCNNPP.prefill, static_argnums=2)(net, v, 5) for v in (hidden, x))
    for a, b in zip(jax.tree.leaves(got.state), jax.tree.leaves(expected.state), strict=True):
        np.testing.assert_array_equal(a, b)


def test_initialisation_normalises_every_map_on_its_batch(monkeypatch, x64):
    """Mean 0 and deviation 1 of each feature, 0.1 before the gates; the output stays at zero."""
    net = to_float64(fresh())
    x = 3.0 + 2.0 * jax.random.normal(KEY, (8, 4, 4, 1))
    new = jax.jit(PixelCNNPP.initialize)(net, x)
    assert jax.tree.structure(new) == jax.tree.structure(net)
    seen = []
    call = WeightNorm.__call__

    def recorded(self, x):
        y = call(self, x)
        axes = tuple(range(y.ndim - 1))
        jax.debug.callback(lambda *found: seen.append(found), jnp.mean(y, axes), jnp.std(y, axes))
        return y

    monkeypatch.setattr(WeightNorm, "__call__", recorded)
    params = jax.jit(lambda new: new(x))(new)
    jax.effects_barrier()
    # Three first maps, four between the resolutions; five in a layer of both streams on the way
    # down, of which there are two, six on the way up, of which there are three.
    assert len(seen) == 3 + 4 + 2 * 5 + 3 * 6
    for mean, deviation in seen:
        np.testing.assert_allclose(mean, 0.0, atol=1e-9)
        np.testing.assert_allclose(deviation, 1.0 if len(mean) == 4 else 0.1, rtol=1e-6)
    np.testing.assert_array_equal(params, 0.0)


def test_the_model_and_the_flow_hand_the_batch_on():
    head = DiscretizedLogisticMixture(8, 2)
    net = fresh((2, 2), (1,), head.num_params((1,)), resolutions=1)
    x = jax.random.randint(KEY, (6, 2, 2, 1), 0, 8)
    model = Autoregressive(net, head)
    new = jax.jit(Autoregressive.initialize)(model, x, KEY)
    expected = jax.jit(PixelCNNPP.initialize)(net, head.encode(x))
    lengths = new.conditional.first_left.length[...]
    np.testing.assert_allclose(lengths, expected.first_left.length[...], rtol=1e-5)
    assert not np.allclose(lengths, net.first_left.length[...])
    # At the start of training the network still gives zeros, whatever the inside.
    model = replace(model, border=new.border)
    log_prob = jax.jit(Autoregressive.log_prob)
    np.testing.assert_allclose(log_prob(new, x), log_prob(model, x), rtol=1e-6)

    flow = MaskedAutoregressive(fresh((2, 2), (1,), 2, resolutions=1))
    values = head.encode(x)
    new_flow, z = jax.jit(MaskedAutoregressive.initialize)(flow, values)
    np.testing.assert_allclose(
        new_flow.conditional.first_left.length[...], expected.first_left.length[...], rtol=1e-5
    )
    np.testing.assert_allclose(z, values, atol=1e-6)


def test_dropout_takes_a_key(x64):
    net, without = network((2, 2), dropout=0.5), network((2, 2))
    x = jax.random.normal(KEY, (3, 2, 2, 1))
    run = jax.jit(lambda net, key: net(x, key=key))
    np.testing.assert_array_equal(run(net, None), run(without, None))
    np.testing.assert_array_equal(run(net, KEY), run(net, KEY))
    assert np.all(run(net, KEY)[:, 1, 1] != run(net, None)[:, 1, 1])
    assert np.all(run(net, KEY)[:, 1, 1] != run(net, jax.random.key(1))[:, 1, 1])


def test_networks_in_bfloat16_step_with_caches_of_that_dtype():
    net = jaxgen.compute_in(fresh((2, 2)), jnp.bfloat16)
    cache = jax.eval_shape(lambda net: net.init_cache((3,)), net)
    params, new = jax.eval_shape(net.step, cache, jnp.asarray(0), jnp.zeros((3, 1)))
    assert params.dtype == jnp.bfloat16
    assert {leaf.dtype for leaf in jax.tree.leaves(cache.state)} == {jnp.dtype(jnp.bfloat16)}
    assert jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), new.state) == jax.tree.map(
        lambda leaf: (leaf.shape, leaf.dtype), cache.state
    )


@pytest.mark.parametrize(
    ("grid", "options", "error", "message"),
    [
        ((4, 4, 1), {}, ShapeError, r"expected a grid \(height, width\), got \(4, 4, 1\)"),
        ((4, 6), {"resolutions": 3}, ShapeError, r"sides divisible by 4, got \(4, 6\); pad or"),
        ((3, 4), {"resolutions": 2}, ShapeError, r"sides divisible by 2, got \(3, 4\); pad or"),
        ((4, 4), {"blocks": 0}, ValueError, "at least one block, got 0"),
        ((4, 4), {"resolutions": 0}, ValueError, "for resolutions, got 0"),
        ((4, 4), {"dropout": 1.0}, ValueError, "a rate from 0 to less than 1 for dropout, got 1.0"),
    ],
)
def test_mistakes_are_refused(grid, options, error, message):
    with pytest.raises(error, match=message):
        fresh(grid, (), **options)


def test_a_batch_of_another_shape_is_refused():
    for act in (lambda x: fresh()(x), lambda x: fresh().initialize(x)):
        with pytest.raises(ShapeError, match=r"expected shape \(\*batch, 4, 4, 1\), got \(2, 4, 4"):
            act(jnp.ones((2, 4, 4, 3)))
