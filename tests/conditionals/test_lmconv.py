"""Locally masked convolutions: what they see, in any order, and how deep an order is."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jaxgen import zoo
from jaxgen.conditionals import LMConv
from jaxgen.core import ShapeError
from jaxgen.functional import masks
from jaxgen.testing import perturb, to_float64

ORDERS = {
    "raster": np.arange(20),
    "s-curve": masks.s_curve(4, 5, 5),
    "hilbert": masks.hilbert(4, 5),
    "random": np.random.default_rng(0).permutation(20),
}


def network(depth=1, activation="tanh", **options):
    options = {"width": 4, "depth": depth, "activation": activation} | options
    lmconv = LMConv((4, 5), (1,), 1, rngs=nnx.Rngs(0), **options)
    return to_float64(perturb(lmconv, jax.random.key(0)))


@pytest.mark.parametrize("name", ORDERS)
def test_the_receptive_field_is_what_the_masks_say(name, x64):
    lmconv, order = network(), jnp.asarray(ORDERS[name])
    x = jax.random.normal(jax.random.key(1), (4, 5, 1))
    jacobian = jax.jit(jax.jacrev(lambda x: lmconv(x, order=order)))(x).reshape(20, 20)
    np.testing.assert_array_equal(np.abs(jacobian) > 0, lmconv.dependencies(order))


@pytest.mark.parametrize(("kind", "count"), [("hilbert", 1), ("s_curve", 8), ("random", 8)])
def test_a_kind_of_orders_has_its_number_of_them(kind, count):
    model = zoo.lmconv((4, 4, 1), levels=2, orders=kind, width=4, depth=1, rngs=nnx.Rngs(0))
    assert model.num_members == count
    with pytest.raises(ValueError, match="for num_orders, got 0"):
        zoo.lmconv((4, 4, 1), orders=kind, num_orders=0, rngs=nnx.Rngs(0))


def test_the_parallel_depth_of_raster_and_random_orders(x64):
    lmconv = network()
    assert lmconv.parallel_depth() == 5 + 2 * 3  # a row waits for two pixels of the one above
    assert lmconv.parallel_depth(jnp.asarray(ORDERS["random"])) < 11
    assert lmconv.parallel_depth(jnp.asarray(ORDERS["s-curve"])) == 20


@pytest.mark.parametrize("name", ORDERS)
def test_the_wavefront_is_exact_in_any_order(name, x64):
    lmconv, order = network(), jnp.asarray(ORDERS[name])
    noise = jax.random.normal(jax.random.key(2), (20, 3, 1))

    def emit(t, params):
        value = jnp.tanh(params) + noise[t]
        return value, value

    expected = lmconv.generate(emit, (3,), order=order, dtype=float)
    got = lmconv.generate(emit, (3,), order=order, method="wavefront", dtype=float)
    np.testing.assert_allclose(got, expected, atol=1e-12)


def test_zero_unseen_and_beyond_the_border_are_three_things(x64):
    lmconv = network()
    x, order = jnp.zeros((4, 5, 1)), jnp.arange(20)
    params = lmconv(x, order=order)[..., 0]
    middle, corner = params[1, 2], params[0, 0]
    other = lmconv(x, order=jnp.asarray(ORDERS["random"]))[1, 2, 0]
    assert len({float(v.round(9)) for v in (middle, corner, other)}) == 3


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"grid_shape": (4,)}, ShapeError, r"expected a grid \(height, width\), got \(4,\)"),
        ({"kernel_size": 4}, ValueError, "LMConv: expected odd windows of 3 or more, got 4"),
        ({"depth": 0}, ValueError, "for depth, got 0"),
    ],
)
def test_mistakes_are_refused(options, error, message):
    arguments = {"grid_shape": (4, 4), "position_shape": (), "num_params": 1} | options
    with pytest.raises(error, match=message):
        LMConv(**arguments, rngs=nnx.Rngs(0))
