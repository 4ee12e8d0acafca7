"""Densities in logit space differ from those of the levels by a known change of variables."""

import jax
import numpy as np
import pytest
from flax import nnx

from jaxgen import zoo
from jaxgen.bijectors import Logit
from jaxgen.data import Dataset
from jaxgen.evaluation import evaluate, in_logit_space
from jaxgen.models import Dequantized, Embedded, Flow, StandardNormal
from jaxgen.networks import Embedding
from jaxgen.testing import perturb

LEVELS = 8


@pytest.fixture
def data():
    x = np.random.default_rng(0).integers(0, LEVELS, (50, 3))
    return Dataset("levels", "test", x, y=np.arange(50) % 2, levels=LEVELS)


def maf(**options):
    model = zoo.maf((3,), layers=1, hidden=(6,), bounds=(0, LEVELS), rngs=nnx.Rngs(0), **options)
    return perturb(model, jax.random.key(1))


def test_the_difference_is_the_log_det_of_the_logit(data):
    flow = maf()
    model, transformed = in_logit_space(Dequantized(flow, LEVELS), data)
    # The noise is found again from the transformed data.
    noisy = Logit(0, LEVELS, 1e-6).forward(transformed.x)
    assert np.all((np.floor(noisy + 1e-5) == data.x) | (np.floor(noisy) == data.x))
    log_det = Logit(0, LEVELS, 1e-6).inverse_log_det(noisy)
    np.testing.assert_allclose(
        model.log_prob(transformed.x) + log_det, flow.log_prob(noisy), rtol=1e-4, atol=1e-3
    )


def test_the_record_names_the_variant(data):
    record = evaluate(*in_logit_space(Dequantized(maf(), LEVELS), data))
    assert record.data == "levels in logit space (alpha=1e-06)"
    assert (record.unit, record.estimator, record.num_examples) == ("nats", "exact", 50)
    assert record.data_sha256 != data.sha256


def test_noise_is_fixed_by_the_seed(data):
    model = Dequantized(maf(), LEVELS)
    first, again, other = (in_logit_space(model, data, seed=s)[1].x for s in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert np.all(first != other)


def test_labels_stay_with_a_class_conditional_model(data):
    embedded = Embedded(
        Dequantized(maf(context_features=2), LEVELS), Embedding(2, 2, rngs=nnx.Rngs(0))
    )
    model, transformed = in_logit_space(embedded, data)
    assert isinstance(model, Embedded)
    assert model.exactness == "exact"
    np.testing.assert_array_equal(transformed.y, data.y)
    assert model.log_prob(transformed.x, transformed.y).shape == (50,)


def test_a_logit_alone_leaves_the_base(data):
    base = StandardNormal((3,))
    model, _ = in_logit_space(Dequantized(Flow(Logit(0, LEVELS), base), LEVELS), data)
    assert type(model) is StandardNormal


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (StandardNormal((3,)), "expected a Dequantized flow, got StandardNormal"),
        (Dequantized(StandardNormal((3,)), LEVELS), "expected a flow that ends in a Logit"),
        (
            Dequantized(zoo.maf((3,), layers=1, hidden=(4,), rngs=nnx.Rngs(0)), LEVELS),
            "expected a flow that ends in a Logit, got Flow of Scan",
        ),
    ],
)
def test_refuses_other_models(data, model, said):
    with pytest.raises(TypeError, match=said):
        in_logit_space(model, data)
