"""Models are built on the host: the same numbers as by JAX, and nothing to compile."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jaxgen import zoo
from jaxgen.core import constructed
from jaxgen.zoo import registry

MODELS = {
    "maf": lambda rngs: zoo.maf((3,), layers=2, hidden=(8,), rngs=rngs),
    "realnvp": lambda rngs: zoo.realnvp((4,), steps=2, hidden=(8,), split="random", rngs=rngs),
    "glow": lambda rngs: zoo.glow((4, 4, 1), levels=1, steps=2, width=8, rngs=rngs),
    "torus": lambda rngs: zoo.torus((2,), steps=1, width=8, rngs=rngs),
    "made ensemble": lambda rngs: zoo.made((5,), hidden=(8,), num_orders=3, rngs=rngs),
    "attention": lambda rngs: zoo.attention((4,), width=8, depth=2, heads=2, rngs=rngs),
    "recurrent": lambda rngs: zoo.recurrent((4,), width=8, rngs=rngs),
    "pixelcnnpp": lambda rngs: zoo.pixelcnnpp(
        (4, 4, 1), levels=4, width=4, blocks=1, resolutions=1, rngs=rngs
    ),
    "mixture": lambda rngs: zoo.mixture((4,), components=3, rngs=rngs),
    "dequantizer": lambda rngs: zoo.dequantizer((4, 4, 1), width=4, blocks=1, rngs=rngs),
}


@pytest.fixture(autouse=True)
def optimized_alone(optimized):
    """A program that is kept from a test without optimizations rounds otherwise."""
    jax.clear_caches()
    yield
    jax.clear_caches()


def by_jax(build, rngs, check=None):
    return build(rngs)


# Later versions of XLA round the draws of many keys together otherwise, in the last place.
TOLERANCE = 0.0 if jax.__version_info__ < (0, 11) else 1e-6


def assert_same(found, expected):
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    for mine, theirs in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        assert mine.dtype == theirs.dtype
        assert isinstance(mine, jax.Array)
        np.testing.assert_allclose(mine.astype(theirs.dtype), theirs, rtol=TOLERANCE, atol=0)


@pytest.mark.parametrize("name", MODELS)
def test_a_model_is_what_jax_builds(name, monkeypatch):
    rngs, others = nnx.Rngs(7), nnx.Rngs(7)
    found = MODELS[name](rngs)
    monkeypatch.setattr(registry, "constructed", by_jax)
    assert_same(found, MODELS[name](others))
    assert rngs.params() == others.params()  # which went on as far


DRAWS = {
    "normal": lambda key: jax.random.normal(key, (200_001,)),
    "uniform between bounds": lambda key: jax.random.uniform(key, (3, 5), minval=-0.3, maxval=2.0),
    "scaled": lambda key: 0.3 * jax.random.truncated_normal(key, -2.0, 1.0, (7,)) + 1.0,
    "of many keys": lambda key: jax.vmap(lambda key: jax.random.normal(key, (300, 301)))(
        jax.random.split(key, 3)
    ),
    "half precision": lambda key: jax.random.normal(key, (5,), jnp.bfloat16),
    "permutation": lambda key: jax.random.permutation(key, 1000),
    "integers": lambda key: jax.random.randint(key, (100_000,), 0, 7),
    "orthogonal": lambda key: jax.random.orthogonal(key, 5),
    "no numbers": lambda key: jax.random.normal(key, (0, 4)),
    "keys": lambda key: jax.random.key_data(jax.random.fold_in(key, 2**31 + 5)),
    "a loop": lambda key: jax.lax.fori_loop(0, 3, lambda i, x: x * i, jax.random.normal(key, (2,))),
    "softplus": lambda key: jax.nn.softplus(jax.random.normal(key, (4,))),
    "twice used": lambda key: (lambda x: x * jnp.abs(x) - 2 * x)(jax.random.normal(key, (4,))),
}


@pytest.mark.parametrize("name", DRAWS)
def test_draws_are_those_of_jax(name):
    draw = DRAWS[name]
    found = constructed(lambda rngs: draw(rngs.params()), nnx.Rngs(3))
    assert_same(found, draw(nnx.Rngs(3).params()))


def test_draws_of_double_precision(x64):
    found = constructed(lambda rngs: jax.random.normal(rngs.params(), (5,)), nnx.Rngs(3))
    assert found.dtype == jnp.float64
    assert_same(found, jax.random.normal(nnx.Rngs(3).params(), (5,)))


def test_models_of_other_shapes_compile_nothing(compilations):
    zoo.maf((3,), layers=2, hidden=(8,), rngs=nnx.Rngs(0))
    compilations.clear()
    zoo.maf((5,), layers=7, hidden=(9, 11), rngs=nnx.Rngs(1))
    assert compilations == []


def test_keys_that_are_missing_are_asked_for():
    with pytest.raises(TypeError, match=r"maf.*rngs"):
        zoo.maf((2,))
    with pytest.raises(TypeError, match=r"maf.*event_shape"):
        zoo.maf(rngs=nnx.Rngs(0))


def test_streams_by_name_are_counted_on():
    rngs, others = nnx.Rngs(params=1, default=2), nnx.Rngs(params=1, default=2)
    for each in (rngs, others):
        each.params()
    found = constructed(lambda r: [r.params(), r.params(), r.dropout()], rngs)
    expected = [others.params(), others.params(), others.dropout()]
    assert [bool(a == b) for a, b in zip(found, expected, strict=True)] == [True] * 3
    assert rngs.params() == others.params()
    assert rngs.default() == others.default()


def test_another_generator_and_keys_that_are_traced_are_left_to_jax():
    key = jax.random.key(0, impl="rbg")
    build = MODELS["maf"]
    assert_same(build(nnx.Rngs(key)), build(nnx.Rngs(key)))
    shapes = jax.eval_shape(lambda key: build(nnx.Rngs(key)), jax.random.key(0))
    assert_same(
        jax.tree.map(jnp.ones_like, shapes), jax.tree.map(jnp.ones_like, build(nnx.Rngs(0)))
    )


def test_a_constructor_that_looks_at_its_draws_is_left_to_jax():
    def build(rngs):
        x = jax.random.normal(rngs.params(), (2,))
        return x if x[0] > 100 else -x

    assert_same(constructed(build, nnx.Rngs(0)), build(nnx.Rngs(0)))


def test_a_model_is_refused_before_it_has_numbers():
    def check(module):
        raise ValueError(f"expected less than {module.size} numbers")

    with pytest.raises(ValueError, match="less than 10000000000000 numbers"):
        constructed(lambda rngs: jax.random.normal(rngs.params(), (10**13,)), nnx.Rngs(0), check)


def test_what_a_model_is_given_stays_the_array_that_it_was():
    table = jnp.arange(4.0)
    found = constructed(lambda rngs: [table, 2 * table], nnx.Rngs(0))
    assert_same(found, [table, 2 * table])
