"""The training loop: it learns, validates, stops when it should, and logs what happened."""

import contextlib
import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jaxgen import zoo
from jaxgen.bijectors import ActNorm
from jaxgen.data import batch_indices, load
from jaxgen.models import Flow
from jaxgen.models.scoring import score
from jaxgen.training import NonFiniteLossError, TrainSettings, feeding, fit, validation
from jaxgen.training.checkpoints import Checkpoints
from jaxgen.training.metrics import read_metrics
from jaxgen.training.objectives import negative_log_likelihood

SETTINGS = TrainSettings(
    steps=8,
    batch_size=8,
    learning_rate=0.1,
    schedule="constant",
    steps_per_dispatch=1,
    eval_every=2,
    checkpoint_every=2,
)


@pytest.fixture(scope="module")
def x():
    return np.random.default_rng(0).normal(2.0, 3.0, size=(20, 2)).astype(np.float32)


def gaussian():
    """The smallest model: an affine map of a standard normal, quick to compile."""
    return Flow(ActNorm((2,)))


def train(x, valid=None, objective=negative_log_likelihood, out=None, **changes):
    settings = dataclasses.replace(SETTINGS, **changes)
    return fit(gaussian(), x, valid, settings, out=out, objective=objective, progress=False)


def same(one, other):
    pairs = zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
    return all((a == b).all() for a, b in pairs)


# --- learning ---


def test_a_flow_learns_a_toy_density_better_than_a_gaussian():
    data = {split: load("toy:two_moons", split).x for split in ("train", "test")}
    flow = zoo.maf((2,), layers=2, hidden=(16,), rngs=nnx.Rngs(0))
    settings = TrainSettings(steps=300, batch_size=128, learning_rate=1e-2, eval_every=100)
    result = fit(flow, data["train"], settings=settings, progress=False)
    losses = [row["loss"] for row in result.history]
    assert losses[-1] < losses[0] - 0.1

    mean, covariance = data["train"].mean(axis=0), np.cov(data["train"].T)
    offset = data["test"] - mean
    distance = np.einsum("ni,ij,nj->n", offset, np.linalg.inv(covariance), offset)
    gaussian = np.mean(-0.5 * (distance + np.linalg.slogdet(2 * np.pi * covariance)[1]))
    assert score(result.model, data["test"]).mean() > gaussian + 0.2
    # The average of the last parameters, which is returned, and the parameters themselves.
    assert score(result.state.model, data["test"]).mean() > gaussian + 0.2


def test_the_returned_model_has_the_averaged_parameters(x):
    result = train(x)
    assert same(result.model, result.state.ema_model)
    assert not same(result.model, result.state.model)
    assert result.best_step == 8
    plain = train(x, ema_decay=0.0)
    assert same(plain.model, plain.state.model)


# --- validation and early stopping ---


@pytest.fixture
def scripted(monkeypatch):
    """Replaces the validation losses by given ones; gives back the models that were validated."""

    def script(losses):
        models = []

        def score(model, *args, **kwargs):
            # Not np.array, which would hold on to the buffers and hide that they are donated.
            models.append(jax.tree.map(jnp.copy, model))
            return np.array([-losses[len(models) - 1]])

        monkeypatch.setattr(validation, "score", score)
        return models

    return script


EARLY = {
    # losses at steps 2, 4, 6, ...; patience; the step it stops at; the best step
    "the best counts, not the last": ([3, 1, 2, 2], None, 8, 4),
    "without an improvement": ([3, 1, 2, 1, 0], 2, 8, 4),
    "patience starts anew": ([3, 4, 2, 3, 1, 2, 2], 2, 14, 10),
    "never": ([4, 3, 2, 1], 1, 8, 8),
    "at once": ([1, 2, 0], 1, 4, 2),
    "NaN is no improvement": ([np.nan, 2, np.nan, 1], None, 8, 8),
    "NaN is a miss": ([2, np.nan, np.inf, 0], 2, 6, 2),
}


@pytest.mark.parametrize("name", EARLY)
def test_early_stopping_returns_the_best_parameters(name, scripted, x, tmp_path):
    losses, patience, stops, best = EARLY[name]
    models = scripted(losses)
    told = pytest.warns(UserWarning, match="the validation loss is nan")
    with contextlib.nullcontext() if np.isfinite(losses).all() else told:
        result = train(x, x, steps=2 * len(losses), patience=patience, out=tmp_path)
    assert result.history[-1]["step"] == stops
    assert result.best_step == best
    assert same(result.model, models[best // 2 - 1])
    assert not same(models[0], models[1])
    with Checkpoints(tmp_path / "checkpoints") as checkpoints:
        assert checkpoints.latest() == stops
        assert same(checkpoints.restore_model(gaussian())[1], result.model)


def test_the_best_parameters_survive_the_steps_after_them(scripted, x):
    """Those donate the state; a checkpoint would hold on to it, so there is none here."""
    models = scripted([1, 2, 3])
    result = train(x, x, steps=6)
    assert same(result.model, models[0])


def test_validation_decides_and_sees_the_averaged_parameters(x):
    valid = x[:5] + 1
    result = train(x, valid, steps=2)
    expected = -score(result.state.ema_model, valid).mean()
    assert result.history[-1]["valid_loss"] == pytest.approx(expected, rel=1e-6)


# --- a loss that is not finite ---


def poisoned(kind, threshold=1e3):
    """An objective that breaks when a batch holds an entry beyond the threshold."""

    def objective(model, batch, key):
        loss = negative_log_likelihood(model, batch, key)
        bad = jnp.any(batch.x > threshold)
        if kind == "loss":
            return jnp.where(bad, jnp.nan, loss)
        # sqrt is finite at 0, its gradient is not.
        zero = 0.0 * jnp.sum(nnx.state(model, nnx.Param)["bijector"]["shift"][...])
        return loss + jnp.sqrt(jnp.where(bad, zero, 1.0 + zero))

    return objective


@pytest.mark.parametrize(("kind", "dispatch"), [("loss", 1), ("gradient", 3)])
def test_a_loss_that_is_not_finite_stops_at_its_step(kind, dispatch, x, tmp_path):
    data = np.concatenate([x] * 5)
    batches = batch_indices(SETTINGS.seed, 0, 8, len(data), SETTINGS.batch_size)
    bad_step = 6  # counted from 1
    data[batches[bad_step - 1, 3]] = 1e4
    arguments = {
        "objective": poisoned(kind),
        "out": tmp_path,
        "steps_per_dispatch": dispatch,
        "checkpoint_every": dispatch,
    }
    good = (bad_step - 1) // dispatch * dispatch
    for _ in range(2):  # the same again changes nothing
        with pytest.raises(
            NonFiniteLossError, match=rf"step {bad_step}: .*checkpoint of step {good} is kept"
        ) as raised:
            train(data, **arguments)
        assert ("loss nan" in str(raised.value)) == (kind == "loss")
        with Checkpoints(tmp_path / "checkpoints") as checkpoints:
            assert checkpoints.latest() == good
            model = checkpoints.restore_model(gaussian())[1]
        assert np.isfinite(model.log_prob(x)).all()
        assert [row["step"] for row in read_metrics(tmp_path / "metrics.jsonl")][-1] == good


def test_without_a_run_directory_the_error_names_the_step_alone(x):
    with pytest.raises(NonFiniteLossError, match=r"^step 1: loss nan, gradient norm \S+\. No step"):
        train(
            x,
            objective=lambda model, batch, key: (
                jnp.nan * negative_log_likelihood(model, batch, key)
            ),
        )


# --- batches and noise are functions of seed and step ---


def mean_of_batch(model, batch, key):
    return jnp.mean(batch.x)


@pytest.mark.parametrize("device_bytes", [2**30, 0])
def test_every_step_sees_its_batch(monkeypatch, x, device_bytes):
    monkeypatch.setattr(feeding, "DEVICE_DATA_BYTES", device_bytes)
    history = train(x, objective=mean_of_batch, seed=3).history
    expected = [x[rows].mean() for rows in batch_indices(3, 0, 8, len(x), 8)]
    np.testing.assert_allclose([row["loss"] for row in history], expected, rtol=1e-5)


def test_every_step_has_its_own_noise_and_the_seed_decides(x):
    def noise(model, batch, key):
        return jax.random.uniform(key)

    def drawn(**changes):
        return [row["loss"] for row in train(x, objective=noise, **changes).history]

    first = drawn(seed=1)
    assert len(set(first)) == len(first) == 8
    assert drawn(seed=1) == first
    assert set(drawn(seed=2)).isdisjoint(first)
    # Two steps a dispatch: the row has the mean of the same numbers.
    pairs = np.reshape(first, (4, 2)).mean(axis=1)
    np.testing.assert_allclose(drawn(seed=1, steps_per_dispatch=2), pairs, rtol=1e-6)


def test_data_that_do_not_fit_on_the_device_give_the_same_result(monkeypatch, x):
    settings = {"steps_per_dispatch": 3, "steps": 8}
    resident = train(x, x, **settings)
    monkeypatch.setattr(feeding, "DEVICE_DATA_BYTES", 0)
    streamed = train(x, x, **settings)
    assert same((resident.model, resident.state), (streamed.model, streamed.state))


def test_contexts_travel_with_their_examples(monkeypatch, x):
    """For either way that the data take to the device."""

    def mismatch(model, batch, key):
        return jnp.sum(jnp.abs(batch.x - batch.context))

    flow = zoo.maf((2,), layers=1, hidden=(4,), context_features=2, rngs=nnx.Rngs(0))
    for device_bytes in (2**30, 0):
        monkeypatch.setattr(feeding, "DEVICE_DATA_BYTES", device_bytes)
        result = fit(flow, (x, x), settings=SETTINGS, objective=mismatch, progress=False)
        assert [row["loss"] for row in result.history] == [0.0] * 8


def test_the_model_is_initialised_from_the_data(x):
    """Activation normalisation: whole data, so mean 0 and deviation 1 before the first step."""
    result = train(x, objective=lambda model, batch, key: jnp.zeros(()), steps=1)
    z = result.model.infer(x)
    np.testing.assert_allclose(z.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(z.std(axis=0), 1, rtol=1e-4)


# --- what is logged ---


def test_history_rows(x, tmp_path):
    result = train(
        x, x, out=tmp_path, steps=11, steps_per_dispatch=3, eval_every=4, checkpoint_every=100
    )
    # Dispatches of 3 and the rest; intervals are rounded up to the next dispatch.
    assert [row["step"] for row in result.history] == [3, 6, 9, 11]
    assert [row["step"] for row in result.history if "valid_loss" in row] == [6, 9, 11]
    for row in result.history:
        assert set(row) - {"valid_loss"} == {
            "step",
            "loss",
            "grad_norm",
            "seconds",
            "examples_per_second",
        }
        assert row["examples_per_second"] > 0
        assert all(np.isfinite(value) for value in row.values())
        assert row["grad_norm"] > 0
    seconds = [row["seconds"] for row in result.history]
    assert seconds == sorted(seconds)
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == result.history


def test_a_row_has_the_mean_loss_of_its_steps(x):
    def rows(dispatch):
        history = train(x, steps_per_dispatch=dispatch).history
        return [[row[name] for row in history] for name in ("loss", "grad_norm")]

    expected = np.reshape(rows(1), (2, 2, 4)).mean(axis=2)
    # The same steps compiled otherwise: float32 rounding.
    np.testing.assert_allclose(rows(4), expected, rtol=1e-4)


def test_the_progress_bar_shows_loss_and_bits(capsys):
    # Every level as often as any other, so that the first step meets uniform probabilities:
    # 3 log 5 nats = log2 5 bits for each of 3.
    x = np.random.default_rng(0).permuted(np.tile(np.arange(20)[:, None] % 5, 3), axis=0)
    model = zoo.made((3,), levels=5, hidden=(4,), rngs=nnx.Rngs(0))
    settings = TrainSettings(steps=1, batch_size=8)
    fit(model, x, x, settings, progress=True)
    shown = capsys.readouterr().err
    assert "1/1" in shown
    assert "loss 4.828 nats = 2.322 bits/dim" in shown
    assert "best valid" in shown
    fit(model, x, x, settings, progress=False)
    assert capsys.readouterr().err == ""
