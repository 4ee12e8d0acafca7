"""Buffers, freezing, functional updates, shape errors."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jaxgen.bijectors import ActNorm, Chain, Conv1x1, Flip, Scan, Standardize
from jaxgen.core import (
    Buffer,
    ShapeError,
    batch_shape,
    check_context,
    check_levels,
    common_context,
    freeze,
    num_parameters,
    partition,
    replace,
)
from jaxgen.models import Flow

X = jnp.array([[0.5, -1.0, 0.3], [1.2, 0.4, -0.8]])


def flow():
    return Flow(Chain([Conv1x1((3,), rngs=nnx.Rngs(0)), ActNorm((3,)), Standardize((3,))]))


def gradient(model):
    return jax.jit(jax.grad(lambda model: model.log_prob(X).sum()))(model)


def test_buffers_get_no_gradient_and_parameters_do():
    gradients = gradient(flow())
    for leaf in jax.tree.leaves(nnx.state(gradients, Buffer)):
        assert not np.any(leaf)
    for leaf in jax.tree.leaves(nnx.state(gradients, nnx.Param)):
        assert np.any(leaf)


def test_arithmetic_on_a_buffer_itself_gets_no_gradient():
    slope = jax.grad(lambda buffer: jnp.sum(buffer * 2.0 + buffer[0]))(Buffer(jnp.ones(2)))
    assert not np.any(slope[...])


def test_freeze_keeps_the_numbers_and_stops_the_gradient():
    model = flow()
    frozen = freeze(model)
    run = jax.jit(Flow.log_prob)
    np.testing.assert_array_equal(run(frozen, X), run(model, X))
    assert num_parameters(frozen) == 0
    assert num_parameters(model) > 0
    assert not any(np.any(leaf) for leaf in jax.tree.leaves(gradient(frozen)))


def test_freeze_a_part_by_path_or_predicate():
    model = flow()
    for where in ("bijector.layers.0", lambda path, param: ".matrix." in path):
        frozen = freeze(model, where)
        assert jax.tree.leaves(nnx.state(frozen.bijector.layers[0], nnx.Param)) == []
        assert num_parameters(frozen) == 6
    assert num_parameters(freeze(model, "bijector.layers.1.shift")) == num_parameters(model) - 3


def test_freeze_of_a_prefix_of_a_name_matches_nothing():
    with pytest.raises(ValueError, match="matched no parameter; the parameters are bijector"):
        freeze(flow(), "bijector.lay")


def test_freeze_reaches_into_a_scan():
    scan = Scan(lambda rngs: Chain([Flip(), ActNorm((3,))]), 2, rngs=nnx.Rngs(0))
    frozen = freeze(scan)
    assert num_parameters(frozen) == 0
    np.testing.assert_array_equal(jax.jit(Scan.inverse)(frozen, X), jax.jit(Scan.inverse)(scan, X))


def test_replace_copies():
    norm = ActNorm((3,))
    new = replace(norm, shift=nnx.Param(jnp.ones(3)))
    assert norm.shift[...].tolist() == [0.0, 0.0, 0.0]
    assert new.shift[...].tolist() == [1.0, 1.0, 1.0]
    with pytest.raises(AttributeError, match="ActNorm has no attribute 'shfit'"):
        replace(norm, shfit=1)


def test_partition_rebuilds():
    model = flow()
    params, rebuild = partition(model)
    doubled = rebuild(jax.tree.map(lambda leaf: 2 * leaf, params))
    assert num_parameters(doubled) == num_parameters(model)
    np.testing.assert_array_equal(
        doubled.bijector.layers[0].matrix.sign[...], model.bijector.layers[0].matrix.sign[...]
    )


@pytest.mark.parametrize("shape", [(3,), (5,), (2, 4), ()])
def test_wrong_shapes_say_what_was_expected(shape):
    with pytest.raises(ShapeError, match=r"there: expected shape \(\*batch, 4, 3\), got"):
        batch_shape(np.zeros(shape), (4, 3), "there")


def test_context_is_broadcast_or_refused():
    assert check_context(jnp.ones(2), (2,), (5, 3), "there").shape == (5, 3, 2)
    assert check_context(jnp.ones(2), None, (5,), "there") is None
    with pytest.raises(ShapeError, match=r"there: this is a conditional model; .*\(\*batch, 2\)"):
        check_context(None, (2,), (), "there")
    with pytest.raises(ShapeError, match=r"batch shape \(4,\) does not broadcast .* \(5,\)"):
        check_context(jnp.ones((4, 2)), (2,), (5,), "there")


def test_levels_are_checked_outside_a_trace_and_dtypes_inside():
    check_levels(jnp.array([0, 3]), 4, "there")
    with pytest.raises(ValueError, match="levels from 0 to 3, got values from -1 to 3"):
        check_levels(jnp.array([-1, 3]), 4, "there")
    with pytest.raises(ValueError, match=r"integer levels 0\.\.3, got float32"):
        jax.eval_shape(lambda x: check_levels(x, 4, "there"), jnp.zeros(2))


def test_parts_must_agree_on_the_context():
    assert common_context("there", None, (2,), (2,)) == (2,)
    with pytest.raises(ShapeError, match="there: its parts expect contexts of different shapes"):
        common_context("there", (2,), (3,))
