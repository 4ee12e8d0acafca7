"""Likelihood records: whole splits, units, standard errors, and what else a number needs."""

import dataclasses
import hashlib
import importlib.metadata
import json
import math
import platform
import subprocess
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import jaxgen
from jaxgen import zoo
from jaxgen.data import Dataset, load
from jaxgen.evaluation import Record, evaluate
from jaxgen.models import Autoregressive, Dequantized, Model, StandardNormal
from jaxgen.models.scoring import _score, score
from jaxgen.testing import perturb

FIELDS = {
    "value",
    "standard_error",
    "unit",
    "estimator",
    "data",
    "split",
    "num_examples",
    "data_sha256",
    "seed",
    "num_parameters",
    "versions",
    "device",
    "git_commit",
    "seconds",
}


class Uniform(Model):
    """Uniform on [0, levels)^D: every level has the same mass, so bits per dimension are known."""

    def __init__(self, event_shape, levels):
        self.event_shape = event_shape
        self.height = levels

    def log_prob(self, x, context=None, *, key=None):
        inside = jnp.all((x >= 0) & (x < self.height), axis=-1)
        return jnp.where(inside, -x.shape[-1] * math.log(self.height), -jnp.inf)


class Noisy(Model):
    """Its bound is the log-probability 0 less the absolute value of some noise."""

    exactness = "lower_bound"

    def __init__(self):
        self.event_shape = (1,)

    def elbo(self, x, key, context=None, *, dropout_key=None):
        return -jnp.abs(jax.random.normal(key, x.shape[:-1]))

    def importance_log_prob(self, x, key, num_samples, context=None):
        return jnp.full(x.shape[:-1], -1.0 / num_samples)


def normal_log_prob(x):
    return -0.5 * np.sum(x**2 + math.log(2 * math.pi), axis=-1)


@pytest.fixture(scope="module")
def points():
    x = np.random.default_rng(0).normal(size=(7, 2)).astype(np.float32)
    x[-1] = 40.0  # if the last one were dropped, it would be missed
    return Dataset("points", "valid", x)


# --- the whole split counts ---


@pytest.mark.parametrize("size", [1, 3, 6, 7, 8, 500])
def test_chunks_of_any_size_score_every_example(points, size):
    scores = score(StandardNormal((2,)), points.x, batch_size=size)
    assert scores.shape == (7,)
    assert scores.dtype == np.float64
    np.testing.assert_allclose(scores, normal_log_prob(points.x), rtol=1e-6)


def test_contexts_are_cut_like_the_data():
    class Shifted(StandardNormal):
        context_shape = (2,)

        def log_prob(self, x, context=None, *, key=None):
            return -jnp.sum(jnp.abs(x - context), axis=-1)

    x = np.arange(14.0, dtype=np.float32).reshape(7, 2)
    np.testing.assert_array_equal(score(Shifted((2,)), x, x, batch_size=3), np.zeros(7))


def test_every_chunk_has_its_own_noise():
    x = np.zeros((6, 1), np.float32)
    scores = score(Noisy(), x, key=jax.random.key(0), batch_size=2)
    assert len(set(scores.tolist())) == 6
    again = score(Noisy(), x, key=jax.random.key(0), batch_size=2)
    np.testing.assert_array_equal(scores, again)
    with pytest.raises(ValueError, match="Noisy has a random bound, so a key is needed, got None"):
        score(Noisy(), x)


def test_value_and_standard_error(points):
    record = evaluate(StandardNormal((2,)), points, batch_size=3)
    expected = normal_log_prob(points.x.astype(np.float64))
    assert record.value == pytest.approx(expected.mean(), rel=1e-6)
    variance = np.sum((expected - expected.mean()) ** 2) / 6  # unbiased
    assert record.standard_error == pytest.approx(math.sqrt(variance / 7), rel=1e-6)
    assert record.num_examples == 7
    assert (record.unit, record.estimator) == ("nats", "exact")


# --- units ---


def test_bits_per_dimension_of_a_uniform_categorical():
    """A fresh MADE gives every level the same probability: log2(17) bits per dimension."""
    model = zoo.made((8, 8, 1), levels=17, hidden=(2,), rngs=nnx.Rngs(0))
    record = evaluate(model, load("digits", "test"))
    assert record.unit == "bits/dim"
    assert record.value == pytest.approx(math.log2(17), rel=1e-6)
    assert record.standard_error < 1e-6
    assert record.num_examples == 180


def test_bits_per_dimension_are_counted_per_level():
    """A density that is uniform over the levels costs log2(levels), not log2(256 / levels)."""
    x = np.random.default_rng(0).integers(0, 17, (5, 3))
    record = evaluate(Dequantized(Uniform((3,), 17), 17), Dataset("any", "test", x, levels=17))
    assert record.unit == "bits/dim"
    assert record.value == pytest.approx(math.log2(17), rel=1e-6)


def test_binary_data_are_scored_in_nats():
    x = np.array([[0, 1, 1], [0, 0, 0]])
    model = zoo.made((3,), hidden=(2,), rngs=nnx.Rngs(0))
    record = evaluate(model, Dataset("bits", "test", x, levels=2))
    assert record.unit == "nats"
    assert record.value == pytest.approx(-3 * math.log(2), rel=1e-6)


def test_bits_come_with_their_error():
    x = np.random.default_rng(0).integers(0, 5, (6, 4))
    model = zoo.made((4,), levels=5, hidden=(), rngs=nnx.Rngs(0))
    bias = model.conditional.out_bias
    bias[...] = jnp.asarray(np.random.default_rng(1).normal(size=bias.shape))
    logits = np.asarray(bias[...], np.float64)
    log_p = logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))
    bits = np.array([-sum(log_p[d, row[d]] for d in range(4)) for row in x]) / (4 * math.log(2))
    record = evaluate(model, Dataset("any", "test", x, levels=5))
    assert record.value == pytest.approx(bits.mean(), rel=1e-5)
    assert record.standard_error == pytest.approx(bits.std(ddof=1) / math.sqrt(6), rel=1e-5)


def padded(num_values_wrong=0):
    """Three signals of five levels that end early; behind the end stands another level."""
    rng = np.random.default_rng(0)
    lengths = np.array([4, 1, 3])
    x = rng.integers(0, 5, (3, 4))
    x[np.arange(4) >= lengths[:, None]] = num_values_wrong
    return Dataset("signals", "test", x, levels=5, lengths=lengths)


def test_padding_is_neither_scored_nor_counted():
    network = zoo.made((4,), levels=5, hidden=(), rngs=nnx.Rngs(0))
    network = perturb(network, jax.random.key(0))
    data = padded()
    bits = np.zeros(3)
    for i, (row, length) in enumerate(zip(data.x, data.lengths, strict=True)):
        params = np.asarray(network.conditional(network.likelihood.encode(row)), np.float64)
        log_p = params - np.log(np.exp(params).sum(-1, keepdims=True))
        bits[i] = -log_p[np.arange(4), row][:length].sum() / math.log(2)
    for found in (evaluate(network, data, batch_size=2), evaluate(network, padded(4))):
        assert found.value == pytest.approx(bits.sum() / 8, rel=1e-5)
        residuals = bits - bits.sum() / 8 * data.lengths
        error = math.sqrt(np.sum(residuals**2) / 2 / 3) / (8 / 3)
        assert found.standard_error == pytest.approx(error, rel=1e-4)
        assert (found.unit, found.num_examples, found.num_values) == ("bits/dim", 3, 8)
        assert "3 examples, 8 values" in str(found)


def test_a_uniform_model_costs_log_levels_whatever_the_lengths():
    record = evaluate(zoo.wavenet((4,), levels=5, dilations=(1,), rngs=nnx.Rngs(0)), padded())
    assert record.value == pytest.approx(math.log2(5), rel=1e-6)
    assert record.standard_error < 1e-6


def test_long_padded_events_are_scored_in_small_chunks(monkeypatch):
    monkeypatch.setattr("jaxgen.models.scoring.CHUNK_VALUES", 8)
    sizes = []

    class Watched(Autoregressive):
        def log_prob(self, x, *args, **options):
            sizes.append(x.shape)
            return super().log_prob(x, *args, **options)

    model = zoo.made((4,), levels=5, hidden=(), rngs=nnx.Rngs(0))
    evaluate(Watched(model.conditional, model.likelihood), padded())
    assert sizes == [(2, 4)]  # traced once


def test_lengths_are_for_models_that_generate_from_the_beginning():
    real = Dataset("real", "test", np.zeros((3, 4), np.float32), lengths=np.array([4, 1, 3]))
    with pytest.raises(ValueError, match="StandardNormal: expected whole events"):
        evaluate(StandardNormal((4,)), real)
    graph = zoo.markov((4,), levels=5, parents=((1,), (), (), ()), rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match="from their beginning on"):
        evaluate(graph, padded())


def test_estimators_are_told_apart():
    data = Dataset("any", "test", np.zeros((4, 1), np.float32))
    assert evaluate(Noisy(), data).estimator == "ELBO, one sample"
    weighted = evaluate(Noisy(), data, num_samples=8)
    assert weighted.estimator == "importance-weighted, 8 samples"
    assert weighted.value == -1 / 8
    assert evaluate(Noisy(), data, seed=1).value != evaluate(Noisy(), data, seed=2).value


# --- everything needed to believe it ---


def test_fields(points):
    assert {field.name for field in dataclasses.fields(Record)} >= FIELDS
    model = zoo.maf((2,), layers=1, hidden=(4,), rngs=nnx.Rngs(0))
    record = evaluate(model, points, name="maf_points", seed=1, train_seed=5)
    assert (record.model, record.data, record.split) == ("maf_points", "points", "valid")
    digest = hashlib.sha256(f"<f4{points.x.shape}".encode() + points.x.tobytes()).hexdigest()
    assert record.data_sha256 == digest
    assert record.seed == 5
    # MADE: 2 x 4 + 4, then 4 x 2 x 2 + 2 x 2; activation normalisation: 2 + 2.
    assert record.num_parameters == 12 + 20 + 4
    assert record.versions["python"] == platform.python_version()
    for name in ("jax", "jaxlib", "flax", "optax", "numpy"):
        assert record.versions[name] == importlib.metadata.version(name)
    assert record.device.startswith(f"{jax.device_count()} x ")
    assert record.seconds >= 0


def test_the_seed_is_that_of_the_evaluation_unless_given(points):
    record = evaluate(StandardNormal((2,)), points, seed=4)
    assert (record.seed, record.model) == (4, "StandardNormal")


def test_the_commit_is_that_of_the_checkout(points):
    record = evaluate(StandardNormal((2,)), points)
    root = Path(jaxgen.__file__).resolve().parents[1]
    if not (root / ".git").exists():
        assert record.git_commit is None
        return
    head = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=root, capture_output=True, text=True, check=True
    ).stdout.strip()
    assert record.git_commit in (head, f"{head}-dirty")


def test_saved_as_json_and_printed_as_a_line(points, tmp_path):
    record = evaluate(StandardNormal((2,)), points)
    record.save(tmp_path / "record.json")
    saved = json.loads((tmp_path / "record.json").read_text())
    missing = {each for each, value in dataclasses.asdict(record).items() if value is None}
    beside = {"num_values", "training_seconds", "elbo", "elbo_standard_error"}
    assert missing == {*beside, "divergence", "active_units"}
    assert saved | dict.fromkeys(missing) == dataclasses.asdict(record)
    line = str(record)
    assert "\n" not in line
    value = f"{record.value:.4f} ± {record.standard_error:.4f} nats, exact"
    assert line == f"StandardNormal on points (valid, 7 examples): {value}"


def test_what_is_not_finite_is_null_in_json(points, tmp_path):
    beside = {
        "value": -math.inf,
        "standard_error": math.nan,
        "elbo": -math.inf,
        "elbo_standard_error": math.nan,
        "divergence": [0.5, math.inf, math.nan],
    }
    record = dataclasses.replace(evaluate(StandardNormal((2,)), points), **beside)
    record.save(tmp_path / "record.json")
    saved = json.loads((tmp_path / "record.json").read_text(), parse_constant=pytest.fail)
    nothing = dict.fromkeys(beside) | {"divergence": [0.5, None, None]}
    assert {name: saved[name] for name in beside} == nothing


class Partial(Noisy):
    """Gives nothing to values above 1."""

    def elbo(self, x, key, context=None, *, dropout_key=None):
        return jnp.where(x[..., 0] > 1.0, -jnp.inf, super().elbo(x, key))

    def importance_log_prob(self, x, key, num_samples, context=None):
        return self.elbo(x, key)


def test_a_bound_beside_an_impossible_example(tmp_path):
    data = Dataset("any", "test", np.array([[0.0], [2.0], [3.0]], np.float32))
    with pytest.warns(UserWarning, match="2 of 3 examples") as caught:
        record = evaluate(Partial(), data, num_samples=4)
    assert len(caught) == 1
    assert (record.value, record.elbo) == (-math.inf, -math.inf)
    record.save(tmp_path / "record.json")
    saved = json.loads((tmp_path / "record.json").read_text(), parse_constant=pytest.fail)
    assert saved["elbo"] is saved["elbo_standard_error"] is None


def test_the_data_are_checked_first(points):
    levels = Dataset("levels", "test", np.ones((3, 2), int), levels=3)
    with pytest.raises(ValueError, match="expected real values, got int64"):
        evaluate(zoo.maf((2,), layers=1, hidden=(2,), rngs=nnx.Rngs(0)), levels)
    with pytest.raises(
        ValueError, match=r"expected events of shape \(3,\), got \(2,\) from points"
    ):
        evaluate(StandardNormal((3,)), points)


def test_an_array_is_no_data_set():
    for data in (np.zeros((3, 2)), [[0.0, 1.0]]):
        with pytest.raises(TypeError, match=r"evaluate: expected a Dataset, got .*Dataset\(name"):
            evaluate(StandardNormal((2,)), data)
    with pytest.raises(TypeError, match="evaluate: expected a model, got"):
        evaluate("maf", Dataset("zeros", "test", np.zeros((3, 2))))


def test_products_of_a_score_are_never_rounded_to_fewer_digits():
    """GPUs would multiply float32 as TF32 and TPUs as bfloat16, each by default."""
    model = zoo.made((6,), hidden=(8,), rngs=nnx.Rngs(0))
    arguments = model, jnp.zeros((3, 6), int), None, None, None, None, jax.random.key(0)
    program = _score.lower(*arguments, num_samples=1).as_text()
    products = [line for line in program.splitlines() if "dot_general" in line]
    assert products
    assert all("HIGHEST" in line for line in products)
