"""PixelRNN: what its LSTMs see, and at what cost they go one pixel at a time."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax.extend.core import jaxprs_in_params

from jaxgen.conditionals import DiagonalBiLSTM, RowLSTM, pixelrnn, pixelrnn_layers
from jaxgen.core import ShapeError, compute_in
from jaxgen.functional.windows import Window, causal
from jaxgen.testing import perturb, to_float64

KEY = jax.random.key(0)
BOTH = pytest.mark.parametrize("kind", [RowLSTM, DiagonalBiLSTM])


def network(kind, grid=(4, 5), depth=1, **options):
    options = {"width": 4, "first_size": 3, "out_width": 3} | options
    net = kind(grid, (1,), 1, depth=depth, rngs=nnx.Rngs(0), **options)
    return to_float64(perturb(net, KEY))


def seen(net):
    """Which pixels the parameters of which depend on, at any of some inputs."""
    size = net.num_positions
    x = 2.0 * jax.random.normal(KEY, (20, *net.event_shape))
    jacobian = jax.jit(jax.vmap(jax.jacrev(lambda x: net(x)[..., 0])))(x)
    return np.abs(jacobian).reshape(20, size, size).max(0) > 0


@pytest.mark.parametrize(("depth", "kernel_size"), [(1, 3), (1, 5), (2, 3)])
def test_a_row_lstm_sees_a_triangle(depth, kernel_size, x64):
    net = network(RowLSTM, (4, 9), depth, kernel_size=kernel_size)
    found = seen(net)
    np.testing.assert_array_equal(found, net.dependencies())
    # One layer widens by half a window for every row; what is not in the triangle is not seen.
    reach = kernel_size // 2
    i, j = np.divmod(np.arange(36), 9)
    up, right = i[:, None] - i, j - j[:, None]
    earlier = np.tri(36, k=-1, dtype=bool)
    # To the right the last features read what is to their left, or in the row above to their right.
    once = (
        (right <= (up - 1) * reach + max(reach - 1, 1)) & (right >= -1 - reach * (up + 1)) & earlier
    )
    if depth == 1:
        np.testing.assert_array_equal(found, once)
    else:
        assert np.all(found >= once)
        assert found.sum() > once.sum()
    assert found.sum() < earlier.sum()


@pytest.mark.parametrize(("grid", "first_size"), [((3, 4), 3), ((2, 7), 3), ((2, 3), 7)])
def test_one_layer_of_the_diagonal_bilstm_sees_all_that_is_before(grid, first_size, x64):
    net = network(DiagonalBiLSTM, grid, first_size=first_size)
    np.testing.assert_array_equal(seen(net), np.tri(net.num_positions, k=-1, dtype=bool))


def with_the_middle(size):
    return causal(size, middle=True)


def one_to_the_right(first, last):
    """Of the features; the window of the states in the row above stays."""
    return Window(tuple((0, column + (last == 0)) for column in range(first, last + 1)))


def unmoved(maps, axis):
    return maps


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "module", "name", "broken"),
    [
        (RowLSTM, pixelrnn, "causal", with_the_middle),
        (RowLSTM, pixelrnn_layers, "in_row", one_to_the_right),
        (DiagonalBiLSTM, pixelrnn, "causal", with_the_middle),
        (DiagonalBiLSTM, pixelrnn_layers, "_down", unmoved),
    ],
)
def test_a_broken_mask_is_seen(kind, module, name, broken, x64, monkeypatch):
    """What the tests above rely on: mask A with its middle, a mask B with what is to the right,
    right to left states that are not shifted down, all show in the Jacobian."""
    monkeypatch.setattr(module, name, broken)
    found = seen(network(kind, (3, 4)))
    assert np.any(np.triu(found))


@BOTH
@pytest.mark.parametrize("grid", [(2, 3), (1, 3), (3, 1)])
def test_prefilled_up_to_any_step_it_goes_on_as_in_one_pass(kind, grid, x64):
    net = network(kind, grid, depth=2, context_features=2, context_grid=grid)
    size = net.num_positions
    x, context = jax.random.normal(KEY, net.event_shape), jax.random.normal(KEY, (*grid, 2))
    params = jax.jit(kind.__call__)(net, x, context).reshape(size)
    flat = x.reshape(size, 1)
    prefill, step = jax.jit(kind.prefill, static_argnums=2), jax.jit(kind.step)
    for n in range(size):
        cache = prefill(net, x, n, context)
        for t in range(n, size):
            previous = flat[t - 1] if t else jnp.zeros(1)
            got, cache = step(net, cache, jnp.asarray(t), previous)
            np.testing.assert_allclose(got[0], params[t], rtol=0, atol=1e-13)


def products(jaxpr, in_branch):
    """The multiplications of all matrix products; those of a branch count ``in_branch`` times."""
    total = 0.0
    for equation in jaxpr.eqns:
        if equation.primitive.name == "dot_general":
            (contracted, _), _ = equation.params["dimension_numbers"]
            left = equation.invars[0].aval.shape
            inner = math.prod(left[axis] for axis in contracted)
            total += inner * math.prod(equation.outvars[0].aval.shape)
        elif equation.primitive.name == "cond":
            branches = equation.params["branches"]
            total += in_branch * max(products(each.jaxpr, in_branch) for each in branches)
        else:
            times = equation.params.get("length", 1)
            for each in jaxprs_in_params(equation.params):
                total += times * products(each, in_branch)
    return total


@BOTH
def test_all_steps_together_cost_one_pass(kind):
    """Counted in multiplications, on a large image: with what is made at the beginning of a row
    under a condition, for each row but the first."""
    height, width = 16, 20
    net = kind((height, width), (1,), 1, width=8, depth=3, rngs=nnx.Rngs(0))
    x = jnp.zeros((2, height, width, 1))
    one_pass = products(jax.make_jaxpr(net)(x).jaxpr, 0)
    cache = net.init_cache((2,))
    step = jax.make_jaxpr(net.step)(cache, 1, x[:, 0, 0]).jaxpr
    size = height * width
    steps = size * products(step, 0) + (height - 1) * (products(step, 1) - products(step, 0))
    # The skewed map has almost as many columns more as rows; the steps do without them.
    least = 0.4 if kind is DiagonalBiLSTM else 0.95
    assert least * one_pass < steps <= one_pass
    # Row by row work that was not under the condition would cost a row for each pixel.
    assert size * products(step, 1) > 3 * one_pass


@BOTH
def test_an_image_and_a_vector_context(kind, x64):
    """A vector is an image that is the same everywhere; an image adds to the gates of its place,
    from where the states carry it on."""
    vector = network(kind, (3, 4), context_features=2)
    image = network(kind, (3, 4), context_features=2, context_grid=(3, 4))
    x, context = jax.random.normal(KEY, (8, 3, 4, 1)), jnp.array([0.3, -2.0])
    everywhere = jnp.broadcast_to(context, (3, 4, 2))
    np.testing.assert_allclose(vector(x, context), image(x, everywhere), atol=1e-13)
    changed = (image(x, everywhere.at[1, 2].add(1.0)) != image(x, everywhere)).any(0)
    assert changed[1, 2].all()
    assert changed[2, 1:].all()
    assert not changed[0].any()
    assert not changed[1, :2].any()


@BOTH
def test_in_bfloat16(kind):
    options = {"width": 4, "depth": 1, "first_size": 3, "out_width": 3}
    net = perturb(kind((3, 4), (1,), 1, **options, rngs=nnx.Rngs(0)), KEY)
    half = compute_in(net, jnp.bfloat16)
    x = jax.random.normal(KEY, (5, 3, 4, 1))
    params, expected = jax.jit(kind.__call__)(half, x), jax.jit(kind.__call__)(net, x)
    assert params.dtype == jnp.bfloat16
    assert 0 < np.abs(params - expected).max() < 0.1

    @jax.jit
    def go_on(half, x):
        return half.step(half.prefill(x, 6), jnp.asarray(6), x[:, 1, 1])[0]

    got = go_on(half, x)
    assert got.dtype == jnp.bfloat16
    np.testing.assert_allclose(got, params[:, 1, 2], atol=0.05)


@BOTH
def test_mistakes_are_refused(kind):
    name = kind.__name__
    options = {"width": 4, "depth": 1, "rngs": nnx.Rngs(0)}
    with pytest.raises(ShapeError, match=rf"{name}: expected a grid \(height, width\), got \(4,\)"):
        kind((4,), (), 1, **options)
    with pytest.raises(ValueError, match=f"{name}: expected odd windows of 3 or more, got 4"):
        kind((4, 4), (), 1, first_size=4, **options)
    with pytest.raises(
        ShapeError, match=r"expected context_grid=\(4, 4\), that of the data, got \(2, 2\)"
    ):
        kind((4, 4), (), 1, context_features=1, context_grid=(2, 2), **options)
    with pytest.raises(ShapeError, match=f"{name}: its generation order is fixed"):
        kind((3, 4), (1,), 1, **options).init_cache((), order=jnp.arange(12))


def test_an_even_window_in_a_row_is_refused():
    with pytest.raises(ValueError, match="RowLSTM: expected odd windows of 3 or more, got 2"):
        RowLSTM((4, 4), (), 1, kernel_size=2, rngs=nnx.Rngs(0))


def test_the_parallel_depth(x64):
    assert network(DiagonalBiLSTM).parallel_depth() == 20
    assert network(RowLSTM, (3, 9)).parallel_depth() < 27
