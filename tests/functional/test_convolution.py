"""The convolution of CPUs is XLA's, and so are its derivatives of any order and mode."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

from jaxgen.functional.convolution import convolve


def by_xla(x, kernel):
    names = ("NHWC", "HWIO", "NHWC")
    return jax.lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=names)


# Rows, columns, features, new features: more features, as many, fewer; even and uneven windows.
KERNELS = [(3, 3, 2, 5), (3, 3, 4, 4), (3, 3, 5, 2), (1, 1, 2, 3), (2, 3, 1, 2), (4, 2, 3, 1)]


@pytest.fixture(params=KERNELS, ids=str)
def arguments(request, x64):
    rng = np.random.default_rng(0)
    return jnp.asarray(rng.normal(size=(2, 5, 4, request.param[2]))), jnp.asarray(
        rng.normal(size=request.param)
    )


def assert_close(found, expected):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-12), found, expected)


def test_values_and_derivatives(arguments):
    def examined(function):
        def loss(x, kernel):
            return jnp.sum(jnp.sin(function(x, kernel)))

        def along(x, kernel):
            return jax.jvp(function, (x, kernel), (jnp.cos(x), jnp.sin(kernel)))

        def second(x, kernel):
            gradients = jax.grad(loss, (0, 1))
            return jax.jvp(gradients, (x, kernel), (jnp.cos(x), jnp.sin(kernel)))

        def third(x, kernel):
            products = jax.grad(lambda *at: sum(map(jnp.sum, second(*at)[1])), (0, 1))
            return products(x, kernel)

        return jax.jit(
            lambda *at: [
                function(*at),
                jax.grad(loss, (0, 1))(*at),
                along(*at),
                second(*at),
                third(*at),
            ]
        )(*arguments)

    assert_close(examined(convolve), examined(by_xla))


@pytest.mark.parametrize("axes", [(0, None), (None, 0), (0, 0), (1, 2)])
def test_many_at_once(arguments, axes):
    x, kernel = (
        each if axis is None else jnp.stack([each, 2 * each, each - 1], axis)
        for each, axis in zip(arguments, axes, strict=True)
    )
    found = jax.vmap(convolve, axes)(x, kernel)
    assert_close(found, jax.vmap(by_xla, axes)(x, kernel))
    gradient = jax.grad(lambda x, kernel: jnp.sum(jax.vmap(convolve, axes)(x, kernel) ** 2), (0, 1))
    expected = jax.grad(lambda x, kernel: jnp.sum(jax.vmap(by_xla, axes)(x, kernel) ** 2), (0, 1))
    assert_close(gradient(x, kernel), expected(x, kernel))


def test_dtypes_are_promoted_and_kept():
    for x, kernel in itertools.product((jnp.float32, jnp.bfloat16), repeat=2):
        found = convolve(jnp.ones((1, 3, 3, 2), x), jnp.ones((3, 3, 2, 1), kernel))
        assert found.dtype == jnp.promote_types(x, kernel)
        assert float(found.max()) == 18.0


def test_eager_calls_and_empty_batches():
    x, kernel = jnp.ones((2, 3, 3, 2)), jnp.ones((3, 3, 2, 1))
    np.testing.assert_array_equal(convolve(x, kernel), by_xla(x, kernel))
    assert convolve(x[:0], kernel).shape == (0, 3, 3, 1)


@pytest.mark.parametrize(("features", "new"), [(2, 4), (4, 2)])
def test_types_of_a_mesh(features, new):
    """Images that are spread over devices and a kernel that all have, as in parallel training."""
    x, kernel = jnp.ones((2, 3, 3, features)), jnp.ones((3, 3, features, new))

    def gradients(convolve, x, kernel):
        return jax.grad(lambda *at: jnp.sum(convolve(*at) ** 2), (0, 1))(x, kernel)

    expected = gradients(by_xla, x, kernel)
    mesh = jax.make_mesh((1,), ("devices",), axis_types=(AxisType.Auto,))
    specs = (P("devices"), P())
    each = functools.partial(gradients, convolve)
    found = jax.jit(jax.shard_map(each, mesh=mesh, in_specs=specs, out_specs=specs))(x, kernel)
    assert_close(found, expected)

    explicit = jax.make_mesh((1,), ("devices",), axis_types=(AxisType.Explicit,))
    spread = [
        jax.device_put(each, NamedSharding(explicit, spec))
        for each, spec in zip((x, kernel), specs, strict=True)
    ]
    assert_close(jax.jit(lambda *at: gradients(convolve, *at))(*spread), expected)


MISTAKES = {
    "an image alone": ((3, 3, 2), (3, 3, 2, 1)),
    "a kernel of three axes": ((1, 3, 3, 2), (3, 2, 1)),
    "other features": ((1, 3, 3, 2), (3, 3, 5, 1)),
    "an empty window": ((1, 3, 3, 2), (0, 3, 2, 1)),
    "a number": ((), (3, 3, 2, 1)),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes(name):
    x, kernel = map(np.ones, MISTAKES[name])
    with pytest.raises(ValueError, match=r"convolve: expected images .* got shapes"):
        convolve(x, kernel)
