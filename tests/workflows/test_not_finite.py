"""Scores that are infinite: told of with the example, and kept as what they are."""

import dataclasses
import json
import math

import numpy as np
import pytest
from flax import nnx

from jaxgen import zoo
from jaxgen.bijectors import ActNorm
from jaxgen.data import Dataset
from jaxgen.evaluation import evaluate, records
from jaxgen.models import Flow, StandardNormal
from jaxgen.training import Batch, TrainSettings, fit
from jaxgen.training.metrics import read_metrics

X = np.random.default_rng(0).normal(size=(64, 2)).astype(np.float32)
FAR = X[:20].copy()
FAR[7, 0] = 1e25
SETTINGS = TrainSettings(steps=4, batch_size=16, steps_per_dispatch=1, eval_every=1)


def no_constant(name):
    raise AssertionError(f"{name} is no JSON")


@pytest.mark.parametrize("weights", [None, np.linspace(1, 2, 20)])
def test_an_infinite_validation_loss_is_told_of_once(weights, tmp_path):
    settings = dataclasses.replace(SETTINGS, patience=2)
    valid = Batch(FAR, weights=weights)
    said = r"loss is inf: 1 of 20 validation examples, the first of them 7, have log-density -inf"
    with pytest.warns(UserWarning, match=said) as caught:
        result = fit(Flow(ActNorm((2,))), X, valid, settings, out=tmp_path, progress=False)
    assert len(caught) == 1
    assert [row["valid_loss"] for row in result.history] == [math.inf] * 2
    text = (tmp_path / "metrics.jsonl").read_text()
    for line in text.splitlines():
        assert json.loads(line, parse_constant=no_constant)["valid_loss"] is None
    assert all(math.isnan(row["valid_loss"]) for row in read_metrics(tmp_path / "metrics.jsonl"))


def test_an_example_without_weight_has_no_part_in_the_loss():
    weights = np.arange(20) != 7
    losses = [
        fit(Flow(ActNorm((2,))), X, valid, SETTINGS, progress=False).history[-1]["valid_loss"]
        for valid in (Batch(FAR, weights=weights.astype(float)), FAR[weights])
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)


def test_a_record_of_an_infinite_density_says_so(tmp_path):
    said = r"1 of 20 examples of far \(test\), the first of them 7, have log-density -inf"
    with pytest.warns(UserWarning, match=said):
        record = evaluate(StandardNormal((2,)), Dataset("far", "test", FAR))
    assert record.value == -math.inf
    assert math.isnan(record.standard_error)
    assert str(record).endswith("-inf nats, exact")
    record.save(tmp_path / "record.json")
    kept = json.loads((tmp_path / "record.json").read_text(), parse_constant=no_constant)
    assert kept["value"] is kept["standard_error"] is None


def test_infinite_bits_are_told_of(monkeypatch):
    monkeypatch.setattr(records, "score", lambda *args, **more: np.array([-1.0, -np.inf]))
    data = Dataset("levels", "test", np.array([[0, 0], [0, 2]]), levels=3)
    with pytest.warns(UserWarning, match="1 of 2 examples of levels .*, the first of them 1"):
        record = evaluate(zoo.made((2,), levels=3, rngs=nnx.Rngs(0)), data)
    assert record.value == math.inf
    assert math.isnan(record.standard_error)
