"""Attention, rotary positions, and the stack's ways of running."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jaxgen.core import ShapeError
from jaxgen.networks.transformer import (
    Transformer,
    TransformerBlock,
    attend,
    rotary_angles,
    rotate,
)
from jaxgen.testing import perturb, to_float64


def normal(seed, *shape):
    return jax.random.normal(jax.random.key(seed), shape)


def transformer(depth=3, **options):
    made = Transformer(8, depth=depth, heads=2, mlp_ratio=2, rngs=nnx.Rngs(0), **options)
    return perturb(to_float64(made), jax.random.key(0))


@pytest.mark.parametrize("masked", [False, True])
def test_attention_is_a_weighted_mean_of_what_may_be_seen(masked, x64):
    queries, keys, values = (np.asarray(normal(seed, 2, 5, 4)) for seed in range(3))
    got = attend(queries, keys, values, jnp.tri(5, dtype=bool) if masked else None)
    for head, token in np.ndindex(2, 5):
        seen = slice(token + 1) if masked else slice(None)
        weights = np.exp(keys[head, seen] @ queries[head, token] / 2.0)
        expected = weights @ values[head, seen] / weights.sum()
        np.testing.assert_allclose(got[head, token], expected, rtol=1e-12)


@pytest.mark.parametrize("scale", [1.0, 1e3])
def test_what_is_masked_has_no_weight_and_no_gradient_at_all(scale, x64):
    queries, keys, values = (scale * normal(seed, 1, 4, 2) for seed in range(3))
    mask = jnp.tri(4, dtype=bool)
    jacobians = jax.jacrev(attend, argnums=(1, 2))(queries, keys, values, mask)
    for jacobian in jacobians:
        by_token = np.abs(jacobian[0][:, :, 0]).max(axis=(1, 3))  # (token, other)
        assert np.all(np.isfinite(by_token))
        assert np.all(by_token[np.triu_indices(4, 1)] == 0)
    if scale == 1.0:
        assert np.all(by_token[np.tril_indices(4)] > 0)


def test_softmax_is_in_single_precision_or_better():
    queries, keys, values = (normal(seed, 1, 64, 8) for seed in range(3))
    half = [a.astype(jnp.bfloat16) for a in (queries, keys, values)]
    text = str(jax.make_jaxpr(attend)(*half))
    assert "exp" in text
    assert not any("bf16" in line for line in text.splitlines() if " exp " in line)
    assert attend(*half).dtype == jnp.bfloat16


@pytest.mark.parametrize("grid_shape", [(6,), (3, 4)])
def test_rotated_products_depend_on_offsets_alone(grid_shape, x64):
    angles = rotary_angles(grid_shape, 8)
    coordinates = np.indices(grid_shape).reshape(len(grid_shape), -1).T
    query, key = normal(0, 8), normal(1, 8)
    products = (
        rotate(jnp.tile(query, (len(angles), 1)), angles)
        @ rotate(jnp.tile(key, (len(angles), 1)), angles).T
    )
    seen: dict[tuple, float] = {}
    for i, a in enumerate(coordinates):
        for j, b in enumerate(coordinates):
            offset = tuple(int(n) for n in a - b)
            assert products[i, j] == pytest.approx(seen.setdefault(offset, products[i, j]))
    assert len({round(float(p), 9) for p in seen.values()}) == len(seen)  # and tell them apart
    np.testing.assert_allclose(
        jnp.linalg.norm(rotate(query[None], angles), axis=-1), jnp.linalg.norm(query)
    )


def test_heads_that_rotary_positions_do_not_fit_are_refused():
    with pytest.raises(ShapeError, match="grid of 2 axes: expected heads of a size divisible by 4"):
        rotary_angles((2, 2), 6)


def test_the_stack_is_its_blocks_in_a_row(x64):
    model, h = transformer(), normal(0, 2, 5, 8)

    def in_a_row(model, h):
        for block in model.unstacked():
            h = block(h)
        return model.norm(h)

    got, expected = jax.jit(lambda model, h: (model(h), in_a_row(model, h)))(model, h)
    np.testing.assert_allclose(got, expected, rtol=1e-12)


@pytest.mark.parametrize("sizes", [(1, 1, 1, 1, 1), (2, 3), (5,)])
@pytest.mark.parametrize("rotary", [False, True])
def test_steps_are_the_causal_pass(rotary, sizes, x64):
    model, h = transformer(depth=2), normal(0, 2, 5, 8)
    angles = (rotary_angles((5,), 4), 0.5 + rotary_angles((5,), 4)) if rotary else None
    mask = jnp.tri(5, dtype=bool)

    @jax.jit
    def both(model, h):
        expected, stored = model(h, mask, angles), model.empty((2,), 5)
        got, t = [], 0
        for size in sizes:
            now = slice(t, t + size)
            at = angles and tuple(a[now] for a in angles)
            out, stored = model.steps(h[:, now], model.unstacked(), stored, t, at)
            got.append(out)
            t += size
        return expected, jnp.concatenate(got, 1), stored, model.keys_and_values(h, mask, angles)

    expected, got, stored, prefilled = both(model, h)
    np.testing.assert_allclose(got, expected, rtol=1e-12, atol=1e-13)
    for one, other in zip(jax.tree.leaves(stored), jax.tree.leaves(prefilled), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-13)


def test_a_pass_compiles_one_block_whatever_the_depth():
    h = jnp.ones((5, 8))
    sizes = {
        depth: str(jax.make_jaxpr(Transformer(8, depth=depth, heads=2, rngs=nnx.Rngs(0)))(h)).count(
            "\n"
        )
        for depth in (2, 9)
    }
    assert sizes[2] == sizes[9]


def test_dropout_follows_its_key():
    model = Transformer(8, depth=2, heads=2, dropout=0.5, rngs=nnx.Rngs(0))
    h = normal(0, 5, 8)
    run = jax.jit(lambda model, key: model(h, key=key))
    off, again = run(model, None), run(model, None)
    one, same, other = (run(model, jax.random.key(seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(off, again)
    np.testing.assert_array_equal(one, same)
    assert np.any(one != off)
    assert np.any(one != other)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda r: TransformerBlock(8, heads=3, rngs=r), "heads that divide the width 8, got 3"),
        (lambda r: TransformerBlock(8, heads=0, rngs=r), "for heads, got 0"),
        (
            lambda r: TransformerBlock(8, heads=2, dropout=1.0, rngs=r),
            "a rate from 0 to less than 1",
        ),
        (lambda r: Transformer(8, depth=0, heads=2, rngs=r), "for depth, got 0"),
    ],
)
def test_bad_hyperparameters_are_refused(build, message):
    with pytest.raises(ValueError, match=message):
        build(nnx.Rngs(0))
