"""Completion: exact conditional distributions for any mask, and a warning where it cannot be."""

import itertools
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jaxgen import zoo
from jaxgen.core import ShapeError
from jaxgen.models import Ensemble
from jaxgen.models.completion import ApproximateCompletion
from jaxgen.testing import perturb, to_float64

KEY = jax.random.key(0)
EVENTS = jnp.asarray(list(itertools.product((0, 1), repeat=4)))
ANY = jnp.arange(4)  # an order that is given lets what is observed come first
MASKS = [(0, 1, 0, 1), (1, 1, 0, 0), (0, 0, 0, 1), (0, 0, 0, 0), (1, 1, 1, 1)]


def member(name="made", event=(4,), **options):
    options = {"made": {"hidden": (9,)}, "nade": {"width": 4}}.get(name, {}) | options
    return to_float64(perturb(getattr(zoo, name)(event, rngs=nnx.Rngs(0), **options), KEY))


def observed_first(mask):
    return jnp.asarray([i for i in range(4) if mask[i]] + [i for i in range(4) if not mask[i]])


@pytest.mark.parametrize("mask", MASKS, ids=str)
@pytest.mark.parametrize("name", ["made", "nade", "fvsbn", "growing"])
def test_the_conditional_density_is_the_joint_over_the_marginal(name, mask, x64):
    """Of the distribution whose order puts what is observed first."""
    model, mask = member(name), np.asarray(mask, bool)
    joint = np.asarray(model.log_prob(EVENTS, order=observed_first(mask)))
    got = np.asarray(model.conditional_log_prob(EVENTS, mask, order=ANY))
    for i, event in enumerate(np.asarray(EVENTS)):
        same = np.all((np.asarray(EVENTS) == event) | ~mask, axis=1)
        marginal = jax.nn.logsumexp(joint[same])
        np.testing.assert_allclose(got[i], joint[i] - marginal, atol=1e-12)


def test_draws_keep_what_is_observed_and_follow_the_conditional_density(x64):
    model, mask = member(), np.array([False, True, False, True])
    x = jnp.array([[1, 0, 1, 1], [0, 1, 0, 0]])
    drawn = np.asarray(model.complete(KEY, x, mask, 20_000, order=ANY))
    assert drawn.shape == (20_000, 2, 4)
    np.testing.assert_array_equal(drawn[..., mask], np.broadcast_to(x[:, mask], (20_000, 2, 2)))
    for i in range(2):
        for missing in itertools.product((0, 1), repeat=2):
            event = np.asarray(x[i]).copy()
            event[~mask] = missing
            share = np.mean(np.all(drawn[:, i] == event, axis=1))
            expected = np.exp(model.conditional_log_prob(jnp.asarray(event), mask, order=ANY))
            assert share == pytest.approx(expected, abs=5 * np.sqrt(expected / 20_000))


def test_a_mask_for_every_event_and_one_mask_for_all_agree(x64):
    model = member()
    x = EVENTS[:6].reshape(2, 3, 4)
    holes = np.random.default_rng(0).random((2, 3, 4)) < 0.5
    score = jax.jit(lambda model, x, holes: model.conditional_log_prob(x, holes, order=ANY))
    scores = score(model, x, holes)
    for i, j in np.ndindex(2, 3):
        alone = score(model, x[i, j], holes[i, j])
        np.testing.assert_allclose(scores[i, j], alone, atol=1e-12)
    drawn = model.complete(KEY, x, holes, 5, order=ANY)
    assert drawn.shape == (5, 2, 3, 4)
    np.testing.assert_array_equal(np.where(holes, drawn, 0), np.where(holes, np.stack([x] * 5), 0))
    traced = jax.jit(type(model).complete, static_argnums=4)(model, KEY, x, holes, 5, order=ANY)
    np.testing.assert_array_equal(traced, drawn)
    assert model.complete(KEY, x[:0], holes[:0], 5).shape == (5, 0, 3, 4)


def test_what_stands_at_missing_positions_is_not_read(x64):
    model = member(levels=None, components=2)
    mask = np.array([True, False, False, True])
    x = jnp.array([0.5, jnp.nan, 1e30, -1.0])
    drawn = model.complete(KEY, x, mask, 3, order=ANY)
    assert np.all(np.isfinite(drawn))
    zeros = jnp.where(jnp.asarray(mask), x, 0.0)
    np.testing.assert_array_equal(drawn, model.complete(KEY, zeros, mask, 3, order=ANY))


def test_draws_have_the_dtype_of_samples_whatever_that_of_the_events(x64):
    mask = np.array([True, False, False, False])
    many = member(levels=300)
    draw = jax.jit(lambda x: (many.complete(KEY, x, mask, 200), many.sample(KEY, 1)))
    drawn, sampled = draw(jnp.array([7, 0, 0, 0], jnp.uint8))
    assert drawn.max() > 255  # beyond what the events' dtype holds
    np.testing.assert_array_equal(drawn[:, 0], 7)
    assert drawn.dtype == sampled.dtype == jnp.int32
    real = member(levels=None)
    x = jnp.array([0.5, 0.0, 0.0, 0.0], jnp.float32)
    drawn, sampled = jax.eval_shape(
        lambda x: (real.complete(KEY, x, mask, 2), real.sample(KEY, 1)), x
    )
    assert drawn.dtype == sampled.dtype == jnp.float64


def test_what_is_observed_must_be_in_the_support(x64):
    mask = np.array([True, True, False, False])
    with pytest.raises(ValueError, match="expected values 0 and 1, got 7"):
        member().complete(KEY, jnp.array([7, 0, 9, 9]), mask, 1)
    ensemble = member(num_orders=2)
    for call in (
        lambda x: ensemble.complete(KEY, x, mask, 1),
        lambda x: ensemble.conditional_log_prob(x, mask),
        lambda x: ensemble.elbo(x[None], KEY),
    ):
        with pytest.raises(ValueError, match="expected values 0 and 1, got 7"):
            call(jnp.array([7, 0, 1, 1]))
    real = member(levels=None, components=2)
    with pytest.raises(ValueError, match="expected real values, got int"):
        real.complete(KEY, jnp.array([1, 2, 3, 4]), mask, 1)
    with pytest.raises(ValueError, match="1 NaN or infinite values"):
        real.complete(KEY, jnp.array([jnp.nan, 0.0, jnp.nan, 0.0]), mask, 1)


def test_a_mask_of_numpy_is_seen_under_jit(x64):
    model, late = member("markov", parents=2), np.array([False, True, False, True])
    for call in (
        lambda x: model.complete(KEY, x, late, 1),
        lambda x: model.conditional_log_prob(x, late),
    ):
        with pytest.warns(ApproximateCompletion):
            jax.jit(call)(EVENTS)
    made, wrong = member(), np.array([0, 0, 1, 2])
    with pytest.raises(ShapeError, match="not a permutation"):
        jax.jit(lambda x: made.log_prob(x, order=wrong))(EVENTS)


def test_a_context_and_nothing_missing(x64):
    model = member(context_features=2)
    context = jax.random.normal(KEY, (3, 2))
    x = EVENTS[:3]
    everything = np.ones(4, bool)
    np.testing.assert_array_equal(model.complete(KEY, x, everything, 2, context), [x, x])
    np.testing.assert_array_equal(model.conditional_log_prob(x, everything, context), jnp.zeros(3))
    nothing = np.zeros(4, bool)
    np.testing.assert_allclose(
        model.conditional_log_prob(x, nothing, context), model.log_prob(x, context), atol=1e-12
    )
    same = model.complete(KEY, x, nothing, 2, context)
    np.testing.assert_array_equal(same, model.sample(KEY, 2, context))


@pytest.mark.parametrize(("name", "options"), [("markov", {"parents": 2}), ("made", {})])
def test_one_order_is_exact_for_its_beginning_and_says_where_it_is_not(name, options, x64):
    """MADE could take any order, but its density is that of the one it was trained in."""
    model = member(name, **options)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        beginning = np.array([True, True, False, False])
        got = np.asarray(model.conditional_log_prob(EVENTS, beginning))
    joint = np.asarray(model.log_prob(EVENTS)).reshape(4, 4)
    expected = joint - jax.nn.logsumexp(joint, axis=1, keepdims=True)
    np.testing.assert_allclose(got, expected.reshape(-1), atol=1e-12)
    late = np.array([False, True, False, True])
    message = rf"complete: an approximation: {type(model.conditional).__name__} .*is exact"
    with pytest.warns(ApproximateCompletion, match=message):
        drawn = model.complete(KEY, EVENTS, late, 3)
    np.testing.assert_array_equal(drawn[..., late], np.stack([EVENTS[:, late]] * 3))
    with pytest.warns(ApproximateCompletion):
        got = model.conditional_log_prob(EVENTS, late)
    # Each missing position given all that come before it: p(x_0) p(x_2 | x_0, x_1).
    p = np.exp(np.asarray(model.log_prob(EVENTS))).reshape(2, 2, 2, 2)
    first = p.sum((1, 2, 3))[:, None, None]
    third = p.sum(3) / p.sum((2, 3))[..., None]
    expected = np.broadcast_to((np.log(first * third))[..., None], p.shape).reshape(-1)
    np.testing.assert_allclose(got, expected, atol=1e-12)


@pytest.mark.parametrize("mask", [np.ones(3, bool), np.ones(4, int), np.ones((2, 4), bool)])
def test_a_mask_of_the_wrong_shape_or_dtype(mask):
    model = zoo.made((4,), rngs=nnx.Rngs(0))
    for call in (
        lambda: model.complete(KEY, EVENTS, mask, 1),
        lambda: model.conditional_log_prob(EVENTS, mask),
    ):
        with pytest.raises(ShapeError, match=r"expected a boolean mask of shape \(4,\)"):
            call()


def test_an_ensemble_averages_orders_that_all_begin_with_what_is_observed(x64):
    ensemble, mask = member("made", num_orders=3), np.array([False, True, False, True])
    x = EVENTS[:5]
    got = ensemble.conditional_log_prob(x, mask)
    orders = np.asarray(ensemble.orders[...]).astype(int)
    each = [ensemble.model.conditional_log_prob(x, mask, order=jnp.asarray(o)) for o in orders]
    np.testing.assert_allclose(got, jax.nn.logsumexp(jnp.stack(each), 0) - np.log(3), atol=1e-12)
    # Over what is missing these are probabilities, and the draws have their frequencies.
    drawn = np.asarray(ensemble.complete(KEY, x[0], mask, 20_000))
    np.testing.assert_array_equal(drawn[:, mask], np.broadcast_to(x[0][mask], (20_000, 2)))
    same = np.all(np.asarray(EVENTS)[:, mask] == np.asarray(x[0])[mask], axis=1)
    probabilities = np.exp(ensemble.conditional_log_prob(EVENTS[same], mask))
    np.testing.assert_allclose(probabilities.sum(), 1.0, atol=1e-12)
    for event, expected in zip(np.asarray(EVENTS)[same], probabilities, strict=True):
        share = np.mean(np.all(drawn == event, axis=1))
        assert share == pytest.approx(expected, abs=5 * np.sqrt(expected / 20_000))


@pytest.mark.parametrize("options", [{}, {"levels": 3}], ids=["binary", "three levels"])
@pytest.mark.parametrize("name", ["made", "eonade"])
def test_an_ensemble_may_condition_by_bayes_rule_on_the_mean_of_its_members(name, options, x64):
    """Of the members whose orders begin with what is observed; by enumeration."""
    ensemble = perturb(member(name, num_orders=3, **options), KEY, 1.5)
    levels = ensemble.levels
    events = jnp.asarray(list(itertools.product(range(levels), repeat=4)))
    orders = np.asarray(ensemble.orders[...]).astype(int)
    score = jax.jit(lambda model, order: model.log_prob(events, order=order))
    for mask in np.asarray(MASKS, bool):
        first = [np.concatenate([o[mask[o]], o[~mask[o]]]) for o in orders]
        joint = jax.nn.logsumexp(jnp.stack([score(ensemble.model, o) for o in first]), 0)
        same = np.all((np.asarray(events)[:, None] == np.asarray(events)) | ~mask, axis=2)
        marginal = jax.nn.logsumexp(jnp.where(same, joint, -jnp.inf), axis=1)
        got = ensemble.conditional_log_prob(events, mask, weighting="posterior")
        np.testing.assert_allclose(got, joint - marginal, atol=1e-12)
        seen = ensemble.observed_log_prob(events, mask)
        np.testing.assert_allclose(seen, marginal - np.log(3), atol=1e-12)


def test_bayes_rule_on_an_ensemble_whose_members_begin_with_what_is_observed_is_that_of_its_density(
    x64,
):
    orders = jnp.array([[0, 1, 2, 3], [1, 0, 3, 2], [1, 0, 2, 3]])
    ensemble = perturb(Ensemble(member(), orders), KEY, 2.0)
    joint = np.exp(np.asarray(ensemble.log_prob(EVENTS))).reshape(4, 4)
    expected = (joint / joint.sum(1, keepdims=True)).reshape(-1)
    mask = np.array([True, True, False, False])
    got = np.exp(ensemble.conditional_log_prob(EVENTS, mask, weighting="posterior"))
    np.testing.assert_allclose(got, expected, atol=1e-12)
    equal = np.exp(ensemble.conditional_log_prob(EVENTS, mask))
    assert np.abs(equal - expected).max() > 0.05  # another distribution


def test_draws_by_bayes_rule_have_the_frequencies_of_its_conditional_density(x64):
    ensemble = perturb(member("made", num_orders=3), KEY, 2.0)
    shared = np.array([False, True, False, True])
    x = jnp.array([[1, 0, 1, 1], [0, 1, 0, 0]])
    own = np.stack([shared, ~shared])
    for mask in (shared, own):
        drawn = np.asarray(ensemble.complete(KEY, x, mask, 5000, weighting="posterior"))
        assert drawn.shape == (5000, 2, 4)
        each = np.broadcast_to(mask, (2, 4))
        np.testing.assert_array_equal(
            np.where(each, drawn, 0), np.where(each, x[None], 0) + 0 * drawn
        )
        for i in range(2):
            for missing in itertools.product((0, 1), repeat=2):
                event = np.asarray(x[i]).copy()
                event[~each[i]] = missing
                share = np.mean(np.all(drawn[:, i] == event, axis=1))
                expected = np.exp(
                    ensemble.conditional_log_prob(
                        jnp.asarray(event), each[i], weighting="posterior"
                    )
                )
                assert share == pytest.approx(expected, abs=5 * np.sqrt(expected / 5000))
    with pytest.raises(
        ValueError, match="unknown weighting 'posteriors': did you mean 'posterior'"
    ):
        ensemble.complete(KEY, x, shared, 1, weighting="posteriors")


@pytest.mark.parametrize("mask", MASKS, ids=str)
@pytest.mark.parametrize("name", ["made", "nade", "eonade"])
def test_the_density_of_the_observed_part_is_the_sum_over_the_missing_one(name, mask, x64):
    model, mask = member(name), np.asarray(mask, bool)
    model, order = (model.model, None) if name == "eonade" else (model, ANY)
    joint = np.asarray(model.log_prob(EVENTS, order=observed_first(mask)))
    hidden = jnp.where(jnp.asarray(mask), EVENTS.astype(float), jnp.nan)
    got = model.observed_log_prob(hidden, mask, order=order)
    same = np.all((np.asarray(EVENTS)[:, None] == np.asarray(EVENTS)) | ~mask, axis=2)
    expected = jax.nn.logsumexp(jnp.where(same, joint, -jnp.inf), axis=1)
    np.testing.assert_allclose(got, expected, atol=1e-12)


def test_a_network_in_its_own_order_refuses_the_density_of_a_part_that_it_does_not_know(x64):
    model = member("markov", parents=2)
    beginning, late = np.array([True, True, False, False]), np.array([False, True, False, True])
    joint = np.exp(np.asarray(model.log_prob(EVENTS))).reshape(4, 4)
    got = model.observed_log_prob(EVENTS, beginning)
    np.testing.assert_allclose(np.exp(got), np.repeat(joint.sum(1), 4), atol=1e-12)
    for mask in (late, np.broadcast_to(late, (16, 4))):
        with pytest.raises(TypeError, match="Markov generates in an order of its own"):
            model.observed_log_prob(EVENTS, mask)
    with pytest.raises(TypeError, match="cannot be told under"):
        jax.jit(type(model).observed_log_prob)(model, EVENTS, beginning)
    with pytest.raises(TypeError, match="only autoregressive models condition on a part"):
        member("mixture", components=2).observed_log_prob(EVENTS, beginning)


def test_a_graph_conditions_exactly_on_positions_that_need_nothing_missing(x64):
    """Of a Bayesian network 0 -> 2 without edges to 1: whatever the mask of 1 is, it is exact."""
    model = member("markov", (3,), parents=((), (), (0,)))
    events = jnp.asarray(list(itertools.product((0, 1), repeat=3)))
    joint = np.asarray(model.log_prob(events))
    for mask, exact in (((0, 1, 0), True), ((0, 0, 1), False), ((1, 0, 1), True)):
        observed = np.asarray(mask, bool)
        assert model.conditions_exactly(observed) == exact
        if exact:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                got = np.asarray(model.conditional_log_prob(events, observed))
            for i, event in enumerate(np.asarray(events)):
                same = np.all((np.asarray(events) == event) | ~observed, axis=1)
                expected = joint[i] - jax.nn.logsumexp(joint[same])
                np.testing.assert_allclose(got[i], expected, atol=1e-12)
