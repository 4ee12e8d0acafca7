"""Causal attention: normalisation in any order, the ways to run it, what it knows, errors."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jaxgen.bijectors import MaskedAutoregressive
from jaxgen.conditionals import CausalTransformer
from jaxgen.core import Buffer, ShapeError, replace
from jaxgen.functional.autoregressive import Cache
from jaxgen.likelihoods import Bernoulli, Normal
from jaxgen.models import Autoregressive
from jaxgen.testing import perturb, to_float64

BITS = np.array(list(itertools.product([0, 1], repeat=4))).reshape(-1, 2, 2)
KINDS = ("learned", "rotary")


def network(grid=(2, 2), position=(), num_params=1, positions="learned", **options):
    made = CausalTransformer(
        grid,
        position,
        num_params,
        width=8,
        heads=2,
        mlp_ratio=2,
        positions=positions,
        rngs=nnx.Rngs(0),
        **{"depth": 1} | options,
    )
    return perturb(to_float64(made), jax.random.key(0), 1.0)


@pytest.mark.parametrize("positions", KINDS)
def test_probabilities_sum_to_one_in_every_order_with_one_compilation(positions, x64):
    traces = []

    @jax.jit
    def log_prob(model, x, order):
        traces.append(None)
        return model.log_prob(x, order=order)

    model = Autoregressive(network(positions=positions), Bernoulli())
    scores = []
    for seed in range(4):
        order = jax.random.permutation(jax.random.key(seed), 4)
        scores.append(log_prob(model, BITS, order))
        assert np.exp(scores[-1]).sum() == pytest.approx(1.0, abs=1e-12)
    assert len(traces) == 1
    assert np.abs(scores[0] - scores[1]).max() > 1e-3  # an order does change the model


@pytest.mark.parametrize("block", [5, 16])  # a shorter block and two of five; all in one
@pytest.mark.parametrize("positions", KINDS)
def test_all_ways_to_run_it_agree_to_rounding(positions, block, x64, monkeypatch):
    monkeypatch.setattr(CausalTransformer, "block", block)
    model = network((3, 4), (2,), 3, positions, depth=2, context_features=2)
    context = np.random.default_rng(0).normal(size=(2, 2))
    order = jax.random.permutation(jax.random.key(1), 12)
    noise = jax.random.normal(jax.random.key(2), (12, 2, 2))

    def emit(t, params):
        value = jnp.sin(params[..., :2] + params[..., 2:]) + noise[t]
        return value, value

    @jax.jit
    def run(model):
        return [
            model.generate(emit, (2,), context, order, method=method)
            for method in ("incremental", "naive", "jacobi", "block")
        ]

    incremental, *others = run(model)
    for other in others:
        np.testing.assert_allclose(other, incremental, rtol=0, atol=1e-12)


@pytest.mark.parametrize("positions", KINDS)
def test_a_step_knows_its_place_and_the_place_it_reads(positions, x64):
    model, x = network(positions=positions), np.ones((1, 2, 2))
    run = jax.jit(lambda m, order: m.to_sequence(m(x, None, order), order, params=True)[:, 0, 0])
    first, other_target, other_source = (
        run(model, jnp.array(order)) for order in ([0, 1, 2, 3], [0, 2, 1, 3], [3, 1, 2, 0])
    )
    assert abs(first[0] - other_source[0]) > 1e-6  # the start knows what it predicts
    assert abs(first[1] - other_target[1]) > 1e-6  # so does a later step, having read the same
    assert abs(first[1] - other_source[1]) > 1e-6  # and it knows where the same value was read


def test_raster_order_is_the_default(x64):
    model, x = network(), BITS.astype(float)
    run = jax.jit(lambda m, order: m(x, None, order))
    np.testing.assert_array_equal(run(model, None), run(model, jnp.arange(4)))


@pytest.mark.parametrize("positions", KINDS)
def test_prefill_looks_at_the_known_steps_only(positions, x64):
    model = network((5,), (), 2, positions, depth=2)
    x = jax.random.normal(jax.random.key(1), (3, 5))
    order = jnp.array([4, 0, 2, 1, 3])
    unknown = x.at[:, order[2:]].set(jnp.nan)  # three steps of values, the third to be passed on
    step = jax.jit(lambda m, cache, value: m.step(cache, jnp.asarray(3), value)[0])
    prefill = jax.jit(lambda m, given: m.prefill(given, 3, None, order))
    expected = jax.jit(lambda m: m(x, None, order)[:, order[3]])(model)
    for given in (x, unknown):
        got = step(model, prefill(model, given), x[:, order[2]])
        np.testing.assert_allclose(got, expected, rtol=1e-12)


def test_a_step_may_come_again_and_later_ones_are_not_seen(x64):
    """What the storage holds behind a step is masked: steps may be taken back."""
    model = network((4,), (), 2)
    x = jax.random.normal(jax.random.key(1), (3, 4))
    step = jax.jit(lambda m, cache, t, value: m.step(cache, t, value))
    cache: Cache = model.init_cache((3,))
    kept = {}
    for t in range(4):
        previous = x[:, t - 1] if t else jnp.zeros(3)
        kept[t], cache = step(model, cache, t, previous)
    again, _ = step(model, cache, 1, x[:, 0])
    np.testing.assert_array_equal(again, kept[1])


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"positions": "rotery"}, ValueError, "unknown kind of positions 'rotery': did you mean"),
        ({"heads": 3}, ValueError, "heads that divide the width 8, got 3"),
        ({"positions": "rotary", "heads": 4}, ShapeError, "a size divisible by 4, got 2"),
        ({"depth": 0}, ValueError, "for depth, got 0"),
    ],
)
def test_bad_hyperparameters_are_refused(options, error, message):
    options = {"width": 8, "depth": 1, "heads": 2} | options
    with pytest.raises(error, match=message):
        CausalTransformer((2, 2), (), 1, **options, rngs=nnx.Rngs(0))


def test_wrong_shapes_are_refused():
    model = CausalTransformer((2, 2), (3,), 1, width=8, depth=1, heads=2, rngs=nnx.Rngs(0))
    with pytest.raises(ShapeError, match=r"expected shape \(\*batch, 2, 2, 3\), got \(2, 2\)"):
        model(jnp.zeros((2, 2)))


def test_a_model_runs_its_blocks_from_what_its_positions_start_from(x64, monkeypatch):
    monkeypatch.setattr(CausalTransformer, "block", 5)
    rng = np.random.default_rng(0)
    model = Autoregressive(network((3, 4), (2,), 4, context_features=2), Normal())
    model = model.standardize(rng.normal(3.0, 2.0, (50, 3, 4, 2)), rng.normal(5.0, 1.0, (50, 2)))
    starts = rng.normal(size=model.border.start[...].shape)
    model = replace(model, border=replace(model.border, start=Buffer(jnp.asarray(starts))))
    noise = jax.random.normal(jax.random.key(2), (12, 2, 2))

    def emit(t, params):
        value = jnp.sin(params[..., :2] + params[..., 2:]) + noise[t]
        return value, value

    @jax.jit
    def run(network, context):
        return [
            network.generate_with_certificate(emit, (2,), context, method=method)
            for method in ("jacobi", "block")
        ]

    (whole, _), (in_blocks, found) = run(model.network, rng.normal(5.0, 1.0, (2, 2)))
    np.testing.assert_allclose(in_blocks, whole, rtol=0, atol=1e-12)
    assert int(found.iterations) <= 5


@pytest.mark.parametrize("tolerance", [-1.0, np.inf, np.nan, True, "a", None])
def test_what_is_no_tolerance_is_refused(tolerance, x64):
    layer = MaskedAutoregressive(network(num_params=2))
    with pytest.raises(ValueError, match="expected a tolerance of 0 or more, and finite, got"):
        layer.forward_with_certificate(jnp.zeros((1, 2, 2)), tolerance=tolerance)


def test_the_certificate_of_blocks_says_0_or_what_was_asked_for(x64, monkeypatch):
    monkeypatch.setattr(CausalTransformer, "block", 5)
    layer = MaskedAutoregressive(network((3, 4), num_params=2))
    z = jax.random.normal(jax.random.key(3), (2, 3, 4))
    expected = layer.forward(z)
    for tolerance in (0.0, 1e-6, 1e-1):
        x, _, found = layer.forward_with_certificate(z, method="block", tolerance=tolerance)
        assert 0.0 <= float(found.residual) <= tolerance
        assert int(found.iterations) <= 5
        if tolerance < 1e-3:
            np.testing.assert_allclose(x, expected, atol=1e-3 if tolerance else 1e-12)
