"""Padding counts for nothing: in scores, of a part too, in training and in records."""

import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jaxgen import zoo
from jaxgen.conditionals import FVSBN, MADE, NADE, CausalTransformer, EoNADE, Recurrent, WaveNet
from jaxgen.data import Dataset
from jaxgen.evaluation import evaluate
from jaxgen.likelihoods import Bernoulli, Categorical, Normal
from jaxgen.models import Autoregressive, Embedded
from jaxgen.models.scoring import score
from jaxgen.networks import Embedding
from jaxgen.testing import perturb
from jaxgen.training import Batch, TrainSettings, fit, negative_log_likelihood

LENGTH = 5
LENGTHS = np.array([5, 3, 2, 0, 4])
WITHIN = np.arange(LENGTH) < LENGTHS[:, None]
BITS = np.random.default_rng(0).integers(0, 2, (len(LENGTHS), LENGTH))
ALL = np.array(list(itertools.product([0, 1], repeat=LENGTH)))


def perturbed(network, likelihood):
    return perturb(Autoregressive(network, likelihood), jax.random.key(1), 0.5)


def sequence(kind, position, params, **options):
    return kind((LENGTH,), position, params, **options, rngs=nnx.Rngs(0))


# Networks over a sequence of numbers or of vectors, (position_shape, num_params) -> network.
OF_VECTORS = {
    "attention": lambda *shape: sequence(CausalTransformer, *shape, width=8, depth=1, heads=2),
    "recurrent": lambda *shape: sequence(Recurrent, *shape, width=4),
    "wavenet": lambda *shape: sequence(WaveNet, *shape, width=4, skip_width=4, dilations=(1, 2)),
}
NETWORKS = {
    "fvsbn": lambda: FVSBN((LENGTH,), 1, rngs=nnx.Rngs(0)),
    "made": lambda: MADE((LENGTH,), 1, hidden=(20,), rngs=nnx.Rngs(0)),
    "nade": lambda: NADE((LENGTH,), 1, width=4, rngs=nnx.Rngs(0)),
    "eonade": lambda: EoNADE((LENGTH,), 1, hidden=(20,), rngs=nnx.Rngs(0)),
    **{name: lambda make=make: make((), 1) for name, make in OF_VECTORS.items()},
}


@jax.jit
def joint(model, order):
    return model.log_prob(ALL, order=order)


def marginal(log_prob, row, positions):
    """log p of some positions of an event, by a sum over all events that agree there."""
    agree = (ALL[:, positions] == row[positions]).all(axis=1)
    return np.logaddexp.reduce(log_prob[agree])


def first(*masks):
    """An order with the positions of the first mask, then those of the next, then the rest."""
    ranks = np.select(masks, range(len(masks)), len(masks))
    return np.argsort(ranks, kind="stable")


@pytest.mark.parametrize("name", NETWORKS)
def test_the_missing_part_ends_where_the_example_does(name):
    """Given what is observed of the example, and nothing of its padding."""
    network = NETWORKS[name]()
    model = perturbed(network, Bernoulli())
    # In an order of its own a network conditions on a beginning; in any order, on any part.
    observed = np.array([1, 0, 0, 1, 0] if network.order_agnostic else [1, 1, 0, 0, 0], bool)
    expected = []
    for row, within in zip(BITS, WITHIN, strict=True):
        given = observed & within
        order = first(given, within) if network.order_agnostic else None
        log_prob = np.asarray(joint(model, order), np.float64)
        expected.append(marginal(log_prob, row, within) - marginal(log_prob, row, given))
    found = score(model, BITS, lengths=LENGTHS, observed=observed, batch_size=2)
    np.testing.assert_allclose(found, expected, atol=2e-5)
    padded = np.where(WITHIN, BITS, 1 - BITS)
    again = score(model, padded, lengths=LENGTHS, observed=observed, batch_size=2)
    np.testing.assert_allclose(again, found, atol=1e-6)


def test_two_fair_coins_less_one_that_was_seen():
    model = zoo.made((4,), hidden=(), rngs=nnx.Rngs(0))
    x, observed = np.ones((3, 4), int), np.array([True, False, False, False])
    scores = score(model, x, lengths=np.array([2, 1, 4]), observed=observed)
    np.testing.assert_allclose(scores, [-math.log(2), 0.0, -3 * math.log(2)], atol=1e-6)


def test_an_embedded_model_passes_lengths_on():
    network = CausalTransformer(
        (LENGTH,), (), 1, width=8, depth=1, heads=2, context_features=3, rngs=nnx.Rngs(0)
    )
    model = Embedded(perturbed(network, Bernoulli()), Embedding(2, 3, rngs=nnx.Rngs(1)))
    labels, observed = np.arange(len(BITS)) % 2, np.arange(LENGTH) < 2
    found = score(model, BITS, labels, lengths=LENGTHS, observed=observed)
    # The whole less the beginning, by the chain rule.
    whole, begun = (
        score(model, BITS, labels, lengths=ends) for ends in (LENGTHS, np.minimum(LENGTHS, 2))
    )
    np.testing.assert_allclose(found, whole - begun, atol=1e-5)


def test_masks_of_their_own_go_with_their_examples():
    network = EoNADE((LENGTH,), 1, hidden=(20,), rngs=nnx.Rngs(0))
    model = perturbed(network, Bernoulli())
    masks = np.random.default_rng(2).integers(0, 2, BITS.shape).astype(bool)
    found = score(model, BITS, observed=masks, batch_size=2)
    one_by_one = [
        score(model, row[None], observed=mask)[0] for row, mask in zip(BITS, masks, strict=True)
    ]
    np.testing.assert_allclose(found, one_by_one, atol=1e-5)


# --- positions that are vectors ---

PAIRS = np.random.default_rng(1).normal(size=(len(LENGTHS), LENGTH, 2)).astype(np.float32)


@pytest.fixture(params=OF_VECTORS)
def model(request):
    return perturbed(OF_VECTORS[request.param]((2,), Normal().num_params((2,))), Normal())


def test_vectors_are_scored_up_to_the_end(model):
    each = jax.jit(lambda model: model.likelihood.log_prob(PAIRS, model.conditional(PAIRS)))(model)
    expected = np.where(WITHIN, each, 0.0).sum(axis=1)
    padded = np.where(WITHIN[..., None], PAIRS, np.nan)
    np.testing.assert_allclose(score(model, padded, lengths=LENGTHS), expected, atol=1e-4)
    observed = np.arange(LENGTH) < 2
    missing = np.where(WITHIN & ~observed, each, 0.0).sum(axis=1)
    found = score(model, padded, lengths=LENGTHS, observed=observed)
    np.testing.assert_allclose(found, missing, atol=1e-4)


def test_training_sees_no_padding(model):
    settings = TrainSettings(steps=2, batch_size=len(PAIRS), steps_per_dispatch=1, warmup_steps=1)
    rows = []
    for padding in (0.0, np.nan):
        x = np.where(WITHIN[..., None], PAIRS, padding).astype(np.float32)
        batch = Batch(x, lengths=LENGTHS)
        result = fit(model, batch, batch, settings, progress=False)
        rows.append([(row["loss"], row.get("valid_loss")) for row in result.history])
    np.testing.assert_allclose(*(np.array(row, float) for row in rows), rtol=1e-5)


def test_a_record_counts_the_values_of_vectors():
    model = Autoregressive(
        OF_VECTORS["attention"]((2,), Categorical(4).num_params((2,))), Categorical(4)
    )
    x = np.random.default_rng(0).integers(0, 4, (3, LENGTH, 2))
    lengths = np.array([5, 1, 2])
    record = evaluate(model, Dataset("pairs", "test", x, levels=4, lengths=lengths))
    assert record.value == pytest.approx(2.0, rel=1e-5)  # uniform over four levels at first
    assert record.num_values == 16
    # Of whole examples no more than the parts that are missing count, 3 + 0 + 0 positions.
    part = evaluate(
        model,
        Dataset("pairs", "test", x, levels=4, lengths=lengths),
        observed=np.arange(LENGTH) < 2,
    )
    assert part.value == pytest.approx(2.0, rel=1e-5)


def test_lengths_are_for_a_sequence():
    image = zoo.pixelcnn((3, 3, 1), width=4, depth=1, out_width=4, rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match=r"expected events \(length,\) or \(length, \*position\)"):
        score(image, np.zeros((2, 3, 3, 1), int), lengths=np.array([1, 2]))
    flow = zoo.maf((LENGTH,), layers=1, hidden=(4,), rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match="Flow: expected whole events"):
        score(flow, np.zeros((2, LENGTH), np.float32), lengths=np.array([1, 2]))


def test_the_loss_of_padded_vectors_is_the_mean_of_the_scores(model):
    batch = Batch(PAIRS, lengths=LENGTHS)
    loss = jax.jit(negative_log_likelihood)(model, batch, jax.random.key(0))
    expected = -score(model, PAIRS, lengths=LENGTHS).mean()
    assert float(loss) == pytest.approx(expected, rel=1e-5)
    assert jnp.isfinite(loss)


def test_layers_are_initialised_from_data_and_not_from_padding():
    seen = []

    class Watched(Autoregressive):
        def standardize(self, x, context=None):
            if isinstance(x, np.ndarray):  # the whole set, not the first batch under a trace
                seen.append(x)
            return super().standardize(x, context)

    model = Watched(OF_VECTORS["recurrent"]((2,), Normal().num_params((2,))), Normal())
    x = np.where(WITHIN[..., None], PAIRS, 1e6).astype(np.float32)
    settings = TrainSettings(steps=1, batch_size=len(x), steps_per_dispatch=1)
    fit(model, Batch(x, lengths=LENGTHS), settings=settings, progress=False)
    (filled, *_) = seen
    np.testing.assert_array_equal(filled[WITHIN], PAIRS[WITHIN])
    for place in range(LENGTH):
        there = PAIRS[place < LENGTHS, place]
        assert all((row == there).all(axis=1).any() for row in filled[:, place])


# --- what is refused ---

FLOW = zoo.maf((2,), layers=1, hidden=(4,), rngs=nnx.Rngs(0))
CONDITIONAL = zoo.maf((2,), layers=1, hidden=(4,), context_features=2, rngs=nnx.Rngs(0))
LEVELS = zoo.made((2,), levels=4, hidden=(4,), rngs=nnx.Rngs(0))
POINTS = np.zeros((8, 2), np.float32)
PADDED = np.ones((8, 2), int)

REFUSED = {
    "a model by name": (lambda: score("maf", POINTS), TypeError, "expected a model, got 'maf'"),
    "no examples": (lambda: score(FLOW, None), TypeError, "array of numbers for x, got None"),
    "an example alone": (lambda: score(FLOW, POINTS[0]), ValueError, r"shape \(n, 2\), got \(2,\)"),
    "another shape": (lambda: score(FLOW, POINTS[:, :1]), ValueError, r"got \(8, 1\)"),
    "objects": (lambda: score(FLOW, POINTS.astype(object)), TypeError, r"got object\(8, 2\)"),
    "NaN": (lambda: score(FLOW, POINTS * np.nan), ValueError, "hold 16 NaN or infinite values"),
    "levels out of range": (
        lambda: score(LEVELS, 9 * PADDED),
        ValueError,
        "values from 9 to 9",
    ),
    "levels out of range in data, not in padding": (
        lambda: score(LEVELS, [[1, 9], [7, 9]], lengths=[1, 1]),
        ValueError,
        "from 0 to 3, got values from 1 to 7",
    ),
    "a context too few": (
        lambda: score(CONDITIONAL, POINTS, POINTS[:3]),
        ValueError,
        r"context for each of 8 examples, got shape \(3, 2\)",
    ),
    "contexts of NaN": (
        lambda: score(CONDITIONAL, POINTS, POINTS * np.nan),
        ValueError,
        "the contexts hold NaN",
    ),
    "a length too few": (
        lambda: score(LEVELS, PADDED, lengths=np.ones(3, int)),
        ValueError,
        r"lengths for each of 8 examples, got shape \(3,\)",
    ),
    "lengths of half a value": (
        lambda: score(LEVELS, PADDED, lengths=np.full(8, 0.5)),
        ValueError,
        "expected integer lengths, got float64",
    ),
    "a mask too few": (
        lambda: score(LEVELS, PADDED, observed=np.ones((3, 2), bool)),
        ValueError,
        r"a mask for each of 8 examples, got shape \(3, 2\)",
    ),
    "chunks of nothing": (
        lambda: score(FLOW, POINTS, batch_size=0),
        ValueError,
        "a batch_size of at least 1, got 0",
    ),
    "half a sample": (
        lambda: score(FLOW, POINTS, num_samples=0.5),
        ValueError,
        "a num_samples of at least 1, got 0.5",
    ),
    "a number for a key": (lambda: score(FLOW, POINTS, key=3), TypeError, "one random key .*got 3"),
}


@pytest.mark.parametrize("mistake", REFUSED)
def test_one_clear_error(mistake):
    act, kind, said = REFUSED[mistake]
    with pytest.raises(kind, match=said) as raised:
        act()
    assert "\n" not in str(raised.value)
